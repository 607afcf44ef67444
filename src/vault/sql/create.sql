INSERT INTO vault.subject_key (subject_id, generation, epoch, commitment, wrapped)
VALUES ($1, 1, $2, $3, $4)
ON CONFLICT DO NOTHING
RETURNING generation, commitment
