-- The newest checkpoint of log $1 that is of $2 events at most and $3 at least, with what witnesses added.
SELECT c.size, c.root, c.note, c.signed_at,
    ARRAY(SELECT s.line FROM cosignature AS s WHERE s.origin = c.origin AND s.size = c.size ORDER BY s.witness) AS cosignatures
FROM checkpoint AS c
WHERE c.origin = $1 AND c.size <= $2 AND c.size >= $3
ORDER BY c.size DESC LIMIT 1
