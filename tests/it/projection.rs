//! Projections: any division of the log folds to the same rows, which are those of the rules; whatever dies, nothing is
//! folded twice or skipped.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use convoledger::database::Database;
use convoledger::event::{
    BranchNumber, ConversationId, Event, MessageAppended, OwnerId, Place, Position, Rating, Token, Version,
};
use convoledger::ledger::Rated;
use convoledger::projection::{BUILT_IN, CONVERSATION, Engine, FoldError, Folded, Projection, Range, State, status};
use convoledger::view::conversation::Status;
use convoledger::view::{branch, conversation};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use rust_decimal::Decimal;
use sqlx::{AssertSqlSafe, PgPool};
use tokio::sync::watch;

use crate::history::{History, Told, asked, chat, head, spread, write};
use crate::support::fold::folded;
use crate::support::message;
use crate::support::postgres::fresh;
use crate::support::service::closed;

/// A projection that shows whatever it folds twice.
pub const SEEN: Projection =
    seen("seen", "INSERT INTO seen SELECT position FROM event WHERE position > $1 AND position <= $2");

const HEAD: &str = "SELECT coalesce(max(position), 0) FROM event";

pub const fn seen(name: &'static str, apply: &'static str) -> Projection {
    let schema = "-- Which events were folded, and how often?\nCREATE TABLE seen (position bigint);";
    Projection::of_facts(name, schema, "CREATE INDEX seen_position ON seen (position)", apply)
}

#[test]
fn any_division_of_any_history_folds_to_what_the_rules_say() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let database = runtime.block_on(fresh());
    let pool = runtime.block_on(async { database.pool(10) });
    let histories = (prop::collection::vec(asked(), 1..120), prop::collection::vec(1..25_i64, 1..12));
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() });
    let outcome = runner.run(&histories, |(asked, cuts)| {
        runtime.block_on(async {
            let history = History::of(asked);
            let (before, last) = history.write(&pool).await;
            spread(&database, before).await;
            for projection in BUILT_IN {
                let whole = folded(projection, &pool, before, last, &[i64::MAX]).await;
                prop_assert_eq!(&whole, &folded(projection, &pool, before, last, &[1]).await, "one by one");
                prop_assert_eq!(&whole, &folded(projection, &pool, before, last, &cuts).await, "in {:?}", cuts);
            }
            for ((owner, id), expected) in Expected::of(&history, before) {
                prop_assert_eq!(Expected::read(&pool, owner, id).await, expected);
            }
            Ok(())
        })
    });
    outcome.expect("every history");
}

#[tokio::test]
async fn a_fold_that_is_killed_before_its_commit_leaves_nothing() {
    const SLOW: Projection = seen(
        "slow",
        "WITH put AS (INSERT INTO seen SELECT position FROM event WHERE position > $1 AND position <= $2) \
         SELECT pg_sleep(60)",
    );
    let database = fresh().await;
    let pool = database.pool(10);
    let (before, last) = chat(3).write(&pool).await;
    SLOW.create(&pool).await.expect("created");
    let fold = tokio::spawn({
        let pool = pool.clone();
        async move { SLOW.fold(&pool, &Range::of_facts(before, last)).await }
    });
    let kill =
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)' AND state = 'active'";
    while sqlx::query(kill).fetch_optional(&pool).await.expect("the server answers").is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(matches!(fold.await.expect("no panic"), Err(FoldError::Database { .. })));
    assert_eq!(count(&pool, "slow.seen").await, 0);
    assert_eq!(count(&pool, "slow.progress WHERE position = 0").await, 1);
}

#[tokio::test]
async fn who_waits_sees_what_another_server_appended_without_being_told() {
    let database = fresh().await;
    let pool = database.pool(10);
    let (_never, head_seen) = watch::channel(Position(0));
    let engine = Engine::start(pool.clone(), &[CONVERSATION], &head_seen, &closed());
    engine.fold_until_caught_up().await.expect("an empty log");
    let (_, last) = chat(2).write(&pool).await;
    let began = Instant::now();
    engine.wait("conversation", last, Duration::from_secs(5)).await.expect("folded");
    assert!(began.elapsed() < Duration::from_millis(450), "it looked before its patrol: {:?}", began.elapsed());
    let behind = engine.wait("conversation", last.next(), Duration::from_millis(60)).await.expect_err("not there yet");
    assert_eq!((behind.position, behind.wanted), (last, last.next()));
    engine.stop().await;
}

