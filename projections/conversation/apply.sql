-- Events ($1, $2] folded into conversations, branches, segments and messages.
--
-- Each table is folded in the same three steps: the range by key (`…_now`), beside it the row that is there already
-- (`was`), then one upsert that proposes whole rows. Births and changes of one row must meet before the upsert, for the
-- parts of one statement do not see each other's rows: a change beside the birth that it changes would be lost.
--
-- What was set last is found as the greatest position that set it, and read from that event. A switch is the greatest
-- of position * 2 + (1 when on), whose last bit tells its state. Single rows are looked up by LATERAL … LIMIT 1, never
-- joined: a plan that was made while the tables were small must not become a scan of all of them later.
--
-- Totals stop at 2^53 − 1 and costs at 10^15 instead of failing: no owner's numbers may stop the fold of all others.
WITH happened AS MATERIALIZED (
    SELECT position, owner_id, stream_id AS conversation_id, version, kind, occurred_at, segment, depth, body,
        body -> 'usage' AS usage, round((body ->> 'cost_usd')::usd, 12) AS cost_usd
    FROM event
    WHERE position > $1 AND position <= $2
      AND (kind ^@ 'conversation.' OR kind ^@ 'message.' OR kind ^@ 'branch.' OR kind = 'model.switched')
),

tag_now AS (
    SELECT owner_id, conversation_id, array_agg(token) AS touched,
        jsonb_object_agg(token, position) FILTER (WHERE put) AS put
    FROM (
        SELECT DISTINCT ON (owner_id, conversation_id, token)
            owner_id, conversation_id, token, position, kind = 'conversation.tagged' AS put
        FROM happened CROSS JOIN LATERAL jsonb_array_elements_text(body -> 'tokens') AS token
        WHERE kind IN ('conversation.tagged', 'conversation.untagged')
        ORDER BY owner_id, conversation_id, token, position DESC
    ) AS newest
    GROUP BY owner_id, conversation_id
),

conversation_now AS (
    SELECT owner_id, conversation_id,
        max(position) AS position,
        max(version) AS version,
        min(occurred_at) FILTER (WHERE kind = 'conversation.started') AS created_at,
        max(occurred_at) AS updated_at,
        min(position) FILTER (WHERE kind = 'conversation.started') AS started_at,
        max(position) FILTER (WHERE kind = 'conversation.titled') AS title_at,
        max(position) FILTER (WHERE kind = 'branch.preferred') AS preferred_at,
        max(position) FILTER (WHERE kind IN ('conversation.started', 'model.switched') AND body ? 'model') AS model_at,
        max(position) FILTER (WHERE kind IN ('conversation.started', 'model.switched') AND body ? 'provider')
            AS provider_at,
        max(position * 2 + (kind = 'conversation.favorited')::int)
            FILTER (WHERE kind IN ('conversation.favorited', 'conversation.unfavorited')) % 2 = 1 AS favorited,
        max(position * 2 + (kind = 'conversation.archived')::int)
            FILTER (WHERE kind IN ('conversation.archived', 'conversation.unarchived')) % 2 = 1 AS archived,
        max(position * 2 + (kind = 'conversation.deleted')::int)
            FILTER (WHERE kind IN ('conversation.deleted', 'conversation.undeleted')) % 2 = 1 AS deleted,
        count(*) FILTER (WHERE kind = 'message.appended') AS message_count,
        coalesce(sum((usage ->> 'input')::bigint), 0) AS tokens_in,
        coalesce(sum((usage ->> 'output')::bigint), 0) AS tokens_out,
        coalesce(sum((usage ->> 'cache_read')::bigint), 0) AS cache_reads,
        coalesce(sum((usage ->> 'cache_write_5m')::bigint), 0)
            + coalesce(sum((usage ->> 'cache_write_1h')::bigint), 0) AS cache_writes,
        coalesce(sum((body ->> 'bytes')::bigint), 0) AS size_bytes,
        sum(cost_usd) AS cost_usd
    FROM happened
    GROUP BY owner_id, conversation_id
),

