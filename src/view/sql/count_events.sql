SELECT count(*) FROM fold.event
WHERE owner_id = $1 AND position <= $4 AND ($2::uuid IS NULL OR stream_id = $2) AND ($3::text[] IS NULL OR kind = ANY ($3))
