SELECT id, title_at, tags, favorited, archived, deleted, model, provider, source, preferred, version, position,
    created_at, updated_at, message_count, tokens_in, tokens_out, cache_reads, cache_writes, size_bytes,
    trim_scale(cost_usd) AS cost_usd
FROM conversation.conversation
WHERE owner_id = $1 AND id = ANY ($2)
