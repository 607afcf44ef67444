-- The lane: the one way into the log. One call takes the commands of many callers, answers each on its own, and is one
-- round trip, one transaction and one flush to disk.
--
-- Positions are dense because the lock is held until the commit is visible: Postgres ends a transaction for others
-- (ProcArrayEndTransaction) before it releases its locks, so whoever takes the lock next reads the true head. The lock
-- and the read of the head MUST stay two statements: in one, the head would be read in a snapshot from before the wait.
-- READ COMMITTED alone gives each statement a snapshot of its own, and without a synchronous commit a crash would give
-- positions out twice: in any other setting the call refuses.
--
-- A command that comes too late or again is data in the answer, never an exception that would fail its neighbours. A
-- command's events are neighbours in the log. A call holds at most one command a stream, and a command id once. Whoever is
-- being forgotten (`closed`, see 0006) says nothing more, and words and keys go with the event that says so (`forgetting`).

-- An event without what the lane gives it. Its target counts from 1, its offset within the target from 1, within the
-- command (nth) from 0.
CREATE TYPE new_event AS (
    target integer, "offset" integer, nth smallint, id uuid, actor uuid, correlation uuid, causation uuid,
    occurred_at timestamptz, segment integer, depth integer, kind text, kind_version smallint, body text,
    words_digest bytea, digest bytea
);
-- A part of words of an event of a command, both counted from 1.
CREATE TYPE new_words AS (
    command integer, event integer, part smallint, subject uuid, generation integer, nonce bytea, ciphertext bytea
);

