SELECT position FROM event WHERE owner_id = $1 AND command_id = $2 AND command_nth = 0
