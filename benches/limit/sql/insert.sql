INSERT INTO log (stream, version, type, data, meta) VALUES ($1, $2, $3, $4, $5)
