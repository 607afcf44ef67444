-- The rows that the view has after messages on `main` were appended, and nothing that any other event would change.
WITH branches AS (
    INSERT INTO bare.branch AS b (owner_id, conversation_id, number, block, created_at, tip_segment, tip_depth, abandoned)
    SELECT owner_id, stream_id, 1, (version + 63) / 64, min(occurred_at), max(segment), max(depth), false
    FROM event
    WHERE position > $1 AND position <= $2
    GROUP BY owner_id, stream_id, (version + 63) / 64
    ON CONFLICT (owner_id, conversation_id, number, block) DO UPDATE
    SET tip_segment = excluded.tip_segment, tip_depth = excluded.tip_depth
)
INSERT INTO bare.conversation AS c (owner_id, id, created_at, updated_at, position, version, branches, preferred,
    favorited, archived, deleted, tags, message_count, tokens_in, tokens_out, cache_reads, cache_writes, size_bytes)
SELECT owner_id, stream_id, min(occurred_at), max(occurred_at), max(position), max(version), 1, 1, false, false, false,
    '{}', count(*) FILTER (WHERE kind = 'message.appended'), coalesce(sum((body #>> '{usage,input}')::bigint), 0),
    coalesce(sum((body #>> '{usage,output}')::bigint), 0), 0, 0, coalesce(sum((body ->> 'bytes')::bigint), 0)
FROM event
WHERE position > $1 AND position <= $2
GROUP BY owner_id, stream_id
ON CONFLICT (owner_id, id) DO UPDATE SET updated_at = excluded.updated_at, position = excluded.position,
    version = excluded.version, message_count = c.message_count + excluded.message_count,
    tokens_in = c.tokens_in + excluded.tokens_in, tokens_out = c.tokens_out + excluded.tokens_out,
    size_bytes = c.size_bytes + excluded.size_bytes
