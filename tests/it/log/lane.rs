//! The interleavings that make other event stores skip or tear, one by one, as tests of the lane's SQL.
//!
//! Lock and read of the head in one statement (`… FROM event, pg_advisory_xact_lock(…)`) would fail here: that head is
//! read in a snapshot from before the wait, and the position of whoever was waited for is given out again.

use std::time::Duration;

use convoledger::database::Database;
use convoledger::event::{AccountId, CommandId, EventId, Position};
use convoledger::log::{Answer, AppendError, Expected, Fact, Limits, Log, digest};
use convoledger::random;
use serde_json::json;
use sqlx::{Executor as _, PgConnection, PgPool};
use tokio::task::JoinHandle;

use super::{OWNER, appended, holds, named, noon, open, stream, target, to};
use crate::support::postgres::fresh;
use crate::support::proxy::{Proxy, Weather};

/// What the lane locks; see `migrations/0004_append.sql`.
const LANE: i64 = 7_163_664_893_726_287;
/// What an append waits for before and after each of its writes, and before it commits; see [`BOUNDARIES_SQL`].
const BOUNDARIES: [i64; 5] = [101, 102, 103, 104, 105];
const BOUNDARIES_SQL: &str = "
    CREATE FUNCTION wait_there() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_advisory_xact_lock_shared(TG_ARGV[0]::bigint);
        RETURN NULL;
    END $$;
    CREATE TRIGGER before_event BEFORE INSERT ON event FOR EACH STATEMENT EXECUTE FUNCTION wait_there(101);
    CREATE TRIGGER after_event AFTER INSERT ON event FOR EACH STATEMENT EXECUTE FUNCTION wait_there(102);
    CREATE TRIGGER before_words BEFORE INSERT ON words FOR EACH STATEMENT EXECUTE FUNCTION wait_there(103);
    CREATE TRIGGER after_words AFTER INSERT ON words FOR EACH STATEMENT EXECUTE FUNCTION wait_there(104);
    CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON event DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION wait_there(105);";

/// Calls the lane with one event, in whatever transaction the connection is.
async fn append_by_hand(connection: &mut PgConnection, number: u128) -> Result<Position, sqlx::Error> {
    let fact = Fact {
        owner: OWNER,
        stream: stream(number),
        id: EventId(random::id()),
        command: CommandId(random::id()),
        command_nth: 0,
        command_digest: None,
        actor: AccountId(OWNER.0),
        correlation: None,
        causation: None,
        occurred_at: noon(),
        kind: "test.happened".into(),
        kind_version: 1,
        place: None,
        body: json!({}),
        words_digest: Vec::new(),
    };
    let call = "SELECT answer_head + 1 FROM append(
        true, ARRAY[$1], ARRAY[$2], ARRAY[NULL]::bytea[], ARRAY[1], ARRAY[1], ARRAY[$3], ARRAY[-1],
        ARRAY[(1, 1, 0, $4, $1, NULL, NULL, $5, NULL, NULL, 'test.happened', 1, '{}', NULL, $6)::new_event],
        '{}'::new_words[])";
    let position = sqlx::query_scalar(call)
        .bind(fact.owner.0)
        .bind(fact.command.0)
        .bind(fact.stream.0)
        .bind(fact.id.0)
        .bind(fact.occurred_at)
        .bind(digest::event(&fact).to_vec())
        .fetch_one(connection)
        .await?;
    Ok(Position(position))
}

type Waiting = JoinHandle<Result<Answer, AppendError>>;

fn append_one(log: &Log, number: u128) -> Waiting {
    let log = log.clone();
    tokio::spawn(async move { log.append(to([target(stream(number), Expected::Any, 1)])).await })
}

async fn landed(waiting: Waiting) -> Position {
    match waiting.await.expect("no panic") {
        Ok(Answer::Appended(done)) => done.first,
        answer => panic!("{answer:?}"),
    }
}

