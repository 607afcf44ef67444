//! What the lane answers: versions expected and met or not, and neighbours that do not feel each other.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use convoledger::event::{OwnerId, Position, StreamId, Version};
use convoledger::log::{Answer, Append, AppendError, Expected, Limits, Log};
use futures::future::join_all;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use sqlx::Executor as _;
use uuid::Uuid;

use super::{appended, event, holds, open, open_with, stream, target, to};
use crate::support::postgres::fresh;

/// What the lane locks; see `migrations/0004_append.sql`.
const LOCK: &str = "SELECT pg_advisory_lock(7163664893726287)";
const UNLOCK: &str = "SELECT pg_advisory_unlock(7163664893726287)";

#[tokio::test]
async fn a_stream_must_be_as_expected() {
    let database = fresh().await;
    let log = open(&database).await;
    let (a, b) = (stream(1), stream(2));
    let conflict = |stream, version| Answer::Conflict { stream, version: Version(version) };
    let try_one = |stream, expected| log.append(to([target(stream, expected, 1)]));

    assert_eq!(try_one(a, Expected::Exists).await.expect("an answer"), conflict(a, 0));
    assert_eq!(try_one(a, Expected::Exact(Version(1))).await.expect("an answer"), conflict(a, 0));
    let first = appended(&log, to([target(a, Expected::None, 2)])).await;
    assert_eq!((first.first, first.last, &first.before[..]), (Position(1), Position(2), &[Version(0)][..]));

    assert_eq!(try_one(a, Expected::None).await.expect("an answer"), conflict(a, 2));
    for other in [0, 1, 3, 1_000] {
        assert_eq!(try_one(a, Expected::Exact(Version(other))).await.expect("an answer"), conflict(a, 2));
    }
    for (version, expected) in (2..).zip([Expected::Exact(Version(2)), Expected::Exists, Expected::Any]) {
        assert_eq!(appended(&log, to([target(a, expected, 1)])).await.before, [Version(version)]);
    }
    // Nothing is there of another stream, nor of another owner's stream of the same id.
    assert_eq!(appended(&log, to([target(b, Expected::Any, 1)])).await.before, [Version(0)]);
    let elsewhere = Append { owner: OwnerId(Uuid::from_u128(9)), ..to([target(a, Expected::None, 1)]) };
    assert_eq!(appended(&log, elsewhere).await.before, [Version(0)]);
    assert_eq!(holds(&log).await, Position(7));
}

/// A session plans what it asks when it asks first, and mostly there are no statistics then.
#[tokio::test]
async fn what_an_append_looks_up_is_found_by_its_key_whatever_the_log_held_when_it_was_planned() {
    let database = fresh().await;
    let reads = database.pool(10);
    for round in 0..30 {
        let lane = database.pool(1);
        let log = Log::open(reads.clone(), lane.clone(), Limits::default()).await.expect("the log opens");
        for _ in 0..2 {
            // Whatever the stream is: both the stream and the command are looked for.
            appended(&log, to([target(stream(round), Expected::Any, 5)])).await;
        }
        log.close().await;
        lane.close().await;
    }
    reads.close().await;

    let mut owner = database.connect_as_owner().await.expect("a connection");
    let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() \
                  AND backend_type = 'client backend'";
    while sqlx::query_scalar::<_, i64>(others).fetch_one(&mut owner).await.expect("a count") > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let scans = "SELECT array_agg(idx_scan ORDER BY indexrelname) FROM pg_stat_user_indexes \
                 WHERE indexrelname IN ('event_command', 'event_owner', 'event_version')";
    let scans: Vec<i64> = sqlx::query_scalar(scans).fetch_one(&mut owner).await.expect("counts");
    assert_eq!(scans, [60, 0, 60], "each is looked up by its key, and nobody walks through all that an owner has");
}

#[tokio::test]
async fn a_command_goes_into_all_of_its_streams_or_into_none() {
    let database = fresh().await;
    let log = open(&database).await;
    let (a, b, c) = (stream(1), stream(2), stream(3));
    let targets = || [target(a, Expected::None, 2), target(b, Expected::Any, 1), target(c, Expected::None, 3)];
    let done = appended(&log, to(targets())).await;
    assert_eq!((done.first, done.last, &done.before[..]), (Position(1), Position(6), &[Version(0); 3][..]));

    // One of three is not as expected.
    let mut mixed = targets();
    mixed[0].expected = Expected::Exact(Version(2));
    mixed[2].expected = Expected::Exact(Version(2));
    let answer = log.append(to(mixed)).await.expect("an answer");
    assert_eq!(answer, Answer::Conflict { stream: c, version: Version(3) });
    assert_eq!(holds(&log).await, Position(6));

    let mut met = targets();
    met[0].expected = Expected::Exists;
    met[2].expected = Expected::Exact(Version(3));
    assert_eq!(appended(&log, to(met)).await.before, [Version(2), Version(1), Version(3)]);
    assert_eq!(holds(&log).await, Position(12));
}

