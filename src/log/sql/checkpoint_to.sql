-- The last checkpoint of log $1 that is of $2 events at most, as it was signed.
SELECT size, note FROM checkpoint WHERE origin = $1 AND size <= $2 ORDER BY size DESC LIMIT 1
