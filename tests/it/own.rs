//! Views of one's own: what only folds is used like a built-in view, what does anything else is refused, and says why.

use std::fs;
use std::time::Duration;

use convoledger::projection::{CONVERSATION, Closed, Engine, FoldError, Projection, Rebuild, State, own};
use sqlx::PgPool;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::history::{chat, head};
use crate::support::postgres::fresh;
use crate::support::service::{Stand, closed, done, opener, order, say, started};

static VIEW: Projection = CONVERSATION;
const SCHEMA: &str = "CREATE TABLE counted (owner_id uuid PRIMARY KEY, events bigint NOT NULL)";
const APPLY: &str = "INSERT INTO counted AS was SELECT owner_id, count(*) FROM event \
                     WHERE position > $1 AND position <= $2 GROUP BY 1 \
                     ON CONFLICT (owner_id) DO UPDATE SET events = was.events + excluded.events";

#[tokio::test]
async fn a_folder_works_as_it_was_written_like_a_view_that_is_built_in() {
    let database = fresh().await;
    let pool = database.pool(10);
    let directory = tempfile::tempdir().expect("a directory");
    own::write_new(directory.path(), "roles").expect("written");
    let [roles] = &own::read_all(directory.path()).expect("read")[..] else { panic!("one") };
    let last = chat(30).write(&pool).await.1;
    let trial = roles.trial(&pool, &Closed, i64::MAX).await.expect("fit");
    assert_eq!((trial.events, trial.differs), (last.0, None));
    assert_eq!(schemas(&pool).await, 0, "a trial leaves nothing");

    let (_never, head_seen) = watch::channel(last);
    let engine = Engine::start(pool.clone(), std::slice::from_ref(roles), &head_seen, &closed());
    engine.wait("roles", last, Duration::from_secs(5)).await.expect("folded");
    let rebuild = Rebuild {
        projection: roles,
        pool: &pool,
        opener: &Closed,
        throttle: None,
        strands: 1,
        stop: CancellationToken::new(),
    };
    assert_eq!(rebuild.replace(|_, _| {}).await.expect("rebuilt").differences, Some(Vec::new()));
    let last = chat(12).write(&pool).await.1;
    engine.wait("roles", last, Duration::from_secs(5)).await.expect("it goes on in the new rows");
    // Behind the live rows a rebuild folds within the transaction that puts it in place.
    let halt = CancellationToken::new();
    let growing = tokio::spawn({
        let (pool, halt) = (pool.clone(), halt.clone());
        async move {
            let mut messages = 0;
            while !halt.is_cancelled() {
                chat(2).write(&pool).await;
                messages += 2;
            }
            messages
        }
    });
    for _ in 0..5 {
        assert!(
            rebuild.replace(|_, _| {}).await.expect("rebuilt").differences.is_none_or(|differs| differs.is_empty())
        );
    }
    halt.cancel();
    let grown: i64 = growing.await.expect("no panic");
    let last = head(&pool).await;
    engine.wait("roles", last, Duration::from_secs(5)).await.expect("it goes on in the new rows");
    assert_eq!(number(&pool, "SELECT sum(messages)::bigint FROM roles.said").await, 42 + grown);
    engine.stop().await;
    assert!(own::drop("roles", &pool).await.expect("dropped"));
    assert!(!own::drop("roles", &pool).await.expect("gone"));
    assert!(!own::drop("vault", &pool).await.expect("it is no view"));
    assert_eq!(schemas(&pool).await, 0);
}

