-- Conversations as they were at $3.
--
-- What is given goes through a table of one row: so the plan does not depend on it, and is made once.
WITH given AS MATERIALIZED (
    SELECT $2::uuid[] AS ids, $3::bigint AS at
)
SELECT c.id, c.from_id, c.from_segment, c.from_depth, c.title_at, c.tags, c.favorited, c.archived, c.deleted, c.model,
    c.provider, c.source, c.preferred, c.version, c.position, c.created_at, c.updated_at, c.message_count, c.tokens_in,
    c.tokens_out, c.cache_reads, c.cache_writes, c.size_bytes, trim_scale(c.cost_usd) AS cost_usd
FROM given AS g
CROSS JOIN LATERAL unnest(g.ids) AS asked (id)
CROSS JOIN LATERAL conversation.conversation_at($1, asked.id, g.at) AS c
