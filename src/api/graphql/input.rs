//! The inputs of mutations. Each carries `clientMutationId`, the idempotency key; what acts on a conversation that is
//! there also `expectedVersion`.

use async_graphql::{ID, InputObject};
use chrono::{DateTime, Utc};

use super::as_of::AsOf;
use super::message::{Rating, Role, UsageInput};
use super::part::PartInput;
use super::scalar::{BigInt, Decimal};
use super::snapshot::FileAction;

macro_rules! inputs {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(InputObject)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
            pub client_mutation_id: Option<String>,
            pub expected_version: Option<i32>,
        }
    )*};
}

#[derive(InputObject)]
pub struct StartConversationInput {
    /// A UUID of the caller's choice.
    pub id: Option<ID>,
    pub title: Option<String>,
    pub tags: Option<Vec<String>>,
    pub model: Option<String>,
    pub provider: Option<String>,
    /// Goes on below this message of another conversation.
    pub from_message_id: Option<ID>,
    pub occurred_at: Option<DateTime<Utc>>,
    pub client_mutation_id: Option<String>,
}

/// A file that changed. The ledger holds that it did, not the file.
#[derive(InputObject)]
pub struct SnapshotFileInput {
    pub path: String,
    /// Of its sealed content: 64 hex digits. A digest of the content itself would tell who guesses it that he is right.
    pub digest: String,
    pub action: FileAction,
}

inputs! {
    /// A conversation, message or branch, as the mutation says.
    TargetInput { id: ID }
    AppendMessageInput {
        conversation_id: ID,
        /// Said below this message. A branch whose tip it is goes on, else a new one begins.
        parent_id: Option<ID>,
        /// Said at the tip of this branch. Without `parentId` and `branchId`: of the preferred one.
        branch_id: Option<ID>,
        /// Said at the tips of all these branches, each time as a message of its own.
        branch_ids: Option<Vec<ID>>,
        /// A UUID of the caller's choice.
        id: Option<ID>,
        role: Role,
        text: Option<String>,
        parts: Option<Vec<PartInput>>,
        model: Option<String>,
        provider: Option<String>,
        usage: Option<UsageInput>,
        cost_usd: Option<Decimal>,
        latency_ms: Option<BigInt>,
        finish_reason: Option<String>,
        /// What the provider said beside the message, such as its usage, as it came: JSON text.
        verbatim: Option<String>,
        occurred_at: Option<DateTime<Utc>>,
    }
    EditMessageInput {
        /// The message that is revised. It stays; the new wording is its sibling, on a new branch.
        id: ID,
        text: Option<String>,
        parts: Option<Vec<PartInput>>,
        occurred_at: Option<DateTime<Utc>>,
    }
    RateMessageInput {
        id: ID,
        /// Null takes the rating back.
        rating: Option<Rating>,
        comment: Option<String>,
    }
    SetTitleInput { id: ID, title: String }
    TagsInput { id: ID, tags: Vec<String> }
    SwitchModelInput { conversation_id: ID, model: String, provider: Option<String> }
    CreateBranchInput { conversation_id: ID, from_message_id: ID, name: String }
    RenameBranchInput { id: ID, name: String }
    ChooseBranchInput {
        /// The branch that was found better.
        id: ID,
        /// Those that it was compared with.
        over: Vec<ID>,
    }
    /// A run of messages of one path, which is repeated in a conversation.
    GraftMessagesInput {
        conversation_id: ID,
        /// Repeated below this message.
        parent_id: Option<ID>,
        /// Repeated at the tip of this branch. Without `parentId` and `branchId`: of the preferred one.
        branch_id: Option<ID>,
        /// The first message of the run.
        from_message_id: ID,
        /// The last message of the run, the first one or below it.
        to_message_id: ID,
    }
    RestoreToInput {
        conversation_id: ID,
        /// The moment to go back to.
        to: AsOf,
    }
    TakeSnapshotInput {
        conversation_id: ID,
        /// What it is to be found by.
        label: Option<String>,
        /// Files that changed since the snapshot before.
        files: Option<Vec<SnapshotFileInput>>,
    }
    /// When snapshots are taken by themselves. What is left out, the account's settings say, or the defaults.
    ConfigureSnapshotsInput {
        /// Without one: in all conversations of the asker's that say nothing else.
        conversation_id: Option<ID>,
        auto_hourly: Option<bool>,
        before_change: Option<bool>,
        cost_limit_usd: Option<Decimal>,
        /// Of input and output together.
        token_limit: Option<BigInt>,
    }
}
