//! The audit: of any history, what grouping the events by hand says, page by page.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use convoledger::event::{AccountId, OwnerId, Position, StreamId};
use convoledger::projection::AUDIT;
use convoledger::view::audit::{EntryFilter, EntryRow, list};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use sqlx::{PgPool, Row as _};

use crate::history::{History, asked, spread};
use crate::support::postgres::fresh;

#[test]
fn pages_of_the_audit_are_what_grouping_the_events_says() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let database = runtime.block_on(fresh());
    let pool = runtime.block_on(async { database.pool(10) });
    runtime.block_on(AUDIT.create(&pool)).expect("created");
    let day = || prop::option::of(0..30_i64);
    let histories = (prop::collection::vec(asked(), 20..120), 1..7_u32, day(), day());
    let config = ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(&histories, |(asked, size, from, to)| {
        runtime.block_on(async {
            let history = History::of(asked);
            let (before, last) = history.write(&pool).await;
            spread(&database, before).await;
            let middle = Position(before.0.midpoint(last.0));
            for (after, last) in [(before, middle), (middle, last)] {
                AUDIT.fold(&pool, after, last).await.expect("it folds");
            }
            let owner = history.told[0].owner;
            let all = grouped(&pool, owner).await;
            let first = all.last().expect("something happened").day;
            let day = |days: Option<i64>| days.map(|days| first + TimeDelta::days(days));
            let stream = Some(history.told[0].conversation.into());
            let kinds = vec!["message.appended".to_owned(), "conversation.started".to_owned()];
            for filter in [
                EntryFilter::default(),
                EntryFilter { stream, ..EntryFilter::default() },
                EntryFilter { kinds: kinds.clone(), from: day(from), ..EntryFilter::default() },
                EntryFilter { stream, kinds, from: day(from), to: day(to) },
            ] {
                let expected: Vec<_> = all.iter().filter(|entry| meets(entry, &filter)).cloned().collect();
                let (mut seen, mut after) = (Vec::new(), None);
                loop {
                    let page = list(&pool, owner, &filter, after, size, true).await.expect("read");
                    prop_assert_eq!(page.total, Some(expected.len() as u64));
                    prop_assert_eq!(page.has_previous, after.is_some());
                    seen.extend(page.rows);
                    after = seen.last().map(EntryRow::key);
                    if !page.has_next {
                        break;
                    }
                }
                prop_assert_eq!(seen, expected);
            }
            let stranger = OwnerId(convoledger::random::id());
            let none = list(&pool, stranger, &EntryFilter::default(), None, 10, true).await.expect("read");
            prop_assert_eq!((none.rows, none.total), (vec![], Some(0)));
            Ok(())
        })
    });
    outcome.expect("every history");
}

fn meets(entry: &EntryRow, filter: &EntryFilter) -> bool {
    filter.stream.is_none_or(|stream| stream == entry.stream)
        && (filter.kinds.is_empty() || filter.kinds.contains(&entry.kind))
        && filter.from.is_none_or(|from| from <= entry.day)
        && filter.to.is_none_or(|to| entry.day < to)
}

/// An owner's events by stream, day, actor and kind, the newest first.
async fn grouped(pool: &PgPool, owner: OwnerId) -> Vec<EntryRow> {
    let events =
        "SELECT position, stream_id, recorded_at, actor_id, kind FROM event WHERE owner_id = $1 ORDER BY position";
    let events = sqlx::query(events).bind(owner.0).fetch_all(pool).await.expect("events");
    let mut entries: BTreeMap<(StreamId, NaiveDate, AccountId, String), EntryRow> = BTreeMap::new();
    for event in events {
        let (position, at) = (Position(event.get("position")), event.get::<DateTime<Utc>, _>("recorded_at"));
        let (stream, actor, kind) =
            (StreamId(event.get("stream_id")), AccountId(event.get("actor_id")), event.get("kind"));
        let day = at.date_naive();
        let entry =
            entries.entry((stream, day, actor, kind)).or_insert_with_key(|(stream, day, actor, kind)| EntryRow {
                stream: *stream,
                day: *day,
                actor: *actor,
                kind: kind.clone(),
                events: 0,
                first: position,
                last: position,
                first_at: at,
                last_at: at,
            });
        entry.events += 1;
        (entry.last, entry.last_at) = (position, at);
    }
    let mut entries: Vec<EntryRow> = entries.into_values().collect();
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.first));
    entries
}
