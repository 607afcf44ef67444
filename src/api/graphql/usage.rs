//! What was used and what it cost.

use async_graphql::{ComplexObject, Context, Enum, InputObject, Object, Result, SimpleObject};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::account::Account;
use super::asker::{Asker, bad_input, trouble};
use super::branch::{self, Branch};
use super::conversation::{self, Conversation, ConversationFilter, big};
use super::scalar::{BigInt, Date, Decimal};
use crate::event::Position;
use crate::service::USAGE;
use crate::view::usage::{Costs, Dimension, Keys, ROWS_MAX, Span, Sums, UsageRow};

/// A stretch of time, by when messages occurred.
#[derive(InputObject)]
pub struct TimeRange {
    /// At this time or later.
    pub from: Option<DateTime<Utc>>,
    /// Before this time.
    pub to: Option<DateTime<Utc>>,
    /// Where days, weeks and months begin: a name of the IANA time zone database, such as `Europe/Berlin`. UTC when it is
    /// left out.
    pub zone: Option<String>,
}

/// What sums are told apart by.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Dimension")]
pub enum CostDimension {
    Hour,
    Day,
    /// From Monday on.
    Week,
    Month,
    /// Whose messages they are.
    Account,
    Conversation,
    /// With its conversation. What branches share counts for the one that it was said on.
    Branch,
    /// As the messages name theirs, whatever their conversation is set to.
    Model,
    Provider,
}

/// What was used as of a moment.
pub struct CostReport {
    costs: Costs,
    at: Position,
}

#[Object]
impl CostReport {
    /// Ordered by the keys that were asked for, in the order that they were; the unknown comes first.
    #[graphql(complexity = "100 * child_complexity")]
    async fn rows(&self) -> Vec<CostRow> {
        self.costs.rows.iter().cloned().map(|row| CostRow::of(row, self.at)).collect()
    }

    /// Of all rows.
    async fn total(&self) -> CostTotal {
        self.costs.total.into()
    }

    /// The messages of all events up to here are in it.
    async fn position(&self) -> BigInt {
        self.costs.position.into()
    }
}

/// Sums over messages, with the keys that they have in common. A key is null when it was not asked for, and when the
/// messages do not say it.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct CostRow {
    /// When it begins.
    pub hour: Option<DateTime<Utc>>,
    pub day: Option<Date>,
    /// Its Monday.
    pub week: Option<Date>,
    /// Its first day.
    pub month: Option<Date>,
    pub model: Option<String>,
    pub provider: Option<String>,
    #[graphql(flatten)]
    pub sums: CostTotal,
    #[graphql(skip)]
    pub keys: Keys,
    #[graphql(skip)]
    pub at: Position,
}

#[ComplexObject]
impl CostRow {
    #[graphql(complexity = "100 * child_complexity")]
    async fn account(&self) -> Option<Account> {
        self.keys.account.map(|owner| Account(owner.into()))
    }

    #[graphql(complexity = "50 * child_complexity")]
    async fn conversation(&self, context: &Context<'_>) -> Result<Option<Conversation>> {
        let Some(id) = self.keys.conversation else { return Ok(None) };
        conversation::one(&Asker::of(context), id, self.at).await
    }

    #[graphql(complexity = "50 * child_complexity")]
    async fn branch(&self, context: &Context<'_>) -> Result<Option<Branch>> {
        match self.keys.conversation.zip(self.keys.branch) {
            Some(branch) => branch::one(&Asker::of(context), branch, self.at).await,
            None => Ok(None),
        }
    }
}

