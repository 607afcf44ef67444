//! Opened projections: their folds are given what was said, and their rows are kept out of everything that is logged.

use std::time::Duration;

use convoledger::event::Position;
use convoledger::ledger::Act;
use convoledger::projection::{Engine, Projection};
use sqlx::PgPool;

use crate::support::service::{Stand, done, opener, order, say, started};

const HEARD: Projection = Projection::of_words(
    "heard",
    "-- What was said?\nCREATE TABLE heard (position bigint, text text) PARTITION BY HASH (position); \
     CREATE TABLE heard_0 PARTITION OF heard FOR VALUES WITH (MODULUS 1, REMAINDER 0);",
    "CREATE INDEX heard_upper ON heard (upper(text), position)",
    "INSERT INTO heard SELECT position, text FROM event JOIN unnest($3, $4, $5) AS said (position, part, text) \
     USING (position) WHERE position > $1 AND position <= $2 AND part = 0",
);

#[tokio::test]
async fn a_fold_is_given_what_was_said_and_a_crash_that_empties_its_tables_only_makes_it_fold_again() {
    let stand = Stand::new().await;
    let actor = stand.actor("a@example.org").await;
    let conversation = started(&stand.service, actor).await;
    let acts = [say("one"), say("two\0"), Act::SetTitle { title: "three".into() }, Act::Favorite];
    done(&stand.service, actor, order(conversation, acts)).await;
    let (log, pool) = (stand.service.log(), stand.service.log().pool());
    let engine = Engine::start(pool.clone(), &[HEARD], &log.tail().head(), &opener(log, stand.service.vault()));
    let head = log.head().await.expect("a head");
    let whole = ["one", "two\u{fffd}", "three"];
    assert_eq!(heard(pool, &engine, head).await, whole);

    // What the folder leaves out: no row in the write-ahead log, no sample of words in the catalog.
    let logged = "SELECT count(*) FROM pg_class WHERE relnamespace = 'heard'::regnamespace AND relkind IN ('r', 'i') \
                  AND relpersistence <> 'u'";
    assert_eq!(count(pool, logged).await, 0);
    sqlx::query("ANALYZE heard.heard").execute(pool).await.expect("analysed");
    let sampled = "SELECT count(*) FROM pg_stats WHERE schemaname = 'heard' AND attname <> 'position'";
    assert_eq!(count(pool, sampled).await, 0);
    let counted = "SELECT count(*) FROM pg_stats WHERE schemaname = 'heard' AND attname = 'position'";
    assert!(count(pool, counted).await > 0, "what holds no words is still counted");

    // As Postgres leaves unlogged tables after a crash.
    sqlx::query("TRUNCATE heard.heard, heard.progress").execute(pool).await.expect("emptied");
    done(&stand.service, actor, order(conversation, [say("four")])).await;
    let head = log.head().await.expect("a head");
    assert_eq!(heard(pool, &engine, head).await, [&whole[..], &["four"]].concat());
    engine.stop().await;
}

async fn heard(pool: &PgPool, engine: &Engine, head: Position) -> Vec<String> {
    engine.wait("heard", head, Duration::from_secs(10)).await.expect("folded");
    let texts = sqlx::query_scalar("SELECT text FROM heard.heard ORDER BY position");
    texts.fetch_all(pool).await.expect("rows")
}

async fn count(pool: &PgPool, counted: &'static str) -> i64 {
    sqlx::query_scalar(counted).fetch_one(pool).await.expect("a count")
}
