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
-- command's events are neighbours in the log. A call holds at most one command a stream, and a command id once.

CREATE FUNCTION append(
    -- One element a command. A digest is given when the caller named the command.
    command_owner uuid[], command_id uuid[], command_digest bytea[], command_events integer[],
    -- One element a stream of a command. Expected: -1 any, -2 exists, 0 none, n exactly version n.
    target_command integer[], target_stream uuid[], target_expected integer[],
    -- One element an event, in the order of the commands; offset counts within its target from 1.
    event_target integer[], event_offset integer[], event_nth smallint[], event_id uuid[], event_actor uuid[],
    event_correlation uuid[], event_causation uuid[], event_occurred_at timestamptz[], event_segment integer[],
    event_depth integer[], event_kind text[], event_kind_version smallint[], event_body text[],
    event_words_digest bytea[], event_digest bytea[],
    -- One element a part of words.
    words_event integer[], words_part smallint[], words_subject uuid[], words_generation integer[], words_nonce bytea[],
    words_ciphertext bytea[]
) RETURNS TABLE (
    -- One row a target: 0 appended, 1 repeated (the first answer), 2 reused (another command has this id), 3 conflict;
    -- with the version of its stream before the append, or as it is.
    answer_command integer, answer_verdict integer, answer_position bigint, answer_recorded_at timestamptz,
    answer_version integer
) LANGUAGE plpgsql
-- Plans are made once and must not depend on how large the log was at that moment.
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET jit = off SET lock_timeout = '3s'
AS $$
DECLARE
    head bigint;
    clock timestamptz;
    prefix bytea;
    micros bytea;
    current integer[];
    seen bigint[];
    seen_at timestamptz[];
    same boolean[];
    verdict integer[] := array_fill(0, ARRAY[cardinality(command_id)]);
    skipped integer[] := array_fill(0, ARRAY[cardinality(command_id)]);
    passed integer := 0;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' OR current_setting('synchronous_commit') = 'off' THEN
        RAISE EXCEPTION 'append needs READ COMMITTED and a synchronous commit, and has % and synchronous_commit = %',
            upper(current_setting('transaction_isolation')), current_setting('synchronous_commit')
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Set default_transaction_isolation and synchronous_commit back for this role and database.';
    END IF;

    PERFORM pg_advisory_xact_lock(7163664893726287);

    SELECT e.position, e.recorded_at INTO head, clock FROM event AS e ORDER BY e.position DESC LIMIT 1;
    head := coalesce(head, 0);
    clock := greatest(clock_timestamp(), clock);
    micros := int8send((extract(epoch FROM clock) * 1000000)::bigint);

    SELECT array_agg(coalesce(newest.version, 0) ORDER BY t.nth) INTO current
    FROM unnest(target_command, target_stream) WITH ORDINALITY AS t (command, stream, nth)
    LEFT JOIN LATERAL (
        SELECT e.version FROM event AS e
        WHERE e.owner_id = command_owner[t.command] AND e.stream_id = t.stream ORDER BY e.version DESC LIMIT 1
    ) AS newest ON true;

    SELECT array_agg(f.position ORDER BY c.nth), array_agg(f.recorded_at ORDER BY c.nth),
           array_agg(f.command_digest IS NOT DISTINCT FROM c.digest ORDER BY c.nth)
    INTO seen, seen_at, same
    FROM unnest(command_owner, command_id, command_digest) WITH ORDINALITY AS c (owner, id, digest, nth)
    -- LIMIT keeps it a look-up by key: a plain join was planned, while the table was new, as a scan of the whole index.
    LEFT JOIN LATERAL (
        SELECT e.position, e.recorded_at, e.command_digest FROM event AS e
        WHERE e.owner_id = c.owner AND e.command_id = c.id AND e.command_nth = 0 LIMIT 1
    ) AS f ON true;

    FOR t IN 1 .. cardinality(target_command) LOOP
        IF target_expected[t] >= 0 AND target_expected[t] <> current[t] OR target_expected[t] = -2 AND current[t] = 0 THEN
            verdict[target_command[t]] := 3;
        END IF;
    END LOOP;
    FOR c IN 1 .. cardinality(command_id) LOOP
        skipped[c] := passed;
        IF seen[c] IS NOT NULL THEN
            verdict[c] := CASE WHEN same[c] THEN 1 ELSE 2 END;
        END IF;
        IF verdict[c] <> 0 THEN
            passed := passed + command_events[c];
        END IF;
    END LOOP;

    -- The leaf record of RFC 6962's tree, after its 0x00: version of the format, then each field behind its length.
    SELECT '\x0001'::bytea || int4send(octet_length(l.origin)) || convert_to(l.origin, 'UTF8')
           || '\x00000010' || uuid_send(h.id) || '\x00000008'
    INTO prefix FROM ledger AS l, history AS h ORDER BY h.since DESC LIMIT 1;

    INSERT INTO event (position, recorded_at, occurred_at, owner_id, id, stream_id, command_id, actor_id,
        correlation_id, causation_id, version, segment, depth, kind_version, command_nth, kind, body, command_digest,
        words_digest, leaf)
    SELECT at.position, clock, e.occurred_at, command_owner[c.nth], e.id, target_stream[e.target], command_id[c.nth],
        e.actor, e.correlation, e.causation, at.version, e.segment, e.depth, e.kind_version, e.nth, e.kind,
        e.body::jsonb, CASE WHEN e.nth = 0 THEN command_digest[c.nth] END, e.words_digest,
        sha256(prefix || int8send(at.position) || '\x00000010' || uuid_send(command_owner[c.nth]) || '\x00000010'
            || uuid_send(target_stream[e.target]) || '\x00000004' || int4send(at.version) || '\x00000008' || micros
            || '\x00000020' || e.digest)
    FROM unnest(event_target, event_offset, event_nth, event_id, event_actor, event_correlation, event_causation,
            event_occurred_at, event_segment, event_depth, event_kind, event_kind_version, event_body,
            event_words_digest, event_digest) WITH ORDINALITY
        AS e (target, "offset", nth, id, actor, correlation, causation, occurred_at, segment, depth, kind,
            kind_version, body, words_digest, digest, ordinal),
        LATERAL (SELECT target_command[e.target] AS nth) AS c,
        LATERAL (SELECT head + e.ordinal - skipped[c.nth] AS position, current[e.target] + e."offset" AS version) AS at
    WHERE verdict[c.nth] = 0;

    INSERT INTO words (position, owner_id, subject_id, generation, part, nonce, ciphertext)
    SELECT head + w.event - skipped[c.nth], command_owner[c.nth], w.subject, w.generation, w.part, w.nonce, w.ciphertext
    FROM unnest(words_event, words_part, words_subject, words_generation, words_nonce, words_ciphertext)
        AS w (event, part, subject, generation, nonce, ciphertext),
        LATERAL (SELECT target_command[event_target[w.event]] AS nth) AS c
    WHERE verdict[c.nth] = 0;

    -- A command's first event stands behind the events of the commands before it that went in.
    passed := 0;
    FOR c IN 1 .. cardinality(command_id) LOOP
        IF verdict[c] = 0 THEN
            seen[c] := head + passed + 1;
            seen_at[c] := clock;
            passed := passed + command_events[c];
        END IF;
    END LOOP;
    RETURN QUERY
    SELECT t.command, verdict[t.command], seen[t.command], seen_at[t.command],
        CASE verdict[t.command] WHEN 1 THEN (
            SELECT min(e.version) - 1 FROM event AS e
            WHERE e.position BETWEEN seen[t.command] AND seen[t.command] + command_events[t.command] - 1
              AND e.stream_id = t.stream
        ) ELSE current[t.nth] END
    FROM unnest(target_command, target_stream) WITH ORDINALITY AS t (command, stream, nth);
END;
$$;
