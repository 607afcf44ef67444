-- A subject's first key, unless it has one, or its epoch was closed meanwhile: the epoch is held until this is in.
INSERT INTO vault.subject_key (subject_id, generation, epoch, commitment, wrapped)
SELECT $1, 1, e.number, $3, $4 FROM vault.epoch AS e WHERE e.number = $2 AND e.closed_at IS NULL FOR SHARE
ON CONFLICT DO NOTHING
RETURNING generation, commitment
