//! Costs: of any history, range, zone, dimensions and filter, what adding the messages up by hand says.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Datelike as _, NaiveDate, TimeDelta, Timelike as _, Utc};
use chrono_tz::Tz;
use convoledger::event::{
    ConversationId, Event, INTEGER_MAX, MessageAppended, MessageId, OwnerId, Position, Role, Usage,
};
use convoledger::ledger::{Act, AppendMessage, Start};
use convoledger::projection::{CONVERSATION, Range, USAGE};
use convoledger::view::conversation::{self, Filter, Order};
use convoledger::view::usage::{Costs, Dimension, Keys, ROWS_MAX, Span, Sums, costs};
use convoledger::view::{Page, Slice};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use rust_decimal::Decimal;
use sqlx::PgPool;

use crate::history::{History, Told, asked, chat};
use crate::rules;
use crate::support::postgres::fresh;
use crate::view::filter;

use Dimension::{Account, Branch, Conversation, Day, Hour, Model, Month, Provider, Week};

const DIMENSIONS: [Dimension; 9] = [Hour, Day, Week, Month, Account, Conversation, Branch, Model, Provider];
/// Far ahead, far behind, off by a half and a quarter of an hour, and by half an hour more in summer.
const ZONES: [Tz; 8] = [
    Tz::UTC,
    Tz::Europe__Berlin,
    Tz::America__New_York,
    Tz::Asia__Kathmandu,
    Tz::Australia__Lord_Howe,
    Tz::Pacific__Kiritimati,
    Tz::Pacific__Pago_Pago,
    Tz::America__St_Johns,
];
const EVERYTHING: Span = Span { from: None, to: None, zone: Tz::UTC };

/// What is asked of a history's costs.
#[derive(Debug, Clone)]
struct Question {
    range: Span,
    dimensions: Vec<Dimension>,
    filter: Option<Filter>,
}

fn question() -> impl Strategy<Value = Question> {
    let ago = |seconds: i64| rules::now() - TimeDelta::seconds(seconds);
    // Anywhere, at the very moment of messages, and where quarters of an hour begin.
    let seconds = || {
        prop_oneof![
            4 => 0..40_000_i64,
            2 => 0..25_000_000_i64,
            1 => (0..500_i64).prop_map(|minute| minute * 60),
            1 => (0..200_i64).prop_map(|quarter| 400 + quarter * 900),
        ]
    };
    let end = move || prop::option::weighted(0.8, seconds().prop_map(ago));
    let dimensions = prop::sample::subsequence(DIMENSIONS.to_vec(), 0..5).prop_shuffle();
    (end(), end(), prop::sample::select(&ZONES), dimensions, prop::option::weighted(0.3, filter())).prop_map(
        |(from, to, zone, dimensions, filter)| {
            let (from, to) = if from.is_some() && to.is_some() { (from.min(to), from.max(to)) } else { (from, to) };
            Question { range: Span { from, to, zone }, dimensions, filter }
        },
    )
}

#[test]
fn costs_are_what_adding_the_messages_up_says() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let database = runtime.block_on(fresh());
    let pool = runtime.block_on(async { database.pool(10) });
    runtime.block_on(create(&pool));
    let histories = (prop::collection::vec(asked(), 40..160), prop::collection::vec(question(), 12));
    let config = ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(&histories, |(asked, questions)| {
        runtime.block_on(async {
            let history = History::of(asked);
            let (before, last) = history.write(&pool).await;
            for projection in [CONVERSATION, USAGE] {
                projection.fold(&pool, &Range::of_facts(before, last)).await.expect("it folds");
            }
            let owners: BTreeSet<OwnerId> = history.states.keys().map(|(owner, _)| *owner).collect();
            for Question { range, dimensions, filter } in &questions {
                for owner in &owners {
                    let met = match filter {
                        Some(filter) => Some(meeting(&pool, *owner, filter).await),
                        None => None,
                    };
                    let read = costs(&pool, *owner, *range, dimensions, filter.as_ref(), Position::LATEST).await;
                    let read = read.expect("read").expect("few rows");
                    let own = history.told.iter().filter(|told| {
                        told.owner == *owner && met.as_ref().is_none_or(|met| met.contains(&told.conversation))
                    });
                    prop_assert_eq!(read.position, last);
                    agree(&read, own, *range, dimensions)?;
                }
            }
            Ok(())
        })
    });
    outcome.expect("every history");
}

/// The views that costs are read from.
async fn create(pool: &PgPool) {
    for projection in [CONVERSATION, USAGE] {
        projection.create(pool).await.expect("created");
    }
}