#[tokio::test]
async fn a_command_without_events_or_with_inadmissible_facts_is_refused_before_it_is_sent() {
    let database = fresh().await;
    let log = open_with(&database, Limits { command_events_max: 3, ..Limits::default() }).await;
    for targets in [vec![], vec![target(stream(1), Expected::Any, 0)]] {
        assert!(matches!(log.append(to(targets)).await, Err(AppendError::TooLarge { .. })));
    }
    let many = to([target(stream(1), Expected::Any, 4)]);
    assert!(matches!(log.append(many).await, Err(AppendError::TooLarge { given: 4, max: 3, .. })));
    let mut fraction = to([target(stream(1), Expected::Any, 1)]);
    fraction.targets[0].events[0].body = serde_json::json!({ "cost": 0.1 });
    assert!(matches!(log.append(fraction).await, Err(AppendError::Inadmissible { .. })));
    assert_eq!(log.head().await.expect("a head"), Position(0));
}

#[tokio::test]
async fn what_one_command_gets_wrong_its_neighbours_in_the_batch_do_not_feel() {
    let database = fresh().await;
    let log = open(&database).await;
    let taken = event();
    let mut first = to([target(stream(1_000), Expected::Any, 1)]);
    first.targets[0].events[0] = taken.clone();
    appended(&log, first.clone()).await;

    // While the lane is held everyone queues up, so that few batches take them all.
    let mut holder = database.connect_as_owner().await.expect("a connection");
    holder.execute(LOCK).await.expect("the lane's lock");
    let appends = (0..200_u128).map(|number| match number % 8 {
        3 => to([target(stream(number), Expected::Exists, 1)]),
        5 => first.clone(),
        7 if number == 7 => {
            let mut clash = to([target(stream(number), Expected::Any, 2)]);
            clash.targets[0].events[1].id = taken.id;
            clash
        }
        _ => to([target(stream(number), Expected::None, 1 + usize::try_from(number % 3).expect("small"))]),
    });
    let waiting = tokio::spawn({
        let (log, appends) = (log.clone(), appends.collect::<Vec<_>>());
        async move { join_all(appends.into_iter().map(|append| log.append(append))).await }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    holder.execute(UNLOCK).await.expect("the lane's lock");

    let mut positions = vec![1];
    for (number, answer) in waiting.await.expect("no panic").into_iter().enumerate() {
        match (number % 8, answer.expect("an answer")) {
            (3, answer) => assert!(matches!(answer, Answer::Conflict { version: Version(0), .. }), "{answer:?}"),
            (5, Answer::Repeated(done)) => assert_eq!(done.first, Position(1)),
            (7, Answer::IdTaken) => assert_eq!(number, 7),
            (_, Answer::Appended(done)) => positions.extend(done.first.0..=done.last.0),
            (_, answer) => panic!("command {number}: {answer:?}"),
        }
    }
    positions.sort_unstable();
    let head = holds(&log).await;
    assert_eq!(positions, (1..=head.0).collect::<Vec<_>>());
}

#[tokio::test]
async fn who_comes_while_a_call_is_under_way_shares_the_next_and_a_second_flies_when_it_is_full_enough() {
    let database = fresh().await;
    let log = open(&database).await;
    let mut holder = database.connect_as_owner().await.expect("a connection");
    let queued = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted \
                  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let min = u128::try_from(Limits::default().flight_events_min).expect("small");
    for (round, (callers, calls)) in (1..).zip([(min - 1, 1), (min, 2)]) {
        holder.execute(LOCK).await.expect("the lane's lock");
        let say = |number: u128| {
            let (log, append) = (log.clone(), to([target(stream(round * 1_000 + number), Expected::None, 1)]));
            tokio::spawn(async move { log.append(append).await })
        };
        let first = say(0);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let others: Vec<_> = (1..=callers).map(say).collect();
        tokio::time::sleep(Duration::from_millis(200)).await;
        let waiting: i64 = sqlx::query_scalar(queued).fetch_one(&mut holder).await.expect("a count");
        holder.execute(UNLOCK).await.expect("the lane's lock");
        assert_eq!(waiting, calls, "calls wait for the lane when {callers} come behind the first");

        first.await.expect("no panic").expect("an answer");
        let times = join_all(others).await.into_iter().map(|answer| match answer.expect("no panic") {
            Ok(Answer::Appended(done)) => done.recorded_at,
            answer => panic!("{answer:?}"),
        });
        assert_eq!(times.collect::<HashSet<_>>().len(), 1, "one call took all of them");
    }
}

#[tokio::test]
async fn what_takes_something_away_without_a_right_to_it_is_refused_alone() {
    let database = fresh().await;
    let log = open(&database).await;
    for kind in ["retention.applied", "conversation.expired"] {
        let mut holder = database.connect_as_owner().await.expect("a connection");
        holder.execute(LOCK).await.expect("the lane's lock");
        let appends = (0..40).map(|number| {
            let mut append = to([target(StreamId(convoledger::random::id()), Expected::None, 1)]);
            if number == 20 {
                append.targets[0].events[0].kind = kind;
            }
            append
        });
        let waiting = tokio::spawn({
            let (log, appends) = (log.clone(), appends.collect::<Vec<_>>());
            async move { join_all(appends.into_iter().map(|append| log.append(append))).await }
        });
        tokio::time::sleep(Duration::from_millis(200)).await;
        holder.execute(UNLOCK).await.expect("the lane's lock");
        for (number, answer) in waiting.await.expect("no panic").into_iter().enumerate() {
            match answer {
                Err(AppendError::Refused(_)) => assert_eq!(number, 20),
                answer => assert!(number != 20 && matches!(answer, Ok(Answer::Appended(_))), "{number}: {answer:?}"),
            }
        }
    }
    assert_eq!(holds(&log).await, Position(78));
}

#[tokio::test]
async fn a_full_queue_says_so_at_once_and_loses_nothing_of_what_it_took() {
    let database = fresh().await;
    let limits = Limits { queue_commands_max: 2, batch_commands_max: 1, flights: 1, ..Limits::default() };
    let log = open_with(&database, limits).await;
    let mut holder = database.connect_as_owner().await.expect("a connection");
    holder.execute(LOCK).await.expect("the lane's lock");
    let waiting: Vec<_> = (0..20)
        .map(|number| {
            let log = log.clone();
            tokio::spawn(async move { log.append(to([target(stream(number), Expected::None, 1)])).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    holder.execute(UNLOCK).await.expect("the lane's lock");
    let (mut taken, mut full) = (0, 0);
    for answer in join_all(waiting).await {
        match answer.expect("no panic") {
            Ok(Answer::Appended(_)) => taken += 1,
            Err(AppendError::Full { retry_after_s: 1 }) => full += 1,
            answer => panic!("{answer:?}"),
        }
    }
    assert!(full > 0 && taken >= 2, "{taken} taken, {full} told that the queue is full");
    assert_eq!(holds(&log).await, Position(taken));
}

#[tokio::test]
async fn bytes_that_wait_are_bounded_as_well() {
    let database = fresh().await;
    let log = open_with(&database, Limits { queue_bytes_max: 2_000, ..Limits::default() }).await;
    let mut holder = database.connect_as_owner().await.expect("a connection");
    holder.execute(LOCK).await.expect("the lane's lock");
    let large = tokio::spawn({
        let log = log.clone();
        async move { log.append(to([target(stream(1), Expected::Any, 10)])).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let refused = log.append(to([target(stream(2), Expected::Any, 1)])).await;
    assert!(matches!(refused, Err(AppendError::Full { .. })), "{refused:?}");
    holder.execute(UNLOCK).await.expect("the lane's lock");
    assert!(
        matches!(large.await.expect("no panic"), Ok(Answer::Appended(_))),
        "one alone may be larger than the queue"
    );
}

#[tokio::test]
async fn what_is_queued_when_the_log_closes_is_written_and_nothing_later() {
    let database = fresh().await;
    let log = open(&database).await;
    let queued: Vec<_> = (0..50)
        .map(|number| {
            let log = log.clone();
            tokio::spawn(async move { log.append(to([target(stream(number), Expected::None, 1)])).await })
        })
        .collect();
    // Until they are in the queue.
    while queued.iter().all(|append| !append.is_finished()) {
        tokio::task::yield_now().await;
    }
    log.close().await;
    assert!(matches!(log.append(to([target(stream(1), Expected::Any, 1)])).await, Err(AppendError::Closed)));
    for answer in join_all(queued).await {
        assert!(matches!(answer.expect("no panic"), Ok(Answer::Appended(_))));
    }
    assert_eq!(holds(&log).await, Position(50));
}

/// One append of a random story: to which streams, expecting what, how much, and as which command.
#[derive(Debug, Clone)]
struct Step {
    command: u128,
    digest: u8,
    targets: Vec<(u128, Expectation, usize)>,
}

#[derive(Debug, Clone, Copy)]
enum Expectation {
    Any,
    None,
    Exists,
    /// What the stream has, and so much more.
    Off(i32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let expectation = prop_oneof![
        3 => Just(Expectation::Any),
        1 => Just(Expectation::None),
        2 => Just(Expectation::Exists),
        1 => (-1..2_i32).prop_map(Expectation::Off),
        3 => Just(Expectation::Off(0)),
    ];
    let targets = prop::collection::btree_map(1..5_u128, (expectation, 1..4_usize), 1..4)
        .prop_map(|targets| targets.into_iter().map(|(stream, (expected, count))| (stream, expected, count)).collect());
    let step = (1..40_u128, 0..10_u8, targets).prop_map(|(command, digest, targets)| Step {
        command,
        digest: u8::from(digest == 0),
        targets,
    });
    prop::collection::vec(step, 1..40)
}

/// The log as anyone would write it without a database.
#[derive(Default)]
struct Model {
    streams: HashMap<StreamId, Version>,
    commands: HashMap<u128, (u8, Position)>,
    head: i64,
}

#[derive(Debug, PartialEq)]
enum Told {
    Appended { first: Position, before: Vec<Version> },
    Repeated { first: Position },
    Reused { first: Position },
    Conflict { version: Version },
}

impl Model {
    fn version(&self, stream: StreamId) -> Version {
        self.streams.get(&stream).copied().unwrap_or_default()
    }

    fn asked(&self, step: &Step) -> Append {
        let expected = |number: u128, expectation| match expectation {
            Expectation::Any => Expected::Any,
            Expectation::None => Expected::None,
            Expectation::Exists => Expected::Exists,
            Expectation::Off(by) => Expected::Exact(Version((self.version(stream(number)).0 + by).max(0))),
        };
        let targets = step
            .targets
            .iter()
            .map(|(number, expectation, count)| target(stream(*number), expected(*number, *expectation), *count));
        super::named(step.command, step.digest, targets)
    }

    fn tell(&mut self, step: &Step, append: &Append) -> Told {
        match self.commands.get(&step.command) {
            Some((digest, first)) if *digest == step.digest => return Told::Repeated { first: *first },
            Some((_, first)) => return Told::Reused { first: *first },
            None => {}
        }
        let met = |target: &&convoledger::log::Target| {
            let version = self.version(target.stream);
            match target.expected {
                Expected::Any => true,
                Expected::None => version == Version(0),
                Expected::Exists => version > Version(0),
                Expected::Exact(exact) => version == exact,
            }
        };
        if let Some(target) = append.targets.iter().find(|target| !met(target)) {
            return Told::Conflict { version: self.version(target.stream) };
        }
        let first = Position(self.head + 1);
        let before = append.targets.iter().map(|target| self.version(target.stream)).collect();
        for target in &append.targets {
            let count = i32::try_from(target.events.len()).expect("few");
            self.head += i64::from(count);
            self.streams.entry(target.stream).or_default().0 += count;
        }
        self.commands.insert(step.command, (step.digest, first));
        Told::Appended { first, before }
    }
}

#[test]
fn any_story_of_appends_is_answered_as_a_map_would_answer_it() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let config = ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(&steps(), |steps| {
        runtime.block_on(async {
            let database = fresh().await;
            let log = open(&database).await;
            let mut model = Model::default();
            for step in &steps {
                let append = model.asked(step);
                let expected = model.tell(step, &append);
                let told = match log.append(append).await.expect("an answer") {
                    Answer::Appended(done) => Told::Appended { first: done.first, before: done.before },
                    Answer::Repeated(done) => Told::Repeated { first: done.first },
                    Answer::Reused { first } => Told::Reused { first },
                    Answer::Conflict { version, .. } => Told::Conflict { version },
                    Answer::IdTaken | Answer::Closed | Answer::SourceExpired => panic!("all ids are fresh"),
                };
                prop_assert_eq!(told, expected, "{:?}", step);
            }
            prop_assert_eq!(holds(&log).await, Position(model.head));
            log.close().await;
            Ok(())
        })
    });
    outcome.expect("every story");
}
