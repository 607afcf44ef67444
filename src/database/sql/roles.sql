-- Who may do what. The application appends and reads; words go by a role of their own; nobody changes the log.
--
-- Roles belong to the whole server, not to this database: another one may have made them, or be making them now. Where
-- they cannot be made, the triggers of the log stand alone.
DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['convoledger_app', 'convoledger_eraser'] LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = role);
        BEGIN
            EXECUTE format('CREATE ROLE %I', role);
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN RETURN;
        END;
    END LOOP;

    GRANT USAGE ON SCHEMA public, vault, account TO convoledger_app;
    GRANT SELECT ON _sqlx_migrations TO convoledger_app;
    GRANT SELECT, INSERT ON event, words, history, ledger TO convoledger_app;
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA vault, account TO convoledger_app;
    -- Each projection is a schema that the application makes, drops and makes again.
    EXECUTE format('GRANT CREATE ON DATABASE %I TO convoledger_app', current_database());

    GRANT USAGE ON SCHEMA public TO convoledger_eraser;
    GRANT SELECT, DELETE ON words TO convoledger_eraser;
END;
$$
