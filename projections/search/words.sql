-- What each of the terms $2 of an owner's ($1) query is made of: its words in order, and what is searched for each: the word
-- itself and those that share its stem in a language that the owner speaks. A stop word says little in one of them.
WITH spoken AS MATERIALIZED (
    SELECT language FROM search.spoken WHERE owner_id = $1
)
SELECT asked.term, word.at, word.word,
    EXISTS (SELECT FROM spoken AS s WHERE to_tsvector(s.language, word.word) = '') AS stop,
    ARRAY(
        SELECT DISTINCT akin.word
        FROM spoken AS s
        CROSS JOIN LATERAL (
            SELECT v.word FROM search.vocabulary AS v
            WHERE v.bucket = search.bucket($1) AND v.language = s.language AND v.stem = search.stem(s.language, word.word)
            LIMIT 64
        ) AS akin
    ) AS akin
FROM unnest($2::text[]) WITH ORDINALITY AS asked (text, term)
CROSS JOIN LATERAL unnest(to_tsvector('simple', search.plain(asked.text))) AS found (word, places, weights)
CROSS JOIN LATERAL (SELECT found.word, at FROM unnest(found.places) AS at) AS word
ORDER BY asked.term, word.at
