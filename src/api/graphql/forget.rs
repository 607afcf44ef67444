//! Forgetting the asker.

use std::time::Duration;

use async_graphql::{Context, Enum, ID, InputObject, Json, Object, Result, SimpleObject, Union};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use tokio::time::timeout;

use super::asker::{Asker, bad_input, problem, trouble};
use super::id::Name;
use super::input::TargetInput;
use super::order::{located, on_conversation, on_message};
use super::payload::{ConversationPayload, MessagePayload, Refused, Stale};
use crate::event::Requester;
use crate::ledger::Act;
use crate::ledger::account::Forgetting;
use crate::service::{ForgetError, Part, Reason, Trouble};

/// How long an answer waits for the receipt; forgetting goes on behind it.
const ANSWERED_WITHIN: Duration = Duration::from_secs(6);

#[derive(InputObject)]
pub struct ForgetInput {
    /// The asker's own account, to say that it is meant.
    pub account_id: ID,
    pub client_mutation_id: Option<String>,
}

#[derive(Enum, Clone, Copy, PartialEq, Eq)]
pub enum ForgetState {
    /// The account is closed, and its keys are there until it is due.
    Requested,
    /// Its keys are gone, and the rest is going.
    Started,
    Forgotten,
}

/// How far an account is on its way out.
#[derive(SimpleObject, Clone)]
pub struct Forget {
    pub account_id: ID,
    pub state: ForgetState,
    /// Until then it can be cancelled, by whoever runs the ledger.
    pub due_at: Option<DateTime<Utc>>,
    /// What was removed, what stays and why. Null until it is forgotten.
    pub receipt: Option<Json<Value>>,
}

/// From now on the account is closed: no token of it opens anything any more.
#[derive(SimpleObject, Clone)]
pub struct ForgetDone {
    pub forget: Forget,
    pub client_mutation_id: Option<String>,
}

/// It was asked before.
#[derive(SimpleObject, Clone)]
pub struct ForgetAlreadyDone {
    pub forget: Forget,
    pub client_mutation_id: Option<String>,
}

#[derive(Union, Clone)]
#[allow(clippy::large_enum_variant)] // one is made a request
pub enum ForgetPayload {
    Done(ForgetDone),
    AlreadyDone(ForgetAlreadyDone),
    Stale(Stale),
    Refused(Refused),
}

pub struct ForgetMutation;

#[Object]
impl ForgetMutation {
    /// Takes away what a message says, and what was said when it was rated. That it was said, when and by which model stays.
    async fn forget_message(&self, context: &Context<'_>, input: TargetInput) -> Result<MessagePayload> {
        on_message(context, input, |message| Act::ForgetMessage { message }).await
    }

    /// Takes away all that was said in a conversation until now: messages, titles, tags, names and labels.
    async fn forget_conversation(&self, context: &Context<'_>, input: TargetInput) -> Result<ConversationPayload> {
        on_conversation(context, input, Act::ForgetConversation).await
    }

    /// Forgets the asker: whatever was said is gone for good, what happened stays.
    async fn forget_me(&self, context: &Context<'_>, input: ForgetInput) -> Result<ForgetPayload> {
        let asker = Asker::of(context);
        let (account, service) = (asker.actor.account, asker.service.clone());
        let own = Name::Account(asker.actor.owner()).id();
        if input.account_id != own {
            return Ok(ForgetPayload::Refused(Refused::not_found("account of yours")));
        }
        let asked = service.request_forgetting(account, Requester::Subject, TimeDelta::zero()).await;
        let (state, already) = match asked {
            Ok(asked) => asked,
            Err(ForgetError::Refused(refusal)) => {
                return Ok(ForgetPayload::Refused(Refused::from(Reason::Rule(refusal))));
            }
            Err(error) => return Err(failed(error)),
        };
        // It goes on when the asker hangs up, and if the server dies, the next one takes it up.
        let forgetting = tokio::spawn(async move { service.forget(account).await });
        let receipt = match timeout(ANSWERED_WITHIN, forgetting).await {
            Ok(Ok(Ok(forgotten))) => Some(Json(forgotten.receipt)),
            Ok(Ok(Err(error))) => {
                tracing::warn!(%account, "an account is not forgotten yet: {error}");
                None
            }
            _ => None,
        };
        let due_at = if let Forgetting::Requested { due } = state { Some(due) } else { None };
        let state = match receipt {
            Some(_) => ForgetState::Forgotten,
            None => match asker.service.forgetting(account).await.map_err(|error| trouble(&error))? {
                Forgetting::Done => ForgetState::Forgotten,
                Forgetting::Started => ForgetState::Started,
                Forgetting::Requested { .. } | Forgetting::No => ForgetState::Requested,
            },
        };
        let forget = Forget { account_id: own, state, due_at, receipt };
        let client_mutation_id = input.client_mutation_id;
        Ok(if already {
            ForgetPayload::AlreadyDone(ForgetAlreadyDone { forget, client_mutation_id })
        } else {
            ForgetPayload::Done(ForgetDone { forget, client_mutation_id })
        })
    }
}

/// The receipt of a message or a conversation.
pub async fn receipt(asker: &Asker<'_>, id: &ID) -> Result<Option<Json<Value>>> {
    let part = match Name::parse(id).map_err(problem)? {
        Name::Conversation(whose, conversation) if asker.may_see(whose) => Part::Conversation(conversation),
        Name::Message(..) => match located(asker, id).await? {
            Some((conversation, message)) => Part::Message(conversation, message),
            None => return Ok(None),
        },
        Name::Conversation(..) => return Ok(None),
        _ => return Err(bad_input("that is the id of neither a message nor a conversation")),
    };
    let receipt = asker.service.receipt_of(asker.actor.account, part).await.map_err(|error| trouble(&error))?;
    Ok(receipt.map(Json))
}

pub fn failed(error: ForgetError) -> async_graphql::Error {
    match error {
        ForgetError::Trouble(error) => trouble(&error),
        ForgetError::Overtaken => trouble(&Trouble::Busy { retry_after_s: 1 }),
        ForgetError::Refused(_) | ForgetError::Receipt(_) => async_graphql::Error::new(error.to_string()),
    }
}
