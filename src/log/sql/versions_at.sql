-- How far each stream had come with the event at $1.
SELECT owner_id, stream_id, max(version) AS version FROM event WHERE position <= $1 GROUP BY owner_id, stream_id
