-- Who did what to what, and when, day by day?
--
-- Of what one actor did to one stream on one day, each kind is a row. When its first and its last event were recorded
-- stands in the log at their positions.

CREATE TABLE entry (
    first_position bigint  NOT NULL,
    last_position  bigint  NOT NULL CHECK (last_position >= first_position),
    -- In UTC, by when the events were recorded: later events are never of an earlier day.
    day            date    NOT NULL,
    events         integer NOT NULL CHECK (events > 0),
    owner_id       uuid    NOT NULL,
    stream_id      uuid    NOT NULL,
    -- Null for the owner, who does nearly all of it.
    actor_id       uuid,
    kind           text    NOT NULL,
    CONSTRAINT entry_key UNIQUE NULLS NOT DISTINCT (owner_id, stream_id, day, kind, actor_id)
-- Every append updates a row, and nothing that has an index: with room on the page, in place (HOT).
) WITH (fillfactor = 90);
