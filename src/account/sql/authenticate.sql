SELECT account_id FROM account.token WHERE digest = $1 AND revoked_at IS NULL
