//! Rebuilds: what is put in place is what the log folds to, whoever reads, appends, stops or dies meanwhile.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use convoledger::event::Position;
use convoledger::projection::{
    CONVERSATION, Closed, Engine, FoldError, Projection, Range, Rebuild, RebuildError, Rebuilt,
};
use convoledger::view::conversation;
use futures::StreamExt as _;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use sqlx::{AssertSqlSafe, PgPool};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::history::{History, asked, chat, head, write};
use crate::support::postgres::fresh;
use crate::support::service::closed;

static VIEW: Projection = CONVERSATION;

type Rows = BTreeMap<String, Vec<String>>;

#[tokio::test]
async fn what_is_put_in_place_is_what_was_live_and_the_former_rows_come_back() {
    let database = fresh().await;
    let pool = database.pool(10);
    let last = any_history(600).write(&pool).await.1;
    fold(&pool, last).await;
    let live = rows(&pool, "conversation").await;

    let rebuilt = rebuild(&pool).replace(|_, _| {}).await.expect("rebuilt");
    assert_eq!(rebuilt, Rebuilt { position: last, outdated: false, differences: Some(Vec::new()) });
    assert_eq!(rows(&pool, "conversation").await, live);
    assert_eq!(rows(&pool, "conversation_old").await, live);
    assert_eq!(indexes(&pool, "conversation").await, indexes(&pool, "conversation_old").await);

    change(&pool, "UPDATE conversation.conversation SET favorited = true, message_count = 7").await;
    let drifted = rows(&pool, "conversation").await;
    rebuild(&pool).roll_back().await.expect("rolled back");
    assert_eq!((rows(&pool, "conversation").await, rows(&pool, "conversation_old").await), (live.clone(), drifted));
    assert!(rebuild(&pool).drop_old().await.expect("dropped"));
    assert!(!rebuild(&pool).drop_old().await.expect("nothing to drop"));
    assert!(matches!(rebuild(&pool).roll_back().await, Err(RebuildError::NothingOld { .. })));

    // Whatever is live goes on from where it is.
    let last = chat(3).write(&pool).await.1;
    fold(&pool, last).await;
    let compared = rebuild(&pool).compare(|_, _| {}).await.expect("compared");
    assert_eq!(compared, Rebuilt { position: last, outdated: false, differences: Some(Vec::new()) });
    assert_eq!(schemas(&pool).await, ["conversation"]);
}

#[tokio::test]
async fn without_any_live_rows_all_of_the_log_is_folded() {
    let database = fresh().await;
    let pool = database.pool(10);
    let last = chat(40).write(&pool).await.1;
    let rebuilt = rebuild(&pool).replace(|_, _| {}).await.expect("rebuilt");
    assert_eq!(rebuilt, Rebuilt { position: last, outdated: false, differences: None });
    assert_eq!(rows(&pool, "conversation").await["conversation"].len(), 1);
}

