//! What must hold after healing, each against the database itself.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use convoledger::clock::Clock;
use convoledger::event::{AccountId, CommandId, OwnerId};
use futures::future::join_all;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Executor as _, PgConnection};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::wire::{self, Told};
use super::workload::{Asked, Desk, History};

/// How long the views may take to show all of the log after the last fault.
const FOLDED_WITHIN: Duration = Duration::from_secs(30);
/// How long a session may sit in a transaction without doing anything.
const IDLE_MAX: Duration = Duration::from_secs(3);
/// The places in the program's pool for reads (`src/cli/open.rs`).
const READERS: usize = 8;
/// How long whatever is asked of a whole pool may take.
const ANSWERED_WITHIN: Duration = Duration::from_secs(8);

/// C1: positions are 1…N and each stream's versions 1…n. Returns N.
pub async fn log_is_dense(database: &mut PgConnection) -> i64 {
    let sql =
        "SELECT count(*), count(DISTINCT position), coalesce(min(position), 1), coalesce(max(position), 0) FROM event";
    let (count, distinct, first, last): (i64, i64, i64, i64) =
        sqlx::query_as(sql).fetch_one(&mut *database).await.expect("the log");
    assert_eq!((count, distinct, first), (last, last, 1), "positions have a gap or a repeat");
    let sql = "SELECT stream_id FROM event GROUP BY owner_id, stream_id \
               HAVING min(version) <> 1 OR max(version) <> count(*) OR count(DISTINCT version) <> count(*)";
    let torn: Vec<Uuid> = sqlx::query_scalar(sql).fetch_all(database).await.expect("the log");
    assert!(torn.is_empty(), "streams whose versions have a gap or a repeat: {torn:?}");
    last
}

/// C2 and C3: every acknowledged append is there, once, where it was told to be; no command is there twice, and nothing
/// is there in its callers' name that they did not ask for.
pub async fn acknowledged_is_there_once(database: &mut PgConnection, history: &History) {
    let sql = "SELECT owner_id, command_id, position, id, stream_id FROM event WHERE kind = 'message.appended'";
    let rows: Vec<(Uuid, Uuid, i64, Uuid, Uuid)> = sqlx::query_as(sql).fetch_all(database).await.expect("the log");
    let mut held: HashMap<(Uuid, Uuid), (i64, Uuid, Uuid)> = HashMap::new();
    let callers: HashSet<_> = history.asked().iter().filter_map(|asked| wire::owner(&asked.conversation)).collect();
    for (owner, command, position, id, stream) in rows.into_iter().filter(|row| callers.contains(&row.0)) {
        let twin = held.insert((owner, command), (position, id, stream));
        assert_eq!(twin, None, "a command went in twice, the second time at {position}");
    }
    for asked in history.asked().iter() {
        let (position, message) = done(asked);
        let owner = wire::owner(&asked.conversation).expect("an id");
        let command = CommandId::of(OwnerId(owner), AccountId(owner), &asked.command).0;
        let stream = wire::named(&asked.conversation).expect("an id");
        assert_eq!(held.remove(&(owner, command)), Some((position, message, stream)), "{asked:?}");
    }
    assert!(held.is_empty(), "messages that no caller was told of: {held:?}");
}

/// C2: what is there is what was said. `events` are all of the ledger, opened.
pub fn words_are_as_said(events: &[(i64, Value)], history: &History) {
    let words: HashMap<i64, String> = events.iter().map(|(position, words)| (*position, words.to_string())).collect();
    for asked in history.asked().iter() {
        let said = words.get(&done(asked).0);
        assert!(said.is_some_and(|said| said.contains(&format!("\"{}\"", asked.text))), "{asked:?} reads {said:?}");
    }
}

/// C4: who asked after another was told comes after it in the log.
pub fn order_is_that_of_time(history: &History) {
    let asked = history.asked();
    let mut by_start: Vec<_> = asked.iter().collect();
    by_start.sort_by_key(|asked| asked.invoked);
    let mut by_end = by_start.clone();
    by_end.sort_by_key(|asked| asked.completed);
    let (mut ended, mut newest) = (by_end.into_iter().peekable(), 0);
    for asked in by_start {
        while let Some(before) = ended.next_if(|before| before.completed < asked.invoked) {
            newest = newest.max(done(before).0);
        }
        assert!(done(asked).0 > newest, "{asked:?} was asked for when {newest} was already told");
    }
}

