//! Typed reads: pages and lists say what the rules and a plain sort say, and no read looks at more than it must.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use convoledger::event::{BranchNumber, ConversationId, Depth, Event, EventId, MessageId, OwnerId, Place, Position};
use convoledger::ledger::{Act, AppendMessage, Below, Conversation};
use convoledger::projection::{BUILT_IN, CONVERSATION, Range};
use convoledger::view::conversation::{ConversationRow, Filter, Key, Order, Status};
use convoledger::view::event::{EventFilter, Extent};
use convoledger::view::{Cut, Page, Slice, branch, conversation, event};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use rust_decimal::Decimal;
use sqlx::{AssertSqlSafe, PgPool, SqlSafeStr as _};

use crate::history::{History, asked, sealed};
use crate::support::message::{self, Message};
use crate::support::postgres::fresh;

const ORDERS: [Order; 5] = [Order::Newest, Order::Oldest, Order::MostExpensive, Order::MostTokens, Order::Largest];

#[test]
fn pages_and_lists_of_any_history_say_what_the_rules_say() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let database = runtime.block_on(fresh());
    let pool = runtime.block_on(async { database.pool(10) });
    runtime.block_on(CONVERSATION.create(&pool)).expect("created");
    let histories = (prop::collection::vec(asked(), 40..160), 1..6_u32, filter());
    let config = ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(&histories, |(asked, size, filter)| {
        runtime.block_on(async {
            let history = History::of(asked);
            let (before, last) = history.write(&pool).await;
            CONVERSATION.fold(&pool, &Range::of_facts(before, last)).await.expect("it folds");
            for ((owner, id), state) in &history.states {
                for (number, branch) in (1..).map(BranchNumber).zip(&state.branches) {
                    let path = state.tree.path(branch.tip);
                    prop_assert_eq!(&forward(&pool, *owner, *id, number, size).await, &path);
                    prop_assert_eq!(&backward(&pool, *owner, *id, number, size).await, &path);
                }
                relatives(&pool, &history, *owner, *id, state).await?;
                costs(&pool, &history, *owner, *id, state).await?;
            }
            for owner in history.states.keys().map(|(owner, _)| *owner) {
                for order in ORDERS {
                    lists(&pool, &history, owner, &filter, order, size).await?;
                }
                events(&pool, &history, before, owner).await?;
            }
            Ok(())
        })
    });
    outcome.expect("every history");
}

/// A branch by pages from the root on.
async fn forward(pool: &PgPool, owner: OwnerId, id: ConversationId, number: BranchNumber, size: u32) -> Vec<MessageId> {
    let (mut seen, mut slice) = (Vec::new(), Slice::first(size));
    loop {
        let page =
            message::page(pool, owner, id, number, &slice, Position::LATEST).await.expect("read").expect("a branch");
        assert_eq!(page.has_previous, !seen.is_empty());
        seen.extend(page.rows.iter().map(Message::id));
        let Some(last) = page.rows.last().filter(|_| page.has_next) else {
            assert_eq!(page.total, Some(seen.len() as u64));
            return seen;
        };
        assert_eq!(page.rows.len(), size as usize, "only the last page is short");
        slice = slice.after(last.place.depth);
    }
}

/// A branch by pages from the tip back.
async fn backward(
    pool: &PgPool,
    owner: OwnerId,
    id: ConversationId,
    number: BranchNumber,
    size: u32,
) -> Vec<MessageId> {
    let (mut seen, mut slice) = (Vec::new(), Slice::last(size));
    loop {
        let page =
            message::page(pool, owner, id, number, &slice, Position::LATEST).await.expect("read").expect("a branch");
        assert_eq!(page.has_next, !seen.is_empty());
        seen.splice(0..0, page.rows.iter().map(Message::id));
        let Some(first) = page.rows.first().filter(|_| page.has_previous) else { return seen };
        slice = slice.before(first.place.depth);
    }
}