#[tokio::test]
async fn a_row_that_drifted_is_found_named_and_mended() {
    let database = fresh().await;
    let pool = database.pool(10);
    let last = chat(40).write(&pool).await.1;
    fold(&pool, last).await;
    let live = rows(&pool, "conversation").await;
    change(&pool, "UPDATE conversation.conversation SET message_count = 39").await;
    change(&pool, "DELETE FROM conversation.branch").await;

    for replace in [false, true] {
        let rebuild = rebuild(&pool);
        let rebuilt = if replace { rebuild.replace(|_, _| {}).await } else { rebuild.compare(|_, _| {}).await };
        let differences = rebuilt.expect("compared").differences.expect("there were live rows");
        let found: Vec<_> = differences
            .iter()
            .map(|difference| (difference.table.as_str(), difference.only_live.len(), difference.only_new.len()))
            .collect();
        assert_eq!(found, [("branch", 0, 1), ("conversation", 1, 1)]);
        assert_eq!(rows(&pool, "conversation").await == live, replace, "only a replacement mends");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_and_writers_notice_nothing() {
    let database = fresh().await;
    let pool = database.pool(20);
    let watched = chat(30);
    let (owner, id) = *watched.states.keys().next().expect("a conversation");
    let first = watched.write(&pool).await.1;
    let (grown, head_seen) = watch::channel(first);
    let engine = Arc::new(Engine::start(pool.clone(), &[CONVERSATION], &head_seen, &closed()));
    engine.wait("conversation", first, Duration::from_secs(5)).await.expect("folded");

    let halt = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (pool, halt) = (pool.clone(), Arc::clone(&halt));
        async move {
            let mut conversations = 1;
            while !halt.load(Ordering::Relaxed) {
                grown.send_replace(chat(20).write(&pool).await.1);
                conversations += 1;
            }
            conversations
        }
    });
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (pool, halt) = (pool.clone(), Arc::clone(&halt));
            tokio::spawn(async move {
                let (mut seen, mut reads) = (0_i64, 0);
                while !halt.load(Ordering::Relaxed) {
                    let row = conversation::by_ids(&pool, owner, &[id], Position::LATEST)
                        .await
                        .expect("read")
                        .pop()
                        .expect("it is there");
                    assert_eq!(row.message_count, 30);
                    let all = sqlx::query_scalar("SELECT count(*) FROM conversation.conversation");
                    let all: i64 = all.fetch_one(&pool).await.expect("a count");
                    assert!(all >= seen, "{all} conversations, and {seen} before");
                    (seen, reads) = (all, reads + 1);
                }
                reads
            })
        })
        .collect();
    for _ in 0..8 {
        let rebuilt = rebuild(&pool).replace(|_, _| {}).await.expect("rebuilt");
        assert!(rebuilt.differences.is_none_or(|differences| differences.is_empty()), "a rebuild differed");
    }
    halt.store(true, Ordering::Relaxed);
    let conversations = writer.await.expect("no panic");
    for reader in readers {
        assert!(reader.await.expect("no panic") > 0);
    }
    let last = head(&pool).await;
    engine.wait("conversation", last, Duration::from_secs(20)).await.expect("it goes on in the new rows");
    Arc::into_inner(engine).expect("the last").stop().await;
    let live = rows(&pool, "conversation").await;
    assert_eq!(live["conversation"].len(), conversations);
    change(&pool, "DROP SCHEMA conversation CASCADE").await;
    fold(&pool, last).await;
    assert_eq!(rows(&pool, "conversation").await, live);
}

#[tokio::test]
async fn one_that_is_stopped_or_dropped_midway_goes_on_where_it_was() {
    let database = fresh().await;
    let pool = database.pool(10);
    for _ in 0..90 {
        chat(500).write(&pool).await;
    }
    let last = head(&pool).await;
    fold(&pool, last).await;

    let stop = CancellationToken::new();
    let slow = Rebuild { throttle: NonZeroU32::new(40_000), stop: stop.clone(), ..rebuild(&pool) };
    let stopped = slow.replace(|position, _| {
        if position.0 > 0 {
            stop.cancel();
        }
    });
    let Err(RebuildError::Stopped { position: reached, .. }) = stopped.await else { panic!("it was to stop") };
    assert!(reached.0 > 0 && reached < last, "{reached} of {last}");

    for (patience, strands) in [(1, 1), (3, 3), (9, 1), (27, 2), (40, 5), (81, 1), (160, 2)] {
        let rebuild = Rebuild { strands, ..rebuild(&pool) };
        let _ =
            timeout(Duration::from_millis(patience), rebuild.replace(|position, _| assert!(position >= reached))).await;
        sleep(Duration::from_millis(20)).await;
        let live: i64 =
            sqlx::query_scalar("SELECT position FROM conversation.progress").fetch_one(&pool).await.expect("live");
        assert_eq!(Position(live), last, "readers see whole rows only");
    }
    let rebuilt = rebuild(&pool).replace(|_, _| {}).await.expect("rebuilt");
    assert_eq!((rebuilt.position, rebuilt.differences), (last, Some(Vec::new())));
}

