-- Until the transaction's end or view_role_off: what is not built in may do little, and not for
-- longer than the engine waits.
SELECT set_config('role', 'convoledger_view', true), set_config('statement_timeout', '10s', true)
