SELECT e.owner_id, e.stream_id, min(e.version) AS first, max(e.version) AS last FROM event AS e
WHERE ($1::uuid IS NULL OR e.owner_id = $1) AND e.position > $2 AND e.position <= $3 AND (e.owner_id, e.stream_id) > ($4, $5)
GROUP BY e.owner_id, e.stream_id ORDER BY e.owner_id, e.stream_id LIMIT $6