#[tokio::test]
async fn rows_of_another_folder_are_replaced_and_may_differ() {
    let seen = |apply| {
        Projection::of_facts("seen", "-- Which events were folded?\nCREATE TABLE seen (position bigint);", "", apply)
    };
    let one = seen("INSERT INTO seen SELECT position FROM event WHERE position > $1 AND position <= $2");
    let two = seen("INSERT INTO seen SELECT -position FROM event WHERE position > $1 AND position <= $2");
    let database = fresh().await;
    let pool = database.pool(10);
    let last = chat(4).write(&pool).await.1;
    one.create(&pool).await.expect("created");
    one.fold(&pool, &Range::of_facts(Position(0), last)).await.expect("folded");
    let newer = Rebuild { projection: &two, ..rebuild(&pool) };
    let rebuilt = newer.replace(|_, _| {}).await.expect("rebuilt");
    assert!(rebuilt.outdated);
    let differences = rebuilt.differences.expect("compared");
    assert_eq!((differences[0].only_live.len(), differences[0].only_new.len()), (5, 5));
    // Back to the former rows, which their own fold goes on with.
    newer.roll_back().await.expect("rolled back");
    let more = chat(1).write(&pool).await.1;
    two.fold(&pool, &Range::of_facts(last, more)).await.expect("folded");
    let positions = "SELECT array_agg(position ORDER BY position) FROM seen.seen";
    let positions: Vec<i64> = sqlx::query_scalar(positions).fetch_one(&pool).await.expect("rows");
    assert_eq!(positions, (1..=more.0).collect::<Vec<_>>());
}

/// In however many strands, one after the other and several rebuilds at a time: the rows are those of one fold.
#[test]
fn strands_put_together_are_the_fold_of_all() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let several = prop::collection::vec(1_usize..6, 1..4);
    let histories = (prop::collection::vec(asked(), 1..400), several, any::<bool>());
    let config = ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(&histories, |(acts, several, beside)| {
        runtime.block_on(async {
            let database = fresh().await;
            let pool = database.pool(20);
            let last = History::of(acts).write(&pool).await.1;
            fold(&pool, last).await;
            let live = rows(&pool, "conversation").await;
            let rebuilds = several.iter().map(async |&strands| {
                let rebuild = Rebuild { strands, ..rebuild(&pool) };
                rebuild.replace(|position, head| assert!(position <= head)).await
            });
            let outcomes = if beside {
                futures::future::join_all(rebuilds).await
            } else {
                futures::stream::iter(rebuilds).then(|rebuild| rebuild).collect().await
            };
            let rebuilt: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).collect();
            prop_assert!(!rebuilt.is_empty() && (beside || rebuilt.len() == several.len()), "{:?}", outcomes);
            for rebuilt in rebuilt {
                prop_assert_eq!(rebuilt.position, last);
                prop_assert!(rebuilt.differences.as_ref().is_none_or(Vec::is_empty), "{:?}", rebuilt);
            }
            prop_assert_eq!(rows(&pool, "conversation").await, live);
            let strands = schemas(&pool).await.into_iter().filter(|schema| schema.contains("_strand_"));
            prop_assert_eq!(strands.count(), 0);
            Ok(())
        })
    });
    outcome.expect("whatever happened");
}

/// Each strand counts a share of the log, and none is put in place over a hole.
#[tokio::test]
async fn no_strands_are_put_together_over_a_hole() {
    let database = fresh().await;
    let pool = database.pool(10);
    let told = chat(40).told;
    for hole in [1, 20, 21, 39] {
        write(&pool, Position(0), &told[..hole]).await;
        let missing = Position(i64::try_from(hole).expect("few") + 1);
        write(&pool, missing, &told[hole..]).await;
        for _ in 0..2 {
            let rebuilt = Rebuild { strands: 2, ..rebuild(&pool) }.replace(|_, _| {}).await;
            let Err(RebuildError::Fold(FoldError::Hole { first, last, expected: 1, held: 0, .. })) = rebuilt else {
                panic!("{rebuilt:?}")
            };
            assert_eq!((first, last), (missing, missing), "it is named");
        }
        assert!(!schemas(&pool).await.contains(&"conversation".into()));
        let clear = "DROP SCHEMA conversation_next CASCADE; ALTER TABLE event DISABLE TRIGGER ALL; DELETE FROM event; \
                     ALTER TABLE words DISABLE TRIGGER ALL; DELETE FROM words";
        sqlx::raw_sql(clear)
            .execute(&mut database.connect_as_owner().await.expect("the owner"))
            .await
            .expect("cleared");
    }
    write(&pool, Position(0), &told).await;
    let rebuilt = Rebuild { strands: 2, ..rebuild(&pool) }.replace(|_, _| {}).await.expect("rebuilt");
    assert_eq!(rebuilt.position, head(&pool).await);
}

