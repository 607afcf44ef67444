-- One page of an owner's conversations as they were at $22: filtered, then ordered, then cut. Those to which something
-- happened since are looked up one by one.
--
-- Two keys order a list, each with the id behind it: the time of birth, which has an index, and a weight, which has none
-- (it changes with every append, and an index on it would make each of them dearer). $12 says which of the four walks is
-- taken; the others never start. The moment goes through a table of one row, lest a plan be made for each.
WITH given AS MATERIALIZED (
    SELECT $22::bigint AS at
),
earlier AS MATERIALIZED (
    SELECT was.*
    FROM given AS g
    CROSS JOIN LATERAL (
        SELECT c.id FROM conversation.conversation AS c
        WHERE g.at < 9223372036854775807 AND c.owner_id = $1 AND c.position > g.at
    ) AS c
    CROSS JOIN LATERAL conversation.conversation_at($1, c.id, g.at) AS was
),
matching AS NOT MATERIALIZED (
    SELECT c.*,
        CASE $11
            WHEN 'cost' THEN coalesce(c.cost_usd, -1)
            WHEN 'tokens' THEN c.tokens_in::numeric + c.tokens_out
            ELSE c.size_bytes
        END AS weight
    FROM (
        SELECT c.* FROM conversation.conversation AS c
        -- As the index has the owner.
        WHERE ARRAY[c.owner_id] = ARRAY[$1] AND c.position <= (SELECT g.at FROM given AS g)
        UNION ALL
        SELECT * FROM earlier
    ) AS c
    WHERE (NOT $2 OR c.favorited)
      AND c.tags ?& $3
      AND CASE WHEN c.deleted THEN 'deleted' WHEN c.archived THEN 'archived' ELSE 'active' END = ANY ($4)
      AND ($5::text[] IS NULL OR c.model = ANY ($5))
      AND ($6::text[] IS NULL OR c.provider = ANY ($6))
      AND c.created_at >= coalesce($7, '-infinity'::timestamptz)
      AND c.created_at < coalesce($8, 'infinity'::timestamptz)
      AND ($9::numeric IS NULL OR c.cost_usd >= $9)
      AND ($10::numeric IS NULL OR c.cost_usd <= $10)
      AND ($21::uuid[] IS NULL OR c.id = ANY ($21))
),
-- $13, $14 is the key that all of the page is below, $16, $17 the one that it is above; null where there is no bound.
page AS (
    (SELECT *, row_number() OVER (ORDER BY created_at DESC, id DESC) AS nth FROM matching
     WHERE $12 = 'time down' AND (created_at, id) < (coalesce($13, 'infinity'::timestamptz), $14::uuid)
       AND (created_at, id) > (coalesce($16, '-infinity'::timestamptz), $17::uuid)
     ORDER BY created_at DESC, id DESC LIMIT $19)
    UNION ALL
    (SELECT *, row_number() OVER (ORDER BY created_at, id) AS nth FROM matching
     WHERE $12 = 'time up' AND (created_at, id) < (coalesce($13, 'infinity'::timestamptz), $14::uuid)
       AND (created_at, id) > (coalesce($16, '-infinity'::timestamptz), $17::uuid)
     ORDER BY created_at, id LIMIT $19)
    UNION ALL
    (SELECT *, row_number() OVER (ORDER BY weight DESC, id DESC) AS nth FROM matching
     WHERE $12 = 'weight down' AND (weight, id) < (coalesce($15, 'Infinity'::numeric), $14::uuid)
       AND (weight, id) > (coalesce($18, '-Infinity'::numeric), $17::uuid)
     ORDER BY weight DESC, id DESC LIMIT $19)
    UNION ALL
    (SELECT *, row_number() OVER (ORDER BY weight, id) AS nth FROM matching
     WHERE $12 = 'weight up' AND (weight, id) < (coalesce($15, 'Infinity'::numeric), $14::uuid)
       AND (weight, id) > (coalesce($18, '-Infinity'::numeric), $17::uuid)
     ORDER BY weight, id LIMIT $19)
)
-- The total is counted only when it is asked for ($20), and stands on a row of its own when the page is empty.
SELECT counted.total, id, from_id, from_segment, from_depth, title_at, tags, favorited, archived, deleted, model, provider,
    source, preferred, version, position, created_at, updated_at, message_count, tokens_in, tokens_out, cache_reads,
    cache_writes, size_bytes, trim_scale(cost_usd) AS cost_usd
FROM (SELECT count(*) AS total FROM matching WHERE $20) AS counted
LEFT JOIN page ON true
ORDER BY nth
