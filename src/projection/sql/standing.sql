SELECT p.position, p.fingerprint, p.error, head.position AS head,
    coalesce(extract(epoch FROM clock_timestamp() - next.recorded_at) * 1000, 0)::bigint AS lag_ms
FROM progress AS p
CROSS JOIN (SELECT coalesce(max(position), 0) AS position FROM event) AS head
LEFT JOIN event AS next ON next.position = p.position + 1
