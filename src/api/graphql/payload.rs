//! What a mutation answers: an expected outcome is data, never an error.

use async_graphql::{Context, Enum, Object, Result, SimpleObject, Union};
use futures::future::try_join_all;

use super::asker::{Asker, trouble};
use super::branch::{self, Branch};
use super::conversation::{self, Conversation};
use super::cursor::Cursor;
use super::event::{Event, mark};
use super::message::{self, Message};
use super::page::bounded;
use super::scalar::BigInt;
use super::snapshot::{self, Snapshot};
use crate::event::{BranchNumber, ConversationId, EventId, MessageId, Position, Version};
use crate::ledger::Refusal;
use crate::service::{CONVERSATION, Reason};

/// Waits until the view shows what was done, so that what is answered is what it became.
async fn seen<'c>(context: &Context<'c>, position: Position) -> Result<Asker<'c>> {
    let asker = Asker::of(context);
    asker.service.caught_up(asker.actor, CONVERSATION, Some(position)).await.map_err(|error| trouble(&error))?;
    Ok(asker)
}

/// What the view shows of what was done. When it shows nothing, the database may have lost what was folded last, and folds it
/// again.
macro_rules! shown {
    ($context:expr, $position:expr, $load:expr, $key:expr, $what:expr) => {{
        let asker = seen($context, $position).await?;
        let mut shown = $load(&asker, $key).await?;
        if shown.is_none() {
            let again = asker.service.caught_up_again(asker.actor, CONVERSATION, Some($position)).await;
            again.map_err(|error| trouble(&error))?;
            shown = $load(&asker, $key).await?;
        }
        shown.ok_or_else(|| format!("the view has come past the event and does not show {}", $what).into())
    }};
}

/// A conversation once the view shows what was done.
pub async fn shown(context: &Context<'_>, id: ConversationId, position: Position) -> Result<Conversation> {
    shown!(context, position, conversation, &id, "the conversation")
}

