//! Reads of the past: as of any position, each says what it said when the log had come there.

use convoledger::event::{BranchNumber, ConversationId, MessageId, OwnerId, Position};
use convoledger::projection::{CONVERSATION, Range, SEARCH, USAGE};
use convoledger::view::conversation::{Filter, Order};
use convoledger::view::usage::{Dimension, Span};
use convoledger::view::{Slice, branch, conversation, snapshot, usage};
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
