-- What each event means for the rows, told once for the fold and for reads of the past. A column holds what the event sets
-- in such a form that of many events the greatest counts (it begins with the position), or the sum.

CREATE VIEW act AS
SELECT e.position, e.owner_id, e.stream_id AS conversation_id, e.version, (e.version + 63) / 64 AS block, e.kind,
    e.segment, e.depth, e.body, e.words_digest,
    CASE WHEN e.kind <> 'snapshot.thinned' THEN e.occurred_at END AS occurred_at,
    -- The event that holds the title; 0 for none.
    CASE WHEN e.segment IS NULL THEN CASE e.kind
        WHEN 'conversation.titled' THEN ARRAY[e.position, e.position]
        WHEN 'conversation.restored' THEN CASE WHEN e.body ? 'title' THEN ARRAY[e.position, coalesce((
            SELECT t.position FROM event AS t WHERE t.owner_id = e.owner_id AND t.stream_id = e.stream_id
              AND t.version = (e.body ->> 'title')::int LIMIT 1), 0)] END
    END END AS titled,
    -- A switch is position * 2, and 1 more when it is on.
    CASE WHEN e.segment IS NULL THEN CASE e.kind
        WHEN 'conversation.favorited' THEN e.position * 2 + 1
        WHEN 'conversation.unfavorited' THEN e.position * 2
        WHEN 'conversation.restored' THEN e.position * 2 + (e.body ->> 'favorited')::boolean::int
    END END AS favorited,
    CASE WHEN e.segment IS NULL THEN CASE e.kind
        WHEN 'conversation.archived' THEN e.position * 2 + 1
        WHEN 'conversation.unarchived' THEN e.position * 2
        WHEN 'conversation.restored' THEN e.position * 2 + (e.body ->> 'archived')::boolean::int
    END END AS archived,
    CASE WHEN e.segment IS NULL THEN CASE e.kind
        WHEN 'conversation.deleted' THEN e.position * 2 + 1
        WHEN 'conversation.undeleted' THEN e.position * 2
    END END AS deleted,
    CASE WHEN e.segment IS NULL THEN CASE e.kind
        WHEN 'branch.preferred' THEN ARRAY[e.position, (e.body ->> 'branch')::bigint]
        WHEN 'conversation.restored' THEN
            CASE WHEN e.body ? 'preferred' THEN ARRAY[e.position, (e.body ->> 'preferred')::bigint] END
    END END AS preferred,
    CASE WHEN e.segment IS NULL AND e.body ? 'model'
        AND e.kind IN ('conversation.started', 'model.switched', 'conversation.restored') THEN e.position END AS model_by,
    CASE WHEN e.segment IS NULL AND e.body ? 'provider'
        AND e.kind IN ('conversation.started', 'model.switched', 'conversation.restored') THEN e.position
    END AS provider_by,
    CASE WHEN e.segment IS NULL AND (e.kind IN ('conversation.tagged', 'conversation.untagged')
        OR e.kind = 'conversation.restored' AND e.body ? 'tags') THEN e.position END AS tagged_by,
    CASE WHEN e.segment IS NOT NULL OR e.kind = 'branch.created' THEN (e.body ->> 'branch')::int
        WHEN e.kind = 'conversation.started' THEN 1 END AS branches,
    e.body -> 'usage' AS usage,
    round((e.body ->> 'cost_usd')::usd, 12) AS cost_usd
FROM event AS e
WHERE (e.kind ^@ 'conversation.' OR e.kind ^@ 'message.' OR e.kind ^@ 'branch.' OR e.kind = 'model.switched'
    OR e.kind ^@ 'snapshot.')
  AND e.kind <> 'conversation.expired'
  -- An account has snapshots configured in its own stream.
  AND e.stream_id <> e.owner_id;

