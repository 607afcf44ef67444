-- What was taken away from owners and may still be in views: the event that said so, and where the words were said; and
-- whether facts went as well.
SELECT u.position, u.owner_id, ARRAY(
    SELECT e.position FROM event AS e
    WHERE e.owner_id = u.owner_id AND said.kind = 'message.forgotten' AND e.id = (said.body ->> 'message')::uuid
    UNION ALL
    SELECT e.position FROM event AS e
    WHERE e.owner_id = u.owner_id AND e.stream_id = said.stream_id AND e.version < said.version
      AND e.words_digest IS NOT NULL
      AND (said.kind = 'conversation.forgotten'
        OR e.kind = 'message.rated' AND e.body ->> 'message' = said.body ->> 'message')
    UNION ALL
    SELECT unnest(lapsed(u.position)) WHERE said.kind = 'retention.applied'
    UNION ALL
    SELECT e.position FROM event AS x
    JOIN event AS e ON e.owner_id = x.owner_id AND e.stream_id = x.stream_id AND e.version < x.version
    WHERE said.kind = 'retention.applied' AND x.owner_id = u.owner_id AND x.command_id = said.command_id
      AND x.position > said.position AND x.position <= said.position + 1000 AND x.kind = 'conversation.expired'
      AND e.words_digest IS NOT NULL
) AS positions, coalesce((said.body ->> 'conversations')::bigint > 0, false) AS facts
FROM unswept AS u
CROSS JOIN LATERAL (SELECT e.* FROM event AS e WHERE e.position = u.position LIMIT 1) AS said
ORDER BY u.position
LIMIT 100
