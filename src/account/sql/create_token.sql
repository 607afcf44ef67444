INSERT INTO account.token (digest, account_id, name, created_at) VALUES ($1, $2, $3, $4)
