-- Forgetting: what the vault and the log need for it.

-- The epochs that keys were ever wrapped in. A number is never used twice.
CREATE TABLE vault.epoch (
    number     integer     PRIMARY KEY CHECK (number > 0),
    began_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- From then on nothing is wrapped in it. Whoever wraps holds the row (FOR SHARE), and whoever closes it writes it: so
    -- once it is closed, no key comes in any more, from whatever server.
    closed_at  timestamptz,
    -- When its key was destroyed.
    retired_at timestamptz,
    CHECK (retired_at IS NULL OR closed_at <= retired_at)
);
INSERT INTO vault.epoch (number) SELECT DISTINCT epoch FROM vault.subject_key;
-- What is left to be wrapped anew when an epoch is retired.
CREATE INDEX subject_key_epoch ON vault.subject_key (epoch) WHERE wrapped IS NOT NULL;

-- Whose part of the log is closed: nothing goes in any more but what becomes of the account, and no token opens. It follows
-- from the log, in the transaction of what it follows from.
CREATE TABLE closed (
    owner_id uuid    PRIMARY KEY,
    -- Of the request.
    position bigint  NOT NULL,
    -- Whether all is done.
    done     boolean NOT NULL DEFAULT false
);
CREATE INDEX closed_open ON closed (position) WHERE NOT done;

-- What is to be swept out of views after some words of an owner went; a row goes when that is done.
CREATE TABLE unswept (
    position bigint PRIMARY KEY,
    owner_id uuid   NOT NULL
);

-- The few events that take something away, or are on the way to it.
CREATE INDEX event_forgetting ON event (position) WHERE kind IN ('account.forget_requested', 'account.forget_cancelled', 'account.forget_started', 'account.forgotten',
    'message.forgotten', 'conversation.forgotten');

-- Words go only where the log says so, and never while their owner is held: this alone deletes them, as a role of its own.
-- The event at `because` says whose, or which; `after` is where the last call ended, for a person's words go piece by piece.
-- Answers where it ended, or null when nothing is left.
CREATE FUNCTION erase_words(because bigint, after bigint) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    said event;
    page bigint[];
BEGIN
    SELECT * INTO said FROM event AS e WHERE e.position = because;
    IF (
        SELECT e.kind FROM event AS e
        WHERE e.owner_id = said.owner_id AND e.stream_id = said.owner_id AND e.kind IN ('account.held', 'account.released')
        ORDER BY e.version DESC LIMIT 1
    ) = 'account.held' THEN
        RAISE EXCEPTION 'the words of account % are held', said.owner_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'words_held', HINT = 'Release the account first.';
    END IF;
    page := CASE said.kind
        WHEN 'account.forget_started' THEN ARRAY(
            SELECT e.position FROM event AS e
            WHERE e.owner_id = said.owner_id AND e.position > after AND e.words_digest IS NOT NULL
            ORDER BY e.position LIMIT 5000
        )
        WHEN 'conversation.forgotten' THEN ARRAY(
            SELECT e.position FROM event AS e
            WHERE e.owner_id = said.owner_id AND e.stream_id = said.stream_id AND e.version < said.version
              AND e.words_digest IS NOT NULL
        )
        WHEN 'message.forgotten' THEN ARRAY(
            SELECT e.position FROM event AS e
            WHERE e.owner_id = said.owner_id AND e.id = (said.body ->> 'message')::uuid
            UNION ALL
            -- What was thought of it.
            SELECT e.position FROM event AS e
            WHERE e.owner_id = said.owner_id AND e.stream_id = said.stream_id AND e.version < said.version
              AND e.kind = 'message.rated' AND e.body ->> 'message' = said.body ->> 'message'
        )
    END;
    IF page IS NULL THEN
        RAISE EXCEPTION 'event % takes no words away', because USING ERRCODE = 'insufficient_privilege';
    END IF;
    DELETE FROM words AS w WHERE w.position = ANY (page) AND w.subject_id = said.owner_id;
    RETURN CASE WHEN said.kind = 'account.forget_started' THEN page[cardinality(page)] END;
END;
$$;

