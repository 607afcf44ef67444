SELECT position, stream, version, type, data, meta FROM log WHERE position > $1 ORDER BY position LIMIT $2
