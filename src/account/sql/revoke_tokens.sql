UPDATE account.token SET revoked_at = $3 WHERE account_id = $1 AND name = $2 AND revoked_at IS NULL
