//! Comparing two branches, message by message and word by word.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_graphql::{Context, Enum, ID, InputObject, Object, Result, SimpleObject};

use super::as_of::{self, AsOf};
use super::asker::{Asker, bad_input, problem, trouble};
use super::branch::{self, Branch};
use super::conversation::{self, big};
use super::cursor::{At, Cursor, Mark, NoCursor};
use super::id::Name;
use super::message::Message;
use super::page::{Window, connection, cost};
use super::scalar::{BigInt, Decimal};
use crate::clock::Clock;
use crate::event::part::text_of;
use crate::event::{Event, Position};
use crate::service::compare::{self as service, CompareError, Run, differences};
use crate::service::{self as services, CONVERSATION, Totals};
use crate::view::Cut;

/// How long the words of one comparison may be compared; what is not by then counts as different.
const COMPARED_WITHIN: Duration = Duration::from_secs(1);

/// A branch, or the branch of a conversation that is in view (give one of them), as it is or as it was.
#[derive(InputObject)]
pub struct Side {
    pub conversation: Option<ID>,
    pub branch: Option<ID>,
    pub as_of: Option<AsOf>,
}

/// Two paths, from where they part.
#[derive(Clone)]
pub struct Comparison {
    compared: Arc<service::Comparison>,
    sides: [service::Side; 2],
    until: Instant,
}

/// What only one side has.
#[derive(Clone)]
pub struct ComparedSide {
    side: service::Side,
    totals: Totals,
}

/// What both sides say at the same distance from where they part; null where one has ended.
#[derive(Clone)]
pub struct MessagePair {
    left: Option<Message>,
    right: Option<Message>,
    until: Instant,
}

connection!(MessagePairConnection, MessagePairEdge, MessagePair);

/// A run of text. `EQUAL` and `DELETED` in order are what the left says, `EQUAL` and `INSERTED` what the right says.
#[derive(SimpleObject, Clone)]
pub struct TextRun {
    pub kind: TextRunKind,
    pub text: String,
}

#[derive(Enum, Clone, Copy, PartialEq, Eq)]
pub enum TextRunKind {
    Equal,
    Deleted,
    Inserted,
}

#[Object]
impl Comparison {
    /// The last message that both share; null when they share none.
    async fn ancestor(&self) -> Option<Message> {
        self.compared.ancestor.clone().map(|message| Message { message, at: self.sides[0].at })
    }

    /// How many messages both share.
    async fn shared_count(&self) -> i32 {
        i32::try_from(self.compared.shared).unwrap_or(i32::MAX)
    }

    async fn left(&self) -> ComparedSide {
        ComparedSide { side: self.sides[0], totals: self.compared.left.totals.clone() }
    }

    async fn right(&self) -> ComparedSide {
        ComparedSide { side: self.sides[1], totals: self.compared.right.totals.clone() }
    }

    /// The messages that only one side has, aligned from where they part.
    #[graphql(complexity = "cost(first, None, child_complexity)")]
    async fn pairs(
        &self,
        context: &Context<'_>,
        first: Option<i32>,
        after: Option<Cursor>,
    ) -> Result<MessagePairConnection> {
        let asker = Asker::of(context);
        let slice = Window { first, after, last: None, before: None }.slice(|cursor| match asker.take(cursor)?.at {
            At::Depth(depth) => Ok(depth),
            _ => Err(problem(NoCursor::OtherConnection)),
        })?;
        let (Cut::First(first) | Cut::Last(first)) = slice.cut;
        let shared = i32::try_from(self.compared.shared).unwrap_or(i32::MAX);
        let (pairs, first) = (self.compared.pairs(), first as usize);
        let total = pairs.len();
        let skipped = slice.after.map_or(0, |after| usize::try_from(after - shared).unwrap_or_default());
        let position = asker.service.view_position(CONVERSATION);
        let items = (shared + 1..).zip(pairs).skip(skipped).take(first).map(|(depth, (left, right))| {
            let message = |message: &services::Message, side: usize| Message {
                message: message.clone(),
                at: self.sides[side].at,
            };
            let (left, right) = (left.map(|left| message(left, 0)), right.map(|right| message(right, 1)));
            (asker.give(&Mark::new(position, At::Depth(depth))), MessagePair { left, right, until: self.until })
        });
        let has_next = total > skipped.saturating_add(first);
        Ok(MessagePairConnection::new(items.collect(), (has_next, skipped > 0), Some(total as u64)))
    }
}

