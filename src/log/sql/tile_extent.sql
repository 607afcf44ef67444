-- How many full tiles level $1 has.
SELECT coalesce((SELECT index + 1 FROM tile WHERE level = $1 ORDER BY index DESC LIMIT 1), 0)
