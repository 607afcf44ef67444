//! What is found is what a plain look at everything finds, whatever happened, and however the log was cut when it was folded.

use std::cell::RefCell;
use std::collections::BTreeSet;

use convoledger::event::{Event, OwnerId, Position};
use convoledger::ledger::{Act, AppendMessage};
use convoledger::projection::{CONVERSATION, Projection, Range, SEARCH, Said};
use convoledger::view::conversation::Filter;
use convoledger::view::search::{self, Found, HitRow, Key, Order, Query, Spelled, Window};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use sqlx::{AssertSqlSafe, PgPool};

use crate::history::{Asked, History, asked};
use crate::support::postgres::fresh;

const WORDS: [&str; 5] = ["red", "blue", "green", "wine", "tea"];
const ORDERS: [Order; 6] =
    [Order::Relevance, Order::Newest, Order::Oldest, Order::MostExpensive, Order::MostTokens, Order::Largest];

/// A query, and which texts it means.
#[derive(Debug, Clone)]
struct Case {
    query: String,
    any: Vec<Vec<(bool, Vec<&'static str>)>>,
}

impl Case {
    fn means(&self, text: &str) -> bool {
        let words: Vec<&str> = text.split(' ').collect();
        let says = |phrase: &Vec<&str>| words.windows(phrase.len()).any(|window| window == phrase.as_slice());
        self.any.iter().any(|all| all.iter().all(|(not, phrase)| says(phrase) != *not))
    }
}

fn case() -> impl Strategy<Value = Case> {
    let phrase = prop::collection::vec(prop::sample::select(&WORDS[..]), 1..3);
    let group = (phrase.clone(), prop::collection::vec((any::<bool>(), phrase), 0..2));
    prop::collection::vec(group, 1..3).prop_map(|groups| {
        let mut any = Vec::new();
        let mut said = Vec::new();
        for (first, rest) in groups {
            let group: Vec<_> = std::iter::once((false, first)).chain(rest).collect();
            let term =
                |(not, phrase): &(bool, Vec<&str>)| format!("{}\"{}\"", if *not { "-" } else { "" }, phrase.join(" "));
            said.push(group.iter().map(term).collect::<Vec<_>>().join(" "));
            any.push(group);
        }
        Case { query: said.join(" OR "), any }
    })
}

/// A history whose messages and titles are made of few words.
fn wordy() -> impl Strategy<Value = Vec<Asked>> {
    let text = || prop::collection::vec(prop::sample::select(&WORDS[..]), 1..6).prop_map(|words| words.join(" "));
    prop::collection::vec((asked(), text()), 30..120).prop_map(|all| {
        let say = |(asked, text): (Asked, String)| {
            asked.map(|act| match act {
                Act::Append(message) => {
                    let id = message.id;
                    Act::Append(AppendMessage { parts: AppendMessage::text(id, message.role, text).parts, ..message })
                }
                // What bears on search happens more often than among the acts of a rule's test.
                Act::SetTitle { .. } | Act::Tag { .. } | Act::Untag { .. } => Act::SetTitle { title: text },
                Act::Rate { message, .. } | Act::Unhide { message } if message.0.as_u128() % 3 > 0 => {
                    Act::Hide { message }
                }
                Act::Archive | Act::Favorite => Act::Delete,
                act => act,
            })
        };
        all.into_iter().map(say).collect()
    })
}

#[test]
fn any_division_of_any_history_finds_what_a_plain_look_finds() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let database = runtime.block_on(fresh());
    let pool = runtime.block_on(async { database.pool(10) });
    let histories =
        (wordy(), prop::collection::vec(1..25_i64, 1..8), prop::collection::vec(case(), 4), any::<bool>(), 2..9_u32);
    let all = RefCell::new(LeftOut::default());
    // Until each reason to leave something out was met: histories that leave nothing out show little.
    for _ in 0..32 {
        let config = ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() };
        let outcome = TestRunner::new(config).run(&histories, |(asked, cuts, cases, hidden, size)| {
            runtime.block_on(async {
                let history = History::of(asked);
                let (before, last) = history.write(&pool).await;
                let whole = folded(&pool, &history, before, last, &[i64::MAX]).await;
                prop_assert_eq!(&whole, &folded(&pool, &history, before, last, &cuts).await, "in ranges of {:?}", cuts);
                for owner in history.states.keys().map(|(owner, _)| *owner).collect::<BTreeSet<_>>() {
                    for case in &cases {
                        let left_out = check(&pool, &history, before, last, owner, case, hidden, size).await?;
                        let mut all = all.borrow_mut();
                        all.hidden += left_out.hidden;
                        all.deleted += left_out.deleted;
                        all.titles += left_out.titles;
                    }
                }
                Ok(())
            })
        });
        outcome.expect("every history");
        let all = all.borrow();
        if all.hidden > 0 && all.deleted > 0 && all.titles > 0 {
            return;
        }
    }
    panic!("not each reason to leave something out was met: {:?}", all.into_inner());
}