#[tokio::test]
async fn what_does_more_than_fold_is_refused_with_its_file_and_its_reason() {
    let database = fresh().await;
    let pool = database.pool(10);
    chat(5).write(&pool).await;
    let whole = number(&pool, "SELECT count(*) FROM event").await;
    let malicious = [
        (SCHEMA, "UPDATE event SET body = '{}' WHERE position > $1 AND position <= $2", "event"),
        (SCHEMA, "INSERT INTO event SELECT * FROM event WHERE position > $1 AND position <= $2", "event"),
        (
            SCHEMA,
            "INSERT INTO counted SELECT owner_id, count(*) FROM words WHERE position > $1 AND position <= $2 GROUP BY 1",
            "words",
        ),
        (SCHEMA, "INSERT INTO counted SELECT subject_id, $2 - $1 FROM vault.subject_key", "subject_key"),
        (SCHEMA, "INSERT INTO counted SELECT oid::text::uuid, $2 - $1 FROM pg_class", "pg_class"),
        (SCHEMA, "DELETE FROM counted; INSERT INTO counted SELECT owner_id, $2 - $1 FROM event", "multiple commands"),
        (SCHEMA, "DELETE FROM counted WHERE events > $2 - $1; END; DELETE FROM words; SELECT 1", "multiple commands"),
        (SCHEMA, "DO $$ BEGIN RESET ROLE; DELETE FROM words; END $$", "DO"),
        (SCHEMA, "SET LOCAL ROLE convoledger_app", "SET"),
        (SCHEMA, "SELECT set_config('role', 'none', true), $1, $2", "set_config"),
        (SCHEMA, "SELECT query_to_xml('SELECT * FROM words', true, true, ''), $1, $2", "query_to_xml"),
        (SCHEMA, "SELECT pg_advisory_xact_lock(7163664893726287 + $1 - $2)", "pg_advisory_xact_lock"),
        (SCHEMA, "INSERT INTO counted SELECT gen_random_uuid(), $2 - $1", "gen_random_uuid"),
        (
            SCHEMA,
            "INSERT INTO counted SELECT owner_id, extract(epoch FROM now())::bigint + $2 - $1 FROM event",
            "now()",
        ),
        (
            SCHEMA,
            "INSERT INTO counted SELECT owner_id, extract(epoch FROM CURRENT_TIMESTAMP)::bigint + $2 - $1 FROM event",
            "CURRENT_TIMESTAMP",
        ),
        (SCHEMA, "INSERT INTO nowhere SELECT $1, $2", "nowhere"),
        ("CREATE TABLE counted AS SELECT * FROM words", APPLY, "CREATE TABLE (without AS)"),
        ("DROP TABLE event", APPLY, "DROP TABLE"),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", APPLY, "CREATE FUNCTION"),
        (
            "CREATE TABLE counted (owner_id uuid PRIMARY KEY, events bigint DEFAULT pg_backend_pid())",
            APPLY,
            "pg_backend_pid",
        ),
        ("CREATE TABLE vault.counted (owner_id uuid PRIMARY KEY, events bigint)", APPLY, "permission denied"),
        ("CREATE TABLE (", APPLY, "schema.sql"),
    ];
    for (schema, apply, reason) in malicious {
        let one = mine(schema, apply);
        let refused = one.check(&pool).await;
        let Err(FoldError::Unfit { file, what, .. }) = &refused else { panic!("`{schema}` `{apply}`: {refused:?}") };
        assert!(format!("{file} {what}").contains(reason), "{file}: {what}");
        assert!(matches!(one.create(&pool).await, Err(FoldError::Unfit { .. })), "nor is it made");
    }
    assert_eq!(number(&pool, "SELECT count(*) FROM event").await, whole);
    assert!(number(&pool, "SELECT count(*) FROM event WHERE body <> '{}'").await > 0);
    assert_eq!(schemas(&pool).await, 0, "nothing is left of a check");
    mine(SCHEMA, APPLY).check(&pool).await.expect("what only folds is fit");
}