/// The conversations that a list shows under this filter.
async fn meeting(pool: &PgPool, owner: OwnerId, filter: &Filter) -> BTreeSet<ConversationId> {
    let listed =
        conversation::list(pool, owner, filter, Order::Newest, &Slice::first(1_000), false, Position::LATEST).await;
    let Page { rows, .. } = listed.expect("read");
    rows.into_iter().map(|row| row.id).collect()
}

fn agree<'t>(
    read: &Costs,
    told: impl Iterator<Item = &'t Told>,
    range: Span,
    dimensions: &[Dimension],
) -> Result<(), TestCaseError> {
    let (mut rows, mut total): (BTreeMap<Keys, Sums>, Sums) = (BTreeMap::new(), Sums::default());
    if dimensions.is_empty() {
        rows.insert(Keys::default(), Sums::default());
    }
    for told in told {
        let Event::MessageAppended(said) = &told.event else { continue };
        // A grafted message was paid for where it was said.
        if said.origin.is_some() {
            continue;
        }
        let at = told.occurred_at;
        if range.from.is_none_or(|from| from <= at) && range.to.is_none_or(|to| at < to) {
            add(rows.entry(keys(told, said, range.zone, dimensions)).or_default(), said);
            add(&mut total, said);
        }
    }
    prop_assert_eq!(read.total, total);
    prop_assert_eq!(read.rows.len(), rows.len());
    for row in &read.rows {
        prop_assert_eq!(Some(&row.sums), rows.get(&row.keys), "{:?}", row.keys);
    }
    if let Some(first) = dimensions.first() {
        let sorted = read.rows.is_sorted_by_key(|row| {
            // What two rows have in common of the first dimension.
            let Keys { hour, day, week, month, account, conversation, branch, model, provider } = row.keys.clone();
            match first {
                Hour => Keys { hour, ..Keys::default() },
                Day => Keys { day, ..Keys::default() },
                Week => Keys { week, ..Keys::default() },
                Month => Keys { month, ..Keys::default() },
                Account => Keys { account, ..Keys::default() },
                Conversation => Keys { conversation, ..Keys::default() },
                Branch => Keys { conversation, branch, ..Keys::default() },
                Model => Keys { model, ..Keys::default() },
                Provider => Keys { provider, ..Keys::default() },
            }
        });
        prop_assert!(sorted);
    }
    Ok(())
}

fn keys(told: &Told, said: &MessageAppended, zone: Tz, dimensions: &[Dimension]) -> Keys {
    let local = told.occurred_at.with_timezone(&zone);
    let (day, into_hour) = (local.date_naive(), i64::from(local.minute() * 60 + local.second()));
    let week = day - TimeDelta::days(i64::from(day.weekday().num_days_from_monday()));
    let has = |dimension| dimensions.contains(&dimension);
    Keys {
        hour: has(Hour).then(|| told.occurred_at - TimeDelta::seconds(into_hour)),
        day: has(Day).then_some(day),
        week: has(Week).then_some(week),
        month: has(Month).then(|| NaiveDate::from_ymd_opt(day.year(), day.month(), 1).expect("a day")),
        account: has(Account).then_some(told.owner),
        conversation: (has(Conversation) || has(Branch)).then_some(told.conversation),
        branch: has(Branch).then_some(said.branch),
        model: said.model.clone().filter(|_| has(Model)),
        provider: said.provider.clone().filter(|_| has(Provider)),
    }
}

fn add(sums: &mut Sums, said: &MessageAppended) {
    let usage = said.usage.unwrap_or_default();
    sums.messages += 1;
    sums.tokens_in += usage.input.unwrap_or(0);
    sums.tokens_out += usage.output.unwrap_or(0);
    sums.cache_reads += usage.cache_read.unwrap_or(0);
    sums.cache_writes_5m += usage.cache_write_5m.unwrap_or(0);
    sums.cache_writes_1h += usage.cache_write_1h.unwrap_or(0);
    sums.reasoning += usage.reasoning.unwrap_or(0);
    sums.latency_ms += said.latency_ms.unwrap_or(0);
    sums.timed += u64::from(said.latency_ms.is_some());
    sums.size_bytes += said.bytes;
    match said.cost_usd {
        Some(cost) => *sums.cost_usd.get_or_insert_default() += cost,
        None => sums.unpriced += u64::from(said.usage.is_some() || said.role == Role::Assistant),
    }
}

