-- Migrations run one at a time. For the transaction, not the session: behind a pooler a session is anybody's.
SELECT pg_advisory_xact_lock(7163664893726288)
