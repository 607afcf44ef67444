//! The inputs of mutations. Each carries `clientMutationId`, the idempotency key; what acts on a conversation that is
//! there also `expectedVersion`.

use async_graphql::{ID, InputObject};
use chrono::{DateTime, Utc};

use super::message::{Rating, Role, UsageInput};
use super::part::PartInput;
use super::scalar::{BigInt, Decimal};

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
    pub occurred_at: Option<DateTime<Utc>>,
    pub client_mutation_id: Option<String>,
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
}
