-- Retention: words whose time is over.

-- Where the words were said that the event at `because`, of kind retention.applied, takes away; null when it may not. It carries out the
-- newest notice of the account, which was neither undone nor made void since, when that is due, and nothing beside it.
-- Whoever appends such an event does so on the version of the account that it was decided on, so one that is refused here,
-- and fails its neighbours in the lane, never comes from this program.
CREATE FUNCTION lapsed(because bigint) RETURNS bigint[] LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    said event;
    notice event;
BEGIN
    SELECT * INTO said FROM event AS e WHERE e.position = because;
    SELECT * INTO notice FROM event AS e
    WHERE e.owner_id = said.owner_id AND e.stream_id = said.owner_id AND e.version < said.version
      AND e.kind IN ('retention.configured', 'retention.announced', 'retention.undone')
    ORDER BY e.version DESC LIMIT 1;
    IF said.kind <> 'retention.applied' OR said.stream_id <> said.owner_id
        OR notice.kind IS DISTINCT FROM 'retention.announced'
        OR notice.version <> (said.body ->> 'announced')::integer
        OR (notice.body ->> 'due')::timestamptz > said.occurred_at
        OR EXISTS (
            SELECT FROM jsonb_to_recordset(said.body -> 'words') AS gone (kind text, after bigint, through bigint)
            WHERE NOT EXISTS (
                SELECT FROM jsonb_to_recordset(notice.body -> 'words') AS told (kind text, after bigint, through bigint)
                WHERE told.kind = gone.kind AND told.after <= gone.after AND gone.through <= told.through
            )
        )
    THEN
        RETURN NULL;
    END IF;
    RETURN ARRAY(
        SELECT e.position FROM jsonb_to_recordset(said.body -> 'words') AS gone (kind text, after bigint, through bigint)
        JOIN event AS e ON e.owner_id = said.owner_id AND e.position > gone.after AND e.position <= gone.through
        WHERE e.kind = gone.kind AND e.stream_id <> said.owner_id AND e.words_digest IS NOT NULL
    );
END;
$$;
