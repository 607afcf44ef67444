-- The first checkpoint of log $1 that is of $2 events at least, as it was signed.
SELECT size, note FROM checkpoint WHERE origin = $1 AND size >= $2 ORDER BY size LIMIT 1
