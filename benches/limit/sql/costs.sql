SELECT (occurred_at AT TIME ZONE 'Europe/Berlin')::date, model, count(*), sum(tokens_in), sum(tokens_out), sum(cost_usd)
FROM bare.said WHERE owner_id = $1 AND occurred_at >= $2 AND occurred_at < $3 GROUP BY 1, 2 ORDER BY 1, 2
