-- Snapshots of a conversation that had a label at $3, the newest first: those below the position $4, or the one of the id $6;
-- and how many there are in all.
WITH labelled AS NOT MATERIALIZED (
    SELECT s.id, s.position, s.version, s.trigger, s.taken_at
    FROM conversation.snapshot AS s
    WHERE s.owner_id = $1 AND s.conversation_id = $2 AND s.position <= $3 AND ($6::uuid IS NULL OR s.id = $6)
      AND NOT EXISTS (
          SELECT FROM conversation.thinned AS t
          WHERE t.owner_id = $1 AND t.conversation_id = $2 AND t.id = s.id AND t.position <= $3
      )
)
SELECT counted.total, l.id, l.position, l.version, l.trigger, l.taken_at
FROM (SELECT count(*) AS total FROM labelled) AS counted
LEFT JOIN LATERAL (
    SELECT * FROM labelled AS l WHERE l.position < $4 ORDER BY l.position DESC LIMIT $5
) AS l ON true
ORDER BY l.position DESC
