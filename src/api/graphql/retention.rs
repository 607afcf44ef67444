//! How long the asker's words, facts and money are kept.

use async_graphql::{Context, Enum, InputObject, Object, Result, SimpleObject, Union};
use chrono::{DateTime, Utc};

use super::account::Account;
use super::asker::{Asker, bad_input, trouble};
use super::conversation::big;
use super::forget::failed;
use super::payload::{Refused, Stale};
use super::scalar::BigInt;
use crate::event::{Class, Lapsed, Requester, Resting, RetentionPolicy};
use crate::ledger::retention::UNDO;
use crate::service::{ForgetError, Kept, Reason};

/// How long things are kept, counted from when they were recorded, and what is announced.
#[derive(SimpleObject)]
pub struct Retention {
    /// Whether the account settled it; if not, whoever runs the ledger did.
    pub own: bool,
    /// Null: for ever.
    pub words_days: Option<i32>,
    /// What goes by another lifetime than `wordsDays`.
    pub kinds: Vec<KindLifetime>,
    /// Of conversations, counted from their newest event. Null: for ever.
    pub facts_days: Option<i32>,
    /// Of what messages used and cost, counted as for facts. Null: for ever.
    pub money_days: Option<i32>,
    /// Days in which a notice can be undone.
    pub undo_days: i32,
    /// A law or a dispute demands that nothing go.
    pub held: bool,
    pub notice: Option<RetentionNotice>,
}

#[derive(SimpleObject)]
pub struct KindLifetime {
    /// Of the event that said it, such as `message.appended`.
    pub kind: String,
    /// Null: for ever.
    pub days: Option<i32>,
}

/// What goes when it is due, unless it is undone before, the policy changes, or the account is held.
#[derive(SimpleObject)]
pub struct RetentionNotice {
    pub due_at: DateTime<Utc>,
    pub words: Vec<LapsedWords>,
    pub conversations: Vec<RestingConversations>,
}

/// What goes of a conversation.
#[derive(Enum, Copy, Clone, PartialEq, Eq)]
#[graphql(remote = "Class")]
pub enum RetentionClass {
    /// What happened in it.
    Facts,
    /// What its messages used and cost.
    Money,
}

/// Conversations whose facts, or whose money, has had its time.
#[derive(SimpleObject)]
pub struct RestingConversations {
    pub class: RetentionClass,
    pub conversations: BigInt,
    pub events: BigInt,
    /// When the newest event of the first and of the last of them was recorded.
    pub first_at: DateTime<Utc>,
    pub last_at: DateTime<Utc>,
}

/// Words of one kind whose time is over.
#[derive(SimpleObject)]
pub struct LapsedWords {
    pub kind: String,
    pub events: BigInt,
    /// Of what is sealed.
    pub bytes: BigInt,
    /// When the first and the last of them were recorded.
    pub first_at: DateTime<Utc>,
    pub last_at: DateTime<Utc>,
}

#[derive(InputObject)]
pub struct KindLifetimeInput {
    /// Of the event that said it, such as `message.appended`.
    pub kind: String,
    /// For ever when it is left out.
    pub days: Option<i32>,
}

/// The whole policy: what it leaves out is kept for ever. Words are kept no longer than facts, and facts no longer than money.
#[derive(InputObject)]
pub struct ConfigureRetentionInput {
    pub words_days: Option<i32>,
    /// What goes by another lifetime than `wordsDays`.
    pub kinds: Option<Vec<KindLifetimeInput>>,
    /// Of conversations, counted from their newest event: then they expire, and are not there any more.
    pub facts_days: Option<i32>,
    /// Of what messages used and cost.
    pub money_days: Option<i32>,
    /// Days in which a notice can be undone; 7 when it is left out.
    pub undo_days: Option<i32>,
    /// As whoever runs the ledger says; then nothing else may be given.
    #[graphql(default)]
    pub default: bool,
    pub client_mutation_id: Option<String>,
}

#[derive(InputObject)]
pub struct UndoRetentionInput {
    pub client_mutation_id: Option<String>,
}

#[derive(SimpleObject, Clone)]
pub struct RetentionDone {
    pub account: Account,
    pub client_mutation_id: Option<String>,
}

/// It was so already.
#[derive(SimpleObject, Clone)]
pub struct RetentionAlreadyDone {
    pub account: Account,
    pub client_mutation_id: Option<String>,
}

