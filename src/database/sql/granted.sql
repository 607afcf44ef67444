-- Whether the application's role can come in, append, make projections, and take on the role of those not built in.
SELECT coalesce(bool_and(rolcanlogin AND has_database_privilege(oid, current_database(), 'CREATE')
    AND has_table_privilege(oid, to_regclass('event'), 'INSERT')
    AND pg_has_role(oid, to_regrole('convoledger_view'), 'MEMBER')), false)
FROM pg_roles WHERE rolname = 'convoledger_app'
