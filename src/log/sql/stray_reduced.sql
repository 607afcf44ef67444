-- The first event that is reduced although no expiry says so.
SELECT e.position FROM event AS e
WHERE e.reduced IS NOT NULL AND NOT EXISTS (
    SELECT FROM event AS said
    WHERE said.position = e.reduced AND said.kind = 'conversation.expired' AND said.reduced IS NULL
      AND said.owner_id = e.owner_id AND said.stream_id = e.stream_id AND said.version > e.version
)
ORDER BY e.position LIMIT 1
