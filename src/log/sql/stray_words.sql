-- Words within the log's range belong to an event that was checked with them; only those outside it are left to find.
SELECT position FROM words WHERE position <= 0
UNION ALL
SELECT position FROM words WHERE position > (SELECT coalesce(max(position), 0) FROM event) AND position > $1
ORDER BY position LIMIT 1