-- What follows at once from an event that takes something away.
CREATE FUNCTION forgetting(because bigint, whose uuid, kind text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    CASE kind
    WHEN 'account.forget_requested' THEN
        INSERT INTO closed (owner_id, position) VALUES (whose, because);
    WHEN 'account.forget_cancelled' THEN
        DELETE FROM closed AS c WHERE c.owner_id = whose;
    WHEN 'account.forget_started' THEN
        UPDATE vault.subject_key SET wrapped = NULL WHERE subject_id = whose AND wrapped IS NOT NULL;
    WHEN 'account.forgotten' THEN
        UPDATE closed AS c SET done = true WHERE c.owner_id = whose;
    ELSE
        PERFORM erase_words(because, 0);
        INSERT INTO unswept (position, owner_id) VALUES (because, whose);
    END CASE;
END;
$$;

-- Forgets who called: by tables written anew, for a token's name is in the clear, and a deleted row is not gone.
CREATE FUNCTION account.forget(whose uuid) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = account, pg_temp
AS $$
DECLARE
    others account.token[];
BEGIN
    LOCK TABLE token IN ACCESS EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM token AS t WHERE t.account_id = whose) THEN
        others := ARRAY(SELECT t FROM token AS t WHERE t.account_id <> whose);
        TRUNCATE token;
        INSERT INTO token SELECT (unnest(others)).*;
    END IF;
    DELETE FROM account WHERE id = whose;
END;
$$;

-- The lane (see 0004), which now refuses whoever is being forgotten, and lets words and keys go with the event that says so.
CREATE OR REPLACE FUNCTION append(
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
-- Plans are made once and must not depend on how large the log was at that moment.
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET jit = off SET lock_timeout = '3s'
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
    made record;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' OR current_setting('synchronous_commit') = 'off' THEN
        RAISE EXCEPTION 'append needs READ COMMITTED and a synchronous commit, and has % and synchronous_commit = %',
            upper(current_setting('transaction_isolation')), current_setting('synchronous_commit')
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Set default_transaction_isolation and synchronous_commit back for this role and database.';
    END IF;

    PERFORM pg_advisory_xact_lock(7163664893726287);

    -- The leaf record of RFC 6962's tree, after its 0x00: version of the format, then each field behind its length.
    SELECT coalesce(newest.position, 0), greatest(clock_timestamp(), newest.recorded_at),
        '\x0001'::bytea || int4send(octet_length(l.origin)) || convert_to(l.origin, 'UTF8')
            || '\x00000010' || uuid_send(h.id) || '\x00000008'
    INTO head, clock, prefix
    FROM (SELECT (SELECT origin FROM ledger LIMIT 1) AS origin) AS l, (SELECT id FROM history ORDER BY since DESC LIMIT 1) AS h
    LEFT JOIN (SELECT e.position, e.recorded_at FROM event AS e ORDER BY e.position DESC LIMIT 1) AS newest ON true;
    middle := '\x00000008'::bytea || int8send((extract(epoch FROM clock) * 1000000)::bigint) || '\x00000020';

    current := ARRAY(
        SELECT coalesce((
            SELECT e.version FROM event AS e
            WHERE e.owner_id = command_owner[t.command] AND e.stream_id = t.stream ORDER BY e.version DESC LIMIT 1
        ), 0)
        FROM unnest(target_command, target_stream) AS t (command, stream)
    );
    IF look OR current <> target_expected THEN
        -- LIMIT keeps it a look-up by key: a plain join was planned, while the table was new, as a scan of the index.
        seen := ARRAY(
            SELECT (
                SELECT e.position FROM event AS e
                WHERE e.owner_id = c.owner AND e.command_id = c.id AND e.command_nth = 0 LIMIT 1
            )
            FROM unnest(command_owner, command_id) AS c (owner, id)
        );
    END IF;

    shut := ARRAY(SELECT c.owner_id FROM closed AS c WHERE c.owner_id = ANY (command_owner));

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
    WHERE verdict[c.nth] = 0;

    INSERT INTO words (position, owner_id, subject_id, generation, part, nonce, ciphertext)
    SELECT head + w.event - skipped[w.command], command_owner[w.command], w.subject, w.generation, w.part, w.nonce,
        w.ciphertext
    FROM unnest(words) AS w
    WHERE verdict[w.command] = 0;

    FOR made IN
        SELECT e.position, e.owner_id, e.kind FROM event AS e
        WHERE e.position > head AND e.kind IN ('account.forget_requested', 'account.forget_cancelled', 'account.forget_started', 'account.forgotten',
            'message.forgotten', 'conversation.forgotten')
        ORDER BY e.position
    LOOP
        PERFORM forgetting(made.position, made.owner_id, made.kind);
    END LOOP;

    RETURN QUERY SELECT head, clock, verdict, current;
END;
$$;