#[Object]
impl ComparedSide {
    async fn branch(&self, context: &Context<'_>) -> Result<Option<Branch>> {
        branch::one(&Asker::of(context), (self.side.conversation, self.side.branch), self.side.at).await
    }

    /// The messages that only this side has.
    async fn message_count(&self) -> BigInt {
        big(self.totals.messages)
    }

    /// Null while no message says it: unknown is not zero.
    async fn tokens_in(&self) -> Option<BigInt> {
        self.totals.tokens_in.map(big)
    }

    async fn tokens_out(&self) -> Option<BigInt> {
        self.totals.tokens_out.map(big)
    }

    /// The known costs; null when none is known.
    async fn cost_usd(&self) -> Option<Decimal> {
        self.totals.cost_usd.map(Decimal)
    }

    /// The answers that are missing from `costUsd`.
    async fn unknown_costs(&self) -> BigInt {
        big(self.totals.unknown_costs)
    }

    async fn latency_ms(&self) -> Option<BigInt> {
        self.totals.latency_ms.map(big)
    }

    async fn models(&self) -> Vec<String> {
        self.totals.models.iter().cloned().collect()
    }
}

#[Object]
impl MessagePair {
    async fn left(&self) -> Option<Message> {
        self.left.clone()
    }

    async fn right(&self) -> Option<Message> {
        self.right.clone()
    }

    /// How the text on the right differs from that on the left, word by word; null unless both say something that is not
    /// forgotten.
    #[graphql(complexity = "10 * child_complexity")]
    async fn diff(&self) -> Result<Option<Vec<TextRun>>> {
        let texts = text(self.left.as_ref()).zip(text(self.right.as_ref()));
        let Some((left, right)) = texts else { return Ok(None) };
        let until = self.until;
        let runs = tokio::task::spawn_blocking(move || differences(&left, &right, until)).await?;
        Ok(Some(runs.into_iter().map(TextRun::from).collect()))
    }
}

impl From<Run> for TextRun {
    fn from(run: Run) -> Self {
        let (kind, text) = match run {
            Run::Equal(text) => (TextRunKind::Equal, text),
            Run::Deleted(text) => (TextRunKind::Deleted, text),
            Run::Inserted(text) => (TextRunKind::Inserted, text),
        };
        Self { kind, text }
    }
}

fn text(message: Option<&Message>) -> Option<String> {
    match &message?.message.opened.event {
        Event::MessageAppended(said) => said.parts.as_ref().known().and_then(|parts| text_of(parts)),
        _ => None,
    }
}

pub async fn compare(asker: &Asker<'_>, left: Side, right: Side) -> Result<Comparison> {
    let sides = [left.resolve(asker).await?, right.resolve(asker).await?];
    let compared = asker.service.compare(asker.actor, sides[0], sides[1]).await.map_err(|error| match error {
        CompareError::Trouble(error) => trouble(&error),
        error => bad_input(error.to_string()),
    })?;
    Ok(Comparison { compared: Arc::new(compared), sides, until: Clock::instant() + COMPARED_WITHIN })
}

impl Side {
    /// Without a moment it is read as of where the view stands now, so that nothing changes while it is compared.
    async fn resolve(self, asker: &Asker<'_>) -> Result<service::Side> {
        let no_such = || bad_input(CompareError::NoSuchBranch.to_string());
        let (owner, conversation, branch) = match (&self.conversation, &self.branch) {
            (None, Some(id)) => Name::branch(id).map(|(owner, id, number)| (owner, id, Some(number))),
            (Some(id), None) => Name::conversation(id).map(|(owner, id)| (owner, id, None)),
            _ => return Err(bad_input("a side is either `conversation` or `branch`")),
        }
        .map_err(problem)?;
        if !asker.may_see(owner) {
            return Err(no_such());
        }
        let moment = as_of::moment(asker, Some(conversation), self.as_of).await?;
        let asked = Some(moment).filter(|moment| *moment != Position::LATEST);
        asker.service.caught_up(asker.actor, CONVERSATION, asked).await.map_err(|error| trouble(&error))?;
        let at = asked.unwrap_or_else(|| asker.service.view_position(CONVERSATION));
        let branch = match branch {
            Some(branch) => branch,
            None => conversation::one(asker, conversation, at).await?.ok_or_else(no_such)?.row.preferred,
        };
        Ok(service::Side { conversation, branch, at })
    }
}
