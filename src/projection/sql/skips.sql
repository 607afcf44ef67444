-- The positions that projection $1 leaves out, in the ledger's own stream.
SELECT (e.body ->> 'position')::bigint
FROM (SELECT id FROM ledger LIMIT 1) AS l
CROSS JOIN LATERAL (
    SELECT e.body, e.kind FROM event AS e WHERE e.owner_id = l.id AND e.stream_id = l.id ORDER BY e.version OFFSET 0
) AS e
WHERE e.kind = 'projection.skipped' AND e.body ->> 'projection' = $1
