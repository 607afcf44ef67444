-- What was used and what it cost, by the keys that $17 names: a row for each set of them, at most $18, beside where the
-- view stands.
--
-- The quarter hours that lie whole in the range ($12 to $13; null where it has no end) are read as they were folded. Of
-- those that it cuts ($14 to $15, at most two) the messages themselves are read, as they are folded; the rows say which
-- conversations have some. What was used as of another moment, $20, is all read from the messages. The filter is that of
-- conversation/list.sql, number by number, of the conversations as they were at $20; $11 says whether there is one.
WITH stands AS (
    SELECT p.position FROM usage.progress AS p LIMIT 1
),
used AS (
    SELECT u.quarter, u.conversation_id, u.branch, u.model, u.provider, u.messages, u.unpriced, u.timed, u.size_bytes,
        u.tokens_in, u.tokens_out, u.cache_reads, u.cache_writes_5m, u.cache_writes_1h, u.reasoning, u.latency_ms,
        u.cost_usd
    FROM usage.usage AS u
    WHERE $20 = 9223372036854775807 AND u.owner_id = $1 AND u.quarter >= coalesce($12, '-infinity'::timestamptz)
      AND u.quarter < coalesce($13, 'infinity'::timestamptz)
    UNION ALL
    SELECT e.quarter, e.conversation_id, (e.body ->> 'branch')::int, e.body ->> 'model', e.body ->> 'provider', 1,
        (e.cost_usd IS NULL AND (e.usage IS NOT NULL OR e.body ->> 'role' = 'assistant'))::int,
        (e.body ? 'latency_ms')::int, (e.body ->> 'bytes')::numeric,
        (e.usage ->> 'input')::numeric, (e.usage ->> 'output')::numeric, (e.usage ->> 'cache_read')::numeric,
        (e.usage ->> 'cache_write_5m')::numeric, (e.usage ->> 'cache_write_1h')::numeric,
        (e.usage ->> 'reasoning')::numeric, (e.body ->> 'latency_ms')::numeric, e.cost_usd
    FROM (
        SELECT said.quarter, said.conversation_id, said.body, said.body -> 'usage' AS usage,
            round((said.body ->> 'cost_usd')::numeric, 12) AS cost_usd
        FROM (
            SELECT cut.quarter, cut.conversation_id, e.body
            FROM (
                SELECT DISTINCT c.since, c.until, u.quarter, u.conversation_id
                FROM unnest($14::timestamptz[], $15::timestamptz[]) AS c (since, until)
                CROSS JOIN LATERAL (
                    SELECT u.quarter, u.conversation_id FROM usage.usage AS u
                    WHERE u.owner_id = $1 AND u.quarter = date_bin('15 minutes', c.since, '4714-11-24 00:00:00+00 BC')
                    OFFSET 0
                ) AS u
                WHERE $20 = 9223372036854775807
            ) AS cut
            CROSS JOIN LATERAL (
                SELECT e.body FROM fold.spending AS e
                WHERE e.owner_id = $1 AND e.stream_id = cut.conversation_id AND e.segment IS NOT NULL
                  AND e.occurred_at >= cut.since AND e.occurred_at < cut.until
                  AND e.position <= (SELECT s.position FROM stands AS s)
                -- Says to the planner, while it has no statistics, that event_place is the way: it has this order.
                ORDER BY e.segment, e.depth OFFSET 0
            ) AS e
            UNION ALL
            SELECT date_bin('15 minutes', e.occurred_at, '4714-11-24 00:00:00+00 BC'), e.stream_id, e.body
            FROM event AS e
            WHERE $20 < 9223372036854775807 AND e.owner_id = $1 AND e.position <= $20 AND e.segment IS NOT NULL
              AND e.occurred_at >= coalesce($21, '-infinity'::timestamptz)
              AND e.occurred_at < coalesce($22, 'infinity'::timestamptz)
        ) AS said
        -- As fold.spending has it.
        WHERE NOT said.body ? 'origin' AND said.body -> 'branch' IS NOT NULL
        OFFSET 0
    ) AS e
),
summed AS (
    SELECT
        CASE WHEN 'hour' = ANY ($17) THEN date_trunc('hour', u.quarter, $16) END AS hour,
        CASE WHEN 'day' = ANY ($17) THEN (u.quarter AT TIME ZONE $16)::date END AS day,
        CASE WHEN 'week' = ANY ($17) THEN date_trunc('week', u.quarter AT TIME ZONE $16)::date END AS week,
        CASE WHEN 'month' = ANY ($17) THEN date_trunc('month', u.quarter AT TIME ZONE $16)::date END AS month,
        CASE WHEN 'conversation' = ANY ($17) THEN u.conversation_id END AS conversation_id,
        CASE WHEN 'branch' = ANY ($17) THEN u.branch END AS branch,
        CASE WHEN 'model' = ANY ($17) THEN u.model END AS model,
        CASE WHEN 'provider' = ANY ($17) THEN u.provider END AS provider,
        sum(u.messages) AS messages, sum(u.unpriced) AS unpriced, sum(u.timed) AS timed,
        sum(u.size_bytes) AS size_bytes, sum(u.tokens_in) AS tokens_in, sum(u.tokens_out) AS tokens_out,
        sum(u.cache_reads) AS cache_reads, sum(u.cache_writes_5m) AS cache_writes_5m,
        sum(u.cache_writes_1h) AS cache_writes_1h, sum(u.reasoning) AS reasoning, sum(u.latency_ms) AS latency_ms,
        sum(u.cost_usd) AS cost_usd
    FROM used AS u
    WHERE NOT $11 OR EXISTS (
        SELECT FROM conversation.conversation_at($1, u.conversation_id, $20) AS c
        WHERE (NOT $2 OR c.favorited)
          AND c.tags ?& $3
          AND CASE WHEN c.deleted THEN 'deleted' WHEN c.archived THEN 'archived' ELSE 'active' END = ANY ($4)
          AND ($5::text[] IS NULL OR c.model = ANY ($5))
          AND ($6::text[] IS NULL OR c.provider = ANY ($6))
          AND c.created_at >= coalesce($7, '-infinity'::timestamptz)
          AND c.created_at < coalesce($8, 'infinity'::timestamptz)
          AND ($9::numeric IS NULL OR c.cost_usd >= $9)
          AND ($10::numeric IS NULL OR c.cost_usd <= $10)
          AND ($19::uuid[] IS NULL OR c.id = ANY ($19))
    )
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
    LIMIT $18
)
SELECT s.position, u.hour, u.day, u.week, u.month, u.conversation_id, u.branch, u.model, u.provider,
    u.messages::bigint AS messages, coalesce(u.unpriced, 0)::bigint AS unpriced, coalesce(u.timed, 0)::bigint AS timed,
    least(u.size_bytes, 9007199254740991)::bigint AS size_bytes,
    least(coalesce(u.tokens_in, 0), 9007199254740991)::bigint AS tokens_in,
    least(coalesce(u.tokens_out, 0), 9007199254740991)::bigint AS tokens_out,
    least(coalesce(u.cache_reads, 0), 9007199254740991)::bigint AS cache_reads,
    least(coalesce(u.cache_writes_5m, 0), 9007199254740991)::bigint AS cache_writes_5m,
    least(coalesce(u.cache_writes_1h, 0), 9007199254740991)::bigint AS cache_writes_1h,
    least(coalesce(u.reasoning, 0), 9007199254740991)::bigint AS reasoning,
    least(coalesce(u.latency_ms, 0), 9007199254740991)::bigint AS latency_ms,
    CASE WHEN u.cost_usd IS NOT NULL THEN trim_scale(least(u.cost_usd, 1000000000000000)) END AS cost_usd
FROM stands AS s
LEFT JOIN summed AS u ON true
