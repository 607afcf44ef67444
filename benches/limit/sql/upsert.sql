INSERT INTO bare.conversation AS c (owner_id, id, updated_at, position, version, message_count, size_bytes)
SELECT owner_id, stream_id, max(occurred_at), max(position), max(version),
    count(*) FILTER (WHERE kind = 'message.appended'), coalesce(sum((body ->> 'bytes')::bigint), 0)
FROM event
WHERE position > $1 AND position <= $2
GROUP BY owner_id, stream_id
ON CONFLICT (owner_id, id) DO UPDATE SET updated_at = excluded.updated_at, position = excluded.position,
    version = excluded.version, message_count = c.message_count + excluded.message_count,
    size_bytes = c.size_bytes + excluded.size_bytes