#[tokio::test]
async fn one_that_never_ends_is_stopped_and_the_server_and_other_views_go_on() {
    let database = fresh().await;
    let pool = database.pool(10);
    let last = chat(0).write(&pool).await.1;
    // On no events it ends at once; so the check does not find it out.
    let endless = "INSERT INTO counted WITH RECURSIVE n AS (SELECT 0 AS n UNION ALL SELECT 0 FROM n) \
                   SELECT owner_id, (SELECT sum(n) FROM n) FROM event WHERE position > $1 AND position <= $2";
    let (_never, head_seen) = watch::channel(last);
    let engine = Engine::start(pool.clone(), &[mine(SCHEMA, endless), CONVERSATION], &head_seen, &closed());
    engine.wait("conversation", last, Duration::from_secs(5)).await.expect("the other goes on");
    let told = tokio::time::timeout(Duration::from_secs(90), async {
        loop {
            let status = engine.status().await.expect("told").remove(0);
            if let (State::Failed, Some(error)) = (status.state, status.error) {
                return error;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    });
    let error = told.await.expect("it is stopped");
    assert!(error.contains("statement timeout"), "{error}");
    engine.stop().await;
}

#[tokio::test]
async fn one_whose_rows_depend_on_the_division_is_found_out() {
    let database = fresh().await;
    let pool = database.pool(10);
    chat(30).write(&pool).await;
    let overwrites = APPLY.replace("was.events + excluded.events", "excluded.events");
    let trial = mine(SCHEMA, overwrites.leak()).trial(&pool, &Closed, 1_000).await.expect("it folds");
    let (division, differences) = trial.differs.expect("it differs");
    assert_eq!((division, &*differences[0].table), ("in ranges of 1 to 97 events", "counted"));
    assert_eq!((differences[0].only_live.len(), differences[0].only_new.len()), (1, 1));
}

#[tokio::test]
async fn one_that_reads_words_is_given_them_and_kept_out_of_the_logs() {
    let stand = Stand::new().await;
    let actor = stand.actor("a@example.org").await;
    let conversation = started(&stand.service, actor).await;
    done(&stand.service, actor, order(conversation, [say("four words are said"), say("two more")])).await;
    let directory = tempfile::tempdir().expect("a directory");
    let folder = own::write_new(directory.path(), "lengths").expect("written");
    fs::write(folder.join("manifest.json"), r#"{"answers": "How long is what is said?", "reads": "words"}"#)
        .expect("it");
    fs::write(folder.join("schema.sql"), "CREATE TABLE long (position bigint PRIMARY KEY, text text)").expect("it");
    let apply = "INSERT INTO long SELECT position, text FROM unnest($3, $4, $5) AS said (position, part, text) \
                 WHERE position > $1 AND position <= $2;";
    fs::write(folder.join("apply.sql"), apply).expect("it");
    let lengths = own::read(&folder).expect("read");
    let (log, pool) = (stand.service.log(), stand.service.log().pool());
    let words = opener(log, stand.service.vault());
    assert_eq!(lengths.trial(pool, &*words, 100).await.expect("fit").differs, None);
    let engine = Engine::start(pool.clone(), &[lengths], &log.tail().head(), &words);
    engine.wait("lengths", log.head().await.expect("it"), Duration::from_secs(5)).await.expect("folded");
    assert_eq!(number(pool, "SELECT sum(length(text))::bigint FROM lengths.long").await, 27);
    let unlogged = "SELECT count(*) FROM pg_class WHERE relname = 'long' AND relpersistence = 'u'";
    assert_eq!(number(pool, unlogged).await, 1);
    engine.stop().await;
}

#[tokio::test]
async fn an_event_that_does_not_fold_is_left_out_when_somebody_says_so_and_in_every_rebuild() {
    let stand = Stand::new().await;
    let (service, actor) = (&stand.service, stand.actor("a@example.org").await);
    let conversation = started(service, actor).await;
    let poison = done(service, actor, order(conversation, [say("one")])).await.position;
    done(service, actor, order(conversation, [say("two")])).await;
    stand.folded(actor).await;
    stand.poison(poison).await;
    let stuck = tokio::time::timeout(Duration::from_secs(20), async {
        while service.projections().await.expect("told").iter().all(|view| view.status.state != State::Failed) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    stuck.await.expect("it stands still");

    let skip = |name: &'static str, position, reason: &str| service.skip(name, position, reason.to_owned());
    assert!(
        skip("conversation", poison.next(), "why").await.expect_err("it is another").to_string().contains("stands")
    );
    assert!(skip("nothing", poison, "why").await.expect_err("no such view").to_string().contains("nothing"));
    assert!(skip("conversation", poison, "").await.expect_err("no reason").to_string().contains("reason"));
    let recorded = skip("conversation", poison, "the branch is broken").await.expect("recorded").expect("new");
    assert_eq!(skip("conversation", poison, "again").await.expect("so already"), None);
    let went_on = tokio::time::timeout(Duration::from_secs(40), async {
        while service.caught_up(actor, "conversation", Some(recorded)).await.is_err() {}
    });
    went_on.await.expect("it goes on by itself");
    let pool = service.log().pool();
    let messages = "SELECT message_count FROM conversation.conversation";
    assert_eq!(number(pool, messages).await, 1);
    // Nor does the past have it, by a server that never asks whether the view says the same.
    let was = stand.unread().conversations(actor, &[conversation], recorded).await.expect("read");
    assert_eq!(was[0].message_count, 1);

    let rebuild = Rebuild {
        projection: &VIEW,
        pool,
        opener: &Closed,
        throttle: None,
        strands: 1,
        stop: CancellationToken::new(),
    };
    let rebuilt = rebuild.replace(|_, _| {}).await.expect("rebuilt without that event");
    assert_eq!((rebuilt.position, rebuilt.differences), (recorded, Some(Vec::new())));
    assert_eq!(number(pool, messages).await, 1);
}

fn mine(schema: &'static str, apply: &'static str) -> Projection {
    Projection { own: true, ..Projection::of_facts("mine", schema, "", apply) }
}

async fn number(pool: &PgPool, counted: &'static str) -> i64 {
    sqlx::query_scalar(counted).fetch_one(pool).await.expect(counted)
}

async fn schemas(pool: &PgPool) -> i64 {
    number(pool, "SELECT count(*) FROM pg_namespace WHERE nspname ~ '^(mine|roles)'").await
}