/// Folds do not wait for the disk: a crash of the database takes the last of them away, and the process remembers more.
#[tokio::test]
async fn who_doubts_a_view_reads_it_once_what_a_crash_took_is_folded_again() {
    let database = fresh().await;
    let pool = database.pool(10);
    let (_, last) = chat(9).write(&pool).await;
    let (_never, head_seen) = watch::channel(Position(0));
    let engine = Engine::start(pool.clone(), &[SEEN], &head_seen, &closed());
    for _ in 0..5 {
        engine.wait("seen", last, Duration::from_secs(5)).await.expect("folded");
        let crash = "BEGIN; DELETE FROM seen.seen; UPDATE seen.progress SET position = 0; COMMIT";
        sqlx::raw_sql(crash)
            .execute(&mut database.connect_as_owner().await.expect("a connection"))
            .await
            .expect("gone");
        engine.doubt("seen").await.expect("an answer");
        engine.wait("seen", last, Duration::from_secs(5)).await.expect("folded again");
        assert_eq!(count(&pool, "seen.seen").await, last.0);
    }
    engine.stop().await;
}

#[tokio::test]
async fn a_poison_event_stops_its_projection_alone_and_by_name() {
    let database = fresh().await;
    let pool = database.pool(10);
    let mut history = chat(40);
    let Event::MessageAppended(said) = &mut history.told[20].event else { panic!("a message") };
    said.branch = BranchNumber(-1);
    let (_, last) = history.write(&pool).await;
    let (_never, head_seen) = watch::channel(Position(0));
    let engine = Engine::start(pool.clone(), &[SEEN, CONVERSATION], &head_seen, &closed());
    engine.wait("seen", last, Duration::from_secs(5)).await.expect("the other goes on");
    let error = engine.fold_until_caught_up().await.expect_err("event 21 does not fold").to_string();
    assert!(error.contains("events 21–21"), "{error}");
    let told = &status(&[CONVERSATION], &pool).await.expect("told by the database alone")[0];
    assert_eq!((told.state, told.position, told.lag_events), (State::Failed, Position(20), last.0 - 20));
    assert!(told.error.as_ref().is_some_and(|error| error.contains("21")), "{:?}", told.error);

    change(&database, "UPDATE event SET body = jsonb_set(body, '{branch}', '1') WHERE position = 21").await;
    engine.wait("conversation", last, Duration::from_secs(10)).await.expect("it goes on by itself");
    assert_eq!(count(&pool, "conversation.conversation WHERE message_count = 40").await, 1);
    assert_eq!(status(&[CONVERSATION], &pool).await.expect("told")[0].error, None);
    engine.stop().await;
}

#[tokio::test]
async fn a_hole_and_an_unknown_kind_are_never_folded_over() {
    let database = fresh().await;
    let pool = database.pool(10);
    CONVERSATION.create(&pool).await.expect("created");
    let history = chat(4);
    write(&pool, Position(0), &history.told[..2]).await;
    write(&pool, Position(3), &history.told[2..3]).await;
    let folded = CONVERSATION.fold(&pool, &Range::of_facts(Position(0), Position(4))).await;
    assert!(matches!(folded, Err(FoldError::Hole { expected: 4, held: 3, .. })), "{folded:?}");
    write(&pool, Position(2), &history.told[3..4]).await;
    change(&database, "UPDATE event SET kind_version = 9 WHERE position = 2").await;
    let folded = CONVERSATION.fold(&pool, &Range::of_facts(Position(0), Position(4))).await;
    assert!(matches!(folded, Err(FoldError::Unknown { position: Position(2), .. })), "{folded:?}");
    assert_eq!(count(&pool, "conversation.conversation").await, 0);
    assert_eq!(
        CONVERSATION.fold(&pool, &Range::of_facts(Position(0), Position(1))).await.expect("folds"),
        Folded::Done
    );
    assert_eq!(
        CONVERSATION.fold(&pool, &Range::of_facts(Position(0), Position(1))).await.expect("folds"),
        Folded::Elsewhere
    );
}

