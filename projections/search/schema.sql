-- Which messages, titles and tags say these words?
--
-- Tables are cut by a hash of the owner: forgetting somebody rewrites a sixteenth of them.
--
-- Rows are only ever added: whether a title is still the title, a tag still on and a message in sight is asked of the
-- conversation when somebody searches. And words are kept as they were said. Stems differ from language to language, so
-- the vocabulary knows which words share one, and a query is widened to them: a text of two languages is found by both,
-- a prefix is compared with what was said and a phrase keeps its small words.

-- Which part of the tables an owner's rows are in. Owners' ids end in random bits.
CREATE FUNCTION bucket(owner_id uuid) RETURNS smallint LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (get_byte(uuid_send(owner_id), 15) % 16)::smallint;

-- What is indexed of a text, and looked for of a query. Postgres's parser takes paths, addresses, tags and versions for one
-- word each, or for none: so what joins them is blank. It splits at blanks alone: so each character of the scripts that
-- write none stands by itself, and a run of them is a phrase.
CREATE FUNCTION plain(said text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN octet_length(said) = length(said) THEN
        replace(replace(replace(replace(replace(replace(replace(said, '.', ' '), '/', ' '), '@', ' '), '<', ' '), '>', ' '),
            '&', ' '), '-', ' ')
    ELSE
        regexp_replace(regexp_replace(said, '[-./@<>&\u2010-\u206f\u3000-\u303f]', ' ', 'g'),
            '([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])',
            ' \1 ', 'g')
    END;

-- By whose rules words of a language (ISO 639-3) are stemmed. What is of no known language counts as English, which has
-- left its words everywhere.
CREATE FUNCTION stemmer(language text) RETURNS regconfig LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE coalesce(language, 'eng')
    WHEN 'ara' THEN 'arabic' WHEN 'dan' THEN 'danish' WHEN 'deu' THEN 'german' WHEN 'ell' THEN 'greek'
    WHEN 'eng' THEN 'english' WHEN 'fin' THEN 'finnish' WHEN 'fra' THEN 'french' WHEN 'hin' THEN 'hindi'
    WHEN 'hun' THEN 'hungarian' WHEN 'hye' THEN 'armenian' WHEN 'ind' THEN 'indonesian' WHEN 'ita' THEN 'italian'
    WHEN 'lit' THEN 'lithuanian' WHEN 'nep' THEN 'nepali' WHEN 'nld' THEN 'dutch' WHEN 'nob' THEN 'norwegian'
    WHEN 'por' THEN 'portuguese' WHEN 'ron' THEN 'romanian' WHEN 'rus' THEN 'russian' WHEN 'spa' THEN 'spanish'
    WHEN 'srp' THEN 'serbian' WHEN 'swe' THEN 'swedish' WHEN 'tam' THEN 'tamil' WHEN 'tur' THEN 'turkish'
    WHEN 'yid' THEN 'yiddish' ELSE 'simple'
END::regconfig;

-- A word without its ending; a stop word is its own stem.
CREATE FUNCTION stem(language regconfig, word text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce((tsvector_to_array(to_tsvector(language, word)))[1], word);

CREATE UNLOGGED TABLE document (
    -- The event that said it.
    position        bigint      NOT NULL,
    occurred_at     timestamptz NOT NULL,
    tokens          bigint      NOT NULL,
    bytes           bigint      NOT NULL,
    owner_id        uuid        NOT NULL,
    conversation_id uuid        NOT NULL,
    -- Where a message stands.
    segment         integer,
    depth           integer,
    bucket          smallint    NOT NULL,
    -- Which of the event's tags it is.
    nth             smallint    NOT NULL,
    kind            text        NOT NULL CHECK (kind IN ('message', 'title', 'tag')),
    -- A tag's.
    token           text,
    -- Null while it is not known.
    cost_usd        numeric,
    words           tsvector    NOT NULL
) PARTITION BY LIST (bucket);

-- Every word that was said in a bucket, by whomever: it only widens queries, and decides nothing about who finds what.
CREATE UNLOGGED TABLE vocabulary (
    language regconfig NOT NULL,
    bucket   smallint  NOT NULL,
    word     text      NOT NULL COLLATE "C",
    stem     text      NOT NULL COLLATE "C",
    -- The word backwards: a typo leaves one end of a word alone.
    reversed text      NOT NULL COLLATE "C",
    PRIMARY KEY (word, language, bucket)
) PARTITION BY LIST (bucket);

CREATE UNLOGGED TABLE spoken (
    owner_id uuid      NOT NULL,
    language regconfig NOT NULL,
    PRIMARY KEY (owner_id, language)
);

DO $$
BEGIN
    FOR nth IN 0..15 LOOP
        EXECUTE format('CREATE UNLOGGED TABLE document_%1$s PARTITION OF document FOR VALUES IN (%1$s)', nth);
        EXECUTE format('CREATE UNLOGGED TABLE vocabulary_%1$s PARTITION OF vocabulary FOR VALUES IN (%1$s)', nth);
    END LOOP;
END;
$$;

-- Lets go of what an owner said, all of it or at some positions, and puts what stays in the owner's part of the tables into
-- new files: rows that are deleted, and those of folds that failed, leave their words in heap and index. Temporary tables
-- are written to no log, and hold only what stays.
CREATE FUNCTION forget(whose uuid, positions bigint[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    documents text := 'document_' || bucket(whose);
    known text := 'vocabulary_' || bucket(whose);
BEGIN
    EXECUTE format('LOCK TABLE %I, %I IN ACCESS EXCLUSIVE MODE', documents, known);
    EXECUTE format('CREATE TEMPORARY TABLE kept ON COMMIT DROP AS
        SELECT * FROM %I WHERE owner_id <> %L OR NOT position = ANY (coalesce(%L, ARRAY[position]))',
        documents, whose, positions);
    CREATE TEMPORARY TABLE kept_language ON COMMIT DROP AS
        SELECT k.position, k.nth, k.owner_id, stemmer((
            SELECT e.body ->> 'language' FROM event AS e WHERE e.position = k.position LIMIT 1
        )) AS language
        FROM kept AS k;
    EXECUTE format('CREATE TEMPORARY TABLE kept_known ON COMMIT DROP AS
        SELECT v.* FROM %I AS v
        JOIN (
            SELECT DISTINCT l.language, word FROM kept AS k JOIN kept_language AS l USING (position, nth)
            CROSS JOIN LATERAL unnest(tsvector_to_array(k.words)) AS word
        ) AS said ON said.language = v.language AND said.word = v.word', known);
    EXECUTE format('TRUNCATE %I, %I', documents, known);
    EXECUTE format('INSERT INTO %I SELECT * FROM kept', documents);
    EXECUTE format('INSERT INTO %I SELECT * FROM kept_known', known);
    DELETE FROM spoken AS s
    WHERE s.owner_id = whose AND s.language NOT IN (SELECT l.language FROM kept_language AS l WHERE l.owner_id = whose);
    DROP TABLE kept, kept_language, kept_known;
END;
$$;
