-- The events in ($1, $2] folded by key, then one upsert.
INSERT INTO entry AS was (owner_id, stream_id, day, kind, actor_id, events, first_position, last_position)
SELECT owner_id, stream_id, (recorded_at AT TIME ZONE 'UTC')::date AS day, kind, nullif(actor_id, owner_id) AS actor_id,
    count(*), min(position), max(position)
FROM envelope
WHERE position > $1 AND position <= $2
GROUP BY owner_id, stream_id, day, kind, nullif(actor_id, owner_id)
ON CONFLICT (owner_id, stream_id, day, kind, actor_id) DO UPDATE SET
    events = was.events + excluded.events, last_position = excluded.last_position
