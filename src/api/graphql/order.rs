//! From a mutation's input to what became of it: what all mutations do alike.

use async_graphql::{Context, ID, Result, Value};

use super::asker::{Asker, bad_input, problem, trouble};
use super::id::Name;
use super::input::TargetInput;
use super::payload::{Became, BranchPayload, ConversationPayload, MessagePayload, Refused, Stale};
use crate::event::{BranchNumber, ConversationId, MessageId, Version};
use crate::ledger::{Act, Command};
use crate::service::{Done, Named, Order, Outcome};

/// Carries `act` out on the conversation that `input` names.
pub(super) async fn on_conversation(
    context: &Context<'_>,
    input: TargetInput,
    act: Act,
) -> Result<ConversationPayload> {
    let asker = Asker::of(context);
    let (whose, conversation) = Name::conversation(&input.id).map_err(problem)?;
    if !asker.may_see(whose) {
        return Ok(ConversationPayload::Refused(Refused::not_found("conversation")));
    }
    let order = one(context, conversation, act.into(), input.client_mutation_id.clone(), input.expected_version)?;
    let became = carry_out(&asker, order, |done| Some(done.conversation)).await?;
    Ok(ConversationPayload::of(became, input.client_mutation_id))
}

pub(super) async fn on_message(
    context: &Context<'_>,
    input: TargetInput,
    act: impl FnOnce(MessageId) -> Act,
) -> Result<MessagePayload> {
    let asker = Asker::of(context);
    let Some((conversation, message)) = located(&asker, &input.id).await? else {
        return Ok(MessagePayload::Refused(Refused::not_found("message")));
    };
    let command = act(message).into();
    let order = one(context, conversation, command, input.client_mutation_id.clone(), input.expected_version)?;
    let became = carry_out(&asker, order, |_| Some(vec![message])).await?;
    Ok(MessagePayload::of(became, input.client_mutation_id))
}

pub(super) async fn on_branch(
    context: &Context<'_>,
    input: TargetInput,
    act: impl FnOnce(BranchNumber) -> Act,
) -> Result<BranchPayload> {
    let asker = Asker::of(context);
    let (whose, conversation, number) = Name::branch(&input.id).map_err(problem)?;
    if !asker.may_see(whose) {
        return Ok(BranchPayload::Refused(Refused::not_found("branch")));
    }
    let command = act(number).into();
    let order = one(context, conversation, command, input.client_mutation_id.clone(), input.expected_version)?;
    let became = carry_out(&asker, order, |done| Some((done.conversation, number))).await?;
    Ok(BranchPayload::of(became, input.client_mutation_id))
}

/// The conversation of a message of the asker's.
pub(super) async fn located(asker: &Asker<'_>, id: &ID) -> Result<Option<(ConversationId, MessageId)>> {
    let (whose, message) = Name::message(id).map_err(problem)?;
    if !asker.may_see(whose) {
        return Ok(None);
    }
    let conversation = asker.service.conversation_of(asker.actor, message).await.map_err(|error| trouble(&error))?;
    Ok(conversation.map(|conversation| (conversation, message)))
}

pub(super) fn one(
    context: &Context<'_>,
    conversation: ConversationId,
    command: Command,
    client_mutation_id: Option<String>,
    expected: Option<i32>,
) -> Result<Order> {
    let named = named(context, client_mutation_id)?;
    Ok(Order { conversation, commands: vec![command], named, expected: expected.map(Version) })
}

/// The command's name, and what was asked: the mutation and its input, without what may differ between two tries.
pub(super) fn named(context: &Context<'_>, client_mutation_id: Option<String>) -> Result<Option<Named>> {
    let Some(id) = client_mutation_id else { return Ok(None) };
    if id.is_empty() || id.len() > 200 {
        return Err(bad_input("`clientMutationId` takes 1 to 200 bytes"));
    }
    let field = context.field();
    let mut request = field.name().as_bytes().to_vec();
    for (name, value) in field.arguments()? {
        let mut value = value;
        if let Value::Object(fields) = &mut value {
            fields.retain(|name, _| !["clientMutationId", "expectedVersion"].contains(&name.as_str()));
        }
        // JSON of `serde_json`, whose maps are ordered: the same input in another order is the same request.
        let value = value.into_json().map_err(|error| bad_input(error.to_string()))?;
        request.extend(format!("\0{name}\0{value}").into_bytes());
    }
    Ok(Some(Named { id, request }))
}

pub(super) async fn carry_out<Key>(
    asker: &Asker<'_>,
    order: Order,
    key: impl FnOnce(&Done) -> Option<Key>,
) -> Result<Became<Key>> {
    let conversation = order.conversation;
    let outcome = asker.service.execute(asker.actor, order).await.map_err(|error| trouble(&error))?;
    became(conversation, outcome, key)
}

pub(super) fn became<Key>(
    conversation: ConversationId,
    outcome: Outcome,
    key: impl FnOnce(&Done) -> Option<Key>,
) -> Result<Became<Key>> {
    let nameless = || bad_input("this clientMutationId was used for a command of another kind; choose another one");
    Ok(match outcome {
        Outcome::Done(done) => Became::Done(key(&done).ok_or_else(nameless)?, done.position),
        Outcome::AlreadyDone(done) => Became::AlreadyDone(key(&done).ok_or_else(nameless)?, done.position),
        Outcome::Stale { expected, version } => Became::Stale(Stale { conversation, expected, version }),
        Outcome::Refused(reason) => Became::Refused(reason.into()),
    })
}
