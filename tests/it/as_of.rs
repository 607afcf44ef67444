//! Reads of the past: as of any position, each says what it said when the log had come there.

use std::cell::Cell;

use convoledger::event::{BranchNumber, ConversationId, Depth, MessageId, OwnerId, Position, Version};
use convoledger::projection::{CONVERSATION, Range, SEARCH, USAGE};
use convoledger::view::conversation::{Filter, Order};
use convoledger::view::event::{EventFilter, Extent};
use convoledger::view::message as lying;
use convoledger::view::timeline::Timeline;
use convoledger::view::usage::{Dimension, Span};
use convoledger::view::{Cut, Slice, branch, conversation, event, snapshot, usage};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use sqlx::PgPool;

use crate::history::{History, asked};
use crate::support::message;
use crate::support::postgres::fresh;
use crate::view::filter;

#[test]
fn what_is_read_as_of_a_position_is_what_was_read_there() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let database = runtime.block_on(fresh());
    let pool = runtime.block_on(async { database.pool(10) });
    for projection in [CONVERSATION, USAGE, SEARCH] {
        runtime.block_on(projection.create(&pool)).expect("created");
    }
    let cuts = prop::collection::vec(any::<prop::sample::Index>(), 1..6);
    // One conversation of each owner becomes longer than a block, or several.
    let histories = (prop::collection::vec(asked(), 40..600), cuts, filter());
    let config = ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(&histories, |(asked, cuts, filter)| {
        runtime.block_on(async {
            let history = History::of(asked);
            let (before, last) = history.write(&pool).await;
            let length = usize::try_from(last.0 - before.0).expect("a length");
            let mut cuts: Vec<i64> =
                cuts.iter().map(|cut| before.0 + 1 + i64::try_from(cut.index(length)).expect("a position")).collect();
            cuts.sort_unstable();
            cuts.dedup();
            let (mut then, mut from) = (Vec::new(), before);
            for at in cuts.into_iter().map(Position) {
                fold(&pool, from, at).await;
                then.push((at, everything(&pool, &history, &filter, Position::LATEST).await));
                from = at;
            }
            fold(&pool, from, last).await;
            for (at, expected) in then {
                let read = everything(&pool, &history, &filter, at).await;
                for (read, expected) in read.iter().zip(&expected) {
                    prop_assert_eq!(read, expected, "as of {}", at);
                }
            }
            Ok(())
        })
    });
    outcome.expect("every history");
}

#[test]
fn a_timeline_says_of_any_position_what_the_view_says() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let database = runtime.block_on(fresh());
    let pool = runtime.block_on(async { database.pool(4) });
    runtime.block_on(CONVERSATION.create(&pool)).expect("created");
    let slice = (prop::option::of(0..60_i32), prop::option::of(1..60_i32), 0..30_u32, any::<bool>());
    let histories = (prop::collection::vec(asked(), 40..400), prop::collection::vec(slice, 3));
    let config = ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() };
    let checked = Cell::new(0);
    let outcome = TestRunner::new(config).run(&histories, |(asked, slices)| {
        let slices: Vec<Slice<Depth>> = slices
            .into_iter()
            .map(|(after, before, count, first)| Slice {
                after: after.map(Depth),
                before: before.map(Depth),
                cut: if first { Cut::First(count) } else { Cut::Last(count) },
            })
            .collect();
        runtime.block_on(async {
            let history = History::of(asked);
            let (before, last) = history.write(&pool).await;
            CONVERSATION.fold(&pool, &Range::of_facts(before, last)).await.expect("it folds");
            for (owner, id) in history.states.keys() {
                let timeline = timeline(&pool, *owner, *id).await;
                if !timeline.is_whole() {
                    continue;
                }
                // Every version, and a moment at which something else happened.
                let versions = (1..=timeline.version().0).map(Version).filter_map(|version| timeline.position(version));
                for at in versions.flat_map(|at| [at, Position(at.0 + 1)]).filter(|at| *at <= last) {
                    let rows = conversation::by_ids(&pool, *owner, &[*id], at).await.expect("read");
                    prop_assert_eq!(rows, Vec::from_iter(timeline.conversation(at)), "as of {}", at);
                    checked.set(checked.get() + 1);
                    let branches = branch::of_conversations(&pool, *owner, &[*id], at).await.expect("read");
                    prop_assert_eq!(branches.get(id), Some(&timeline.branches(at)), "as of {}", at);
                    let none = BranchNumber(i32::try_from(branches[id].len() + 1).expect("few"));
                    for number in [branches[id][branches[id].len() / 2].number, none] {
                        for slice in &slices {
                            let page = lying::page(&pool, *owner, *id, number, slice, at).await.expect("read");
                            let page = page.map(|page| page.rows);
                            prop_assert_eq!(page, timeline.page(number, slice, at), "{:?} as of {}", slice, at);
                        }
                    }
                }
            }
            Ok(())
        })
    });
    outcome.expect("every history");
    assert!(checked.get() > 1_000, "{} moments", checked.get());
}

