-- Puts keys into epoch $1, if nobody closed it meanwhile: it is held until they are in. One that was destroyed or moved by
-- others since it was read ($4) stays as it is.
WITH open AS MATERIALIZED (
    SELECT number FROM vault.epoch WHERE number = $1 AND closed_at IS NULL FOR SHARE
)
UPDATE vault.subject_key AS key SET epoch = open.number, wrapped = anew.wrapped
FROM open, unnest($2::uuid[], $3::integer[], $4::bytea[], $5::bytea[]) AS anew (subject_id, generation, was, wrapped)
WHERE key.subject_id = anew.subject_id AND key.generation = anew.generation AND key.wrapped = anew.was