/// Parents, children, siblings and roots of every message.
async fn relatives(
    pool: &PgPool,
    history: &History,
    owner: OwnerId,
    id: ConversationId,
    state: &Conversation,
) -> Result<(), TestCaseError> {
    let mut tree: BTreeMap<Option<Place>, Vec<MessageId>> = BTreeMap::from([(None, Vec::new())]);
    let ids: Vec<MessageId> = said(history, id, state);
    let rows = message::by_ids(pool, owner, &ids, Position::LATEST).await.expect("read");
    prop_assert_eq!(rows.len(), ids.len());
    let mut rows = rows;
    rows.sort_by_key(|row| row.event.recorded.position);
    for row in &rows {
        prop_assert_eq!(Some(row.place), state.tree.place(row.id()));
        prop_assert_eq!(row.parent, state.tree.parent(row.place));
        tree.entry(row.parent).or_default().push(row.id());
        tree.entry(Some(row.place)).or_default();
    }
    let parents: Vec<_> = tree.keys().map(|parent| (id, *parent)).collect();
    let below = message::children(pool, owner, &parents, Position::LATEST).await.expect("read");
    for (parent, children) in tree {
        let read: Vec<MessageId> = below[&(id, parent)].iter().map(Message::id).collect();
        prop_assert_eq!(read, children);
    }
    let places: Vec<_> = rows.iter().map(|row| (id, row.place)).collect();
    let mut there = message::by_places(pool, owner, &places, Position::LATEST).await.expect("read");
    there.sort_by_key(|row| row.event.recorded.position);
    prop_assert_eq!(there, rows);
    let stranger = OwnerId(id.0);
    prop_assert!(message::by_ids(pool, stranger, &ids, Position::LATEST).await.expect("read").is_empty());
    prop_assert!(message::by_places(pool, stranger, &places, Position::LATEST).await.expect("read").is_empty());
    Ok(())
}

/// All its messages, also those that a restore left on no branch.
fn said(history: &History, id: ConversationId, state: &Conversation) -> Vec<MessageId> {
    let of = history.told.iter().filter(|told| told.conversation == id && told.event.place().is_some());
    let ids: Vec<MessageId> = of.map(|told| told.id.into()).collect();
    assert_eq!(ids.len(), state.tree.len());
    ids
}

async fn costs(
    pool: &PgPool,
    history: &History,
    owner: OwnerId,
    id: ConversationId,
    state: &Conversation,
) -> Result<(), TestCaseError> {
    let mut known: BTreeMap<MessageId, Decimal> = BTreeMap::new();
    for told in history.told.iter().filter(|told| told.conversation == id && told.owner == owner) {
        if let Event::MessageAppended(said) = &told.event {
            known.extend(said.cost_usd.map(|cost| (said.id, cost)));
        }
    }
    let branches: Vec<_> = (1..).map(BranchNumber).take(state.branches.len()).map(|number| (id, number)).collect();
    let paths = branch::path_costs(pool, owner, &branches, Position::LATEST).await.expect("read");
    for (key, branch) in branches.iter().zip(&state.branches) {
        let path: Vec<Decimal> =
            state.tree.path(branch.tip).iter().filter_map(|message| known.get(message).copied()).collect();
        let expected = (!path.is_empty()).then(|| path.iter().sum::<Decimal>());
        prop_assert_eq!(paths.get(key).copied(), expected);
    }
    let mut rows = branch::by_numbers(pool, owner, &branches, Position::LATEST).await.expect("read");
    rows.sort_by_key(|row| row.number);
    let of = branch::of_conversations(pool, owner, &[id], Position::LATEST).await.expect("read");
    prop_assert_eq!(&rows, &of[&id]);
    Ok(())
}

/// Pages of a list, both ways, against a filter and a sort in memory.
async fn lists(
    pool: &PgPool,
    history: &History,
    owner: OwnerId,
    filter: &Filter,
    order: Order,
    size: u32,
) -> Result<(), TestCaseError> {
    let ids: Vec<_> = history.states.keys().filter(|(of, _)| *of == owner).map(|(_, id)| *id).collect();
    let rows = conversation::by_ids(pool, owner, &ids, Position::LATEST).await.expect("read");
    let mut expected: Vec<ConversationRow> = rows.into_iter().filter(|row| meets(row, filter)).collect();
    expected.sort_by_key(|row| row.key(order));
    if order != Order::Oldest {
        expected.reverse();
    }
    let read = async |slice: Slice<Key>| {
        conversation::list(pool, owner, filter, order, &slice, true, Position::LATEST).await.expect("read")
    };
    let (mut seen, mut slice) = (Vec::new(), Slice::first(size));
    loop {
        let page = read(slice.clone()).await;
        prop_assert_eq!(page.total, Some(expected.len() as u64));
        prop_assert_eq!(page.has_previous, !seen.is_empty());
        seen.extend(page.rows);
        let Some(last) = seen.last().filter(|_| page.has_next) else { break };
        slice = slice.after(last.key(order));
    }
    prop_assert_eq!(&seen, &expected, "{:?} forward", order);
    let (mut seen, mut slice) = (Vec::new(), Slice::last(size));
    loop {
        let page = read(slice.clone()).await;
        prop_assert_eq!(page.has_next, !seen.is_empty());
        seen.splice(0..0, page.rows);
        let Some(first) = seen.first().filter(|_| page.has_previous) else { break };
        slice = slice.before(first.key(order));
    }
    prop_assert_eq!(&seen, &expected, "{:?} backward", order);
    if let [first, between @ .., last] = expected.as_slice() {
        let slice = Slice::first(100).after(first.key(order)).before(last.key(order));
        prop_assert_eq!(read(slice).await.rows, between);
    }
    Ok(())
}

