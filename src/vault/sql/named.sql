SELECT key.subject_id, key.generation, key.epoch, key.commitment, key.wrapped, key.kept
FROM unnest($1::uuid[], $2::integer[]) AS named (subject_id, generation)
JOIN vault.subject_key AS key USING (subject_id, generation)