/// Sums over messages. Tokens are as providers counted them, and what no message said counts as nothing; the cost alone
/// is null while none is known, for unknown is not zero.
#[derive(SimpleObject, Clone)]
pub struct CostTotal {
    /// Hidden ones too.
    pub messages: BigInt,
    pub tokens_in: BigInt,
    pub tokens_out: BigInt,
    pub cache_reads: BigInt,
    /// Written to caches that live five minutes.
    #[graphql(name = "cacheWrites5m")]
    pub cache_writes_5m: BigInt,
    /// Written to caches that live an hour.
    #[graphql(name = "cacheWrites1h")]
    pub cache_writes_1h: BigInt,
    /// Tokens spent on reasoning; a part of `tokensOut`.
    pub reasoning: BigInt,
    /// Of the messages that say how long they took.
    pub latency_ms: BigInt,
    /// How many messages say how long they took.
    pub timed_messages: BigInt,
    /// The costs that are known, added up.
    pub cost_usd: Option<Decimal>,
    /// How many messages have no known cost, of those that somebody paid for: that an assistant said, or that say how many
    /// tokens they used. While it is above zero, `costUsd` is not all that was spent.
    pub unknown_costs: BigInt,
    /// How much work models had with it, in thousands of input tokens, whatever each model costs: an output token weighs as
    /// 5 of input, one read from a cache as 0.1, one written to it as 1.25 (for five minutes) or 2 (for an hour). The
    /// scores of parts add up to that of the whole.
    pub complexity: Decimal,
    /// Bytes of UTF-8 that were said.
    pub size_bytes: BigInt,
}

/// What the asker's messages used and cost as of `at`.
pub async fn costs(
    asker: &Asker<'_>,
    range: TimeRange,
    group_by: Vec<CostDimension>,
    filter: Option<ConversationFilter>,
    at_least: Option<Position>,
    at: Position,
) -> Result<CostReport> {
    let range = range.resolve()?;
    let dimensions: Vec<Dimension> = group_by.into_iter().map(Dimension::from).collect();
    let filter = match filter {
        None => None,
        Some(filter) => {
            let Some(filter) = filter.resolve(asker, at_least, at).await? else {
                // Nothing can meet it.
                let position = asker.service.view_position(USAGE).min(at);
                return Ok(CostReport { costs: Costs::nothing(&dimensions, position), at });
            };
            Some(filter)
        }
    };
    let read = asker.service.costs(asker.actor, range, &dimensions, filter.as_ref(), at).await;
    read.map_err(|error| trouble(&error))?.map(|costs| CostReport { costs, at }).ok_or_else(|| {
        bad_input(format!("these are more than {ROWS_MAX} rows; group more coarsely, or ask for a shorter range"))
    })
}

impl TimeRange {
    fn resolve(self) -> Result<Span> {
        let zone = match self.zone {
            None => Tz::UTC,
            Some(zone) => zone.parse().map_err(|_| {
                let zone: String = zone.chars().take(80).collect();
                bad_input(format!("`{zone}` is no time zone; name one of the IANA database, such as `Europe/Berlin`"))
            })?,
        };
        match (self.from, self.to) {
            (Some(from), Some(to)) if to < from => Err(bad_input("the range ends before it begins")),
            (from, to) => Ok(Span { from, to, zone }),
        }
    }
}

impl CostRow {
    fn of(UsageRow { keys, sums }: UsageRow, at: Position) -> Self {
        Self {
            hour: keys.hour,
            day: keys.day.map(Date),
            week: keys.week.map(Date),
            month: keys.month.map(Date),
            model: keys.model.clone(),
            provider: keys.provider.clone(),
            sums: sums.into(),
            keys,
            at,
        }
    }
}

impl From<Sums> for CostTotal {
    fn from(sums: Sums) -> Self {
        Self {
            messages: big(sums.messages),
            tokens_in: big(sums.tokens_in),
            tokens_out: big(sums.tokens_out),
            cache_reads: big(sums.cache_reads),
            cache_writes_5m: big(sums.cache_writes_5m),
            cache_writes_1h: big(sums.cache_writes_1h),
            reasoning: big(sums.reasoning),
            latency_ms: big(sums.latency_ms),
            timed_messages: big(sums.timed),
            cost_usd: sums.cost_usd.map(Decimal),
            unknown_costs: big(sums.unpriced),
            complexity: Decimal(sums.complexity()),
            size_bytes: big(sums.size_bytes),
        }
    }
}
