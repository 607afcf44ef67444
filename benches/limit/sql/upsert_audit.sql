-- The rows that the view has after events of one actor on one day.
INSERT INTO bare.entry AS a (owner_id, stream_id, day, kind, events, first_position, last_position)
SELECT owner_id, stream_id, min(recorded_at)::date, kind, count(*), min(position), max(position)
FROM event
WHERE position > $1 AND position <= $2
GROUP BY owner_id, stream_id, kind
ON CONFLICT (owner_id, stream_id, day, kind, actor_id) DO UPDATE SET
    events = a.events + excluded.events, last_position = excluded.last_position