fn meets(row: &ConversationRow, filter: &Filter) -> bool {
    let any =
        |asked: &[String], it: &Option<String>| asked.is_empty() || it.as_ref().is_some_and(|it| asked.contains(it));
    (!filter.favorites_only || row.favorited)
        && filter.tags.iter().all(|tag| row.tags.contains_key(tag))
        && (filter.status.contains(&row.status) || filter.status.is_empty() && row.status != Status::Deleted)
        && any(&filter.model, &row.model)
        && any(&filter.provider, &row.provider)
        && filter.from.is_none_or(|from| row.created_at >= from)
        && filter.to.is_none_or(|to| row.created_at < to)
        && filter.min_cost_usd.is_none_or(|min| row.cost_usd.is_some_and(|cost| cost >= min))
        && filter.max_cost_usd.is_none_or(|max| row.cost_usd.is_some_and(|cost| cost <= max))
}

pub fn filter() -> impl Strategy<Value = Filter> {
    use chrono::TimeDelta;
    let statuses = prop::sample::subsequence(vec![Status::Active, Status::Archived, Status::Deleted], 0..4);
    let model = prop::option::weighted(0.3, Just("m".to_owned()));
    let hours = || prop::option::weighted(0.3, 0..500_i64);
    let cost = || prop::option::weighted(0.2, (0..3_000_i64).prop_map(|cents| Decimal::new(cents, 2)));
    (any::<bool>(), any::<bool>(), statuses, model, hours(), hours(), cost(), cost()).prop_map(
        |(favorites, tagged, status, model, from, to, min_cost_usd, max_cost_usd)| {
            let ago = |minutes: i64| crate::rules::now() - TimeDelta::minutes(minutes);
            let mut token = [0; 16];
            token[..3].copy_from_slice(b"one");
            Filter {
                favorites_only: favorites && tagged,
                tags: if tagged && !favorites { vec![convoledger::event::Token(token)] } else { Vec::new() },
                status,
                model: model.into_iter().collect(),
                provider: Vec::new(),
                from: from.map(ago),
                to: to.map(ago),
                min_cost_usd,
                max_cost_usd,
                among: None,
            }
        },
    )
}

/// Events by owner, by stream, by kind, by id and by position, with all their words.
async fn events(pool: &PgPool, history: &History, before: Position, owner: OwnerId) -> Result<(), TestCaseError> {
    let own: Vec<_> = history.placed(before).filter(|(_, told)| told.owner == owner).collect();
    let (_, any) = own[own.len() / 2];
    let kinds = vec!["message.appended".to_owned(), "conversation.tagged".to_owned()];
    for filter in [
        EventFilter::default(),
        EventFilter { stream: Some(any.conversation.into()), ..EventFilter::default() },
        EventFilter { kinds: kinds.clone(), ..EventFilter::default() },
        EventFilter { stream: Some(any.conversation.into()), kinds, last: None },
    ] {
        let expected: Vec<_> = own
            .iter()
            .filter(|(_, told)| filter.stream.is_none_or(|stream| stream == told.conversation.into()))
            .filter(|(_, told)| filter.kinds.is_empty() || filter.kinds.contains(&told.event.kind().to_owned()))
            .collect();
        prop_assert_eq!(event::count(pool, owner, &filter).await.expect("read"), expected.len() as u64);
        let (mut seen, mut after) = (Vec::new(), Position(0));
        loop {
            let page = event::list(pool, owner, &filter, after, 7).await.expect("read").rows;
            let Some(last) = page.last() else { break };
            after = *last;
            seen.extend(event::by_positions(pool, owner, &page, Extent::Whole).await.expect("read"));
        }
        prop_assert_eq!(seen.len(), expected.len());
        for (row, (position, told)) in seen.iter().zip(expected) {
            prop_assert_eq!(row.recorded.position, *position);
            prop_assert_eq!(row.recorded.version, told.version);
            let words: Vec<_> = told.event.words().iter().map(|words| sealed(told, words.part)).collect();
            prop_assert_eq!(&row.words, &words);
        }
    }
    let ids: Vec<EventId> = own.iter().map(|(_, told)| told.id).collect();
    let positions: Vec<Position> = own.iter().map(|(position, _)| *position).collect();
    let (by_ids, by_positions) =
        (event::by_ids(pool, owner, &ids).await, event::by_positions(pool, owner, &positions, Extent::Whole).await);
    let by_positions = by_positions.expect("read");
    prop_assert_eq!(&by_ids.expect("read"), &by_positions);
    prop_assert_eq!(by_positions.iter().map(|row| row.recorded.position).collect::<Vec<_>>(), positions.clone());
    let stranger = OwnerId(convoledger::random::id());
    prop_assert!(event::by_positions(pool, stranger, &positions, Extent::Whole).await.expect("read").is_empty());
    Ok(())
}

