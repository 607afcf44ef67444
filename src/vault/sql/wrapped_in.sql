-- Some of the keys that epochs up to $1 still wrap.
SELECT subject_id, generation, epoch, commitment, wrapped, kept
FROM vault.subject_key
WHERE epoch <= $1 AND wrapped IS NOT NULL
ORDER BY epoch
LIMIT $2
