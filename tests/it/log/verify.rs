//! Whatever is changed behind the log's back, `verify` finds, and says where.

use std::collections::BTreeSet;

use convoledger::event::{AccountId, Depth, EventId, OwnerId, Place, Position, Segment};
use convoledger::log::verify::{Report, verify};
use convoledger::log::{Append, Expected, Log, Recorded, digest};
use convoledger::random;
use serde_json::json;
use sqlx::{AssertSqlSafe, Executor as _, PgConnection};
use uuid::Uuid;

use super::{appended, named, open, stream, target, to};
use crate::support::postgres::{TestDatabase, fresh};

/// How many events the log of these tests holds.
const SIZE: i64 = 40;

/// A log, and a superuser who disabled its triggers.
struct Tampered {
    log: Log,
    superuser: PgConnection,
    _database: TestDatabase,
}

impl Tampered {
    async fn new() -> Self {
        let database = fresh().await;
        let log = open(&database).await;
        fill(&log, [1, 2]).await;
        let mut superuser = database.connect_as_owner().await.expect("a connection");
        superuser
            .execute(
                "ALTER TABLE event DISABLE TRIGGER ALL; ALTER TABLE words DISABLE TRIGGER ALL;
                 ALTER TABLE history DISABLE TRIGGER ALL; ALTER TABLE ledger DISABLE TRIGGER ALL;
                 CREATE TABLE kept_event AS SELECT * FROM event; CREATE TABLE kept_words AS SELECT * FROM words;
                 CREATE TABLE kept_history AS SELECT * FROM history; CREATE TABLE kept_ledger AS SELECT * FROM ledger",
            )
            .await
            .expect("triggers off, and a copy to go back to");
        Self { log, superuser, _database: database }
    }

    async fn sql(&mut self, statement: &str) -> u64 {
        let done = self.superuser.execute(AssertSqlSafe(statement.to_owned())).await;
        done.unwrap_or_else(|error| panic!("{statement}: {error}")).rows_affected()
    }

    async fn verify(&self, at: Option<u64>) -> Report {
        verify(self.log.pool(), at, 2, |_, _| ()).await.expect("an answer")
    }

    /// Carries `statement` out, checks that `verify` says where, and undoes it.
    async fn found(&mut self, statement: &str, position: i64) {
        assert_ne!(self.sql(statement).await, 0, "{statement} changes nothing");
        let report = self.verify(None).await;
        let wrong = report.wrong.unwrap_or_else(|| panic!("{statement} was not found"));
        assert_eq!(wrong.position, Position(position), "{statement}: {wrong}");
        for table in ["event", "words", "history", "ledger"] {
            self.sql(&format!("DELETE FROM {table}")).await;
            self.sql(&format!("INSERT INTO {table} SELECT * FROM kept_{table}")).await;
        }
    }
}

/// Events of several owners, streams and commands, with and without what may be left out.
async fn fill(log: &Log, streams: [u128; 2]) {
    for number in 0..10_i32 {
        let mut targets = streams.map(|number| target(stream(number), Expected::Any, 2));
        for target in &mut targets {
            target.events[0].place = Some(Place { segment: Segment(1), depth: Depth(number + 1) });
        }
        let append = if number % 2 == 0 {
            to(targets)
        } else {
            named(10 * streams[0] + u128::from(number.unsigned_abs()), 7, targets)
        };
        let owner = OwnerId(Uuid::from_u128(u128::from(number.unsigned_abs() % 2)));
        let (correlation, causation) = ((number > 4).then(random::id), (number > 6).then(|| EventId(random::id())));
        appended(log, Append { owner, actor: AccountId(random::id()), correlation, causation, ..append }).await;
    }
}

/// One to `max`.
fn any(max: i64) -> i64 {
    1 + i64::from(u32::from_be_bytes(random::bytes())) % max
}

/// Another value of a column, from its type: of bytes one bit is flipped, of all else the least is changed that no
/// constraint minds.
fn other(column: &str, kind: &str) -> String {
    match (column, kind) {
        ("reduced", _) => "1000".into(),
        ("part", _) => "(part + 5) % 16".into(),
        (_, "uuid") => "gen_random_uuid()".into(),
        (_, "bigint" | "integer" | "smallint") => format!("{column} + 1000"),
        (_, "timestamp with time zone") => format!("{column} + interval '1 microsecond'"),
        (_, "text") => format!("{column} || 'x'"),
        (_, "jsonb") => format!("{column} || '{{\"number\": -8}}'"),
        (_, "bytea") => {
            format!("coalesce(set_bit({column}, at, 1 - get_bit({column}, at)), '\\x00112233445566778899aabbccddeeff')")
        }
        (column, kind) => panic!("{column} is of type {kind}: say here how to change it"),
    }
}

