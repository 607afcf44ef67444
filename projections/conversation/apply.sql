-- Events ($1, $2] folded into conversations, branches, segments, messages and snapshots.
--
-- What an event means is told by `act` and its like: of what was set the greatest counts, totals add up. Each table that
-- changes is folded in the same three steps: the range by key and block (`…_block`), running on from block to block
-- (`…_now`), beside it the row that is there already (`was`), then one upsert that proposes whole rows. Births and changes
-- of one row must meet before the upsert, for the parts of one statement do not see each other's rows: a change beside the
-- birth that it changes would be lost. Single rows are looked up by LATERAL … LIMIT 1, never joined: a plan that was made
-- while the tables were small must not become a scan of all of them later.
--
-- Totals stop at 2^53 − 1 and costs at 10^15 instead of failing: no owner's numbers may stop the fold of all others.
WITH happened AS MATERIALIZED (
    SELECT * FROM act WHERE position > $1 AND position <= $2
),
-- All that is not a message: mostly little.
done AS MATERIALIZED (
    SELECT * FROM happened WHERE segment IS NULL
),

conversation_block AS (
    SELECT owner_id, conversation_id, block,
        max(position) AS position, max(version) AS version, max(occurred_at) AS updated_at, max(titled) AS titled,
        max(favorited) AS favorited, max(archived) AS archived, max(deleted) AS deleted, max(preferred) AS preferred,
        max(model_by) AS model_by, max(provider_by) AS provider_by, max(tagged_by) AS tagged_by,
        max(branches) AS branches, count(segment) AS message_count,
        coalesce(sum((usage ->> 'input')::bigint), 0) AS tokens_in,
        coalesce(sum((usage ->> 'output')::bigint), 0) AS tokens_out,
        coalesce(sum((usage ->> 'cache_read')::bigint), 0) AS cache_reads,
        coalesce(sum((usage ->> 'cache_write_5m')::bigint), 0)
            + coalesce(sum((usage ->> 'cache_write_1h')::bigint), 0) AS cache_writes,
        coalesce(sum((body ->> 'bytes')::bigint), 0) AS size_bytes,
        sum(cost_usd) AS cost_usd,
        min(occurred_at) FILTER (WHERE version = 1) AS born_at, (array_agg(body) FILTER (WHERE version = 1))[1] AS born
    FROM happened
    GROUP BY owner_id, conversation_id, block
),
conversation_now AS (
    SELECT owner_id, conversation_id, position, version,
        lead(block) OVER upto IS NULL AS newest,
        max(updated_at) OVER upto AS updated_at, max(titled) OVER upto AS titled, max(favorited) OVER upto AS favorited,
        max(archived) OVER upto AS archived, max(deleted) OVER upto AS deleted, max(preferred) OVER upto AS preferred,
        max(model_by) OVER upto AS model_by, max(provider_by) OVER upto AS provider_by,
        max(tagged_by) OVER upto AS tagged_by, max(branches) OVER upto AS branches,
        sum(message_count) OVER upto AS message_count, sum(tokens_in) OVER upto AS tokens_in,
        sum(tokens_out) OVER upto AS tokens_out, sum(cache_reads) OVER upto AS cache_reads,
        sum(cache_writes) OVER upto AS cache_writes, sum(size_bytes) OVER upto AS size_bytes,
        sum(cost_usd) OVER upto AS cost_usd,
        first_value(born_at) OVER upto AS born_at, first_value(born) OVER upto AS born
    FROM conversation_block
    WINDOW upto AS (PARTITION BY owner_id, conversation_id ORDER BY block)
),
conversation_then AS MATERIALIZED (
    SELECT now.owner_id, now.conversation_id AS id, now.newest,
        coalesce(was.created_at, now.born_at, born.created_at) AS created_at,
        coalesce(was.from_id, (coalesce(now.born, born.body) #>> '{from,conversation}')::uuid) AS from_id,
        coalesce(was.from_segment, (coalesce(now.born, born.body) #>> '{from,at,segment}')::int) AS from_segment,
        coalesce(was.from_depth, (coalesce(now.born, born.body) #>> '{from,at,depth}')::int) AS from_depth,
        coalesce(was.source, coalesce(now.born, born.body) ->> 'source') AS source,
        greatest(was.updated_at, now.updated_at) AS updated_at,
        now.position,
        now.version,
        CASE WHEN now.titled IS NULL THEN was.title_at ELSE nullif(now.titled[2], 0) END AS title_at,
        coalesce(now.preferred[2], was.preferred, 1) AS preferred,
        coalesce(now.favorited % 2 = 1, was.favorited, false) AS favorited,
        coalesce(now.archived % 2 = 1, was.archived, false) AS archived,
        coalesce(now.deleted % 2 = 1, was.deleted, false) AS deleted,
        CASE WHEN now.tagged_by IS NULL THEN coalesce(was.tags, '{}')
             ELSE retagged(coalesce(was.tags, '{}'), now.owner_id, now.conversation_id, coalesce(was.version, 0),
                 now.version) END AS tags,
        CASE WHEN now.model_by IS NULL THEN was.model
             ELSE (SELECT e.body ->> 'model' FROM event AS e WHERE e.position = now.model_by) END AS model,
        CASE WHEN now.provider_by IS NULL THEN was.provider
             ELSE (SELECT e.body ->> 'provider' FROM event AS e WHERE e.position = now.provider_by) END AS provider,
        greatest(was.branches, now.branches) AS branches,
        coalesce(was.message_count, 0) + now.message_count AS message_count,
        least(coalesce(was.tokens_in, 0) + now.tokens_in, 9007199254740991) AS tokens_in,
        least(coalesce(was.tokens_out, 0) + now.tokens_out, 9007199254740991) AS tokens_out,
        least(coalesce(was.cache_reads, 0) + now.cache_reads, 9007199254740991) AS cache_reads,
        least(coalesce(was.cache_writes, 0) + now.cache_writes, 9007199254740991) AS cache_writes,
        least(coalesce(was.size_bytes, 0) + now.size_bytes, 9007199254740991) AS size_bytes,
        CASE WHEN now.cost_usd IS NULL THEN was.cost_usd
             ELSE least(coalesce(was.cost_usd, 0) + now.cost_usd, 1000000000000000) END AS cost_usd
    FROM conversation_now AS now
    LEFT JOIN LATERAL (
        SELECT c.* FROM conversation AS c WHERE c.owner_id = now.owner_id AND c.id = now.conversation_id LIMIT 1
    ) AS was ON true
    LEFT JOIN LATERAL (
        SELECT e.occurred_at AS created_at, e.body FROM event AS e
        WHERE e.owner_id = now.owner_id AND e.stream_id = now.conversation_id AND e.version = 1
          AND was.id IS NULL AND now.born IS NULL LIMIT 1
    ) AS born ON true
),
conversation_put AS (
    INSERT INTO conversation (owner_id, id, created_at, from_id, from_segment, from_depth, source, updated_at, position,
        version, title_at, preferred, favorited, archived, deleted, tags, model, provider, branches, message_count,
        tokens_in, tokens_out, cache_reads, cache_writes, size_bytes, cost_usd)
    SELECT owner_id, id, created_at, from_id, from_segment, from_depth, source, updated_at, position, version, title_at,
        preferred, favorited, archived, deleted, tags, model, provider, branches, message_count, tokens_in, tokens_out,
        cache_reads, cache_writes, size_bytes, cost_usd
    FROM conversation_then WHERE newest
    ON CONFLICT (owner_id, id) DO UPDATE SET updated_at = excluded.updated_at, position = excluded.position,
        version = excluded.version, title_at = excluded.title_at, preferred = excluded.preferred,
        favorited = excluded.favorited, archived = excluded.archived, deleted = excluded.deleted, tags = excluded.tags,
        model = excluded.model, provider = excluded.provider, branches = excluded.branches,
        message_count = excluded.message_count, tokens_in = excluded.tokens_in, tokens_out = excluded.tokens_out,
        cache_reads = excluded.cache_reads, cache_writes = excluded.cache_writes, size_bytes = excluded.size_bytes,
        cost_usd = excluded.cost_usd
),
mark_put AS (
    INSERT INTO conversation_mark (owner_id, id, created_at, from_id, from_segment, from_depth, source, updated_at,
        position, version, title_at, preferred, favorited, archived, deleted, tags, model, provider, branches,
        message_count, tokens_in, tokens_out, cache_reads, cache_writes, size_bytes, cost_usd)
    SELECT owner_id, id, created_at, from_id, from_segment, from_depth, source, updated_at, position, version, title_at,
        preferred, favorited, archived, deleted, tags, model, provider, branches, message_count, tokens_in, tokens_out,
        cache_reads, cache_writes, size_bytes, cost_usd
    FROM conversation_then WHERE version % 64 = 0
),

branch_block AS (
    SELECT owner_id, conversation_id, number, block, min(position) AS born_at, max(tip) AS tip, max(named) AS named,
        max(abandoned) AS abandoned, sum(cost_usd) AS own_cost_usd
    FROM (
        SELECT h.position, h.owner_id, h.conversation_id, h.block, h.cost_usd, its.*
        FROM happened AS h CROSS JOIN LATERAL branch_done(h.position, h.kind, h.segment, h.depth, h.body) AS its
        UNION ALL
        SELECT h.position, h.owner_id, h.conversation_id, h.block, h.cost_usd, its.*
        FROM done AS h CROSS JOIN LATERAL branches_restored(h.position, h.owner_id, h.conversation_id, h.body) AS its
        WHERE h.kind = 'conversation.restored'
    ) AS each_act
    GROUP BY owner_id, conversation_id, number, block
),
branch_now AS (
    SELECT owner_id, conversation_id, number, block,
        min(born_at) OVER upto AS born_at, max(tip) OVER upto AS tip, max(named) OVER upto AS named,
        max(abandoned) OVER upto AS abandoned, sum(own_cost_usd) OVER upto AS own_cost_usd
    FROM branch_block
    WINDOW upto AS (PARTITION BY owner_id, conversation_id, number ORDER BY block)
),
branch_put AS (
    INSERT INTO branch (owner_id, conversation_id, number, block, created_at, name_at, token, tip_segment, tip_depth,
        fork_segment, fork_depth, abandoned, own_cost_usd)
    SELECT now.owner_id, now.conversation_id, now.number, now.block,
        coalesce(was.created_at, born.created_at),
        CASE WHEN now.named IS NULL THEN was.name_at ELSE nullif(now.named[2], 0) END,
        CASE WHEN now.named IS NULL THEN was.token
             ELSE (SELECT decode(e.body ->> 'token', 'hex') FROM event AS e WHERE e.position = now.named[2]) END,
        CASE WHEN now.tip IS NULL THEN was.tip_segment ELSE nullif(now.tip[2], 0) END,
        CASE WHEN now.tip IS NULL THEN was.tip_depth ELSE nullif(now.tip[3], 0) END,
        coalesce(was.fork_segment, born.fork_segment),
        coalesce(was.fork_depth, born.fork_depth),
        coalesce(now.abandoned % 2 = 1, was.abandoned, false),
        CASE WHEN now.own_cost_usd IS NULL THEN was.own_cost_usd
             ELSE least(coalesce(was.own_cost_usd, 0) + now.own_cost_usd, 1000000000000000) END
    FROM branch_now AS now
    LEFT JOIN LATERAL (
        SELECT b.* FROM branch AS b
        WHERE b.owner_id = now.owner_id AND b.conversation_id = now.conversation_id AND b.number = now.number
        ORDER BY b.block DESC LIMIT 1
    ) AS was ON true
    LEFT JOIN LATERAL (
        SELECT f.* FROM branch_birth AS f WHERE f.position = now.born_at AND was.number IS NULL LIMIT 1
    ) AS born ON true
    ON CONFLICT (owner_id, conversation_id, number, block) DO UPDATE SET name_at = excluded.name_at,
        token = excluded.token, tip_segment = excluded.tip_segment, tip_depth = excluded.tip_depth,
        abandoned = excluded.abandoned, own_cost_usd = excluded.own_cost_usd
),

-- A segment's first message says where it forks off, or stands at the root.
segment_put AS (
    INSERT INTO segment (owner_id, conversation_id, number, fork_segment, fork_depth)
    SELECT owner_id, conversation_id, segment,
        coalesce((body #>> '{fork,segment}')::int, 0), coalesce((body #>> '{fork,depth}')::int, 0)
    FROM happened
    WHERE segment IS NOT NULL AND (segment > 1 AND depth = 1 OR body ? 'fork')
),

snapshot_put AS (
    INSERT INTO snapshot (owner_id, conversation_id, position, id, version, trigger, taken_at)
    SELECT h.owner_id, h.conversation_id, h.position, e.id, (h.body ->> 'version')::int, h.body ->> 'trigger',
        h.occurred_at
    FROM done AS h
    CROSS JOIN LATERAL (SELECT e.id FROM event AS e WHERE e.position = h.position LIMIT 1) AS e
    WHERE h.kind = 'snapshot.taken'
),
thinned_put AS (
    INSERT INTO thinned (owner_id, conversation_id, id, position)
    SELECT h.owner_id, h.conversation_id, id::uuid, h.position
    FROM done AS h CROSS JOIN LATERAL jsonb_array_elements_text(h.body -> 'snapshots') AS id
    WHERE h.kind = 'snapshot.thinned'
    ON CONFLICT (owner_id, conversation_id, id) DO NOTHING
),

-- What is thought of a message is a row for every change, each on top of the one before.
message_put AS (
    INSERT INTO message (owner_id, conversation_id, segment, depth, position, hidden, rating, comment_at)
    SELECT now.owner_id, now.conversation_id, now.segment, now.depth, now.position,
        coalesce(now.hidden % 2 = 1, was.hidden, false),
        CASE WHEN now.rated IS NULL THEN was.rating WHEN now.rated[2] = 2 THEN 'up' WHEN now.rated[2] = 1 THEN 'down' END,
        CASE WHEN now.rated IS NULL THEN was.comment_at ELSE nullif(now.rated[3], 0) END
    FROM (
        SELECT owner_id, conversation_id, segment, depth, position, max(hidden) OVER upto AS hidden, max(rated) OVER upto AS rated
        FROM (
            SELECT h.owner_id, h.conversation_id, h.position, its.*
            FROM done AS h
            CROSS JOIN LATERAL message_acts(h.position, h.owner_id, h.conversation_id, h.kind, h.body, h.words_digest) AS its
            -- Mostly there are none: not each message is looked into.
            WHERE h.kind IN ('message.hidden', 'message.unhidden', 'message.rated', 'conversation.restored')
        ) AS happened
        WINDOW upto AS (PARTITION BY owner_id, conversation_id, segment, depth ORDER BY position)
    ) AS now
    LEFT JOIN LATERAL (
        SELECT m.* FROM message AS m
        WHERE m.owner_id = now.owner_id AND m.conversation_id = now.conversation_id AND m.segment = now.segment
          AND m.depth = now.depth
        ORDER BY m.position DESC LIMIT 1
    ) AS was ON true
)

-- Of a conversation that expired no other event is there to be folded: its rows are of ranges before.
SELECT let_go(owner_id, stream_id)
FROM event
WHERE position > $1 AND position <= $2 AND kind = 'conversation.expired'
