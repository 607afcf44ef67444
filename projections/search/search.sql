-- One page of what an owner ($1) finds in things as they were at $23: filtered, then ordered, then cut.
--
-- $2 is the query as the index can tell it, $3 the whole of it (null when that is the same), $4 what hits are ranked by, $5
-- what was shown before and is left out. Only what was said up to event $6 counts, so that further pages are of the same
-- list. Candidates are sorted by the little that sorting needs, and their words fetched one by one, only until the page is
-- full: a common word has very many. A CTE is read in its order, and each look-up keeps it.
WITH found AS MATERIALIZED (
    SELECT * FROM (
        SELECT d.ctid AS at, d.position, d.nth,
            CASE $17::text
                WHEN 'relevance' THEN d.position::double precision
                WHEN 'newest' THEN (extract(epoch FROM d.occurred_at) * 1000000)::double precision
                WHEN 'oldest' THEN (extract(epoch FROM d.occurred_at) * -1000000)::double precision
                WHEN 'cost' THEN coalesce(d.cost_usd, -1)::double precision
                WHEN 'tokens' THEN d.tokens::double precision
                ELSE d.bytes::double precision
            END AS weight
        FROM search.document AS d
        WHERE d.bucket = search.bucket($1) AND ARRAY[d.owner_id] @> ARRAY[$1::uuid] AND d.words @@ $2::text::tsquery
          AND d.position <= least($6::bigint, $23::bigint)
    ) AS d
    WHERE $17 = 'relevance' OR $18::double precision IS NULL
       OR (weight, position, nth) < ($18, $19::bigint, $20::smallint)
    ORDER BY weight DESC, position DESC, nth DESC
),
-- Which of them count: the title that is set, tags that are on, messages in sight, of conversations that meet the filter.
-- Looked up by key, and only then filtered: or the planner may go through all of an owner's conversations for each.
matching AS (
    SELECT f.at, f.position, f.nth, f.weight, d.kind, d.conversation_id, d.segment, d.depth
    FROM found AS f
    CROSS JOIN LATERAL (
        SELECT d.* FROM search.document AS d WHERE d.bucket = search.bucket($1) AND d.ctid = f.at LIMIT 1
    ) AS d
    CROSS JOIN LATERAL (
        SELECT c.* FROM conversation.conversation_at($1, d.conversation_id, $23) AS c LIMIT 1
    ) AS c
    LEFT JOIN LATERAL (
        SELECT m.hidden FROM conversation.message AS m
        WHERE m.owner_id = $1 AND m.conversation_id = d.conversation_id AND m.segment = d.segment AND m.depth = d.depth
          AND m.position <= $23
        ORDER BY m.position DESC LIMIT 1
    ) AS m ON true
    WHERE ($3::text IS NULL OR d.words @@ $3::text::tsquery)
      AND ($5::text IS NULL OR NOT d.words @@ $5::text::tsquery)
      AND CASE d.kind
          WHEN 'title' THEN c.title_at = d.position
          WHEN 'tag' THEN (c.tags ->> d.token)::bigint = d.position
          ELSE $16 OR m.hidden IS NOT TRUE END
      AND (NOT $7 OR c.favorited)
      AND c.tags ?& $8
      AND CASE WHEN c.deleted THEN 'deleted' WHEN c.archived THEN 'archived' ELSE 'active' END = ANY ($9)
      AND ($10::text[] IS NULL OR c.model = ANY ($10))
      AND ($11::text[] IS NULL OR c.provider = ANY ($11))
      AND c.created_at >= coalesce($12, '-infinity'::timestamptz)
      AND c.created_at < coalesce($13, 'infinity'::timestamptz)
      AND ($14::numeric IS NULL OR c.cost_usd >= $14)
      AND ($15::numeric IS NULL OR c.cost_usd <= $15)
      AND ($22::uuid[] IS NULL OR c.id = ANY ($22))
    LIMIT CASE $17 WHEN 'relevance' THEN 1000 ELSE $21::bigint END
),
-- By relevance, the newest thousand are ranked.
ranked AS (
    SELECT m.*, d.rank, CASE $17 WHEN 'relevance' THEN d.rank ELSE m.weight END AS place
    FROM matching AS m
    CROSS JOIN LATERAL (
        SELECT ts_rank(d.words, $4::text::tsquery, 1)::double precision AS rank FROM search.document AS d
        WHERE d.bucket = search.bucket($1) AND d.ctid = m.at LIMIT 1
    ) AS d
)
SELECT position, nth, kind, conversation_id, segment, depth, rank, place
FROM ranked
WHERE $17 <> 'relevance' OR $18 IS NULL OR (place, position, nth) < ($18, $19, $20)
ORDER BY place DESC, position DESC, nth DESC
LIMIT $21
