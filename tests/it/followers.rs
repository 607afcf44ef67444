//! Several servers fold one view: one of them leads, the others wait for what it does, and any of them takes over.

use std::slice::from_ref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use convoledger::event::Position;
use convoledger::projection::{CONVERSATION, Engine, Folded, Opener, Projection, Range, Said, Strand, Unopened};
use futures::future::BoxFuture;
use sqlx::PgConnection;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::history::{chat, head};
use crate::projection::{SEEN, count};
use crate::support::postgres::fresh;
use crate::support::service::closed;

#[tokio::test]
async fn two_servers_on_one_database_fold_every_event_once() {
    let database = fresh().await;
    let pool = database.pool(10);
    let (grown, head_seen) = watch::channel(Position(0));
    let engines = [(); 2].map(|()| Engine::start(pool.clone(), &[SEEN, CONVERSATION], &head_seen, &closed()));
    for _ in 0..40 {
        let (_, last) = chat(9).write(&pool).await;
        grown.send_replace(last);
        tokio::task::yield_now().await;
    }
    let last = head(&pool).await;
    for engine in &engines {
        engine.wait("seen", last, Duration::from_secs(20)).await.expect("folded");
        engine.wait("conversation", last, Duration::from_secs(20)).await.expect("folded");
    }
    assert_eq!(count(&pool, "seen.seen").await, last.0);
    assert_eq!(count(&pool, "(SELECT DISTINCT position FROM seen.seen) AS s").await, last.0);
    assert_eq!(count(&pool, "conversation.conversation WHERE message_count = 9").await, 40);
    for engine in engines {
        engine.stop().await;
    }
}

#[tokio::test]
async fn a_fold_under_way_is_not_waited_for() {
    let database = fresh().await;
    let pool = database.pool(10);
    SEEN.create(&pool).await.expect("created");
    let (_, last) = chat(5).write(&pool).await;
    let mut first = pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await.expect("begun");
    claimed(&mut first, last).await;
    let range = Range::of_facts(Position(0), last);
    let second = timeout(Duration::from_secs(2), SEEN.fold(&pool, &range)).await.expect("at once");
    assert_eq!(second.expect("no error"), Folded::Elsewhere);
    first.rollback().await.expect("given up");
    assert_eq!(SEEN.fold(&pool, &range).await.expect("folded"), Folded::Done);
}

#[tokio::test]
async fn while_a_view_is_held_no_fold_begins_and_it_is_held_behind_the_fold_under_way() {
    const HOLD: &str = include_str!("../../src/projection/sql/hold.sql");
    let database = fresh().await;
    let pool = database.pool(10);
    SEEN.create(&pool).await.expect("created");
    let (_, last) = chat(5).write(&pool).await;
    let range = Range::of_facts(Position(0), last);
    let mut fold = pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await.expect("begun");
    claimed(&mut fold, last).await;
    let mut holder = pool.begin().await.expect("begun");
    entered(&mut holder).await;
    let mut held = Box::pin(sqlx::query_scalar::<_, i64>(HOLD).fetch_one(&mut *holder));
    assert!(timeout(Duration::from_millis(300), &mut held).await.is_err(), "it did not wait for the fold");
    fold.commit().await.expect("folded");
    assert_eq!(held.await.expect("held"), last.0, "what the fold came to");

    let further = Range::of_facts(last, chat(5).write(&pool).await.1);
    for late in [&range, &further] {
        let folded = timeout(Duration::from_secs(2), SEEN.fold(&pool, late)).await.expect("at once");
        assert_eq!(folded.expect("no error"), Folded::Elsewhere);
    }
    holder.commit().await.expect("let go");
    assert_eq!(SEEN.fold(&pool, &further).await.expect("folded"), Folded::Done);
}

/// Counts how often words are read.
#[derive(Default)]
struct Counted(AtomicUsize);

impl Opener for Counted {
    fn said(&self, _strand: Strand, _after: Position, _last: Position) -> BoxFuture<'_, Result<Said, Unopened>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { Ok(Said::default()) })
    }
}

