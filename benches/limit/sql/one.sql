SELECT position, stream, version, type, data, meta FROM log WHERE position = $1
