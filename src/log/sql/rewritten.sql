-- The first of the tiles [$1, $2) that the events do not hash to any more.
SELECT t.index
FROM tile AS t
WHERE t.level = 0 AND t.index >= $1 AND t.index < $2 AND t.hashes IS DISTINCT FROM (
    SELECT string_agg(e.leaf, ''::bytea ORDER BY e.position) FROM event AS e
    WHERE e.position > t.index * 256 AND e.position <= t.index * 256 + 256
)
ORDER BY t.index LIMIT 1