/// C5: a subscriber saw the owner's events, each once and in order, and nothing that is not there.
pub async fn seen_is_the_log(database: &mut PgConnection, owner: Uuid, seen: &[(i64, Uuid)]) {
    assert!(seen.windows(2).all(|pair| pair[0].0 < pair[1].0), "the subscriber saw an event again, or out of order");
    let sql = "SELECT position, id FROM event WHERE owner_id = $1 ORDER BY position";
    let held: Vec<(i64, Uuid)> = sqlx::query_as(sql).bind(owner).fetch_all(database).await.expect("the log");
    let (seen, held): (HashSet<_>, HashSet<_>) = (seen.iter().collect(), held.iter().collect());
    let vanished: Vec<_> = seen.difference(&held).collect();
    let missed: Vec<_> = held.difference(&seen).collect();
    assert!(
        vanished.is_empty() && missed.is_empty(),
        "seen and not there: {vanished:?}; there and not seen: {missed:?}"
    );
}

/// The newest position.
pub async fn head(database: &mut PgConnection) -> i64 {
    sqlx::query_scalar("SELECT coalesce(max(position), 0) FROM event").fetch_one(database).await.expect("the log")
}

/// Waits until a view has come to `position`.
pub async fn comes_to(database: &mut PgConnection, view: &str, position: i64) {
    let progress = format!("SELECT position FROM {view}.progress WHERE position >= $1");
    loop {
        let there = sqlx::query(AssertSqlSafe(progress.clone())).bind(position).fetch_optional(&mut *database).await;
        if matches!(there, Ok(Some(_))) {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// C6, as `rebuild --json` tells it: no row that was live was another than the log folds to.
pub fn rebuilt_is_live(done: &Value) {
    let views = done["rebuilt"].as_array().expect("a list");
    assert!(!views.is_empty());
    for view in views {
        assert!(view["differences"].as_array().is_none_or(Vec::is_empty), "{view}");
    }
}

/// The position of an owner's last event.
pub async fn last_of(database: &mut PgConnection, owner: Uuid) -> i64 {
    let sql = "SELECT max(position) FROM event WHERE owner_id = $1";
    sqlx::query_scalar(sql).bind(owner).fetch_one(database).await.expect("the log")
}

/// C6, one side of it: all rows of a view, once it has come to `head`.
pub async fn rows_of_view(database: &mut PgConnection, view: &str, head: i64) -> BTreeMap<String, Vec<String>> {
    let began = Clock::instant();
    let progress = format!("SELECT position FROM {view}.progress");
    loop {
        let position: Result<i64, _> =
            sqlx::query_scalar(AssertSqlSafe(progress.clone())).fetch_one(&mut *database).await;
        match position {
            Ok(position) if position == head => break,
            position => assert!(began.elapsed() < FOLDED_WITHIN, "the view has come to {position:?}, not to {head}"),
        }
        sleep(Duration::from_millis(20)).await;
    }
    let tables = "SELECT tablename::text FROM pg_tables WHERE schemaname = $1 AND tablename <> 'progress'";
    let tables: Vec<String> = sqlx::query_scalar(tables).bind(view).fetch_all(&mut *database).await.expect("tables");
    let mut rows = BTreeMap::new();
    for table in tables {
        let sql = format!("SELECT r::text FROM {view}.{table} AS r ORDER BY 1");
        let found: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut *database).await.expect("rows");
        rows.insert(table, found);
    }
    assert!(rows.values().any(|found| !found.is_empty()), "the view `{view}` is empty");
    rows
}

/// C10: whatever was asked for came to one answer, and another text under its name to none.
pub fn each_has_one_answer(history: &History) {
    for asked in history.asked().iter() {
        let first = done(asked);
        let firsts = asked.told.iter().filter(|told| matches!(told, Told::Done { repeated: false, .. })).count();
        assert!(firsts <= 1, "two copies were told that they were the first: {asked:?}");
        for told in &asked.told {
            assert!(
                matches!(told, Told::Done { position, message, .. } if (*position, *message) == first),
                "{asked:?}"
            );
        }
        let refused = |told: &Told| matches!(told, Told::Refused { reason } if reason == "NAME_REUSED");
        assert!(asked.impostor.as_ref().is_none_or(refused), "{asked:?}");
    }
}

/// C11: no session sits in a transaction.
pub async fn nobody_sits_in_a_transaction(database: &mut PgConnection) {
    let sql = "SELECT pid, xact_start::text FROM pg_stat_activity \
               WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    let sitting: Vec<(i32, String)> = sqlx::query_as(sql).fetch_all(&mut *database).await.expect("sessions");
    if sitting.is_empty() {
        return;
    }
    sleep(IDLE_MAX).await;
    let later: Vec<(i32, String)> = sqlx::query_as(sql).fetch_all(database).await.expect("sessions");
    let still: Vec<_> = sitting.iter().filter(|one| later.contains(one)).collect();
    assert!(still.is_empty(), "sessions idle in a transaction for more than {IDLE_MAX:?}: {still:?}");
}

/// C11, the other side: every place in the pool for reads can be had. Once more reads are asked than it has places, so
/// many of them stand in Postgres before a view that is held shut; and when it opens all are answered, and an append too.
pub async fn pool_is_whole(database: &mut PgConnection, desk: &Desk, conversation: &str) {
    let address = *desk.address.borrow();
    for round in 0..3 {
        // It waits until the view shows what was appended, whose fold could not get through either.
        desk.caller.list(address).await.expect("a list");
        database.execute("BEGIN; LOCK conversation.conversation").await.expect("the view is held shut");
        let caller = desk.caller.clone();
        let reads = async move { join_all((0..READERS + READERS / 2).map(|_| caller.list(address))).await };
        let reads = tokio::spawn(timeout(ANSWERED_WITHIN, reads));
        let (began, mut waiting) = (Clock::instant(), 0);
        while waiting < READERS && began.elapsed() < ANSWERED_WITHIN / 2 {
            sleep(Duration::from_millis(10)).await;
            waiting = waiting_to_read(database).await;
        }
        database.execute("ROLLBACK").await.expect("the view is open");
        assert_eq!(waiting, READERS, "the pool for reads has lost places");
        let answered = reads.await.expect("no panic").expect("all reads are answered in time");
        assert!(answered.iter().all(Option::is_some), "a read of a whole pool failed");
        let text = format!("whole-{round}");
        let append = desk.say(conversation, &text, &text);
        timeout(ANSWERED_WITHIN, append).await.expect("an append is answered in time");
    }
}

/// How many sessions wait to read the view. Folds, which write, wait for another lock.
async fn waiting_to_read(database: &mut PgConnection) -> usize {
    let sql = "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessShareLock' \
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
               AND relation = 'conversation.conversation'::regclass";
    let waiting: i64 = sqlx::query_scalar(sql).fetch_one(database).await.expect("locks");
    usize::try_from(waiting).expect("a count")
}

/// Where and as what it was told to have gone in.
fn done(asked: &Asked) -> (i64, Uuid) {
    match asked.told.first() {
        Some(Told::Done { position, message, .. }) => (*position, *message),
        _ => panic!("it was not carried out: {asked:?}"),
    }
}

mod tests {
    use super::*;

    /// A history of one message, told to be at each of `positions`, and of one at 5 that was asked for when it was over.
    fn history(positions: &[i64]) -> History {
        let history = History::default();
        for told in [positions, &[5]] {
            let told = told.iter().enumerate().map(|(nth, position)| {
                let message = Uuid::from_u128(u128::from(position.unsigned_abs()));
                Told::Done { position: *position, message, repeated: nth > 0 }
            });
            history.asked().push(Asked {
                conversation: String::new(),
                command: String::new(),
                text: String::new(),
                invoked: Clock::instant(),
                completed: Clock::instant(),
                told: told.collect(),
                impostor: None,
            });
        }
        history
    }

    #[test]
    fn one_answer_in_order_passes() {
        each_has_one_answer(&history(&[4, 4]));
        order_is_that_of_time(&history(&[4]));
    }

    #[test]
    #[should_panic(expected = "Asked")]
    fn a_repeat_with_another_answer_is_found() {
        each_has_one_answer(&history(&[2, 3]));
    }

    #[test]
    #[should_panic(expected = "was already told")]
    fn an_append_before_what_was_told_is_found() {
        order_is_that_of_time(&history(&[6]));
    }
}