async fn timeline(pool: &PgPool, owner: OwnerId, id: ConversationId) -> Timeline {
    let filter = EventFilter { stream: Some(id.into()), ..EventFilter::default() };
    let lie = event::list(pool, owner, &filter, Position(0), 10_000).await.expect("read").rows;
    let mut timeline = Timeline::new(id);
    for event in event::by_positions(pool, owner, &lie, Extent::Content).await.expect("read") {
        timeline.take(&event.recorded).expect("it is readable");
    }
    timeline
}

async fn fold(pool: &PgPool, after: Position, last: Position) {
    if after == last {
        return;
    }
    for projection in [CONVERSATION, USAGE] {
        projection.fold(pool, &Range::of_facts(after, last)).await.expect("it folds");
    }
}

/// All that typed reads say of a history, one text each.
async fn everything(pool: &PgPool, history: &History, filter: &Filter, at: Position) -> Vec<String> {
    let mut said = Vec::new();
    let owners: std::collections::BTreeSet<OwnerId> = history.states.keys().map(|(owner, _)| *owner).collect();
    for owner in owners {
        let ids: Vec<ConversationId> =
            history.states.keys().filter(|(of, _)| *of == owner).map(|(_, id)| *id).collect();
        let mut rows = conversation::by_ids(pool, owner, &ids, at).await.expect("read");
        rows.sort_by_key(|row| row.id);
        said.push(format!("{rows:#?}"));
        for order in [Order::Newest, Order::Oldest, Order::MostExpensive, Order::MostTokens, Order::Largest] {
            let page = conversation::list(pool, owner, filter, order, &Slice::first(50), true, at).await.expect("read");
            said.push(format!("{order:?} {page:#?}"));
        }
        let dimensions = [Dimension::Day, Dimension::Conversation, Dimension::Branch, Dimension::Model];
        let all = Span { from: None, to: None, zone: chrono_tz::Tz::Europe__Berlin };
        for filter in [None, Some(filter)] {
            let costs = usage::costs(pool, owner, all, &dimensions, filter, at).await.expect("read").expect("few rows");
            said.push(format!("{:#?} {:#?}", costs.rows, costs.total));
        }
        for id in ids {
            said.extend(one(pool, history, owner, id, at).await);
        }
    }
    said
}

async fn one(pool: &PgPool, history: &History, owner: OwnerId, id: ConversationId, at: Position) -> Vec<String> {
    let mut said = Vec::new();
    let of = branch::of_conversations(pool, owner, &[id], at).await.expect("read");
    said.push(format!("{of:#?}"));
    let numbers: Vec<(ConversationId, BranchNumber)> =
        of.get(&id).into_iter().flatten().map(|branch| (id, branch.number)).collect();
    let mut rows = branch::by_numbers(pool, owner, &numbers, at).await.expect("read");
    rows.sort_by_key(|row| row.number);
    assert_eq!(Some(&rows), of.get(&id).or((rows.is_empty()).then_some(&rows)));
    let mut costs: Vec<_> = branch::path_costs(pool, owner, &numbers, at).await.expect("read").into_iter().collect();
    costs.sort();
    said.push(format!("{costs:?}"));
    for (_, number) in numbers.iter().chain([&(id, BranchNumber(9_999))]) {
        for slice in [Slice::first(20), Slice::last(7)] {
            let page = message::page(pool, owner, id, *number, &slice, at).await.expect("read");
            said.push(format!("{number} {page:#?}"));
        }
    }
    let ids: Vec<MessageId> = history
        .told
        .iter()
        .filter(|told| told.conversation == id && told.event.kind() == "message.appended")
        .map(|told| MessageId(told.id.0))
        .collect();
    let mut messages = message::by_ids(pool, owner, &ids, at).await.expect("read");
    messages.sort_by_key(|row| row.event.recorded.position);
    let places: Vec<_> = messages.iter().map(|row| (id, row.place)).collect();
    let mut standing = message::by_places(pool, owner, &places, at).await.expect("read");
    standing.sort_by_key(|row| row.event.recorded.position);
    assert_eq!(standing, messages);
    let parents: Vec<_> =
        std::iter::once((id, None)).chain(places.iter().map(|(id, place)| (*id, Some(*place)))).collect();
    let mut children: Vec<_> = message::children(pool, owner, &parents, at).await.expect("read").into_iter().collect();
    children.sort_by_key(|((_, parent), _)| *parent);
    said.push(format!("{messages:#?} {children:#?}"));
    let snapshots = snapshot::of_conversation(pool, owner, id, at, Position::LATEST, 50).await.expect("read");
    said.push(format!("{snapshots:#?}"));
    said
}
