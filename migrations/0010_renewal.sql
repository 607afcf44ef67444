-- Renewal: after some of a subject's words went, its key is given up for a new one, so that no copy of them from before opens.
-- The words that are left stay as they were sealed, for the log is hashed over that; what opens each part of them is kept.

CREATE TABLE vault.renewal (
    subject_id uuid    PRIMARY KEY,
    -- The head of the log when words of its went last and its key knew them; null when no renewal is due.
    because    bigint,
    -- The head of the log when its newest key was made.
    began      bigint,
    -- Keys before this generation seal nothing more, whoever still holds one, and are given up or about to be.
    since      integer NOT NULL DEFAULT 1,
    -- The same, as far as the log says that they are gone.
    told       integer NOT NULL DEFAULT 1,
    CHECK (told <= since)
);
CREATE INDEX renewal_due ON vault.renewal (subject_id) WHERE because IS NOT NULL;
CREATE INDEX renewal_untold ON vault.renewal (subject_id) WHERE told < since;

-- What opens a part whose key was given up, covered by the key of a later generation. It goes with what it opens, by the trigger
-- below: a foreign key would tie the vault's backup to the log's.
CREATE TABLE vault.opening (
    position   bigint   NOT NULL,
    part       smallint NOT NULL,
    generation integer  NOT NULL,
    covered    bytea    NOT NULL CHECK (octet_length(covered) = 32),
    PRIMARY KEY (position, part)
);

-- Whichever way words go, what opens them goes as well, and the key that sealed them is to be given up; that of somebody who is
-- being forgotten dies anyway.
CREATE FUNCTION words_gone() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    DELETE FROM vault.opening AS o USING gone AS w WHERE o.position = w.position AND o.part = w.part;
    INSERT INTO vault.renewal (subject_id, because)
    SELECT g.subject_id, (SELECT max(e.position) FROM event AS e)
    FROM (SELECT DISTINCT w.subject_id FROM gone AS w) AS g
    WHERE NOT EXISTS (SELECT FROM closed AS c WHERE c.owner_id = g.subject_id)
    ON CONFLICT (subject_id) DO UPDATE SET because = excluded.because;
    RETURN NULL;
END;
$$;
CREATE TRIGGER renewal AFTER DELETE ON words REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION words_gone();

-- Makes a subject's next key. True when it is made; false when its epoch was closed or somebody else made one meanwhile; null
-- when there is nothing to renew, for the subject is being forgotten. It holds the lane: keys die in there, and behind it nothing
-- is sealed under the key before.
CREATE FUNCTION vault.begin_renewal(
    whose uuid, next integer, by_epoch integer, its_commitment bytea, its_wrapped bytea, its_kept bytea
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7163664893726287);
    IF EXISTS (SELECT FROM public.closed AS c WHERE c.owner_id = whose) THEN
        RETURN NULL;
    END IF;
    INSERT INTO vault.subject_key (subject_id, generation, epoch, commitment, wrapped, kept)
    SELECT whose, next, e.number, its_commitment, its_wrapped, its_kept FROM vault.epoch AS e
    WHERE e.number = by_epoch AND e.closed_at IS NULL AND EXISTS (
        SELECT FROM vault.subject_key AS k
        WHERE k.subject_id = whose AND k.generation = next - 1 AND k.wrapped IS NOT NULL
    )
    FOR SHARE OF e
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE vault.renewal AS r SET since = next, began = (SELECT coalesce(max(e.position), 0) FROM public.event AS e)
    WHERE r.subject_id = whose;
    RETURN true;
END;
$$;

-- Keeps what opens parts, covered by the key of a generation. A part that went meanwhile has none: who takes it away waits for
-- this, and takes this away as well. It locks words, which the application may not.
CREATE FUNCTION vault.cover(by_generation integer, positions bigint[], parts smallint[], its_covered bytea[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO vault.opening AS o (position, part, generation, covered)
    SELECT w.position, w.part, by_generation, p.covered
    FROM unnest(positions, parts, its_covered) AS p (position, part, covered)
    JOIN words AS w ON w.position = p.position AND w.part = p.part
    ORDER BY w.position, w.part
    FOR KEY SHARE OF w
    ON CONFLICT (position, part) DO UPDATE SET generation = excluded.generation, covered = excluded.covered
    WHERE o.generation < excluded.generation
$$;

-- Gives up every key of a subject before generation `next`: what opens all that they sealed is kept. It holds the lane, where
-- words go, so that none go amid this.
CREATE FUNCTION vault.give_up(whose uuid, next integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7163664893726287);
    UPDATE vault.subject_key AS k SET wrapped = NULL, kept = NULL
    WHERE k.subject_id = whose AND k.generation < next AND k.wrapped IS NOT NULL;
    UPDATE vault.renewal AS r SET because = CASE WHEN r.because > r.began THEN r.because END
    WHERE r.subject_id = whose AND r.since = next;
END;
$$;
