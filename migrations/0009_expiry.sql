-- Retention of facts: a conversation at rest whose time is over expires. Its events stay where they are, with everything that
-- proofs need; what they say is taken out of them.

-- The event of kind conversation.expired that took the body away, or all of it but money; null while the event is whole.
ALTER TABLE event ADD COLUMN reduced bigint;
CREATE INDEX event_reduced ON event (position) WHERE reduced IS NOT NULL;
-- What goes on from a conversation, or repeats messages of it.
CREATE INDEX event_dependent ON event (owner_id, coalesce(body #>> '{from,conversation}', body #>> '{origin,conversation}'))
WHERE kind IN ('conversation.started', 'message.appended') AND (body ? 'from' OR body ? 'origin');

-- What is left of a body. Money is what a message used and cost, and by what; a graft was paid for where it was said.
CREATE FUNCTION left_of(kind text, body jsonb, keeps text) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce((
        SELECT jsonb_object_agg(its.key, its.value) FROM jsonb_each(body) AS its
        WHERE kind = 'message.appended' AND keeps = 'money' AND NOT body ? 'origin' AND its.key IN
            ('branch', 'role', 'bytes', 'model', 'provider', 'usage', 'cost_usd', 'latency_ms')
    ), '{}');
$$;

-- A body shrinks, once the log says so, to what the log says that is left; nothing else of an event ever changes.
CREATE FUNCTION only_reduced() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF to_jsonb(NEW) - 'body' - 'reduced' <> to_jsonb(OLD) - 'body' - 'reduced' OR NOT EXISTS (
        SELECT FROM public.event AS said
        WHERE said.position = NEW.reduced AND said.kind = 'conversation.expired' AND said.reduced IS NULL
          AND said.owner_id = OLD.owner_id AND said.stream_id = OLD.stream_id AND said.version > OLD.version
          AND NEW.body = public.left_of(OLD.kind, OLD.body, said.body ->> 'keeps')
    ) THEN
        RAISE EXCEPTION '% on % is refused: the log is append-only', TG_OP, TG_TABLE_NAME
            USING ERRCODE = 'insufficient_privilege', HINT = 'Append an event that says what changed.';
    END IF;
    RETURN NEW;
END;
$$;
DROP TRIGGER append_only ON event;
CREATE TRIGGER never_removed BEFORE DELETE OR TRUNCATE ON event FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE ON event FOR EACH ROW EXECUTE FUNCTION only_reduced();

-- Takes away what the event at `because`, of kind conversation.expired, says: as part of a command that carries the newest
-- notice of the account out (see `lapsed`), which announced it, of a conversation that rests since then and that nothing
-- which is left depends on.
CREATE FUNCTION expire(because bigint) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    said event;
    applied event;
    newest event;
    going text;
BEGIN
    SELECT * INTO said FROM event AS e WHERE e.position = because;
    SELECT * INTO applied FROM event AS e
    WHERE e.owner_id = said.owner_id AND e.command_id = said.command_id AND e.command_nth = 0;
    SELECT * INTO newest FROM event AS e
    WHERE e.owner_id = said.owner_id AND e.stream_id = said.stream_id AND e.version < said.version
      AND e.kind <> 'conversation.expired'
    ORDER BY e.version DESC LIMIT 1;
    going := CASE WHEN said.body ->> 'keeps' = 'money' THEN 'facts' ELSE 'money' END;
    IF said.stream_id = said.owner_id OR applied.kind IS DISTINCT FROM 'retention.applied'
        OR lapsed(applied.position) IS NULL
        OR NOT EXISTS (
            SELECT FROM event AS notice,
                jsonb_to_recordset(notice.body -> 'conversations') AS told (class text, after bigint, through bigint)
            WHERE notice.owner_id = said.owner_id AND notice.stream_id = said.owner_id
              AND notice.version = (applied.body ->> 'announced')::integer AND told.class = going
              AND newest.position > told.after AND newest.position <= told.through
        )
        OR going = 'facts' AND newest.reduced IS NOT NULL
        OR depended_on(said.owner_id, said.stream_id)
    THEN
        RAISE EXCEPTION 'event % lets nothing expire', because USING ERRCODE = 'check_violation', CONSTRAINT = 'expiry';
    END IF;
    DELETE FROM words AS w USING event AS e
    WHERE e.owner_id = said.owner_id AND e.stream_id = said.stream_id AND e.version < said.version
      AND w.position = e.position AND w.subject_id = said.owner_id;
    UPDATE event AS e SET reduced = because, body = left_of(e.kind, e.body, said.body ->> 'keeps')
    WHERE e.owner_id = said.owner_id AND e.stream_id = said.stream_id AND e.version < said.version;
END;
$$;

-- Whether another conversation that is left goes on from this one, or repeats messages of it.
CREATE FUNCTION depended_on(whose uuid, which uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM public.event AS e
        WHERE e.owner_id = whose AND e.stream_id <> which AND e.kind IN ('conversation.started', 'message.appended')
          AND (e.body ? 'from' OR e.body ? 'origin')
          AND coalesce(e.body #>> '{from,conversation}', e.body #>> '{origin,conversation}') = which::text
    );
$$;

-- What goes on from a conversation, or repeats messages of it, must find it whole: whoever decided that may have read it
-- before it expired.
CREATE FUNCTION source_whole() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (
        SELECT e.kind FROM public.event AS e
        WHERE e.owner_id = NEW.owner_id
          AND e.stream_id = coalesce(NEW.body #>> '{from,conversation}', NEW.body #>> '{origin,conversation}')::uuid
        ORDER BY e.version DESC LIMIT 1
    ) = 'conversation.expired' THEN
        RAISE EXCEPTION 'what event % comes from has expired', NEW.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'source_whole';
    END IF;
    RETURN NEW;
END;
$$;
CREATE TRIGGER source_whole BEFORE INSERT ON event FOR EACH ROW
WHEN (NEW.kind IN ('conversation.started', 'message.appended') AND (NEW.body ? 'from' OR NEW.body ? 'origin'))
EXECUTE FUNCTION source_whole();

-- What views are folded from. Their search path has it before the log's own tables, so that whatever is gone is not there
-- for any fold, whenever it runs.
CREATE SCHEMA fold;
CREATE VIEW fold.event AS SELECT * FROM public.event WHERE reduced IS NULL;
-- Who did what, when: that stays.
CREATE VIEW fold.envelope AS
SELECT position, recorded_at, occurred_at, owner_id, id, stream_id, actor_id, version, kind FROM public.event;
-- What was used, and what it cost: of messages that are whole, and of those of which money is left.
CREATE VIEW fold.spending AS
SELECT position, owner_id, stream_id, occurred_at, segment, depth, body FROM public.event
-- What is whole has a branch. Put like this, the planner expects many.
WHERE kind = 'message.appended' AND NOT body ? 'origin' AND body -> 'branch' IS NOT NULL;
