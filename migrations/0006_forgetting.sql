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

-- Whose part of the log is closed: nothing goes in any more but what becomes of the account, and no token opens. A row
-- follows from the log, in the transaction of what it follows from.
CREATE TABLE closed (
    owner_id uuid    PRIMARY KEY,
    -- Of the request.
    position bigint  NOT NULL,
    -- Whether all is done, and the receipt of it kept: whoever kept it says so, behind the last event.
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
    'message.forgotten', 'conversation.forgotten', 'conversation.expired', 'retention.applied');

-- The newest event that took words away; 0 before any did. What was opened by then may be shown as long as it stands there.
-- The kinds are told as the index tells them.
CREATE VIEW erased AS SELECT coalesce((
    SELECT e.position FROM event AS e
    WHERE e.kind IN ('account.forget_requested', 'account.forget_cancelled', 'account.forget_started', 'account.forgotten',
            'message.forgotten', 'conversation.forgotten', 'conversation.expired', 'retention.applied')
      AND e.kind IN ('account.forget_started', 'message.forgotten', 'conversation.forgotten', 'conversation.expired', 'retention.applied')
    ORDER BY e.position DESC LIMIT 1
), 0) AS position;

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
        WHEN 'retention.applied' THEN lapsed(because)
    END;
    IF page IS NULL THEN
        RAISE EXCEPTION 'event % takes no words away', because USING ERRCODE = 'check_violation', CONSTRAINT = 'erasure';
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
    WHEN 'conversation.expired' THEN
        -- Swept with the event that it is a part of carrying out.
        PERFORM expire(because);
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
