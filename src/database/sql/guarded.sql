-- Whether privileges alone keep role $1 from changing what was appended: a superuser's and an owner's never do.
SELECT coalesce(bool_and(NOT has_table_privilege(to_regrole(quote_ident($1)), name, 'UPDATE, DELETE, TRUNCATE')), false)
FROM unnest(ARRAY[to_regclass('event'), to_regclass('words')]) AS name
