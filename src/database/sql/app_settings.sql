-- The application's sessions in an embedded cluster: what the lane demands is pinned, whatever postgresql.conf says, and
-- a session that forgot its transaction or waits for a lock is cut. There is no statement_timeout: folds and rebuilds
-- may be long, and the lane bounds its wait by itself.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'convoledger_app' AND rolcanlogin AND cardinality(rolconfig) = 4) THEN
        RETURN; -- Two that change one role at once would fail.
    END IF;
    ALTER ROLE convoledger_app LOGIN;
    ALTER ROLE convoledger_app SET default_transaction_isolation = 'read committed';
    ALTER ROLE convoledger_app SET synchronous_commit = 'on';
    ALTER ROLE convoledger_app SET idle_in_transaction_session_timeout = '5s';
    ALTER ROLE convoledger_app SET lock_timeout = '5s';
END;
$$
