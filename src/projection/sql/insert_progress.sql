INSERT INTO progress (fingerprint, apply) VALUES ($1, $2)