/// What a dead rebuild left behind keeps nobody from another.
#[tokio::test]
async fn strands_without_their_whole_are_cleared_away() {
    let database = fresh().await;
    let pool = database.pool(10);
    let last = chat(40).write(&pool).await.1;
    fold(&pool, last).await;
    let live = rows(&pool, "conversation").await;
    let stop = CancellationToken::new();
    stop.cancel();
    let stopped = Rebuild { strands: 3, stop, ..rebuild(&pool) };
    assert!(matches!(stopped.replace(|_, _| {}).await, Err(RebuildError::Stopped { .. })));
    let parts = [
        "conversation",
        "conversation_next",
        "conversation_strand_0",
        "conversation_strand_1",
        "conversation_strand_2",
    ];
    assert_eq!(schemas(&pool).await, parts);
    change(&pool, "DROP SCHEMA conversation_next CASCADE").await;
    for strands in [1, 2] {
        let rebuilt = Rebuild { strands, ..rebuild(&pool) }.replace(|_, _| {}).await.expect("rebuilt");
        assert_eq!(rebuilt, Rebuilt { position: last, outdated: false, differences: Some(Vec::new()) });
        assert_eq!(rows(&pool, "conversation").await, live);
    }
    assert_eq!(schemas(&pool).await, ["conversation", "conversation_old"]);
}

fn rebuild(pool: &PgPool) -> Rebuild<'_> {
    Rebuild { projection: &VIEW, pool, opener: &Closed, throttle: None, strands: 1, stop: CancellationToken::new() }
}

fn any_history(acts: usize) -> History {
    let mut runner = TestRunner::default();
    let story = prop::collection::vec(asked(), acts).new_tree(&mut runner).expect("a story");
    History::of(story.current())
}

async fn fold(pool: &PgPool, last: Position) {
    CONVERSATION.create(pool).await.expect("created");
    let position: i64 =
        sqlx::query_scalar("SELECT position FROM conversation.progress").fetch_one(pool).await.expect("it");
    CONVERSATION.fold(pool, &Range::of_facts(Position(position), last)).await.expect("folded");
}

async fn rows(pool: &PgPool, schema: &str) -> Rows {
    let mut all = Rows::new();
    for table in ["conversation", "branch", "segment", "message"] {
        let rows = format!("SELECT to_jsonb(t)::text FROM {schema}.{table} AS t ORDER BY 1");
        all.insert(table.into(), sqlx::query_scalar(AssertSqlSafe(rows)).fetch_all(pool).await.expect("rows"));
    }
    all
}

async fn indexes(pool: &PgPool, schema: &str) -> Vec<String> {
    let indexes = "SELECT indexname::text FROM pg_indexes WHERE schemaname = $1 AND tablename <> 'progress' ORDER BY 1";
    sqlx::query_scalar(indexes).bind(schema).fetch_all(pool).await.expect("indexes")
}

async fn schemas(pool: &PgPool) -> Vec<String> {
    let schemas = "SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'conversation%' ORDER BY 1";
    sqlx::query_scalar(schemas).fetch_all(pool).await.expect("schemas")
}

async fn change(pool: &PgPool, statement: &'static str) {
    sqlx::query(statement).execute(pool).await.expect(statement);
}
