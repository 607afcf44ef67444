-- The messages in ($1, $2] folded by key, then one upsert. Of what expired with its money no message is there to be folded: its
-- rows are of ranges before.
WITH gone AS (
    DELETE FROM usage WHERE ctid = ANY (ARRAY(
        SELECT u.ctid FROM (
            SELECT owner_id, stream_id FROM event
            WHERE position > $1 AND position <= $2 AND kind = 'conversation.expired' AND NOT body ? 'keeps'
        ) AS e
        CROSS JOIN LATERAL (
            SELECT u.ctid FROM usage AS u WHERE u.owner_id = e.owner_id AND u.conversation_id = e.stream_id OFFSET 0
        ) AS u
    ))
)
INSERT INTO usage AS was (owner_id, quarter, conversation_id, branch, model, provider, messages, unpriced, timed,
    size_bytes, tokens_in, tokens_out, cache_reads, cache_writes_5m, cache_writes_1h, reasoning, latency_ms, cost_usd)
SELECT owner_id,
    -- Counted from the first day that there is: no time lies before it.
    date_bin('15 minutes', occurred_at, '4714-11-24 00:00:00+00 BC') AS quarter,
    stream_id, (body ->> 'branch')::int AS branch, body ->> 'model' AS model, body ->> 'provider' AS provider,
    count(*),
    nullif(count(*) FILTER (WHERE cost_usd IS NULL AND (usage IS NOT NULL OR body ->> 'role' = 'assistant')), 0),
    nullif(count(body -> 'latency_ms'), 0),
    sum((body ->> 'bytes')::bigint),
    sum((usage ->> 'input')::bigint),
    sum((usage ->> 'output')::bigint),
    sum((usage ->> 'cache_read')::bigint),
    sum((usage ->> 'cache_write_5m')::bigint),
    sum((usage ->> 'cache_write_1h')::bigint),
    sum((usage ->> 'reasoning')::bigint),
    sum((body ->> 'latency_ms')::bigint),
    sum(cost_usd)
FROM (
    SELECT owner_id, occurred_at, stream_id, body, body -> 'usage' AS usage,
        round((body ->> 'cost_usd')::numeric, 12) AS cost_usd
    FROM spending
    WHERE position > $1 AND position <= $2
    -- Keeps what is read of a body from being read again for every sum.
    OFFSET 0
) AS said
GROUP BY owner_id, quarter, stream_id, branch, model, provider
ON CONFLICT (owner_id, quarter, conversation_id, branch, model, provider) DO UPDATE SET
    messages = was.messages + excluded.messages,
    unpriced = coalesce(was.unpriced + excluded.unpriced, was.unpriced, excluded.unpriced),
    timed = coalesce(was.timed + excluded.timed, was.timed, excluded.timed),
    size_bytes = was.size_bytes + excluded.size_bytes,
    tokens_in = coalesce(was.tokens_in + excluded.tokens_in, was.tokens_in, excluded.tokens_in),
    tokens_out = coalesce(was.tokens_out + excluded.tokens_out, was.tokens_out, excluded.tokens_out),
    cache_reads = coalesce(was.cache_reads + excluded.cache_reads, was.cache_reads, excluded.cache_reads),
    cache_writes_5m = coalesce(was.cache_writes_5m + excluded.cache_writes_5m, was.cache_writes_5m,
        excluded.cache_writes_5m),
    cache_writes_1h = coalesce(was.cache_writes_1h + excluded.cache_writes_1h, was.cache_writes_1h,
        excluded.cache_writes_1h),
    reasoning = coalesce(was.reasoning + excluded.reasoning, was.reasoning, excluded.reasoning),
    latency_ms = coalesce(was.latency_ms + excluded.latency_ms, was.latency_ms, excluded.latency_ms),
    cost_usd = coalesce(was.cost_usd + excluded.cost_usd, was.cost_usd, excluded.cost_usd)