/// Waits until somebody waits for an advisory lock, and says who: its process id.
async fn waiter(pool: &PgPool, key: i64) -> i32 {
    let waits = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND (classid::bigint << 32) + objid::bigint = $1 ORDER BY waitstart LIMIT 1";
    loop {
        if let Some(pid) = sqlx::query_scalar(waits).bind(key).fetch_optional(pool).await.expect("an answer") {
            return pid;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn lock(connection: &mut PgConnection, key: i64) {
    sqlx::query("SELECT pg_advisory_lock($1)").bind(key).execute(connection).await.expect("a lock");
}

async fn unlock(connection: &mut PgConnection, key: i64) {
    sqlx::query("SELECT pg_advisory_unlock($1)").bind(key).execute(connection).await.expect("a lock");
}

async fn is_still(log: &Log, head: Position) {
    assert_eq!(log.head().await.expect("a head"), head);
    assert!(log.read_range(head, 10).await.expect("a page").is_empty());
}

#[tokio::test]
async fn behind_an_append_that_is_held_open_others_wait_and_nobody_skips() {
    let database = fresh().await;
    let log = open(&database).await;
    let mut live = log.follow(OWNER, Position(0));
    let mut holder = database.connect_as_owner().await.expect("a connection");
    for (ending, given) in [("COMMIT", 2), ("ROLLBACK", 3), ("COMMIT", 5)] {
        let head = log.head().await.expect("a head");
        holder.execute("BEGIN").await.expect("a transaction");
        assert_eq!(append_by_hand(&mut holder, 1).await.expect("an append"), head.next());
        let waiting = append_one(&log, 2);
        waiter(log.pool(), LANE).await;
        is_still(&log, head).await;
        holder.execute(ending).await.expect("an end");
        assert_eq!(landed(waiting).await, Position(given), "after {ending}");
    }
    let mut seen = Vec::new();
    while seen.len() < 5 {
        seen.extend(live.next().await.expect("events").iter().map(|event| event.position.0));
    }
    assert_eq!(seen, [1, 2, 3, 4, 5]);
    assert_eq!(holds(&log).await, Position(5));
}

#[tokio::test]
async fn the_lane_of_a_process_that_vanished_is_free() {
    let database = fresh().await;
    let log = open(&database).await;
    let mut holder = database.connect_as_owner().await.expect("a connection");
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut holder).await.expect("an id");
    holder.execute("BEGIN").await.expect("a transaction");
    append_by_hand(&mut holder, 1).await.expect("an append");
    let waiting = append_one(&log, 2);
    waiter(log.pool(), LANE).await;
    kill(&mut database.connect_as_owner().await.expect("a connection"), pid).await;
    assert_eq!(landed(waiting).await, Position(1));
}

#[tokio::test]
async fn whoever_holds_the_lane_for_long_delays_appends_and_fails_none() {
    let database = fresh().await;
    let log = open(&database).await;
    let mut holder = database.connect_as_owner().await.expect("a connection");
    lock(&mut holder, LANE).await;
    let waiting = append_one(&log, 1);
    tokio::time::sleep(Duration::from_millis(3_400)).await; // longer than the lane's lock_timeout
    unlock(&mut holder, LANE).await;
    assert_eq!(landed(waiting).await, Position(1));
    assert_eq!(holds(&log).await, Position(1));
}

#[tokio::test]
async fn a_reader_misses_nothing_wherever_an_append_is_held() {
    let database = fresh().await;
    let (here, there) = (open(&database).await, open(&database).await);
    let mut holder = database.connect_as_owner().await.expect("a connection");
    holder.execute(BOUNDARIES_SQL).await.expect("triggers");
    let mut followers = [here.follow(OWNER, Position(0)), there.follow(OWNER, Position(0))];
    let mut head = Position(0);
    for at in [LANE].into_iter().chain(BOUNDARIES) {
        lock(&mut holder, at).await;
        let first = append_one(&here, 1);
        waiter(here.pool(), at).await;
        let second = append_one(&there, 2);
        // Time for a lane that let it past, and for readers to look.
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!first.is_finished() && !second.is_finished(), "held at {at}");
        is_still(&there, head).await;
        unlock(&mut holder, at).await;
        assert_eq!((landed(first).await, landed(second).await), (head.next(), head.next().next()), "held at {at}");
        head = head.next().next();
    }
    for live in &mut followers {
        let mut seen = Vec::new();
        while seen.last() != Some(&head.0) {
            seen.extend(live.next().await.expect("events").iter().map(|event| event.position.0));
        }
        assert_eq!(seen, (1..=head.0).collect::<Vec<_>>());
    }
    assert_eq!(holds(&here).await, head);
}

#[tokio::test]
async fn an_append_whose_connection_is_cut_anywhere_goes_in_once() {
    let database = fresh().await;
    let log = open(&database).await;
    let mut holder = database.connect_as_owner().await.expect("a connection");
    holder.execute(BOUNDARIES_SQL).await.expect("triggers");
    let mut killer = database.connect_as_owner().await.expect("a connection");
    for (at, given) in [LANE].into_iter().chain(BOUNDARIES).zip(1..) {
        lock(&mut holder, at).await;
        let append = append_one(&log, 1);
        let pid = waiter(log.pool(), at).await;
        kill(&mut killer, pid).await;
        unlock(&mut holder, at).await;
        assert_eq!(landed(append).await, Position(given), "cut at {at}");
    }
    assert_eq!(holds(&log).await, Position(6));
}

#[tokio::test]
async fn a_repeat_whose_connection_is_cut_is_still_a_repeat() {
    let database = fresh().await;
    let log = open(&database).await;
    let copy = || named(7, 1, [target(stream(1), Expected::Any, 1)]);
    let first = appended(&log, copy()).await;
    let mut holder = database.connect_as_owner().await.expect("a connection");
    lock(&mut holder, LANE).await;
    let again = tokio::spawn({
        let (log, copy) = (log.clone(), copy());
        async move { log.append(copy).await }
    });
    let pid = waiter(log.pool(), LANE).await;
    kill(&mut database.connect_as_owner().await.expect("a connection"), pid).await;
    unlock(&mut holder, LANE).await;
    let Ok(Answer::Repeated(repeated)) = again.await.expect("no panic") else { panic!("it is another's event") };
    assert_eq!(repeated.first, first.first);
}

#[tokio::test]
async fn an_append_whose_connection_falls_silent_is_asked_for_again_on_another() {
    let database = fresh().await;
    let proxy = Proxy::before(database.owner_options()).await;
    let behind = Database::new(proxy.options(), proxy.options()).await.expect("a database");
    let log = Log::open(database.pool(10), behind.pool(4), Limits::default()).await.expect("the log opens");
    let mut holder = database.connect_as_owner().await.expect("a connection");
    lock(&mut holder, LANE).await;
    let append = append_one(&log, 1);
    waiter(log.pool(), LANE).await;
    proxy.turn(Weather::Silent);
    unlock(&mut holder, LANE).await;
    while log.head().await.expect("a head") < Position(1) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await; // its answer is on its way when others see it
    assert!(!append.is_finished(), "its answer is swallowed");
    proxy.turn(Weather::Clear); // for others: the answer is lost, and its connection stays open
    assert_eq!(landed(append).await, Position(1));
    assert_eq!(holds(&log).await, Position(1));
}

#[tokio::test]
async fn an_append_into_silence_is_unknown_when_patience_ends() {
    let database = fresh().await;
    let proxy = Proxy::before(database.owner_options()).await;
    let behind = Database::new(proxy.options(), proxy.options()).await.expect("a database");
    let limits = Limits { patience: Duration::from_secs(1), ..Limits::default() };
    let log = Log::open(database.pool(10), behind.pool(4), limits).await.expect("the log opens");
    landed(append_one(&log, 1)).await;
    proxy.turn(Weather::Silent);
    let told = tokio::time::timeout(Duration::from_secs(3), append_one(&log, 2)).await.expect("an end of patience");
    assert!(matches!(told.expect("no panic"), Err(AppendError::Unknown { .. })));
}

async fn kill(killer: &mut PgConnection, pid: i32) {
    sqlx::query("SELECT pg_terminate_backend($1)").bind(pid).execute(killer).await.expect("an end");
}

/// Appends are held for a moment at every boundary, transactions are held open and rolled back, the lane is blocked;
/// readers poll, follow here and follow there.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_under_load_see_a_dense_log_grow() {
    let database = fresh().await;
    let (here, there) = (open(&database).await, open(&database).await);
    let mut owner = database.connect_as_owner().await.expect("a connection");
    owner.execute(BOUNDARIES_SQL).await.expect("triggers");
    let slow = "CREATE OR REPLACE FUNCTION wait_there() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_sleep(random() * 0.008); RETURN NULL; END $$";
    owner.execute(slow).await.expect("a slower trigger");
    let writers: Vec<_> = (0..8_u128)
        .map(|writer| {
            let log = if writer % 2 == 0 { here.clone() } else { there.clone() };
            tokio::spawn(async move {
                for _ in 0..12 {
                    appended(&log, to([target(stream(writer), Expected::Any, 1)])).await;
                }
            })
        })
        .collect();
    let by_hand = tokio::spawn(async move {
        for round in 0..20_u64 {
            owner.execute("BEGIN").await.expect("a transaction");
            append_by_hand(&mut owner, 100).await.expect("an append");
            tokio::time::sleep(Duration::from_millis(round % 4 * 3)).await;
            owner.execute(if round % 2 == 0 { "COMMIT" } else { "ROLLBACK" }).await.expect("an end");
        }
    });
    let last = Position(8 * 12 + 10);
    let readers: Vec<_> = (0..6)
        .map(|reader| {
            let log = if reader % 2 == 0 { here.clone() } else { there.clone() };
            tokio::spawn(async move { if reader < 2 { poll(&log, last).await } else { follow(&log, last).await } })
        })
        .collect();
    for task in writers.into_iter().chain([by_hand]) {
        task.await.expect("no panic");
    }
    for reader in readers {
        assert_eq!(reader.await.expect("no panic"), (1..=last.0).collect::<Vec<_>>());
    }
    assert_eq!(holds(&here).await, last);
}

