-- What was said in events ($1, $2], opened ($3 positions, $4 parts, $5 texts), folded into documents and the vocabulary.
--
-- Rows are only added, and which is added depends on nothing that is there: the order of ranges is of no matter. What two
-- folds at once may both add is added in one order, so that neither waits for the other in a circle.
WITH said AS MATERIALIZED (
    SELECT e.position, e.occurred_at, e.owner_id, e.stream_id AS conversation_id, e.segment, e.depth, e.body,
        bucket(e.owner_id) AS bucket,
        stemmer(e.body ->> 'language') AS language,
        its.nth, its.kind, its.token,
        -- A tsvector holds a megabyte: of what is longer, the beginning is indexed. A title says more than a message does.
        setweight(to_tsvector('simple', plain(left(its.text, 100000))), its.weight) AS words
    FROM unnest($3::bigint[], $4::smallint[], $5::text[]) AS opened (position, part, text)
    CROSS JOIN LATERAL (
        SELECT e.* FROM event AS e WHERE e.position = opened.position AND e.position > $1 AND e.position <= $2 LIMIT 1
    ) AS e
    CROSS JOIN LATERAL (
        SELECT 0::bigint AS nth, 'message' AS kind, 'D'::"char" AS weight, NULL AS token, opened.text
        WHERE e.kind = 'message.appended'
        UNION ALL
        SELECT 0, 'title', 'A', NULL, opened.text WHERE e.kind = 'conversation.titled'
        UNION ALL
        SELECT tag.nth, 'tag', 'B', e.body -> 'tokens' ->> (tag.nth - 1)::int, tag.word
        FROM string_to_table(opened.text, E'\n') WITH ORDINALITY AS tag (word, nth)
        WHERE e.kind = 'conversation.tagged'
    ) AS its
    WHERE opened.part = 0
),

document_put AS (
    INSERT INTO document (position, occurred_at, tokens, bytes, owner_id, conversation_id, segment, depth, bucket, nth,
        kind, token, cost_usd, words)
    SELECT position, occurred_at,
        coalesce((body #>> '{usage,input}')::bigint, 0) + coalesce((body #>> '{usage,output}')::bigint, 0),
        coalesce((body ->> 'bytes')::bigint, 0),
        owner_id, conversation_id, segment, depth, bucket, nth, kind, token, (body ->> 'cost_usd')::numeric, words
    FROM said
    WHERE words <> ''
),

spoken_put AS (
    INSERT INTO spoken (owner_id, language) SELECT DISTINCT owner_id, language FROM said ORDER BY owner_id, language
    ON CONFLICT DO NOTHING
),

word_now AS MATERIALIZED (
    SELECT DISTINCT bucket, language, word FROM said CROSS JOIN LATERAL unnest(tsvector_to_array(words)) AS word
),

-- Most words were said before, and need no stem.
new AS MATERIALIZED (
    SELECT now.bucket, now.language, now.word FROM word_now AS now
    LEFT JOIN LATERAL (
        SELECT true AS known FROM vocabulary AS v
        WHERE v.word = now.word AND v.language = now.language AND v.bucket = now.bucket LIMIT 1
    ) AS was ON true
    -- Neither numbers nor what nobody types.
    WHERE was.known IS NULL AND length(now.word) BETWEEN 2 AND 32 AND now.word !~ '[0-9]'
)

INSERT INTO vocabulary (bucket, language, word, stem, reversed)
SELECT bucket, language, word, stem(language, word), reverse(word) FROM new
ORDER BY word, language, bucket
ON CONFLICT DO NOTHING
