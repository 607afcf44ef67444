SELECT count(*) FROM event AS e WHERE ($1::uuid IS NULL OR e.owner_id = $1) AND e.position > $2 AND e.position <= $3