CREATE FUNCTION append(
    -- Whether a command may have been here before although its streams are as expected: its caller named it, or it was
    -- sent and not answered. (If none may and one was, its unique key fails the call.)
    look boolean,
    -- One element a command. A digest is given when the caller named the command.
    command_owner uuid[], command_id uuid[], command_digest bytea[], command_events integer[],
    -- One element a stream of a command, in the order of the commands. Expected: -1 any, -2 exists, 0 none, n exactly
    -- version n.
    target_command integer[], target_stream uuid[], target_expected integer[],
    -- In the order of the targets.
    events new_event[],
    -- In the order of the events.
    words new_words[]
) RETURNS TABLE (
    -- One row. The head before the call, the time it was recorded at, and an element a command: 0 appended, 1 repeated,
    -- 2 reused (another command has this id), 3 conflict, 4 closed. What went in stands behind the head, in the order of the
    -- commands.
    answer_head bigint, answer_recorded_at timestamptz, answer_verdict integer[],
    -- An element a stream of a command: its version before.
    answer_version integer[]
) LANGUAGE plpgsql
-- Plans are made once and must not depend on how large the log was at that moment. What is looked up is asked for in the order
-- of its index, and nothing is sorted: of a log of two hundred events without statistics the planner believed that walking all
-- of an owner's (event_owner) is as fast, and every append did.
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET enable_sort = off SET jit = off SET lock_timeout = '3s'
AS $$
DECLARE
    head bigint;
    clock timestamptz;
    prefix bytea;
    middle bytea;
    current integer[];
    seen bigint[];
    verdict integer[] := array_fill(0, ARRAY[cardinality(command_id)]);
    -- Events of the commands before each that do not go in.
    skipped integer[] := verdict;
    passed integer := 0;
    shut uuid[];
    renewed boolean;
    taking bigint[];
    made record;
    locked boolean;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' OR current_setting('synchronous_commit') = 'off' THEN
        RAISE EXCEPTION 'append needs READ COMMITTED and a synchronous commit, and has % and synchronous_commit = %',
            upper(current_setting('transaction_isolation')), current_setting('synchronous_commit')
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Set default_transaction_isolation and synchronous_commit back for this role and database.';
    END IF;

    -- An assignment: a statement with a snapshot of its own, for which no executor is started. Starting one takes as long as
    -- inserting a row, so those below are few.
    locked := pg_advisory_xact_lock(7163664893726287) IS NOT NULL;

    -- The leaf record of RFC 6962's tree, after its 0x00: version of the format, then each field behind its length.
    SELECT coalesce(newest.position, 0), greatest(clock_timestamp(), newest.recorded_at),
        '\x0001'::bytea || int4send(octet_length(l.origin)) || convert_to(l.origin, 'UTF8')
            || '\x00000010' || uuid_send((SELECT h.id FROM history AS h ORDER BY h.since DESC LIMIT 1)) || '\x00000008',
        ARRAY(
            SELECT coalesce((
                SELECT e.version FROM event AS e
                WHERE e.owner_id = command_owner[t.command] AND e.stream_id = t.stream ORDER BY e.version DESC LIMIT 1
            ), 0)
            FROM unnest(target_command, target_stream) AS t (command, stream)
        ),
        ARRAY(SELECT c.owner_id FROM closed AS c WHERE c.owner_id = ANY (command_owner)),
        EXISTS (SELECT FROM vault.renewal)
    INTO head, clock, prefix, current, shut, renewed
    FROM (SELECT origin FROM ledger LIMIT 1) AS l
    LEFT JOIN (SELECT e.position, e.recorded_at FROM event AS e ORDER BY e.position DESC LIMIT 1) AS newest ON true;
    middle := '\x00000008'::bytea || int8send((extract(epoch FROM clock) * 1000000)::bigint) || '\x00000020';

    IF look OR current <> target_expected THEN
        seen := ARRAY(
            SELECT (
                SELECT CASE WHEN e.command_id = c.id THEN e.position END FROM event AS e
                WHERE e.owner_id = c.owner AND e.command_id >= c.id AND e.command_nth = 0 ORDER BY e.command_id LIMIT 1
            )
            FROM unnest(command_owner, command_id) AS c (owner, id)
        );
    END IF;

    -- Mostly every command was decided on what is there, none was here before, and nobody is being forgotten.
    IF current <> target_expected OR array_remove(seen, NULL) <> '{}' OR shut <> '{}' THEN
        FOR t IN 1 .. cardinality(target_command) LOOP
            IF target_expected[t] >= 0 AND target_expected[t] <> current[t]
                OR target_expected[t] = -2 AND current[t] = 0 THEN
                verdict[target_command[t]] := 3;
            END IF;
        END LOOP;
        FOR c IN 1 .. cardinality(command_id) LOOP
            skipped[c] := passed;
            IF seen[c] IS NOT NULL THEN
                verdict[c] := CASE WHEN command_digest[c] IS NOT DISTINCT FROM
                    (SELECT e.command_digest FROM event AS e WHERE e.position = seen[c]) THEN 1 ELSE 2 END;
            END IF;
            -- Whoever is being forgotten says nothing more; what becomes of the account is told in its own stream.
            IF verdict[c] = 0 AND command_owner[c] = ANY (shut) AND EXISTS (
                SELECT FROM unnest(target_command, target_stream) AS t (command, stream)
                WHERE t.command = c AND t.stream <> command_owner[c]
            ) THEN
                verdict[c] := 4;
            END IF;
            IF verdict[c] <> 0 THEN
                passed := passed + command_events[c];
            END IF;
        END LOOP;
    END IF;

    -- A key that is given up for the next seals nothing more (see 0010), whoever still holds it. An IF within the other: as one
    -- condition it would start an executor whatever `renewed` is.
    IF renewed THEN
        IF EXISTS (
            SELECT FROM unnest(words) AS w JOIN vault.renewal AS r ON r.subject_id = w.subject
            WHERE w.generation < r.since AND verdict[w.command] = 0
        ) THEN
            RAISE EXCEPTION 'words are sealed under a key that was given up'
                USING ERRCODE = 'check_violation', CONSTRAINT = 'words_key', HINT = 'Seal them under the newest one.';
        END IF;
    END IF;

    WITH put AS (
        INSERT INTO event (position, recorded_at, occurred_at, owner_id, id, stream_id, command_id, actor_id,
            correlation_id, causation_id, version, segment, depth, kind_version, command_nth, kind, body, command_digest,
            words_digest, leaf)
        SELECT at.position, clock, e.occurred_at, command_owner[c.nth], e.id, target_stream[e.target], command_id[c.nth],
            e.actor, e.correlation, e.causation, at.version, e.segment, e.depth, e.kind_version, e.nth, e.kind,
            e.body::jsonb, CASE WHEN e.nth = 0 THEN command_digest[c.nth] END, e.words_digest,
            sha256(prefix || int8send(at.position) || '\x00000010' || uuid_send(command_owner[c.nth]) || '\x00000010'
                || uuid_send(target_stream[e.target]) || '\x00000004' || int4send(at.version) || middle || e.digest)
        FROM unnest(events) WITH ORDINALITY AS e (target, "offset", nth, id, actor, correlation, causation, occurred_at,
                segment, depth, kind, kind_version, body, words_digest, digest, ordinal),
            LATERAL (SELECT target_command[e.target] AS nth) AS c,
            LATERAL (SELECT head + e.ordinal - skipped[c.nth] AS position, current[e.target] + e."offset" AS version) AS at
        WHERE verdict[c.nth] = 0
        RETURNING position, kind
    ), said AS (
        INSERT INTO words (position, owner_id, subject_id, generation, part, nonce, ciphertext)
        SELECT head + w.event - skipped[w.command], command_owner[w.command], w.subject, w.generation, w.part, w.nonce,
            w.ciphertext
        FROM unnest(words) AS w
        WHERE verdict[w.command] = 0
    )
    SELECT array_agg(put.position) FILTER (WHERE put.kind IN ('account.forget_requested', 'account.forget_cancelled',
        'account.forget_started', 'message.forgotten', 'conversation.forgotten', 'conversation.expired', 'retention.applied'))
    INTO taking FROM put;
    IF taking IS NOT NULL THEN
        FOR made IN
            SELECT e.position, e.owner_id, e.kind FROM event AS e WHERE e.position = ANY (taking) ORDER BY e.position
        LOOP
            PERFORM forgetting(made.position, made.owner_id, made.kind);
        END LOOP;
    END IF;

    answer_head := head;
    answer_recorded_at := clock;
    answer_verdict := verdict;
    answer_version := current;
    RETURN NEXT;
END;
$$;
