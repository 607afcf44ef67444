-- The lane's call (migrations/0004_append.sql): autocommit, one round trip. Never inside a client's transaction.
SELECT answer_command, answer_verdict, answer_position, answer_recorded_at, answer_version
FROM append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23,
            $24, $25, $26, $27, $28)