#[tokio::test]
async fn a_change_of_any_column_is_found_where_it_is() {
    let mut tampered = Tampered::new().await;
    let columns = "SELECT table_name::text, column_name::text, data_type::text FROM information_schema.columns
        WHERE table_schema = 'public' AND table_name IN ('event', 'words') ORDER BY 1, ordinal_position";
    let columns: Vec<(String, String, String)> =
        sqlx::query_as(columns).fetch_all(tampered.log.pool()).await.expect("columns");
    let tables: BTreeSet<&str> = columns.iter().map(|(table, ..)| table.as_str()).collect();
    assert_eq!((tables.len(), columns.len()), (2, 28), "all columns of both tables");
    for (table, column, kind) in &columns {
        for round in 0..3 {
            // Once an event that stands in a place, and twice any one.
            let position = if round == 0 || ["segment", "depth"].contains(&column.as_str()) {
                any(SIZE / 2) * 2 - 1
            } else {
                any(SIZE)
            };
            let set = other(column, kind);
            let length = if kind == "bytea" { format!("octet_length({column}) * 8") } else { "1".into() };
            let change = format!(
                "UPDATE {table} SET {column} = {set} FROM (SELECT position AS p, (random() * ({length} - 1))::int AS at
                    FROM {table} WHERE position = {position}) AS bit
                 WHERE p = position AND ctid = (SELECT min(ctid) FROM {table} WHERE position = {position})"
            );
            tampered.found(&change, position).await;
        }
    }
    assert_eq!(tampered.verify(None).await.wrong, None, "all was undone");
}

#[tokio::test]
async fn what_is_missing_swapped_or_added_is_found_where_it_is() {
    let mut tampered = Tampered::new().await;
    for position in [1, any(SIZE - 1)] {
        tampered.found(&format!("DELETE FROM event WHERE position = {position}"), position).await;
    }
    let position = any(SIZE);
    tampered.found(&format!("DELETE FROM words WHERE position = {position} AND part = 1"), position).await;
    let swapped = "UPDATE event AS one SET kind = other.kind, body = other.body FROM event AS other
        WHERE one.position IN (13, 14) AND other.position = 27 - one.position";
    tampered.found(swapped, 13).await;
    let swapped = "UPDATE words AS one SET nonce = other.nonce, ciphertext = other.ciphertext FROM words AS other
        WHERE one.position IN (13, 14) AND other.position = 27 - one.position AND other.part = one.part";
    tampered.found(swapped, 13).await;
    let added = "INSERT INTO words SELECT position + 1000, owner_id, subject_id, generation, part, nonce, ciphertext
        FROM words WHERE position = 1";
    tampered.found(added, 1_001).await;
    let added = "INSERT INTO words SELECT 9, owner_id, subject_id, generation, 9, nonce, ciphertext
        FROM words WHERE position = 9 AND part = 0";
    tampered.found(added, 9).await;
    let added =
        "INSERT INTO event SELECT position + 1, recorded_at, occurred_at, owner_id, gen_random_uuid(), stream_id,
            command_id, actor_id, correlation_id, causation_id, version + 1000, NULL, NULL, kind_version, 9::smallint,
            kind, body, NULL, NULL, leaf FROM event WHERE position = 40";
    tampered.found(added, 41).await;
    tampered.found("UPDATE history SET id = gen_random_uuid()", 1).await;
    tampered.found("INSERT INTO history VALUES (20)", 21).await;
    tampered.found("UPDATE ledger SET origin = origin || 'x'", 1).await;
    assert_eq!(tampered.verify(None).await.wrong, None, "all was undone");
}

#[tokio::test]
async fn a_log_that_was_cut_short_is_found_by_the_size_that_was_kept() {
    let mut tampered = Tampered::new().await;
    let kept = tampered.verify(None).await;
    tampered.sql("DELETE FROM words WHERE position > 37").await;
    tampered.sql("DELETE FROM event WHERE position > 37").await;
    let cut = tampered.verify(Some(kept.size)).await;
    assert_eq!((cut.wrong, cut.size, cut.root_at), (None, 37, None));
}

#[tokio::test]
async fn a_row_that_was_rewritten_and_computed_again_is_found_by_the_root_that_was_kept() {
    let mut tampered = Tampered::new().await;
    let kept = tampered.verify(None).await;
    fill(&tampered.log, [3, 4]).await;
    let grown = tampered.verify(Some(kept.size)).await;
    assert_eq!((grown.wrong, grown.root_at), (None, Some(kept.root)), "a log that only grew keeps its root");
    assert_ne!(grown.root, kept.root);

    let position = Position(any(SIZE));
    let mut event = tampered.log.read_range(Position(position.0 - 1), 1).await.expect("a row").remove(0);
    event.fact.body = json!({ "number": 8 });
    let leaf = leaf(&kept, &event);
    let rewrite = "UPDATE event SET body = $2, leaf = $3 WHERE position = $1";
    let rewrite = sqlx::query(rewrite).bind(position.0).bind(&event.fact.body).bind(leaf.to_vec());
    rewrite.execute(&mut tampered.superuser).await.expect("a rewritten row");

    let report = tampered.verify(Some(kept.size)).await;
    assert_eq!(report.wrong, None, "nothing inside the database can tell");
    assert_ne!(report.root_at, Some(kept.root));
}

fn leaf(report: &Report, event: &Recorded) -> digest::Hash {
    let fact = &event.fact;
    let place = (fact.owner, fact.stream, event.version);
    digest::leaf(
        &report.identity.origin,
        report.identity.history,
        event.position,
        place,
        event.recorded_at,
        &digest::event(fact),
    )
}