conversation_put AS (
    INSERT INTO conversation (owner_id, id, created_at, updated_at, position, version, title_at, preferred, favorited,
        archived, deleted, tags, model, provider, source, message_count, tokens_in, tokens_out, cache_reads,
        cache_writes, size_bytes, cost_usd)
    SELECT now.owner_id, now.conversation_id,
        coalesce(was.created_at, now.created_at),
        greatest(was.updated_at, now.updated_at),
        now.position,
        now.version,
        coalesce(now.title_at, was.title_at),
        coalesce((SELECT (e.body ->> 'branch')::int FROM event AS e WHERE e.position = now.preferred_at),
            was.preferred, 1),
        coalesce(now.favorited, was.favorited, false),
        coalesce(now.archived, was.archived, false),
        coalesce(now.deleted, was.deleted, false),
        coalesce(was.tags, '{}') - coalesce(tag.touched, '{}') || coalesce(tag.put, '{}'),
        coalesce((SELECT e.body ->> 'model' FROM event AS e WHERE e.position = now.model_at), was.model),
        coalesce((SELECT e.body ->> 'provider' FROM event AS e WHERE e.position = now.provider_at), was.provider),
        coalesce((SELECT e.body ->> 'source' FROM event AS e WHERE e.position = now.started_at), was.source),
        coalesce(was.message_count, 0) + now.message_count,
        least(coalesce(was.tokens_in, 0) + now.tokens_in, 9007199254740991),
        least(coalesce(was.tokens_out, 0) + now.tokens_out, 9007199254740991),
        least(coalesce(was.cache_reads, 0) + now.cache_reads, 9007199254740991),
        least(coalesce(was.cache_writes, 0) + now.cache_writes, 9007199254740991),
        least(coalesce(was.size_bytes, 0) + now.size_bytes, 9007199254740991),
        CASE WHEN now.cost_usd IS NULL THEN was.cost_usd
             ELSE least(coalesce(was.cost_usd, 0) + now.cost_usd, 1000000000000000) END
    FROM conversation_now AS now
    LEFT JOIN tag_now AS tag USING (owner_id, conversation_id)
    LEFT JOIN LATERAL (
        SELECT c.* FROM conversation AS c WHERE c.owner_id = now.owner_id AND c.id = now.conversation_id LIMIT 1
    ) AS was ON true
    ON CONFLICT (owner_id, id) DO UPDATE SET updated_at = excluded.updated_at, position = excluded.position,
        version = excluded.version, title_at = excluded.title_at, preferred = excluded.preferred,
        favorited = excluded.favorited, archived = excluded.archived, deleted = excluded.deleted, tags = excluded.tags,
        model = excluded.model, provider = excluded.provider, message_count = excluded.message_count,
        tokens_in = excluded.tokens_in, tokens_out = excluded.tokens_out, cache_reads = excluded.cache_reads,
        cache_writes = excluded.cache_writes, size_bytes = excluded.size_bytes, cost_usd = excluded.cost_usd
),

