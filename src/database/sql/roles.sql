-- Who may do what. The application appends and reads; words go by a role of their own; folds that are not built in read
-- events under another; nobody changes the log.
--
-- Roles belong to the whole server, not to this database: another one may have made them, or be making them now. Where
-- they cannot be made, the triggers of the log stand alone.
DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['convoledger_app', 'convoledger_eraser', 'convoledger_view'] LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = role);
        BEGIN
            EXECUTE format('CREATE ROLE %I', role);
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN RETURN;
        END;
    END LOOP;

    GRANT USAGE ON SCHEMA public, vault, account, fold TO convoledger_app;
    GRANT SELECT ON _sqlx_migrations, erased TO convoledger_app;
    GRANT SELECT, INSERT ON event, words, history, ledger, tile, checkpoint, cosignature TO convoledger_app;
    GRANT SELECT ON ALL TABLES IN SCHEMA fold TO convoledger_app;
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA vault, account TO convoledger_app;
    -- Each projection is a schema that the application makes, drops and makes again.
    EXECUTE format('GRANT CREATE ON DATABASE %I TO convoledger_app', current_database());

    GRANT USAGE ON SCHEMA public, fold TO convoledger_view;
    GRANT SELECT ON fold.event TO convoledger_view;
    -- Whoever serves takes this role on for such a fold, whether it is the application's role or the one that migrates.
    GRANT convoledger_view TO convoledger_app;
    BEGIN
        GRANT convoledger_view TO CURRENT_USER;
    EXCEPTION
        WHEN insufficient_privilege OR invalid_grant_operation THEN NULL;
    END;

    GRANT SELECT, INSERT, UPDATE, DELETE ON closed, unswept TO convoledger_app;
    GRANT USAGE ON SCHEMA public TO convoledger_eraser;
    GRANT SELECT, DELETE ON words TO convoledger_eraser;
    GRANT SELECT, UPDATE (body, reduced) ON event TO convoledger_eraser;
    BEGIN
        REVOKE EXECUTE ON FUNCTION erase_words, expire, account.forget FROM PUBLIC;
        EXECUTE format('GRANT EXECUTE ON FUNCTION erase_words, expire, account.forget TO convoledger_app, %I', current_user);
        -- Words are deleted, and bodies reduced, as this role, by these functions, and by nobody else.
        GRANT CREATE ON SCHEMA public TO convoledger_eraser;
        ALTER FUNCTION erase_words OWNER TO convoledger_eraser;
        ALTER FUNCTION expire OWNER TO convoledger_eraser;
        REVOKE CREATE ON SCHEMA public FROM convoledger_eraser;
    EXCEPTION
        -- Then they are deleted as whoever migrated.
        WHEN insufficient_privilege THEN NULL;
    END;
END;
$$