#[tokio::test]
async fn what_one_server_folds_the_others_hardly_read_and_any_of_them_takes_over() {
    let opened = Projection::of_words(
        "seen",
        "CREATE TABLE seen (position bigint);",
        "",
        "INSERT INTO seen SELECT position FROM event WHERE position > $1 AND position <= $2
         AND cardinality($3::bigint[]) + cardinality($4::smallint[]) + cardinality($5::text[]) = 0",
    );
    let database = fresh().await;
    let pool = database.pool(10);
    opened.create(&pool).await.expect("created");
    let (grown, head_seen) = watch::channel(Position(0));
    let readers = [(); 3].map(|()| Arc::new(Counted::default()));
    let start = |reader: &Arc<Counted>| {
        let opener: Arc<dyn Opener> = Arc::clone(reader) as Arc<dyn Opener>;
        Engine::start(pool.clone(), from_ref(&opened), &head_seen, &opener)
    };
    let mut engines: Vec<Engine> = readers.iter().map(start).collect();
    // A machine that stands still lets a follower believe that the leader does.
    let (mut followers, mut all) = (0, 0);
    for _ in 0..5 {
        for _ in 0..100 {
            let (_, last) = chat(1).write(&pool).await;
            grown.send_replace(last);
            sleep(Duration::from_millis(5)).await;
        }
        let mut reads: Vec<_> = readers.iter().map(|reader| reader.0.swap(0, Ordering::Relaxed)).collect();
        reads.sort_unstable();
        (followers, all) = (reads[0] + reads[1], reads.iter().sum());
        if followers * 4 < all {
            break;
        }
    }
    assert!(followers * 4 < all, "of {all} ranges, followers read {followers}");

    while let Some(engine) = engines.pop() {
        let (_, last) = chat(1).write(&pool).await;
        grown.send_replace(last);
        engine.wait("seen", last, Duration::from_secs(10)).await.expect("folded");
        engine.stop().await;
    }
    let last = head(&pool).await;
    assert_eq!(count(&pool, "seen.seen").await, last.0);
    assert_eq!(count(&pool, "(SELECT DISTINCT position FROM seen.seen) AS s").await, last.0);
}

#[tokio::test]
async fn a_leader_that_hangs_loses_its_row_within_seconds_and_writes_nothing_afterwards() {
    let database = fresh().await;
    let pool = database.pool(10);
    SEEN.create(&pool).await.expect("created");
    let (_, last) = chat(5).write(&pool).await;
    // As the fold begins it, by a server that then stands still.
    let mut hung = pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await.expect("begun");
    claimed(&mut hung, Position(3)).await;

    let (_never, head_seen) = watch::channel(Position(0));
    let engine = Engine::start(pool.clone(), &[SEEN], &head_seen, &closed());
    let began = Instant::now();
    engine.wait("seen", last, Duration::from_secs(10)).await.expect("another one takes over");
    assert!(began.elapsed() > Duration::from_secs(1), "it did not even wait for the leader");
    let late = sqlx::query("INSERT INTO seen SELECT position FROM event WHERE position <= 3").execute(&mut *hung).await;
    assert!(late.is_err(), "a stale leader wrote");
    assert!(hung.commit().await.is_err());
    assert_eq!(count(&pool, "seen.seen").await, last.0);
    engine.stop().await;
}

/// Begins the fold of a range, as a projector does.
async fn claimed(connection: &mut PgConnection, last: Position) {
    entered(connection).await;
    let claim =
        concat!(include_str!("../../src/projection/sql/count.sql"), include_str!("../../src/projection/sql/claim.sql"));
    let known: &[String] = &[];
    let claim = sqlx::query(claim).bind(0_i64).bind(last.0).bind(known).bind([0_u8; 32].as_slice());
    assert!(claim.fetch_optional(connection).await.expect("an answer").is_some(), "claimed");
}

async fn entered(connection: &mut PgConnection) {
    let settings = include_str!("../../src/projection/sql/settings.sql");
    sqlx::query(settings).bind("seen").execute(connection).await.expect("set");
}
