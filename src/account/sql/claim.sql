INSERT INTO account.account (id, email_digest, created_at) VALUES ($1, $2, $3) ON CONFLICT (email_digest) DO NOTHING
