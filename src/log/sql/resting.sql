-- Conversations of an owner ($1) that may go: of a class ($2) whose newest event, but for that of an expiry, stands behind a
-- position ($3) and up to another ($4), and that nothing which is left depends on: at most so many ($5).
WITH RECURSIVE stream AS (
    (SELECT e.stream_id AS id FROM event AS e WHERE e.owner_id = $1 ORDER BY e.stream_id LIMIT 1)
    UNION ALL
    SELECT (
        SELECT e.stream_id FROM event AS e WHERE e.owner_id = $1 AND e.stream_id > s.id ORDER BY e.stream_id LIMIT 1
    )
    FROM stream AS s WHERE s.id IS NOT NULL
)
SELECT s.id AS stream_id, head.version, newest.position, newest.version AS events, newest.recorded_at
FROM stream AS s
CROSS JOIN LATERAL (
    SELECT e.version, e.kind, e.body FROM event AS e
    WHERE e.owner_id = $1 AND e.stream_id = s.id ORDER BY e.version DESC LIMIT 1
) AS head
CROSS JOIN LATERAL (
    SELECT e.position, e.version, e.recorded_at, e.reduced FROM event AS e
    WHERE e.owner_id = $1 AND e.stream_id = s.id AND e.kind <> 'conversation.expired' ORDER BY e.version DESC LIMIT 1
) AS newest
WHERE s.id <> $1 AND newest.position > $3 AND newest.position <= $4
  AND CASE $2 WHEN 'facts' THEN newest.reduced IS NULL
      ELSE head.kind <> 'conversation.expired' OR head.body ? 'keeps' END
  AND NOT depended_on($1, s.id)
ORDER BY newest.position
LIMIT $5
