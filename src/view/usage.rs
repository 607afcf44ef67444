//! What was used and what it cost: sums over the messages of a stretch of time, by whatever keys are asked for.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use rust_decimal::Decimal;
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row as _};

use super::conversation::Filter;
use super::count;
use crate::event::{BranchNumber, ConversationId, INTEGER_MAX, OwnerId, Position};

/// Rows that one answer holds.
pub const ROWS_MAX: usize = 10_000;

/// Messages that occurred at `from` or later and before `to`; without an end, all that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub from: Option<DateTime<Utc>>,
    pub to: Option<DateTime<Utc>>,
    /// Where days, weeks and months begin.
    pub zone: Tz,
}

/// What sums are told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dimension {
    Hour,
    Day,
    Week,
    Month,
    Account,
    Conversation,
    Branch,
    Model,
    Provider,
}

/// The keys of a row: of those dimensions that were asked for, and none where the messages do not say it.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Keys {
    /// When it begins.
    pub hour: Option<DateTime<Utc>>,
    pub day: Option<NaiveDate>,
    /// Its Monday.
    pub week: Option<NaiveDate>,
    /// Its first day.
    pub month: Option<NaiveDate>,
    pub account: Option<OwnerId>,
    pub conversation: Option<ConversationId>,
    pub branch: Option<BranchNumber>,
    pub model: Option<String>,
    pub provider: Option<String>,
}

