INSERT INTO cosignature (origin, size, witness, line) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING
