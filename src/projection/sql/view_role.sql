-- Whether there is a role for folds that were not built in, and this session may take it on.
SELECT coalesce(bool_or(pg_has_role(oid, 'MEMBER')), false) FROM pg_roles WHERE rolname = 'convoledger_view'
