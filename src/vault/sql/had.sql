SELECT subject_id, generation, epoch, commitment, wrapped, kept
FROM vault.subject_key
WHERE subject_id = $1
ORDER BY generation
