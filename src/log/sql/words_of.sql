-- The words that an owner ever said: events, sealed parts, and SHA-256 over the positions. It is told by what stays when the
-- words are gone. Reasons to hold or to read an account are the ledger's own words.
SELECT count(*), coalesce(sum(octet_length(e.words_digest) / 33), 0)::bigint,
    encode(sha256(coalesce(string_agg(int8send(e.position), ''::bytea ORDER BY e.position), ''::bytea)), 'hex')
FROM event AS e
WHERE e.owner_id = $1 AND e.words_digest IS NOT NULL
    AND e.kind NOT IN ('account.held', 'account.released', 'account.read')
