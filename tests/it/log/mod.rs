//! The log on a real Postgres: what goes in, what its readers see, and what `verify` finds.

mod append;
mod bell;
mod lane;
pub mod oracle;
mod repeat;
mod verify;

use chrono::{DateTime, Utc};
use convoledger::event::{AccountId, CommandId, EventId, OwnerId, Position, Sealed, StreamId, SubjectId};
use convoledger::log::{Answer, Append, Appended, Expected, Limits, Log, NewEvent, Target};
use convoledger::random;
use serde_json::json;
use uuid::Uuid;

use crate::support::postgres::TestDatabase;

const OWNER: OwnerId = OwnerId(Uuid::from_u128(1));

async fn open(database: &TestDatabase) -> Log {
    open_with(database, Limits::default()).await
}

async fn open_with(database: &TestDatabase, limits: Limits) -> Log {
    Log::open(database.pool(10), database.pool(4), limits).await.expect("the log opens")
}

fn stream(number: u128) -> StreamId {
    StreamId(Uuid::from_u128(number))
}

fn command(number: u128) -> CommandId {
    CommandId(Uuid::from_u128(number))
}

/// A command that nobody named, for these streams.
fn to(targets: impl IntoIterator<Item = Target>) -> Append {
    Append {
        owner: OWNER,
        actor: AccountId(OWNER.0),
        command: CommandId(random::id()),
        command_digest: None,
        correlation: None,
        causation: None,
        targets: targets.into_iter().collect(),
    }
}

fn named(number: u128, digest: u8, targets: impl IntoIterator<Item = Target>) -> Append {
    Append { command: command(number), command_digest: Some([digest; 16]), ..to(targets) }
}

/// `count` events for a stream.
fn target(stream: StreamId, expected: Expected, count: usize) -> Target {
    Target { stream, expected, events: (0..count).map(|_| event()).collect() }
}

fn event() -> NewEvent {
    let id = EventId(random::id());
    NewEvent {
        id,
        kind: "test.happened",
        kind_version: 1,
        occurred_at: noon(),
        place: None,
        body: json!({ "text": "ü\n\"\u{7f}", "number": -7, "list": [true, null], "id": id }),
        words: vec![words(0), words(1)],
        gone: Vec::new(),
    }
}

fn words(part: u8) -> Sealed {
    Sealed {
        part,
        subject: SubjectId(OWNER.0),
        generation: 1,
        nonce: random::bytes(),
        ciphertext: random::bytes::<40>().to_vec(),
    }
}

fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000, 0).expect("a time in range")
}

async fn appended(log: &Log, append: Append) -> Appended {
    match log.append(append).await.expect("an answer") {
        Answer::Appended(done) => done,
        answer => panic!("appended, not {answer:?}"),
    }
}

/// The whole log is dense, and so is every stream in it, and all of its digests hold.
async fn holds(log: &Log) -> Position {
    let report = convoledger::log::verify::verify(log.pool(), None, 2, |_, _| ()).await.expect("an answer");
    assert_eq!(report.wrong, None);
    let head = log.head().await.expect("a head");
    assert_eq!(i64::try_from(report.size).expect("a size"), head.0);
    head
}