#[tokio::test]
async fn a_page_keeps_within_its_bounds_and_what_is_not_there_is_none() {
    let database = fresh().await;
    let pool = database.pool(10);
    let (owner, id) = written(&pool, 10).await;
    let read = async |slice| {
        message::page(&pool, owner, id, BranchNumber::MAIN, &slice, Position::LATEST)
            .await
            .expect("read")
            .expect("main")
    };
    let depths = |page: Page<Message>| {
        (page.rows.iter().map(|row| row.place.depth.0).collect::<Vec<_>>(), page.has_previous, page.has_next)
    };
    assert_eq!(depths(read(Slice::first(3).after(Depth(2)).before(Depth(5))).await), (vec![3, 4], true, true));
    assert_eq!(depths(read(Slice::last(3).after(Depth(2)).before(Depth(9))).await), (vec![6, 7, 8], true, true));
    assert_eq!(depths(read(Slice::first(99)).await), ((1..=10).collect(), false, false));
    assert_eq!(depths(read(Slice::first(0)).await), (vec![], false, true));
    assert_eq!(depths(read(Slice::first(5).after(Depth(i32::MAX))).await), (vec![], true, false));
    assert_eq!(depths(read(Slice::last(5).before(Depth(i32::MIN))).await), (vec![], false, true));
    assert_eq!(
        depths(read(Slice { cut: Cut::Last(u32::MAX), ..Slice::first(0) }).await),
        ((1..=10).collect(), false, false)
    );
    let missing =
        message::page(&pool, owner, id, BranchNumber(2), &Slice::first(1), Position::LATEST).await.expect("read");
    assert!(missing.is_none());
    let stranger = message::page(&pool, OwnerId(id.0), id, BranchNumber::MAIN, &Slice::first(1), Position::LATEST)
        .await
        .expect("read");
    assert!(stranger.is_none());
}

#[tokio::test]
async fn every_statement_is_one_that_the_database_takes() {
    let database = fresh().await;
    let pool = database.pool(10);
    for projection in BUILT_IN {
        projection.create(&pool).await.expect("created");
    }
    let mut connection = pool.acquire().await.expect("a connection");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut prepared = 0;
    let folders =
        BUILT_IN.iter().map(|projection| (projection.name.to_string(), format!("projections/{}", projection.name)));
    let own = ["src/view/sql", "src/projection/sql"].map(|folder| (CONVERSATION.name.to_string(), folder.to_owned()));
    for (schema, folder) in folders.chain(own) {
        let path = format!("SET search_path = {schema}, fold, public");
        sqlx::raw_sql(AssertSqlSafe(path)).execute(&mut *connection).await.expect("set");
        for file in fs::read_dir(root.join(folder)).expect("a folder").flatten().map(|entry| entry.path()) {
            // Of these, each is many statements, with which the projection was created; the last three are parts of statements.
            if ["schema.sql", "acts.sql", "as_of.sql", "index.sql", "with_events.sql", "count.sql", "claim.sql"]
                .iter()
                .any(|name| file.ends_with(name))
            {
                continue;
            }
            let statement = fs::read_to_string(&file).expect("SQL is text");
            let taken = sqlx::Executor::prepare(&mut *connection, AssertSqlSafe(statement).into_sql_str()).await;
            assert!(taken.is_ok(), "{}: {}", file.display(), taken.err().map(|e| e.to_string()).unwrap_or_default());
            prepared += 1;
        }
    }
    assert!(prepared > 20, "{prepared}");
}

/// A conversation of `messages` messages, folded.
async fn written(pool: &PgPool, messages: u32) -> (OwnerId, ConversationId) {
    use convoledger::event::Role;
    let (owner, id) = (OwnerId(convoledger::random::id()), ConversationId(convoledger::random::id()));
    let mut history = History::default();
    history.carry_out(owner, id, Act::Start(convoledger::ledger::Start::default()), 0);
    for _ in 0..messages {
        let message = AppendMessage::text(MessageId(convoledger::random::id()), Role::User, "hello");
        history.carry_out(owner, id, Act::Append(message.below(Below::Preferred)), 0);
    }
    let (before, last) = history.write(pool).await;
    CONVERSATION.create(pool).await.expect("created");
    CONVERSATION.fold(pool, &Range::of_facts(before, last)).await.expect("it folds");
    (owner, id)
}
