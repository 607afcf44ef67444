SELECT name, created_at, revoked_at FROM account.token WHERE account_id = $1 ORDER BY created_at, name
