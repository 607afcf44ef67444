SELECT position, version, type, data, meta FROM log WHERE stream = $1 AND version > $2 ORDER BY version LIMIT $3
