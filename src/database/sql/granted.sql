-- Whether the application's role can come in, append, and make projections.
SELECT coalesce(bool_and(rolcanlogin AND has_database_privilege(oid, current_database(), 'CREATE')
    AND has_table_privilege(oid, to_regclass('event'), 'INSERT')), false)
FROM pg_roles WHERE rolname = 'convoledger_app'