#[tokio::test]
async fn rows_of_another_folder_are_outdated_and_go_on_by_their_own_fold() {
    const NEWER: Projection = seen("seen", "INSERT INTO seen SELECT -position FROM event LIMIT $2 - $1");
    let database = fresh().await;
    let pool = database.pool(10);
    SEEN.create(&pool).await.expect("created");
    let (_, last) = chat(5).write(&pool).await;
    let (_never, head_seen) = watch::channel(Position(0));
    let engine = Engine::start(pool.clone(), &[NEWER], &head_seen, &closed());
    engine.wait("seen", last, Duration::from_secs(5)).await.expect("folded");
    assert_eq!(engine.status().await.expect("told")[0].state, State::Outdated);
    assert_eq!(count(&pool, "seen.seen WHERE position > 0").await, last.0);
    engine.stop().await;
}

#[tokio::test]
async fn outdated_rows_are_made_anew_beside_the_live_ones_by_a_server_that_is_told_to() {
    const NEWER: Projection =
        seen("seen", "INSERT INTO seen SELECT -position FROM event WHERE position > $1 AND position <= $2");
    let database = fresh().await;
    let pool = database.pool(10);
    SEEN.create(&pool).await.expect("created");
    let (_, last) = chat(5).write(&pool).await;
    SEEN.fold(&pool, &Range::of_facts(Position(0), last)).await.expect("folded");
    let (_never, head_seen) = watch::channel(Position(0));
    let engine = Engine::start(pool.clone(), &[NEWER], &head_seen, &closed());
    engine.renew_outdated();
    let renewed = tokio::time::timeout(Duration::from_secs(10), async {
        while engine.status().await.expect("told")[0].state != State::Live {
            assert_eq!(count(&pool, "seen.seen").await, last.0, "readers see whole rows");
        }
    });
    renewed.await.expect("made anew");
    assert_eq!(count(&pool, "seen.seen WHERE position < 0").await, last.0);
    let (_, last) = chat(5).write(&pool).await;
    engine.wait("seen", last, Duration::from_secs(5)).await.expect("it goes on in the new rows");
    assert_eq!(count(&pool, "seen.seen WHERE position < 0").await, last.0);
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn folds_that_are_killed_a_hundred_times_at_any_step_fold_everything_once() {
    let database = fresh().await;
    let (pool, killer) = (database.pool(4), database.pool(1));
    let halt = Arc::new(AtomicBool::new(false));
    let folds = [SEEN, CONVERSATION].map(|projection| {
        let (pool, halt) = (pool.clone(), Arc::clone(&halt));
        tokio::spawn(async move {
            // A projector that never rests: what it is told by a failure is to look where it stands.
            while projection.create(&pool).await.is_err() {}
            let stands = format!("SELECT position FROM {}.progress", projection.name);
            for nth in 0.. {
                let position = sqlx::query_scalar(AssertSqlSafe(stands.clone())).fetch_one(&pool).await;
                let (Ok(position), Ok(head)) = (position, sqlx::query_scalar(HEAD).fetch_one(&pool).await) else {
                    continue;
                };
                let (after, last) = (Position(position), Position(i64::min(head, position + 1 + nth % 7)));
                if after < last {
                    let _ = projection.fold(&pool, &Range::of_facts(after, last)).await;
                } else if halt.load(Ordering::Relaxed) {
                    return;
                }
            }
        })
    });
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                WHERE pid <> pg_backend_pid() AND datname = current_database() AND xact_start IS NOT NULL";
    let (mut killed, mut rounds) = (0, 0_u64);
    while killed < 100 {
        rounds += 1;
        assert!(rounds < 10_000, "only {killed} were hit");
        chat(3).write(&killer).await; // past the pool that is shot at
        tokio::time::sleep(Duration::from_micros(rounds * 137 % 4_000)).await;
        killed += sqlx::query_scalar::<_, i64>(kill).fetch_one(&killer).await.expect("the server answers");
    }
    halt.store(true, Ordering::Relaxed);
    for fold in folds {
        fold.await.expect("no panic");
    }
    let last = head(&killer).await;
    assert_eq!(count(&killer, "seen.seen").await, last.0);
    assert_eq!(count(&killer, "(SELECT DISTINCT position FROM seen.seen) AS s").await, last.0);
    let chats = count(&killer, "conversation.conversation WHERE message_count = 3").await;
    assert_eq!(chats, i64::try_from(rounds).expect("few"));
}

#[tokio::test]
async fn a_projection_that_is_dropped_folds_again() {
    let database = fresh().await;
    let pool = database.pool(10);
    let (_, last) = chat(5).write(&pool).await;
    assert_eq!(status(&[CONVERSATION], &pool).await.expect("told")[0].position, Position(0));
    let (_never, head_seen) = watch::channel(Position(0));
    let engine = Engine::start(pool.clone(), &[CONVERSATION], &head_seen, &closed());
    engine.wait("conversation", last, Duration::from_secs(5)).await.expect("folded");
    sqlx::raw_sql("DROP SCHEMA conversation CASCADE").execute(&pool).await.expect("dropped");
    let (_, last) = chat(5).write(&pool).await;
    engine.wait("conversation", last, Duration::from_secs(5)).await.expect("folded again");
    assert_eq!(count(&pool, "conversation.conversation").await, 2);
    engine.stop().await;
}

/// What only the owner of the tables can do, and only by turning the trigger off.
async fn change(database: &Database, update: &str) {
    let mut owner = database.connect_as_owner().await.expect("the owner");
    let changed = format!("ALTER TABLE event DISABLE TRIGGER append_only; {update}");
    sqlx::raw_sql(AssertSqlSafe(changed)).execute(&mut owner).await.expect("it is changed");
}

pub async fn count(pool: &PgPool, from: &str) -> i64 {
    let statement = format!("SELECT count(*) FROM {from}");
    sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(pool).await.expect("a count")
}

/// A branch: its tip, where it forks off, its name and its own cost.
type Pointer = (Option<Place>, Option<Place>, Option<(Position, Token)>, Option<Decimal>);

/// What a conversation amounts to, by the rules where they know it, and else counted by hand.
#[derive(Debug, Default, PartialEq)]
struct Expected {
    favorited: bool,
    status: Option<Status>,
    tags: BTreeMap<Token, Position>,
    model: Option<String>,
    preferred: BranchNumber,
    version: i32,
    title_at: Option<Position>,
    messages: u64,
    tokens: [u64; 4],
    bytes: u64,
    cost_usd: Option<Decimal>,
    times: Option<(chrono::DateTime<chrono::Utc>, chrono::DateTime<chrono::Utc>)>,
    branches: Vec<Pointer>,
    hidden: BTreeSet<Place>,
    ratings: BTreeMap<Place, Rating>,
    comments: BTreeMap<Place, Position>,
}

impl Expected {
    fn of(history: &History, before: Position) -> BTreeMap<(OwnerId, ConversationId), Self> {
        let mut all: BTreeMap<_, Self> = BTreeMap::new();
        for told in &history.told {
            all.entry((told.owner, told.conversation)).or_default().take(told);
        }
        for (key, state) in &history.states {
            let expected = all.get_mut(key).expect("every conversation was started");
            expected.favorited = state.favorited;
            expected.status = Some(match (state.deleted, state.archived) {
                (true, _) => Status::Deleted,
                (_, true) => Status::Archived,
                _ => Status::Active,
            });
            // Words are where they were said, also after a restore.
            let said_at = |version: Version| {
                let mut told = history.placed(before).filter(|(_, told)| (told.owner, told.conversation) == *key);
                told.find(|(_, told)| told.version == version)
            };
            let at = |version: Version| said_at(version).map(|(position, _)| position);
            expected.title_at = at(state.title);
            expected.tags = state.tags.iter().filter_map(|(token, version)| Some((*token, at(*version)?))).collect();
            expected.model.clone_from(&state.model);
            expected.preferred = state.preferred;
            expected.version = state.version.0;
            expected.messages = state.tree.len() as u64;
            expected.branches.resize_with(state.branches.len(), Default::default);
            for (expected, branch) in expected.branches.iter_mut().zip(&state.branches) {
                *expected = (branch.tip, branch.forked_from, at(branch.named).zip(branch.name), expected.3);
            }
            expected.hidden = state.hidden.iter().copied().collect();
            let comment = |(place, rated): (&Place, &Rated)| {
                let (position, told) = said_at(rated.by)?;
                (!told.event.words().is_empty()).then_some((*place, position))
            };
            expected.comments = state.ratings.iter().filter_map(comment).collect();
            expected.ratings = state.ratings.iter().filter_map(|(at, rated)| Some((*at, rated.rating?))).collect();
        }
        all
    }

    fn take(&mut self, told: &Told) {
        let at = told.occurred_at;
        // That a label went is no news of the conversation.
        if !matches!(told.event, Event::SnapshotThinned(_)) {
            self.times = Some(self.times.map_or((at, at), |(first, newest)| (first, newest.max(at))));
        }
        if let Event::MessageAppended(said) = &told.event {
            self.said(said);
        }
    }

    fn said(&mut self, said: &MessageAppended) {
        self.bytes += said.bytes;
        let usage = said.usage.unwrap_or_default();
        let writes = usage.cache_write_5m.unwrap_or(0) + usage.cache_write_1h.unwrap_or(0);
        let counts = [usage.input, usage.output, usage.cache_read, Some(writes)];
        for (sum, count) in self.tokens.iter_mut().zip(counts) {
            *sum += count.unwrap_or(0);
        }
        if let Some(cost) = said.cost_usd {
            *self.cost_usd.get_or_insert_default() += cost;
            *self.branch(said.branch).3.get_or_insert_default() += cost;
        }
    }

    fn branch(&mut self, number: BranchNumber) -> &mut Pointer {
        let index = usize::try_from(number.0 - 1).expect("from 1");
        self.branches.resize_with(self.branches.len().max(index + 1), Default::default);
        &mut self.branches[index]
    }

    async fn read(pool: &PgPool, owner: OwnerId, id: ConversationId) -> Self {
        let row =
            conversation::by_ids(pool, owner, &[id], Position::LATEST).await.expect("read").pop().expect("it is there");
        let branches = branch::of_conversations(pool, owner, &[id], Position::LATEST)
            .await
            .expect("read")
            .remove(&id)
            .expect("main");
        let ids = "SELECT id FROM event WHERE stream_id = $1 AND kind = 'message.appended'";
        let ids: Vec<uuid::Uuid> = sqlx::query_scalar(ids).bind(id.0).fetch_all(pool).await.expect("ids");
        let ids: Vec<_> = ids.into_iter().map(convoledger::event::MessageId).collect();
        let messages = message::by_ids(pool, owner, &ids, Position::LATEST).await.expect("read");
        assert!(branches.iter().all(|branch| branch.preferred == (branch.number == row.preferred)));
        Self {
            favorited: row.favorited,
            status: Some(row.status),
            tags: row.tags,
            model: row.model,
            preferred: row.preferred,
            version: row.version.0,
            title_at: row.title_at,
            messages: row.message_count,
            tokens: [row.tokens_in, row.tokens_out, row.cache_reads, row.cache_writes],
            bytes: row.size_bytes,
            cost_usd: row.cost_usd,
            times: Some((row.created_at, row.updated_at)),
            branches: branches.into_iter().map(|b| (b.tip, b.forked_from, b.name, b.own_cost_usd)).collect(),
            hidden: messages.iter().filter(|message| message.hidden).map(|message| message.place).collect(),
            ratings: messages.iter().filter_map(|message| Some((message.place, message.rating?))).collect(),
            comments: messages.iter().filter_map(|message| Some((message.place, message.comment_at?))).collect(),
        }
    }
}
