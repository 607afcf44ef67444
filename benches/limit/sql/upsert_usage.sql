-- The rows that the view has after these messages, with the sums of what they say and no others.
INSERT INTO bare.usage AS u (owner_id, quarter, conversation_id, branch, model, provider, messages, size_bytes, tokens_in,
    tokens_out, cost_usd)
SELECT owner_id, date_bin('15 minutes', occurred_at, '2000-01-01 00:00:00+00'), stream_id, 1, body ->> 'model',
    body ->> 'provider', count(*), sum((body ->> 'bytes')::bigint), sum((body #>> '{usage,input}')::bigint),
    sum((body #>> '{usage,output}')::bigint), sum((body ->> 'cost_usd')::numeric)
FROM event
WHERE position > $1 AND position <= $2 AND kind = 'message.appended'
GROUP BY 1, 2, 3, 4, 5, 6
ON CONFLICT (owner_id, quarter, conversation_id, branch, model, provider) DO UPDATE SET
    messages = u.messages + excluded.messages, size_bytes = u.size_bytes + excluded.size_bytes,
    tokens_in = u.tokens_in + excluded.tokens_in, tokens_out = u.tokens_out + excluded.tokens_out,
    cost_usd = u.cost_usd + excluded.cost_usd