async fn poll(log: &Log, last: Position) -> Vec<i64> {
    let mut seen = vec![];
    while seen.last() != Some(&last.0) {
        let after = "SELECT position FROM event WHERE position > $1 ORDER BY position";
        let after = sqlx::query_scalar(after).bind(seen.last().copied().unwrap_or(0_i64));
        let new: Vec<i64> = after.fetch_all(log.pool()).await.expect("positions");
        seen.extend(new);
    }
    seen
}

async fn follow(log: &Log, last: Position) -> Vec<i64> {
    let mut live = log.follow(OWNER, Position(0));
    let mut seen = Vec::new();
    while seen.last() != Some(&last.0) {
        seen.extend(live.next().await.expect("events").iter().map(|event| event.position.0));
    }
    seen
}

#[tokio::test]
async fn the_lane_refuses_whatever_would_give_positions_out_twice() {
    let database = fresh().await;
    let mut connection = database.connect_as_owner().await.expect("a connection");
    connection.execute("SET synchronous_commit = off").await.expect("a setting");
    let refused = append_by_hand(&mut connection, 1).await.expect_err("a refusal").to_string();
    assert!(refused.contains("synchronous_commit = off"), "{refused}");
    connection.execute("SET synchronous_commit = on").await.expect("a setting");
    for level in ["BEGIN ISOLATION LEVEL REPEATABLE READ", "BEGIN ISOLATION LEVEL SERIALIZABLE"] {
        connection.execute(level).await.expect("a transaction");
        let refused = append_by_hand(&mut connection, 1).await.expect_err("a refusal").to_string();
        assert!(refused.contains("READ COMMITTED"), "{refused}");
        connection.execute("ROLLBACK").await.expect("an end");
    }
    assert_eq!(append_by_hand(&mut connection, 1).await.expect("an append"), Position(1));
}