/// Sums over messages. What no message said counts as nothing, but for the cost: unknown is not zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    pub messages: u64,
    pub tokens_in: u64,
    pub tokens_out: u64,
    pub cache_reads: u64,
    pub cache_writes_5m: u64,
    pub cache_writes_1h: u64,
    /// A part of `tokens_out`.
    pub reasoning: u64,
    pub latency_ms: u64,
    /// Messages that said their latency.
    pub timed: u64,
    /// None while no message has a known cost.
    pub cost_usd: Option<Decimal>,
    /// Messages of unknown cost that a model said, or that count tokens.
    pub unpriced: u64,
    pub size_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRow {
    pub keys: Keys,
    pub sums: Sums,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Costs {
    /// Ordered by their keys, in the order that the dimensions were asked for.
    pub rows: Vec<UsageRow>,
    pub total: Sums,
    /// The messages of all events up to here are in it.
    pub position: Position,
}

/// What an owner's messages used and cost as of `at`, of all conversations or of those that met `filter` then. None when that
/// is more than [`ROWS_MAX`] rows.
pub async fn costs(
    pool: &PgPool,
    owner: OwnerId,
    range: Span,
    dimensions: &[Dimension],
    filter: Option<&Filter>,
    at: Position,
) -> Result<Option<Costs>, sqlx::Error> {
    let Quarters { whole, cut } = Quarters::of(range);
    let (cut_from, cut_to): (Vec<_>, Vec<_>) = cut.into_iter().unzip();
    let everything = Filter::default();
    let query = sqlx::query(as_of!("../../projections/usage/costs.sql", at)).bind(owner.0);
    let rows = filter
        .unwrap_or(&everything)
        .bind(query)
        .bind(filter.is_some())
        .bind(whole.0)
        .bind(whole.1)
        .bind(cut_from)
        .bind(cut_to)
        .bind(range.zone.name())
        .bind(columns(dimensions))
        .bind(i64::try_from(ROWS_MAX).unwrap_or(i64::MAX) + 1)
        .bind(filter.and_then(Filter::among))
        .bind(at.0)
        .bind(range.from)
        .bind(range.to)
        .fetch_all(pool)
        .await?;
    let mut costs = Costs::default();
    for row in &rows {
        costs.position = Position(row.try_get("position")?).min(at);
        if row.try_get::<Option<i64>, _>("messages")?.is_some() {
            let mut row = usage(row)?;
            row.keys.account = dimensions.contains(&Dimension::Account).then_some(owner);
            costs.total.add(&row.sums);
            costs.rows.push(row);
        }
    }
    if costs.rows.is_empty() {
        return Ok(Some(Costs::nothing(dimensions, costs.position)));
    }
    costs.rows.sort_by(|one, other| {
        let order = |dimension: &Dimension| one.keys.compared(&other.keys, *dimension);
        dimensions.iter().map(order).find(|order| order.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
    });
    Ok((costs.rows.len() <= ROWS_MAX).then_some(costs))
}

impl Costs {
    /// Of no messages. By no dimension, there is one row even then.
    pub fn nothing(dimensions: &[Dimension], position: Position) -> Self {
        let one = || UsageRow { keys: Keys::default(), sums: Sums::default() };
        Self { rows: dimensions.is_empty().then(one).into_iter().collect(), total: Sums::default(), position }
    }
}

impl Sums {
    /// Adds `more`. Sums stop where those of a row do.
    pub fn add(&mut self, more: &Self) {
        const USD_MAX: Decimal = Decimal::from_parts(2_764_472_320, 232_830, 0, false, 0);
        for (sum, more) in [
            (&mut self.messages, more.messages),
            (&mut self.tokens_in, more.tokens_in),
            (&mut self.tokens_out, more.tokens_out),
            (&mut self.cache_reads, more.cache_reads),
            (&mut self.cache_writes_5m, more.cache_writes_5m),
            (&mut self.cache_writes_1h, more.cache_writes_1h),
            (&mut self.reasoning, more.reasoning),
            (&mut self.latency_ms, more.latency_ms),
            (&mut self.timed, more.timed),
            (&mut self.unpriced, more.unpriced),
            (&mut self.size_bytes, more.size_bytes),
        ] {
            *sum = sum.saturating_add(more).min(INTEGER_MAX);
        }
        if let Some(more) = more.cost_usd {
            self.cost_usd = Some((self.cost_usd.unwrap_or_default() + more).min(USD_MAX));
        }
    }

    /// How much work a model had with it, in thousands of input tokens: what tokens cost beside each other, at most
    /// providers, without what a model costs. An output token weighs as 5 of input, one read from a cache as a tenth, one
    /// written to it as 1.25 for five minutes and as 2 for an hour. Scores add up, as tokens do.
    pub fn complexity(&self) -> Decimal {
        let weighed = [
            (self.tokens_in, 100),
            (self.tokens_out, 500),
            (self.cache_reads, 10),
            (self.cache_writes_5m, 125),
            (self.cache_writes_1h, 200),
        ];
        let hundredths: Decimal =
            weighed.into_iter().map(|(tokens, weight)| Decimal::from(tokens) * Decimal::from(weight)).sum();
        (hundredths / Decimal::from(100_000)).normalize()
    }
}

impl Keys {
    fn compared(&self, other: &Self, dimension: Dimension) -> std::cmp::Ordering {
        match dimension {
            Dimension::Hour => self.hour.cmp(&other.hour),
            Dimension::Day => self.day.cmp(&other.day),
            Dimension::Week => self.week.cmp(&other.week),
            Dimension::Month => self.month.cmp(&other.month),
            Dimension::Account => self.account.cmp(&other.account),
            Dimension::Conversation => self.conversation.cmp(&other.conversation),
            // A branch is one of its conversation.
            Dimension::Branch => (self.conversation, self.branch).cmp(&(other.conversation, other.branch)),
            Dimension::Model => self.model.cmp(&other.model),
            Dimension::Provider => self.provider.cmp(&other.provider),
        }
    }
}

/// The names of the keys in the statement.
fn columns(dimensions: &[Dimension]) -> Vec<&'static str> {
    let columns = |dimension: &Dimension| -> &[&str] {
        match dimension {
            Dimension::Hour => &["hour"],
            Dimension::Day => &["day"],
            Dimension::Week => &["week"],
            Dimension::Month => &["month"],
            // All that is read is the owner's.
            Dimension::Account => &[],
            Dimension::Conversation => &["conversation"],
            // Each conversation numbers its own.
            Dimension::Branch => &["conversation", "branch"],
            Dimension::Model => &["model"],
            Dimension::Provider => &["provider"],
        }
    };
    dimensions.iter().flat_map(columns).copied().collect()
}

type Ends<T> = (T, T);

/// A range by quarters of an hour: from the first to behind the last that lies whole in it, and what it has of those
/// that it cuts.
struct Quarters {
    whole: Ends<Option<DateTime<Utc>>>,
    cut: Vec<Ends<DateTime<Utc>>>,
}

impl Quarters {
    fn of(Span { from, to, .. }: Span) -> Self {
        let first = from.map(|from| if begun(from) == from { from } else { next(from) });
        let behind = to.map(begun);
        match (from.zip(first), to.zip(behind)) {
            // Both ends lie within one quarter.
            (Some((from, first)), Some((to, behind))) if behind < first => {
                let cut = if from < to { vec![(from, to)] } else { Vec::new() };
                Self { whole: (Some(first), Some(first)), cut }
            }
            (from, to) => {
                let to = to.map(|(to, behind)| (behind, to));
                Self {
                    whole: (first, behind),
                    cut: from.into_iter().chain(to).filter(|(from, to)| from < to).collect(),
                }
            }
        }
    }
}

const QUARTER: TimeDelta = TimeDelta::minutes(15);

/// When the quarter of an hour began that `time` is in.
fn begun(time: DateTime<Utc>) -> DateTime<Utc> {
    let since = time.timestamp().rem_euclid(QUARTER.num_seconds());
    DateTime::from_timestamp(time.timestamp() - since, 0).unwrap_or(time)
}

/// When the next one begins.
fn next(time: DateTime<Utc>) -> DateTime<Utc> {
    begun(time).checked_add_signed(QUARTER).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

fn usage(row: &PgRow) -> Result<UsageRow, sqlx::Error> {
    let keys = Keys {
        hour: row.try_get("hour")?,
        day: row.try_get("day")?,
        week: row.try_get("week")?,
        month: row.try_get("month")?,
        account: None,
        conversation: row.try_get::<Option<_>, _>("conversation_id")?.map(ConversationId),
        branch: row.try_get::<Option<_>, _>("branch")?.map(BranchNumber),
        model: row.try_get("model")?,
        provider: row.try_get("provider")?,
    };
    let sums = Sums {
        messages: count(row, "messages")?,
        tokens_in: count(row, "tokens_in")?,
        tokens_out: count(row, "tokens_out")?,
        cache_reads: count(row, "cache_reads")?,
        cache_writes_5m: count(row, "cache_writes_5m")?,
        cache_writes_1h: count(row, "cache_writes_1h")?,
        reasoning: count(row, "reasoning")?,
        latency_ms: count(row, "latency_ms")?,
        timed: count(row, "timed")?,
        cost_usd: row.try_get("cost_usd")?,
        unpriced: count(row, "unpriced")?,
        size_bytes: count(row, "size_bytes")?,
    };
    Ok(UsageRow { keys, sums })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_whole_quarters_and_what_it_cuts() {
        let at = |minute: i64| DateTime::from_timestamp(minute * 60, 0);
        let quarters = |from, to| {
            let Quarters { whole, cut } = Quarters::of(Span { from, to, zone: Tz::UTC });
            (whole, cut.into_iter().map(|(from, to)| (Some(from), Some(to))).collect::<Vec<_>>())
        };
        assert_eq!(quarters(None, None), ((None, None), vec![]));
        assert_eq!(quarters(at(15), at(45)), ((at(15), at(45)), vec![]));
        assert_eq!(quarters(at(1), None), ((at(15), None), vec![(at(1), at(15))]));
        assert_eq!(quarters(at(-1), at(31)), ((at(0), at(30)), vec![(at(-1), at(0)), (at(30), at(31))]));
        assert_eq!(quarters(at(16), at(29)), ((at(30), at(30)), vec![(at(16), at(29))]));
        assert_eq!(quarters(at(14), at(16)), ((at(15), at(15)), vec![(at(14), at(15)), (at(15), at(16))]));
        assert_eq!(quarters(at(29), at(16)).1, vec![], "a range that ends before it begins");
        assert_eq!(quarters(at(29), at(29)).1, vec![]);
        assert_eq!(quarters(at(45), at(1)).1, vec![]);
    }

    #[test]
    fn complexity_adds_up() {
        let (one, other) = (
            Sums { tokens_in: 1_000, tokens_out: 200, cache_reads: 7, ..Sums::default() },
            Sums { cache_writes_5m: 1, cache_writes_1h: 3, reasoning: 99, ..Sums::default() },
        );
        let mut both = one;
        both.add(&other);
        assert_eq!(one.complexity().to_string(), "2.0007");
        assert_eq!(both.complexity(), one.complexity() + other.complexity());
    }
}
