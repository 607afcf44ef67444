-- The lane's call (migrations/0004_append.sql): autocommit, one round trip. Never inside a client's transaction.
SELECT answer_head, answer_recorded_at, answer_verdict, answer_version
FROM append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
