-- Where the log stands for a projection that was never made.
SELECT head.position AS head,
    coalesce(extract(epoch FROM clock_timestamp() - first.recorded_at) * 1000, 0)::bigint AS lag_ms
FROM (SELECT coalesce(max(position), 0) AS position FROM event) AS head
LEFT JOIN event AS first ON first.position = 1