branch_now AS (
    SELECT owner_id, conversation_id, number,
        min(position) AS born_at,
        -- A tip and the position that set it: the greatest is the last, for positions come first and differ.
        max(ARRAY[position, coalesce(segment, (body #> '{at,segment}')::int), coalesce(depth, (body #> '{at,depth}')::int)])
            FILTER (WHERE kind IN ('message.appended', 'branch.created')) AS tip,
        max(position) FILTER (WHERE kind IN ('branch.created', 'branch.renamed')) AS name_at,
        sum(cost_usd) AS own_cost_usd
    FROM happened
    CROSS JOIN LATERAL (
        SELECT CASE kind WHEN 'conversation.started' THEN 1 ELSE (body ->> 'branch')::int END AS number
    ) AS its
    WHERE kind IN ('conversation.started', 'message.appended', 'branch.created', 'branch.renamed')
    GROUP BY owner_id, conversation_id, number
),

branch_put AS (
    INSERT INTO branch (owner_id, conversation_id, number, created_at, name_at, token, tip_segment, tip_depth,
        fork_segment, fork_depth, own_cost_usd)
    SELECT now.owner_id, now.conversation_id, now.number,
        coalesce(was.created_at, born.created_at),
        coalesce(now.name_at, was.name_at),
        coalesce((SELECT decode(e.body ->> 'token', 'hex') FROM event AS e WHERE e.position = now.name_at), was.token),
        coalesce(now.tip[2], was.tip_segment),
        coalesce(now.tip[3], was.tip_depth),
        coalesce(born.fork_segment, was.fork_segment),
        coalesce(born.fork_depth, was.fork_depth),
        CASE WHEN now.own_cost_usd IS NULL THEN was.own_cost_usd
             ELSE least(coalesce(was.own_cost_usd, 0) + now.own_cost_usd, 1000000000000000) END
    FROM branch_now AS now
    LEFT JOIN LATERAL (
        SELECT b.* FROM branch AS b
        WHERE b.owner_id = now.owner_id AND b.conversation_id = now.conversation_id AND b.number = now.number LIMIT 1
    ) AS was ON true
    -- A branch that began with a message forks off where that message does: at the fork that it names, else above it.
    LEFT JOIN LATERAL (
        SELECT e.occurred_at AS created_at,
            coalesce(e.body #> '{at,segment}', e.body #> '{fork,segment}',
                CASE WHEN e.depth > 1 THEN to_jsonb(e.segment) END)::int AS fork_segment,
            coalesce(e.body #> '{at,depth}', e.body #> '{fork,depth}',
                CASE WHEN e.depth > 1 THEN to_jsonb(e.depth - 1) END)::int AS fork_depth
        FROM event AS e WHERE e.position = now.born_at AND was.number IS NULL LIMIT 1
    ) AS born ON true
    ON CONFLICT (owner_id, conversation_id, number) DO UPDATE SET name_at = excluded.name_at, token = excluded.token,
        tip_segment = excluded.tip_segment, tip_depth = excluded.tip_depth, own_cost_usd = excluded.own_cost_usd
),

-- A segment's first message says where it forks off, or stands at the root.
segment_put AS (
    INSERT INTO segment (owner_id, conversation_id, number, fork_segment, fork_depth)
    SELECT owner_id, conversation_id, segment,
        coalesce((body #> '{fork,segment}')::int, 0), coalesce((body #> '{fork,depth}')::int, 0)
    FROM happened
    WHERE kind = 'message.appended' AND segment > 1 AND (depth = 1 OR body ? 'fork')
),

message_now AS (
    SELECT owner_id, conversation_id, (body #> '{at,segment}')::int AS segment, (body #> '{at,depth}')::int AS depth,
        max(position * 2 + (kind = 'message.hidden')::int)
            FILTER (WHERE kind IN ('message.hidden', 'message.unhidden')) % 2 = 1 AS hidden,
        max(position) FILTER (WHERE kind = 'message.rated') AS rated_at
    FROM happened
    WHERE kind IN ('message.hidden', 'message.unhidden', 'message.rated')
    GROUP BY 1, 2, 3, 4
)

-- A rating stands for itself: the next one takes the comment of the one before away.
INSERT INTO message (owner_id, conversation_id, segment, depth, hidden, rating, comment_at)
SELECT now.owner_id, now.conversation_id, now.segment, now.depth,
    coalesce(now.hidden, was.hidden, false),
    CASE WHEN now.rated_at IS NULL THEN was.rating ELSE rated.rating END,
    CASE WHEN now.rated_at IS NULL THEN was.comment_at ELSE rated.comment_at END
FROM message_now AS now
LEFT JOIN LATERAL (
    SELECT m.* FROM message AS m
    WHERE m.owner_id = now.owner_id AND m.conversation_id = now.conversation_id AND m.segment = now.segment
      AND m.depth = now.depth LIMIT 1
) AS was ON true
LEFT JOIN LATERAL (
    SELECT e.body ->> 'rating' AS rating, CASE WHEN e.words_digest IS NOT NULL THEN e.position END AS comment_at
    FROM event AS e WHERE e.position = now.rated_at LIMIT 1
) AS rated ON true
ON CONFLICT (owner_id, conversation_id, segment, depth) DO UPDATE SET hidden = excluded.hidden,
    rating = excluded.rating, comment_at = excluded.comment_at
