UPDATE closed SET done = true WHERE owner_id = $1 AND NOT done