-- What an event means for a branch. A tip of segment 0 is none; a name of event 0 as well.
CREATE FUNCTION branch_done(at bigint, kind text, segment integer, depth integer, body jsonb)
RETURNS TABLE (number integer, tip bigint[], named bigint[], abandoned bigint) LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE kind WHEN 'conversation.started' THEN 1 ELSE (body ->> 'branch')::int END,
        CASE WHEN segment IS NOT NULL THEN ARRAY[at, segment, depth]
            WHEN kind = 'branch.created'
            THEN ARRAY[at, (body #>> '{at,segment}')::bigint, (body #>> '{at,depth}')::bigint] END,
        CASE WHEN kind IN ('branch.created', 'branch.renamed') THEN ARRAY[at, at] END,
        CASE kind WHEN 'branch.abandoned' THEN at * 2 + 1 WHEN 'branch.resumed' THEN at * 2 END
    WHERE segment IS NOT NULL OR kind IN ('conversation.started', 'branch.created', 'branch.renamed', 'branch.abandoned',
        'branch.resumed');
END;

-- What the restoring of a conversation means for its branches. It may have come in an archive, and name an event that names no
-- branch: that is none, too.
CREATE FUNCTION branches_restored(at bigint, whose uuid, which uuid, body jsonb)
RETURNS TABLE (number integer, tip bigint[], named bigint[], abandoned bigint) LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT (b ->> 'branch')::int,
        ARRAY[at, coalesce((b #>> '{tip,segment}')::bigint, 0), coalesce((b #>> '{tip,depth}')::bigint, 0)],
        ARRAY[at, coalesce((
            SELECT n.position FROM event AS n
            WHERE n.owner_id = whose AND n.stream_id = which AND n.version = (b ->> 'name')::int AND n.body ? 'token'
            LIMIT 1), 0)],
        at * 2 + (b ->> 'abandoned')::boolean::int
    FROM jsonb_array_elements(body -> 'branches') AS b;
END;

-- What an event means for branches.
CREATE FUNCTION branch_acts(at bigint, whose uuid, which uuid, kind text, segment integer, depth integer, body jsonb)
RETURNS TABLE (number integer, tip bigint[], named bigint[], abandoned bigint) LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT d.number, d.tip, d.named, d.abandoned FROM branch_done(at, kind, segment, depth, body) AS d
    UNION ALL
    SELECT r.number, r.tip, r.named, r.abandoned
    FROM branches_restored(at, whose, which, CASE kind WHEN 'conversation.restored' THEN body END) AS r;
END;

CREATE VIEW branch_act AS
SELECT a.position, a.owner_id, a.conversation_id, a.version, a.block, its.number, its.tip, its.named, its.abandoned, a.cost_usd
FROM act AS a
CROSS JOIN LATERAL branch_acts(a.position, a.owner_id, a.conversation_id, a.kind, a.segment, a.depth, a.body) AS its;

-- Where a branch forks off that an event may have begun: at the message that it names, else at the fork of its first message,
-- else above that.
CREATE VIEW branch_birth AS
SELECT e.position, e.occurred_at AS created_at,
    coalesce(e.body #> '{at,segment}', e.body #> '{fork,segment}',
        CASE WHEN e.depth > 1 THEN to_jsonb(e.segment) END)::int AS fork_segment,
    coalesce(e.body #> '{at,depth}', e.body #> '{fork,depth}',
        CASE WHEN e.depth > 1 THEN to_jsonb(e.depth - 1) END)::int AS fork_depth
FROM event AS e;

-- What an event means for what is thought of messages. A rating is 0 for none, 1 for down and 2 for up, with the event that
-- holds its comment; 0 for none. A rating stands for itself: the next one takes the comment of the one before away.
CREATE FUNCTION message_acts(at bigint, whose uuid, which uuid, kind text, body jsonb, words_digest bytea)
RETURNS TABLE (segment integer, depth integer, hidden bigint, rated bigint[]) LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT (body #>> '{at,segment}')::int, (body #>> '{at,depth}')::int,
        CASE kind WHEN 'message.hidden' THEN at * 2 + 1 WHEN 'message.unhidden' THEN at * 2 END,
        CASE kind WHEN 'message.rated' THEN ARRAY[at,
            CASE body ->> 'rating' WHEN 'up' THEN 2 WHEN 'down' THEN 1 ELSE 0 END,
            CASE WHEN words_digest IS NOT NULL THEN at ELSE 0 END] END
    WHERE kind IN ('message.hidden', 'message.unhidden', 'message.rated')
    UNION ALL
    SELECT (m #>> '{at,segment}')::int, (m #>> '{at,depth}')::int,
        at * 2 + (m ->> 'hidden')::boolean::int,
        ARRAY[at, CASE m ->> 'rating' WHEN 'up' THEN 2 WHEN 'down' THEN 1 ELSE 0 END, coalesce((
            SELECT c.position FROM event AS c
            WHERE c.owner_id = whose AND c.stream_id = which AND c.version = (m ->> 'comment')::int
              AND c.words_digest IS NOT NULL LIMIT 1), 0)]
    FROM jsonb_array_elements(CASE kind WHEN 'conversation.restored' THEN body -> 'messages' END) AS m;
END;

-- The tags that are left of `tags`, each token with the event that holds its word, after what versions (after, last] did.
CREATE FUNCTION retagged(tags jsonb, whose uuid, which uuid, after integer, last integer) RETURNS jsonb
LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH told AS (
        SELECT a.version, a.kind, a.position, a.body FROM act AS a
        WHERE a.owner_id = whose AND a.conversation_id = which AND a.version > after AND a.version <= last
          AND a.tagged_by IS NOT NULL
    ),
    -- A restored conversation has the tags that the event lists, and no others.
    reset AS (
        SELECT coalesce(max(t.version), 0) AS version FROM told AS t WHERE t.kind = 'conversation.restored'
    ),
    touched AS (
        SELECT DISTINCT ON (its.token) its.token, its.position
        FROM told AS t
        CROSS JOIN LATERAL (
            SELECT token, CASE t.kind WHEN 'conversation.tagged' THEN t.position END AS position
            FROM jsonb_array_elements_text(t.body -> 'tokens') AS token
            WHERE t.kind <> 'conversation.restored'
            UNION ALL
            SELECT tag.key, (SELECT w.position FROM event AS w WHERE w.owner_id = whose AND w.stream_id = which
                AND w.version = tag.value::int LIMIT 1)
            FROM jsonb_each_text(t.body -> 'tags') AS tag
            WHERE t.kind = 'conversation.restored'
        ) AS its
        WHERE t.version >= (SELECT r.version FROM reset AS r)
        ORDER BY its.token, t.version DESC
    )
    SELECT CASE WHEN (SELECT r.version FROM reset AS r) > 0 THEN '{}' ELSE tags END
        - coalesce((SELECT array_agg(t.token) FROM touched AS t), '{}')
        || coalesce((SELECT jsonb_object_agg(t.token, t.position) FROM touched AS t WHERE t.position IS NOT NULL), '{}');
END;
