-- The newest expiry of each conversation that expired, behind a position ($1), and what it says of the events before it.
SELECT e.position, e.owner_id, e.stream_id, e.version, e.body ->> 'left' AS left
FROM event AS e
WHERE e.kind = 'conversation.expired' AND e.reduced IS NULL AND e.position > $1
ORDER BY e.position
