-- Whether the application's role can come in, append, make projections, and take on the role of those not built in.
SELECT coalesce(bool_and(rolcanlogin AND has_database_privilege(oid, current_database(), 'CREATE')
    AND has_table_privilege(oid, to_regclass('event'), 'INSERT')
    AND has_function_privilege(oid, to_regprocedure('erase_words(bigint, bigint)'), 'EXECUTE')
    AND has_function_privilege(oid, to_regprocedure('expire(bigint)'), 'EXECUTE')
    AND pg_has_role(oid, to_regrole('convoledger_view'), 'MEMBER')), false)
FROM pg_roles WHERE rolname = 'convoledger_app'
