SELECT forget($1, $2)
