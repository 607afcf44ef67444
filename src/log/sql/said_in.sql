-- The words that the event at $1 took away, which forgets a message or a conversation: events, sealed parts, and SHA-256 over
-- the positions. It is told by what stays.
SELECT count(*), coalesce(sum(octet_length(e.words_digest) / 33), 0)::bigint,
    encode(sha256(coalesce(string_agg(int8send(e.position), ''::bytea ORDER BY e.position), ''::bytea)), 'hex')
FROM event AS because
JOIN event AS e ON e.owner_id = because.owner_id AND e.stream_id = because.stream_id AND e.version < because.version
WHERE because.position = $1 AND e.words_digest IS NOT NULL AND (
    because.kind = 'conversation.forgotten'
    OR e.id = (because.body ->> 'message')::uuid
    OR e.kind = 'message.rated' AND e.body ->> 'message' = because.body ->> 'message'
)
