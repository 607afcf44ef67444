SELECT hashes FROM tile WHERE level = $1 AND index = $2
