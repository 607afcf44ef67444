-- LIMIT keeps it a look-up by key: a plain join was planned, while the table had no statistics, as a hash of all of it.
SELECT p.position, p.fingerprint, p.error, head.position AS head,
    coalesce(extract(epoch FROM clock_timestamp() - next.recorded_at) * 1000, 0)::bigint AS lag_ms
FROM progress AS p
CROSS JOIN (SELECT coalesce(max(position), 0) AS position FROM event) AS head
LEFT JOIN LATERAL (SELECT e.recorded_at FROM event AS e WHERE e.position = p.position + 1 LIMIT 1) AS next ON true