#[allow(clippy::too_many_arguments)] // all that a case is
async fn check(
    pool: &PgPool,
    history: &History,
    before: Position,
    last: Position,
    owner: OwnerId,
    case: &Case,
    hidden: bool,
    size: u32,
) -> Result<LeftOut, TestCaseError> {
    let (expected, left_out) = plain(history, before, owner, case, hidden);
    let query = Query::parse(&case.query).expect("a query");
    let pieces = search::pieces(pool, owner, &query.terms()).await.expect("pieces");
    let spelled = query.spell(&pieces, &std::collections::HashMap::new()).expect("something to look for");
    for order in ORDERS {
        let rows = pages(pool, owner, &spelled, hidden, order, last, size).await;
        let found: BTreeSet<Position> = rows.iter().map(|row| row.position).collect();
        prop_assert_eq!(found.len(), rows.len(), "each is found once");
        prop_assert_eq!(&found, &expected, "{} by {:?}", &case.query, order);
        let keys: Vec<Key> = rows.iter().map(|row| row.key).collect();
        prop_assert!(
            keys.is_sorted_by(|a, b| (a.value, a.position, a.nth) > (b.value, b.position, b.nth)),
            "{:?}",
            keys
        );
        if order == Order::Newest {
            let at = |position: Position| {
                history.placed(before).find(|(at, _)| *at == position).expect("told").1.occurred_at
            };
            prop_assert!(rows.is_sorted_by(|a, b| at(a.position) >= at(b.position)));
        }
        abandoned(pool, history, owner, &rows).await?;
    }
    Ok(left_out)
}

/// Everything, page by page.
async fn pages(
    pool: &PgPool,
    owner: OwnerId,
    spelled: &Spelled,
    hidden: bool,
    order: Order,
    until: Position,
    size: u32,
) -> Vec<HitRow> {
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let window = Window { until, after, limit: size };
        let filter = Filter::default();
        let page = search::list(pool, owner, spelled, None, &filter, hidden, order, &window, Position::LATEST)
            .await
            .expect("a page");
        let Some(end) = page.last() else { return rows };
        after = Some(end.key);
        rows.extend(page);
    }
}

/// What a look at every event finds; and what says what is looked for, and does not count.
fn plain(
    history: &History,
    before: Position,
    owner: OwnerId,
    case: &Case,
    hidden: bool,
) -> (BTreeSet<Position>, LeftOut) {
    let (mut found, mut left_out) = (BTreeSet::new(), LeftOut::default());
    for (position, told) in history.placed(before).filter(|(_, told)| told.owner == owner) {
        if !told.event.text().is_some_and(|text| case.means(&text)) {
            continue;
        }
        let state = &history.states[&(owner, told.conversation)];
        match &told.event {
            Event::MessageAppended(_) | Event::ConversationTitled(_) if state.deleted => left_out.deleted += 1,
            Event::MessageAppended(said) if !hidden && state.hidden.contains(&said.place) => left_out.hidden += 1,
            // Another was set since, or one before it was restored.
            Event::ConversationTitled(_) if told.version != state.title => left_out.titles += 1,
            Event::MessageAppended(_) | Event::ConversationTitled(_) => drop(found.insert(position)),
            _ => {}
        }
    }
    (found, left_out)
}

#[derive(Debug, Default)]
struct LeftOut {
    hidden: usize,
    deleted: usize,
    titles: usize,
}

async fn abandoned(pool: &PgPool, history: &History, owner: OwnerId, rows: &[HitRow]) -> Result<(), TestCaseError> {
    let place =
        |row: &HitRow| if let Found::Message(place) = row.found { Some((row.conversation, place)) } else { None };
    let places: Vec<_> = rows.iter().filter_map(place).collect();
    let abandoned = search::abandoned(pool, owner, &places, Position::LATEST).await.expect("an answer");
    for (conversation, place) in places {
        let state = &history.states[&(owner, conversation)];
        let preferred = usize::try_from(state.preferred.0 - 1).expect("from 1");
        let path = state.tree.path(state.branches[preferred].tip);
        let on_path = path.iter().any(|id| state.tree.place(*id) == Some(place));
        prop_assert_eq!(abandoned.contains(&(conversation, place)), !on_path, "{:?}", place);
    }
    Ok(())
}

/// The rows that come of folding (`before`, `last`] anew, cut into ranges of these lengths, again and again.
async fn folded(pool: &PgPool, history: &History, before: Position, last: Position, cuts: &[i64]) -> Vec<String> {
    for projection in [CONVERSATION, SEARCH] {
        anew(pool, &projection, history, before, last, cuts).await;
    }
    let mut rows = Vec::new();
    for table in ["document", "vocabulary", "spoken"] {
        let dump = format!("SELECT '{table} ' || t::text FROM search.{table} AS t ORDER BY 1");
        rows.extend(sqlx::query_scalar::<_, String>(AssertSqlSafe(dump)).fetch_all(pool).await.expect("rows"));
    }
    rows
}

async fn anew(
    pool: &PgPool,
    projection: &Projection,
    history: &History,
    before: Position,
    last: Position,
    cuts: &[i64],
) {
    let name = &projection.name;
    projection.create(pool).await.expect("created");
    let tables = "SELECT string_agg(format('%I.%I', schemaname, tablename), ', ') FROM pg_tables \
                  WHERE schemaname = $1 AND tablename <> 'progress'";
    let tables: String = sqlx::query_scalar(tables).bind(&**name).fetch_one(pool).await.expect("tables");
    sqlx::raw_sql(AssertSqlSafe(format!("TRUNCATE {tables}"))).execute(pool).await.expect("emptied");
    let skip = format!("UPDATE {name}.progress SET position = $1");
    sqlx::query(AssertSqlSafe(skip)).bind(before.0).execute(pool).await.expect("what lies before is another history");
    let mut after = before;
    for cut in cuts.iter().cycle() {
        if after == last {
            break;
        }
        let to = Position(last.0.min(after.0.saturating_add(*cut)));
        let mut said = Said::default();
        for (position, told) in history.placed(before).filter(|(position, _)| *position > after && *position <= to) {
            if let Some(text) = told.event.text() {
                said.push(position, 0, &text);
            }
        }
        projection.fold(pool, &Range { after, last: to, said, skipped: false }).await.expect("it folds");
        after = to;
    }
}
