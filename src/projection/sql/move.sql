-- As claim.sql, where the range was counted before.
UPDATE progress SET position = $2, error = NULL WHERE position = $1
RETURNING CASE WHEN fingerprint <> $3 THEN apply END AS apply