#[tokio::test]
async fn no_numbers_of_one_owner_stop_the_fold() {
    let database = fresh().await;
    let pool = database.pool(4);
    let (owner, id) = (OwnerId(convoledger::random::id()), ConversationId(convoledger::random::id()));
    let mut history = History::default();
    history.carry_out(owner, id, Act::Start(Start::default()), 0);
    for _ in 0..2_000 {
        let message = AppendMessage {
            usage: Some(Usage { input: Some(INTEGER_MAX), ..Usage::default() }),
            cost_usd: Some(Decimal::MAX),
            latency_ms: Some(INTEGER_MAX),
            ..AppendMessage::text(MessageId(convoledger::random::id()), Role::Assistant, "dear")
        };
        history.carry_out(owner, id, Act::Append(message), 0);
    }
    let (before, last) = history.write(&pool).await;
    create(&pool).await;
    for after in before.0..last.0 {
        USAGE.fold(&pool, &Range::of_facts(Position(after), Position(after + 1))).await.expect("it folds");
    }
    for range in [EVERYTHING, Span { from: Some(rules::now() - TimeDelta::seconds(1)), ..EVERYTHING }] {
        let read = costs(&pool, owner, range, &[], None, Position::LATEST).await.expect("read").expect("one row");
        assert_eq!((read.total.messages, read.total.tokens_in), (2_000, INTEGER_MAX));
        assert_eq!(read.total.cost_usd, Some(Decimal::from(1_000_000_000_000_000_i64)));
        assert_eq!(read.rows[0].sums, read.total);
    }
}

#[tokio::test]
async fn an_answer_has_an_end_and_a_stranger_gets_none() {
    let database = fresh().await;
    let pool = database.pool(4);
    let history = chat(3);
    let (before, last) = history.write(&pool).await;
    create(&pool).await;
    USAGE.fold(&pool, &Range::of_facts(before, last)).await.expect("it folds");
    let owner = history.told[0].owner;
    let stranger = OwnerId(convoledger::random::id());
    let read = costs(&pool, stranger, EVERYTHING, &[Day], None, Position::LATEST).await.expect("read");
    assert_eq!(read, Some(Costs { position: last, ..Costs::default() }));
    let cut = Span { from: Some(rules::now() - TimeDelta::seconds(9)), to: Some(rules::now()), ..EVERYTHING };
    assert_eq!(costs(&pool, owner, cut, &[Day], None, Position::LATEST).await.expect("read").expect("none").rows, []);

    let more = "INSERT INTO usage.usage (owner_id, quarter, conversation_id, branch, model, messages, size_bytes)
                SELECT owner_id, quarter, conversation_id, branch, 'model ' || nth, 1, 0
                FROM usage.usage CROSS JOIN generate_series(1, $1) AS nth WHERE model IS NULL";
    let full = i32::try_from(ROWS_MAX - 1).expect("a count");
    sqlx::query(more).bind(full).execute(&pool).await.expect("written");
    let read = costs(&pool, owner, EVERYTHING, &[Model], None, Position::LATEST)
        .await
        .expect("read")
        .expect("as many as there may be");
    assert_eq!(read.total.messages, 3 + ROWS_MAX as u64 - 1);
    let one = more.replace("nth, 1", "nth + $1 + 100000, 1").replace("(1, $1)", "(1, 1)");
    sqlx::query(sqlx::AssertSqlSafe(one)).bind(full).execute(&pool).await.expect("written");
    assert_eq!(costs(&pool, owner, EVERYTHING, &[Model], None, Position::LATEST).await.expect("read"), None);
    assert!(costs(&pool, owner, EVERYTHING, &[Day], None, Position::LATEST).await.expect("read").is_some());
}

#[tokio::test]
async fn what_is_not_folded_yet_is_not_in_it() {
    let database = fresh().await;
    let pool = database.pool(4);
    let history = chat(9);
    let (_, last) = history.write(&pool).await;
    create(&pool).await;
    USAGE.fold(&pool, &Range::of_facts(Position(0), Position(last.0 - 4))).await.expect("it folds");
    let owner = history.told[0].owner;
    let cut = |time: DateTime<Utc>| Span { from: Some(time - TimeDelta::seconds(1)), ..EVERYTHING };
    for range in [EVERYTHING, cut(history.told[0].occurred_at)] {
        let read = costs(&pool, owner, range, &[], None, Position::LATEST).await.expect("read").expect("one row");
        assert_eq!((read.total.messages, read.position), (5, Position(last.0 - 4)));
    }
}
