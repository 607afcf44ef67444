-- The last position that was recorded by the time $1. Times never decrease with positions, so it is found by halving.
WITH RECURSIVE halved AS (
    SELECT 0::bigint AS low, (SELECT coalesce(max(e.position), 0) FROM event AS e) AS high
    UNION ALL
    SELECT CASE WHEN e.recorded_at <= $1 THEN m.middle ELSE h.low END,
        CASE WHEN e.recorded_at <= $1 THEN h.high ELSE m.middle - 1 END
    FROM halved AS h
    CROSS JOIN LATERAL (SELECT (h.low + h.high + 1) / 2 AS middle) AS m
    CROSS JOIN LATERAL (SELECT e.recorded_at FROM event AS e WHERE e.position = m.middle LIMIT 1) AS e
    WHERE h.low < h.high
)
SELECT low FROM halved WHERE low >= high LIMIT 1