#[derive(Union, Clone)]
pub enum RetentionPayload {
    Done(RetentionDone),
    AlreadyDone(RetentionAlreadyDone),
    Stale(Stale),
    Refused(Refused),
}

pub struct RetentionMutation;

#[Object]
impl RetentionMutation {
    /// Settles how long the asker's words, facts and money are kept. What was announced before is void.
    async fn configure_retention(
        &self,
        context: &Context<'_>,
        input: ConfigureRetentionInput,
    ) -> Result<RetentionPayload> {
        let (asker, id) = (Asker::of(context), input.client_mutation_id.clone());
        let account = asker.actor.account;
        let settled = asker.service.configure_retention(account, input.policy()?, Requester::Subject).await;
        RetentionPayload::of(settled, Account(account), id)
    }

    /// Takes back what is announced: it is kept until another policy is settled.
    async fn undo_retention(&self, context: &Context<'_>, input: UndoRetentionInput) -> Result<RetentionPayload> {
        let asker = Asker::of(context);
        let account = asker.actor.account;
        let undone = asker.service.undo_retention(account, Requester::Subject).await;
        RetentionPayload::of(undone, Account(account), input.client_mutation_id)
    }
}

impl Retention {
    /// The asker's own.
    pub async fn of(asker: &Asker<'_>) -> Result<Self> {
        let kept = asker.service.kept(asker.actor.account).await.map_err(|error| trouble(&error))?;
        Ok(kept.into())
    }
}

impl From<Kept> for Retention {
    fn from(Kept { policy, own, held, notice }: Kept) -> Self {
        let days = |days: Option<u32>| days.map(|days| i32::try_from(days).unwrap_or(i32::MAX));
        let kinds = policy.kinds.into_iter().map(|(kind, lifetime)| KindLifetime { kind, days: days(lifetime) });
        let notice = notice.map(|notice| RetentionNotice {
            due_at: notice.announced.due,
            words: notice.announced.words.into_iter().map(LapsedWords::from).collect(),
            conversations: notice.announced.conversations.into_iter().map(RestingConversations::from).collect(),
        });
        let undo_days = days(Some(policy.undo)).unwrap_or_default();
        let (facts_days, money_days) = (days(policy.facts), days(policy.money));
        let kinds = kinds.collect();
        Self { own, words_days: days(policy.words), kinds, facts_days, money_days, undo_days, held, notice }
    }
}

impl From<Lapsed> for LapsedWords {
    fn from(Lapsed { kind, events, bytes, first, last, .. }: Lapsed) -> Self {
        Self { kind, events: big(events), bytes: big(bytes), first_at: first, last_at: last }
    }
}

impl From<Resting> for RestingConversations {
    fn from(Resting { class, conversations, events, first, last, .. }: Resting) -> Self {
        let (conversations, events) = (big(conversations), big(events));
        Self { class: class.into(), conversations, events, first_at: first, last_at: last }
    }
}

impl ConfigureRetentionInput {
    fn policy(self) -> Result<Option<RetentionPolicy>> {
        if self.default {
            let given = [self.words_days, self.facts_days, self.money_days, self.undo_days];
            if given.iter().any(Option::is_some) || self.kinds.is_some() {
                return Err(bad_input("`default` settles nothing of one's own: leave out the other fields"));
            }
            return Ok(None);
        }
        let days = |days: Option<i32>| {
            let days = days.map(u32::try_from).transpose();
            days.map_err(|_| bad_input("a lifetime is negative"))
        };
        let kinds = self.kinds.into_iter().flatten().map(|lifetime| Ok((lifetime.kind, days(lifetime.days)?)));
        Ok(Some(RetentionPolicy {
            words: days(self.words_days)?,
            kinds: kinds.collect::<Result<_>>()?,
            facts: days(self.facts_days)?,
            money: days(self.money_days)?,
            undo: days(self.undo_days)?.unwrap_or(UNDO),
        }))
    }
}

impl RetentionPayload {
    fn of(done: Result<bool, ForgetError>, account: Account, client_mutation_id: Option<String>) -> Result<Self> {
        match done {
            Ok(true) => Ok(Self::Done(RetentionDone { account, client_mutation_id })),
            Ok(false) => Ok(Self::AlreadyDone(RetentionAlreadyDone { account, client_mutation_id })),
            Err(ForgetError::Refused(refusal)) => Ok(Self::Refused(Refused::from(Reason::Rule(refusal)))),
            Err(error) => Err(failed(error)),
        }
    }
}
