-- What keys of $1 before generation $2 sealed of its own words: up to $4 events behind $3, each with its parts, or with none.
SELECT said.position, w.part, w.subject_id, w.generation, w.nonce
FROM (
    SELECT e.position FROM event AS e
    WHERE e.owner_id = $1 AND e.position > $3 AND e.words_digest IS NOT NULL
    ORDER BY e.position LIMIT $4
) AS said
LEFT JOIN words AS w ON w.position = said.position AND w.subject_id = $1 AND w.generation < $2
ORDER BY said.position, w.part