macro_rules! outcomes {
    ($($done:ident, $already:ident: $field:ident -> $node:ident, $key:ty, $load:expr, $what:literal
        $(, $(#[$doc:meta])* $all:ident -> $nodes:ty, $load_all:expr)?);* $(;)?) => {$(
        #[derive(Clone)]
        pub struct $done { key: $key, position: Position, client_mutation_id: Option<String> }
        /// The same command again, with its first answer; or what is asked for is so already.
        #[derive(Clone)]
        pub struct $already { key: $key, position: Position, client_mutation_id: Option<String> }

        #[Object]
        impl $done {
            async fn $field(&self, context: &Context<'_>) -> Result<$node> {
                shown!(context, self.position, $load, &self.key, $what)
            }
            $(
                $(#[$doc])*
                #[graphql(complexity = "super::page::cost(Some(100), None, child_complexity)")]
                async fn $all(&self, context: &Context<'_>) -> Result<$nodes> {
                    shown!(context, self.position, $load_all, &self.key, "the messages")
                }
            )?
            async fn position(&self) -> BigInt {
                self.position.into()
            }
            async fn client_mutation_id(&self) -> Option<&str> {
                self.client_mutation_id.as_deref()
            }
        }

        #[Object]
        impl $already {
            async fn $field(&self, context: &Context<'_>) -> Result<$node> {
                shown!(context, self.position, $load, &self.key, $what)
            }
            $(
                $(#[$doc])*
                #[graphql(complexity = "super::page::cost(Some(100), None, child_complexity)")]
                async fn $all(&self, context: &Context<'_>) -> Result<$nodes> {
                    shown!(context, self.position, $load_all, &self.key, "the messages")
                }
            )?
            async fn position(&self) -> BigInt {
                self.position.into()
            }
            async fn client_mutation_id(&self) -> Option<&str> {
                self.client_mutation_id.as_deref()
            }
        }
    )*};
}

outcomes!(
    ConversationDone, ConversationAlreadyDone: conversation -> Conversation, ConversationId,
        conversation, "the conversation";
    MessageDone, MessageAlreadyDone: message -> Message, Vec<MessageId>, last_message, "the message",
        /// All messages that the command is about, in order. `message` is the last of them.
        messages -> Vec<Message>, all_messages;
    BranchDone, BranchAlreadyDone: branch -> Branch, (ConversationId, BranchNumber), branch, "the branch";
    SnapshotDone, SnapshotAlreadyDone: snapshot -> Snapshot, (ConversationId, EventId), snapshot, "the snapshot";
);

async fn conversation(asker: &Asker<'_>, id: &ConversationId) -> Result<Option<Conversation>> {
    conversation::one(asker, *id, Position::LATEST).await
}

async fn last_message(asker: &Asker<'_>, ids: &[MessageId]) -> Result<Option<Message>> {
    let Some(last) = ids.last() else { return Ok(None) };
    message::one(asker, *last, Position::LATEST).await
}

async fn all_messages(asker: &Asker<'_>, ids: &[MessageId]) -> Result<Option<Vec<Message>>> {
    let messages = try_join_all(ids.iter().map(|id| message::one(asker, *id, Position::LATEST))).await?;
    Ok(messages.into_iter().collect())
}

async fn branch(asker: &Asker<'_>, key: &(ConversationId, BranchNumber)) -> Result<Option<Branch>> {
    branch::one(asker, *key, Position::LATEST).await
}

async fn snapshot(asker: &Asker<'_>, (conversation, id): &(ConversationId, EventId)) -> Result<Option<Snapshot>> {
    snapshot::one(asker, *conversation, *id, Position::LATEST).await
}

/// The conversation has another version than `expectedVersion`.
#[derive(Clone)]
pub struct Stale {
    pub conversation: ConversationId,
    pub expected: Version,
    pub version: Version,
}

#[Object]
impl Stale {
    /// The version that it has.
    async fn version(&self) -> i32 {
        self.version.0
    }

    /// What happened since the expected version.
    #[graphql(complexity = "super::page::cost(first.or(Some(100)), None, child_complexity)")]
    async fn missed(&self, context: &Context<'_>, first: Option<i32>) -> Result<Vec<Event>> {
        let asker = Asker::of(context);
        let first = bounded("first", first.unwrap_or(100))?;
        let missed = asker.service.missed(asker.actor, self.conversation, self.expected, first as usize).await;
        Ok(missed.map_err(|error| trouble(&error))?.into_iter().map(Event::from).collect())
    }

    /// Goes on behind what `missed` may hold: the conversation's subscription takes it as `after`.
    async fn cursor(&self, context: &Context<'_>) -> Result<Cursor> {
        let asker = Asker::of(context);
        let before = Version(self.expected.0.min(self.version.0) - 1);
        let known =
            asker.service.missed(asker.actor, self.conversation, before, 1).await.map_err(|error| trouble(&error))?;
        Ok(asker.give(&mark(known.first().map(|opened| opened.recorded.position).unwrap_or_default())))
    }
}

/// The command is refused, and nothing changed.
#[derive(SimpleObject, Clone)]
pub struct Refused {
    pub reason: RefusalReason,
    /// What is wrong and what to do.
    pub message: String,
}

#[derive(Enum, Clone, Copy, PartialEq, Eq)]
pub enum RefusalReason {
    NotFound,
    AlreadyStarted,
    Archived,
    Deleted,
    MessageNotFound,
    MessageExists,
    BranchNotFound,
    BranchNameTaken,
    BranchAbandoned,
    /// The preferred branch cannot be abandoned.
    BranchPreferred,
    /// What is restored is an earlier version.
    NoEarlierVersion,
    /// The messages of a graft follow one another.
    NoRun,
    Empty,
    TooLong,
    Negative,
    InTheFuture,
    /// Another command has this `clientMutationId`.
    NameReused,
    IdTaken,
    /// The account is being forgotten, or was; or what is asked for is gone.
    Forgotten,
    /// A lifetime that is longer than that of what it cannot outlive.
    Outlives,
    /// The time of the conversation, or of the one that it was to go on from, was over: nothing happens to it any more.
    Expired,
    /// The account is held by law: nothing of it goes.
    Held,
}

impl From<Reason> for Refused {
    fn from(reason: Reason) -> Self {
        Self { message: reason.to_string(), reason: RefusalReason::of(&reason) }
    }
}

impl Refused {
    pub fn not_found(what: &str) -> Self {
        Self { reason: RefusalReason::NotFound, message: format!("there is no such {what}") }
    }
}

impl RefusalReason {
    const fn of(reason: &Reason) -> Self {
        match reason {
            Reason::NameReused => Self::NameReused,
            Reason::IdTaken => Self::IdTaken,
            Reason::SourceExpired => Self::Expired,
            Reason::Forgotten => Self::Forgotten,
            Reason::NoRun => Self::NoRun,
            Reason::Rule(refusal) => match refusal {
                Refusal::NotStarted | Refusal::NoAccount | Refusal::NotDue | Refusal::SaysNothing { .. } => {
                    Self::NotFound
                }
                Refusal::Forgetting | Refusal::Closed | Refusal::Begun | Refusal::Going => Self::Forgotten,
                Refusal::Outlives { .. } => Self::Outlives,
                Refusal::Expired => Self::Expired,
                Refusal::Held => Self::Held,
                Refusal::AlreadyStarted | Refusal::AccountExists => Self::AlreadyStarted,
                Refusal::Archived => Self::Archived,
                Refusal::Deleted => Self::Deleted,
                Refusal::NoSuchMessage { .. } => Self::MessageNotFound,
                Refusal::MessageExists { .. } => Self::MessageExists,
                Refusal::NoSuchBranch { .. } => Self::BranchNotFound,
                Refusal::BranchNameTaken => Self::BranchNameTaken,
                Refusal::BranchAbandoned { .. } => Self::BranchAbandoned,
                Refusal::BranchPreferred { .. } => Self::BranchPreferred,
                Refusal::NoEarlierVersion { .. } => Self::NoEarlierVersion,
                Refusal::Empty { .. } => Self::Empty,
                Refusal::TooLong { .. } => Self::TooLong,
                Refusal::Negative { .. } => Self::Negative,
                Refusal::InTheFuture { .. } => Self::InTheFuture,
            },
        }
    }
}

macro_rules! payloads {
    ($($payload:ident: $done:ident, $already:ident);* $(;)?) => {$(
        #[derive(Union, Clone)]
        pub enum $payload {
            Done($done),
            AlreadyDone($already),
            Stale(Stale),
            Refused(Refused),
        }
    )*};
}

payloads!(
    StartConversationPayload: ConversationDone, ConversationAlreadyDone;
    ConversationPayload: ConversationDone, ConversationAlreadyDone;
    AppendMessagePayload: MessageDone, MessageAlreadyDone;
    MessagePayload: MessageDone, MessageAlreadyDone;
    BranchPayload: BranchDone, BranchAlreadyDone;
    SnapshotPayload: SnapshotDone, SnapshotAlreadyDone;
);

/// When snapshots are taken by themselves was settled, or had been settled so already.
#[derive(SimpleObject, Clone)]
pub struct SnapshotsConfigured {
    /// Null when all conversations of the asker's that say nothing else are meant.
    pub conversation: Option<Conversation>,
    pub client_mutation_id: Option<String>,
}

#[derive(Union, Clone)]
#[allow(clippy::large_enum_variant)] // one is made a request
pub enum ConfigureSnapshotsPayload {
    Done(SnapshotsConfigured),
    Stale(Stale),
    Refused(Refused),
}

/// What every payload is made from: what became of a command, and what it is about.
pub enum Became<Key> {
    Done(Key, Position),
    AlreadyDone(Key, Position),
    Stale(Stale),
    Refused(Refused),
}

macro_rules! become_payload {
    ($($payload:ident, $key:ty: $done:ident, $already:ident);* $(;)?) => {$(
        impl $payload {
            pub fn of(became: Became<$key>, client_mutation_id: Option<String>) -> Self {
                match became {
                    Became::Done(key, position) => Self::Done($done { key, position, client_mutation_id }),
                    Became::AlreadyDone(key, position) => {
                        Self::AlreadyDone($already { key, position, client_mutation_id })
                    }
                    Became::Stale(stale) => Self::Stale(stale),
                    Became::Refused(refused) => Self::Refused(refused),
                }
            }
        }
    )*};
}

become_payload!(
    StartConversationPayload, ConversationId: ConversationDone, ConversationAlreadyDone;
    ConversationPayload, ConversationId: ConversationDone, ConversationAlreadyDone;
    AppendMessagePayload, Vec<MessageId>: MessageDone, MessageAlreadyDone;
    MessagePayload, Vec<MessageId>: MessageDone, MessageAlreadyDone;
    BranchPayload, (ConversationId, BranchNumber): BranchDone, BranchAlreadyDone;
    SnapshotPayload, (ConversationId, EventId): SnapshotDone, SnapshotAlreadyDone;
);
