-- What an owner said in conversations that is still there, of some kinds ($2) behind ($3) and up to ($4) some positions,
-- summed up by kind: the first so many events ($5), or all.
SELECT said.kind, count(*), sum(said.parts)::bigint, sum(said.bytes)::bigint, min(said.recorded_at), max(said.recorded_at),
    max(said.position)
FROM (
    SELECT e.kind, e.position, e.recorded_at, w.parts, w.bytes
    FROM event AS e
    JOIN LATERAL (
        SELECT FROM unnest($2::text[], $3::bigint[], $4::bigint[]) AS r (kind, after, through)
        WHERE r.kind = e.kind AND e.position > r.after AND e.position <= r.through
        LIMIT 1
    ) AS within ON true
    JOIN LATERAL (
        SELECT count(*) AS parts, sum(octet_length(w.ciphertext)) AS bytes
        FROM words AS w WHERE w.position = e.position AND w.subject_id = e.owner_id
    ) AS w ON w.parts > 0
    WHERE e.owner_id = $1 AND e.stream_id <> e.owner_id AND e.words_digest IS NOT NULL
      AND e.position > (SELECT min(r.after) FROM unnest($3::bigint[]) AS r (after))
      AND e.position <= (SELECT max(r.through) FROM unnest($4::bigint[]) AS r (through))
    ORDER BY e.position
    LIMIT $5
) AS said
GROUP BY said.kind
ORDER BY said.kind
