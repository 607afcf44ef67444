-- The newest size of log $1 that witness $2 cosigned.
SELECT coalesce((SELECT size FROM cosignature WHERE origin = $1 AND witness = $2 ORDER BY size DESC LIMIT 1), 0)
