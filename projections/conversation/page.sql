-- Where the messages of a branch lie in the log, as of $8, between two depths, root first: $4 and $5 are the depths that the
-- page lies between, $6 how many from the near end, $7 how many from the far end; null where there is no bound. A branch is a
-- short list of ranges, so a page of it is a few index ranges, wherever it lies. No row: no such branch; a row without a
-- position: an empty page. The moment goes through a table of one row, lest a plan be made for each.
WITH RECURSIVE given AS MATERIALIZED (
    SELECT $8::bigint AS at
),
bounds AS (
    SELECT t.conversation_id, t.segment, t.depth, greatest(coalesce($4, 0) + 1, 1) AS low,
        least(coalesce($5 - 1, t.depth), t.depth) AS high
    FROM given AS g CROSS JOIN LATERAL conversation.tip_at($1, $2, $3, g.at) AS t
    -- Says to the planner what the key says to us: one row.
    LIMIT 1
),
near AS (
    SELECT *, least(high, low + $6 - 1) AS near_high FROM bounds
),
page AS (
    SELECT conversation_id, segment, coalesce(depth, 0) AS total, greatest(low, near_high - $7 + 1) AS low,
        near_high AS high
    FROM near
),
lineage AS (
    SELECT conversation_id, segment, total AS last FROM page WHERE segment IS NOT NULL
    UNION ALL
    SELECT up.conversation_id, up.segment, up.depth
    FROM lineage AS l
    CROSS JOIN LATERAL conversation.above($1, l.conversation_id, l.segment) AS up
)
SELECT (SELECT x.position FROM public.erased AS x) AS erased, p.total, p.low, p.high, said.position, said.hidden, said.rating,
    said.comment_at
FROM page AS p
LEFT JOIN LATERAL (
    SELECT e.position, e.depth, m.hidden, m.rating, m.comment_at
    FROM lineage AS l
    CROSS JOIN LATERAL (
        SELECT e.* FROM fold.event AS e
        WHERE e.owner_id = $1 AND e.stream_id = l.conversation_id AND e.segment = l.segment
          AND e.depth BETWEEN p.low AND least(p.high, l.last)
        -- Says to the planner, while it has no statistics, that event_place is the way: it has this order.
        ORDER BY e.depth LIMIT greatest(p.high - p.low + 1, 0)
    ) AS e
    LEFT JOIN LATERAL (
        SELECT m.hidden, m.rating, m.comment_at FROM conversation.message AS m
        WHERE m.owner_id = $1 AND m.conversation_id = e.stream_id AND m.segment = e.segment AND m.depth = e.depth
          AND m.position <= (SELECT g.at FROM given AS g)
        ORDER BY m.position DESC LIMIT 1
    ) AS m ON true
) AS said ON true
ORDER BY said.depth
