//! Mutations: each reads its input, has the service carry it out, and answers what became of it.

use async_graphql::{Context, ID, Object, Result};

use super::as_of::{self, AsOf};
use super::asker::{Asker, bad_input, problem, trouble};
use super::id::{Name, chosen};
use super::input::{
    AppendMessageInput, ChooseBranchInput, ConfigureSnapshotsInput, CreateBranchInput, EditMessageInput,
    GraftMessagesInput, RateMessageInput, RenameBranchInput, RestoreToInput, SetTitleInput, SnapshotFileInput,
    StartConversationInput, SwitchModelInput, TagsInput, TakeSnapshotInput, TargetInput,
};
use super::order::{became, carry_out, located, named, on_branch, on_conversation, on_message, one};
use super::part;
use super::payload::{
    AppendMessagePayload, Became, BranchPayload, ConfigureSnapshotsPayload, ConversationPayload, MessagePayload,
    Refused, SnapshotPayload, SnapshotsConfigured, StartConversationPayload, shown,
};
use crate::event::{Ancestor, ConversationId, EventId, FileChange, MessageId, SnapshotPolicy, Version};
use crate::ledger::{Act, AppendMessage, Below, Command, CreateBranch, EditMessage, Start, TakeSnapshot};
use crate::random;
use crate::service::{ConfigureError, Done, Order, Reason, Run, Trouble};

pub struct Mutation;

/// Branches that one message is said on at once.
const BRANCHES_MAX: usize = 20;

#[Object(name = "ConversationMutation")]
impl Mutation {
    async fn start_conversation(
        &self,
        context: &Context<'_>,
        input: StartConversationInput,
    ) -> Result<StartConversationPayload> {
        let asker = Asker::of(context);
        let owner = asker.actor.owner();
        let of = |name| if let Name::Conversation(owner, id) = name { Some((owner, id.0)) } else { None };
        let id = input.id.as_ref().map(|id| chosen(id, of, owner)).transpose().map_err(problem)?;
        let from = match &input.from_message_id {
            None => None,
            Some(message) => match ancestor(&asker, message).await? {
                None => return Ok(StartConversationPayload::Refused(Refused::not_found("message"))),
                from => from,
            },
        };
        let start = Start { from, model: input.model, provider: input.provider, ..Start::default() };
        let tags = asker.service.tags(asker.actor, &input.tags.unwrap_or_default()).await;
        let tags = tags.map_err(|error| trouble(&error))?;
        let acts = std::iter::once(Act::Start(start))
            .chain(input.title.map(|title| Act::SetTitle { title }))
            .chain((!tags.is_empty()).then_some(Act::Tag { tags }));
        let occurred_at = input.occurred_at;
        let commands = acts.map(|act| Command { occurred_at, act }).collect();
        let conversation = ConversationId(id.unwrap_or_else(random::id));
        let named = named(context, input.client_mutation_id.clone())?;
        let order = Order { conversation, commands, named, expected: None };
        let became = carry_out(&asker, order, |done| Some(done.conversation)).await?;
        Ok(StartConversationPayload::of(became, input.client_mutation_id))
    }

    async fn append_message(&self, context: &Context<'_>, input: AppendMessageInput) -> Result<AppendMessagePayload> {
        let asker = Asker::of(context);
        let owner = asker.actor.owner();
        let client_mutation_id = input.client_mutation_id.clone();
        let (whose, conversation) = Name::conversation(&input.conversation_id).map_err(problem)?;
        if !asker.may_see(whose) {
            return Ok(AppendMessagePayload::Refused(Refused::not_found("conversation")));
        }
        let of = |name| if let Name::Message(owner, id) = name { Some((owner, id.0)) } else { None };
        let id = input.id.as_ref().map(|id| chosen(id, of, owner)).transpose().map_err(problem)?;
        let Some(below) = places(&asker, conversation, input.parent_id, input.branch_id, input.branch_ids)? else {
            return Ok(AppendMessagePayload::Refused(Refused::not_found("branch of this conversation")));
        };
        if id.is_some() && below.len() != 1 {
            return Err(bad_input("`id` is of one message; leave it out to say it on several branches"));
        }
        let latency_ms = input.latency_ms.map(|ms| u64::try_from(ms.0)).transpose();
        let append = AppendMessage {
            id: MessageId(id.unwrap_or_else(random::id)),
            below: Below::Preferred,
            role: input.role.into(),
            parts: part::read(input.text, input.parts)?,
            model: input.model,
            provider: input.provider,
            usage: input.usage.map(super::message::UsageInput::read).transpose()?,
            cost_usd: input.cost_usd.map(|cost| cost.0),
            latency_ms: latency_ms.map_err(|_| bad_input("`latencyMs` is negative"))?,
            finish_reason: input.finish_reason,
            verbatim: input.verbatim,
        };
        let messages = below.into_iter().enumerate().map(|(nth, below)| {
            let id = if nth == 0 { append.id } else { MessageId(random::id()) };
            Act::Append(AppendMessage { id, below, ..append.clone() })
        });
        let occurred_at = input.occurred_at;
        let commands = messages.map(|act| Command { occurred_at, act }).collect();
        let named = named(context, client_mutation_id.clone())?;
        let order = Order { conversation, commands, named, expected: input.expected_version.map(Version) };
        let became = carry_out(&asker, order, appended).await?;
        Ok(AppendMessagePayload::of(became, client_mutation_id))
    }

    async fn edit_message(&self, context: &Context<'_>, input: EditMessageInput) -> Result<AppendMessagePayload> {
        let asker = Asker::of(context);
        let Some((conversation, message)) = located(&asker, &input.id).await? else {
            return Ok(AppendMessagePayload::Refused(Refused::not_found("message")));
        };
        let edit = EditMessage { id: MessageId(random::id()), message, parts: part::read(input.text, input.parts)? };
        let command = Command { occurred_at: input.occurred_at, act: Act::Edit(edit) };
        let order = one(context, conversation, command, input.client_mutation_id.clone(), input.expected_version)?;
        let became = carry_out(&asker, order, appended).await?;
        Ok(AppendMessagePayload::of(became, input.client_mutation_id))
    }

    async fn hide_message(&self, context: &Context<'_>, input: TargetInput) -> Result<MessagePayload> {
        on_message(context, input, |message| Act::Hide { message }).await
    }

    async fn unhide_message(&self, context: &Context<'_>, input: TargetInput) -> Result<MessagePayload> {
        on_message(context, input, |message| Act::Unhide { message }).await
    }

    async fn rate_message(&self, context: &Context<'_>, input: RateMessageInput) -> Result<MessagePayload> {
        let RateMessageInput { id, rating, comment, client_mutation_id, expected_version } = input;
        let target = TargetInput { id, client_mutation_id, expected_version };
        let rating = rating.map(Into::into);
        on_message(context, target, |message| Act::Rate { message, rating, comment }).await
    }

    async fn set_title(&self, context: &Context<'_>, input: SetTitleInput) -> Result<ConversationPayload> {
        let SetTitleInput { id, title, client_mutation_id, expected_version } = input;
        on_conversation(context, TargetInput { id, client_mutation_id, expected_version }, Act::SetTitle { title })
            .await
    }

    async fn favorite_conversation(&self, context: &Context<'_>, input: TargetInput) -> Result<ConversationPayload> {
        on_conversation(context, input, Act::Favorite).await
    }

    async fn unfavorite_conversation(&self, context: &Context<'_>, input: TargetInput) -> Result<ConversationPayload> {
        on_conversation(context, input, Act::Unfavorite).await
    }

    async fn tag_conversation(&self, context: &Context<'_>, input: TagsInput) -> Result<ConversationPayload> {
        let asker = Asker::of(context);
        let tags = asker.service.tags(asker.actor, &input.tags).await.map_err(|error| trouble(&error))?;
        on_conversation(context, target(input), Act::Tag { tags }).await
    }

    async fn untag_conversation(&self, context: &Context<'_>, input: TagsInput) -> Result<ConversationPayload> {
        let asker = Asker::of(context);
        let tokens = asker.service.tokens(asker.actor, &input.tags).await.map_err(|error| trouble(&error))?;
        on_conversation(context, target(input), Act::Untag { tokens }).await
    }

    async fn switch_model(&self, context: &Context<'_>, input: SwitchModelInput) -> Result<ConversationPayload> {
        let SwitchModelInput { conversation_id, model, provider, client_mutation_id, expected_version } = input;
        let target = TargetInput { id: conversation_id, client_mutation_id, expected_version };
        on_conversation(context, target, Act::SwitchModel { model, provider }).await
    }

    async fn archive_conversation(&self, context: &Context<'_>, input: TargetInput) -> Result<ConversationPayload> {
        on_conversation(context, input, Act::Archive).await
    }

    async fn unarchive_conversation(&self, context: &Context<'_>, input: TargetInput) -> Result<ConversationPayload> {
        on_conversation(context, input, Act::Unarchive).await
    }

    /// Puts it away as deleted. Nothing is lost: undeleting gives back exactly what was there.
    async fn delete_conversation(&self, context: &Context<'_>, input: TargetInput) -> Result<ConversationPayload> {
        on_conversation(context, input, Act::Delete).await
    }

    async fn undelete_conversation(&self, context: &Context<'_>, input: TargetInput) -> Result<ConversationPayload> {
        on_conversation(context, input, Act::Undelete).await
    }

    async fn create_branch(&self, context: &Context<'_>, input: CreateBranchInput) -> Result<BranchPayload> {
        let asker = Asker::of(context);
        let (whose, conversation) = Name::conversation(&input.conversation_id).map_err(problem)?;
        let (_, from) = Name::message(&input.from_message_id).map_err(problem)?;
        if !asker.may_see(whose) {
            return Ok(BranchPayload::Refused(Refused::not_found("conversation")));
        }
        let name = tag(&asker, input.name).await?;
        let act = Act::CreateBranch(CreateBranch { from, name });
        let order = one(context, conversation, act.into(), input.client_mutation_id.clone(), input.expected_version)?;
        let became = carry_out(&asker, order, |done| Some((done.conversation, done.branch?))).await?;
        Ok(BranchPayload::of(became, input.client_mutation_id))
    }

    async fn rename_branch(&self, context: &Context<'_>, input: RenameBranchInput) -> Result<BranchPayload> {
        let name = tag(&Asker::of(context), input.name).await?;
        let RenameBranchInput { id, client_mutation_id, expected_version, .. } = input;
        let target = TargetInput { id, client_mutation_id, expected_version };
        on_branch(context, target, |branch| Act::RenameBranch { branch, name }).await
    }

    /// Makes it the branch that is shown, and appended to, when none is named.
    async fn prefer_branch(&self, context: &Context<'_>, input: TargetInput) -> Result<BranchPayload> {
        on_branch(context, input, |branch| Act::PreferBranch { branch }).await
    }

    /// Gives it up. It can be taken up again.
    async fn abandon_branch(&self, context: &Context<'_>, input: TargetInput) -> Result<BranchPayload> {
        on_branch(context, input, |branch| Act::AbandonBranch { branch }).await
    }

    async fn resume_branch(&self, context: &Context<'_>, input: TargetInput) -> Result<BranchPayload> {
        on_branch(context, input, |branch| Act::ResumeBranch { branch }).await
    }

    /// Records that it was found better than others, and prefers it.
    async fn choose_branch(&self, context: &Context<'_>, input: ChooseBranchInput) -> Result<BranchPayload> {
        let ChooseBranchInput { id, over, client_mutation_id, expected_version } = input;
        let (owner, conversation, _) = Name::branch(&id).map_err(problem)?;
        let mut others = Vec::with_capacity(over.len());
        for other in &over {
            match Name::branch(other).map_err(problem)? {
                (whose, of, number) if whose == owner && of == conversation => others.push(number),
                _ => return Ok(BranchPayload::Refused(Refused::not_found("branch of this conversation"))),
            }
        }
        let target = TargetInput { id, client_mutation_id, expected_version };
        on_branch(context, target, |branch| Act::ChooseBranch { branch, over: others }).await
    }

    /// Repeats a run of messages of the same or another conversation, without saying their words again.
    async fn graft_messages(&self, context: &Context<'_>, input: GraftMessagesInput) -> Result<AppendMessagePayload> {
        let asker = Asker::of(context);
        let (whose, conversation) = Name::conversation(&input.conversation_id).map_err(problem)?;
        let (source, from) = Name::message(&input.from_message_id).map_err(problem)?;
        let (other, to) = Name::message(&input.to_message_id).map_err(problem)?;
        if !asker.may_see(whose) {
            return Ok(AppendMessagePayload::Refused(Refused::not_found("conversation")));
        }
        if !asker.may_see(source) || !asker.may_see(other) {
            return Ok(AppendMessagePayload::Refused(Refused::not_found("message")));
        }
        let onto = places(&asker, conversation, input.parent_id, input.branch_id, None)?;
        let Some(onto) = onto.and_then(|onto| onto.first().copied()) else {
            return Ok(AppendMessagePayload::Refused(Refused::not_found("branch of this conversation")));
        };
        let named = named(context, input.client_mutation_id.clone())?;
        let expected = input.expected_version.map(Version);
        let outcome = asker.service.graft(asker.actor, conversation, onto, Run { from, to }, named, expected).await;
        let became = became(conversation, outcome.map_err(|error| trouble(&error))?, appended)?;
        Ok(AppendMessagePayload::of(became, input.client_mutation_id))
    }

    /// Makes a conversation what it was at an earlier moment. What came after stays in its history, and it can be brought
    /// back to that as well.
    async fn restore_to(&self, context: &Context<'_>, input: RestoreToInput) -> Result<ConversationPayload> {
        let asker = Asker::of(context);
        let (whose, conversation) = Name::conversation(&input.conversation_id).map_err(problem)?;
        if !asker.may_see(whose) {
            return Ok(ConversationPayload::Refused(Refused::not_found("conversation")));
        }
        let to = match input.to {
            AsOf::Version(version) => Version(version),
            to => {
                let at = as_of::moment(&asker, Some(conversation), Some(to)).await?;
                asker.service.version_at(asker.actor, conversation, at).await.map_err(|error| trouble(&error))?
            }
        };
        let named = named(context, input.client_mutation_id.clone())?;
        let expected = input.expected_version.map(Version);
        let outcome = asker.service.restore(asker.actor, conversation, to, named, expected).await;
        let outcome = outcome.map_err(|error| trouble(&error))?;
        let became = became(conversation, outcome, |done| Some(done.conversation))?;
        Ok(ConversationPayload::of(became, input.client_mutation_id))
    }

    async fn configure_snapshots(
        &self,
        context: &Context<'_>,
        input: ConfigureSnapshotsInput,
    ) -> Result<ConfigureSnapshotsPayload> {
        let token_limit = input.token_limit.map(|limit| u64::try_from(limit.0)).transpose();
        let policy = SnapshotPolicy {
            auto_hourly: input.auto_hourly,
            before_change: input.before_change,
            cost_limit_usd: input.cost_limit_usd.map(|limit| limit.0),
            token_limit: token_limit.map_err(|_| bad_input("`tokenLimit` is negative"))?,
        };
        let ConfigureSnapshotsInput { conversation_id, client_mutation_id, expected_version, .. } = input;
        let asker = Asker::of(context);
        let Some(id) = conversation_id else {
            if expected_version.is_some() {
                return Err(bad_input(
                    "`expectedVersion` is one of a conversation; give `conversationId`, or leave it out",
                ));
            }
            return Ok(match asker.service.configure_snapshots(asker.actor, policy).await {
                Ok(_) => {
                    ConfigureSnapshotsPayload::Done(SnapshotsConfigured { conversation: None, client_mutation_id })
                }
                Err(error) => ConfigureSnapshotsPayload::Refused(unsettled(error)?),
            });
        };
        let (whose, conversation) = Name::conversation(&id).map_err(problem)?;
        if !asker.may_see(whose) {
            return Ok(ConfigureSnapshotsPayload::Refused(Refused::not_found("conversation")));
        }
        let act = Act::ConfigureSnapshots(policy).into();
        let order = one(context, conversation, act, client_mutation_id.clone(), expected_version)?;
        Ok(match carry_out(&asker, order, |done| Some(done.conversation)).await? {
            Became::Done(id, position) | Became::AlreadyDone(id, position) => {
                let conversation = Some(shown(context, id, position).await?);
                ConfigureSnapshotsPayload::Done(SnapshotsConfigured { conversation, client_mutation_id })
            }
            Became::Stale(stale) => ConfigureSnapshotsPayload::Stale(stale),
            Became::Refused(refused) => ConfigureSnapshotsPayload::Refused(refused),
        })
    }

    /// Labels the conversation as it is, to be come back to. Nothing is copied.
    async fn take_snapshot(&self, context: &Context<'_>, input: TakeSnapshotInput) -> Result<SnapshotPayload> {
        let asker = Asker::of(context);
        let (whose, conversation) = Name::conversation(&input.conversation_id).map_err(problem)?;
        if !asker.may_see(whose) {
            return Ok(SnapshotPayload::Refused(Refused::not_found("conversation")));
        }
        let files = input.files.unwrap_or_default().into_iter().map(SnapshotFileInput::read);
        let files = files.collect::<Result<_>>()?;
        let take = TakeSnapshot { id: EventId(random::id()), label: input.label, files };
        let act = Act::TakeSnapshot(take).into();
        let order = one(context, conversation, act, input.client_mutation_id.clone(), input.expected_version)?;
        let became = carry_out(&asker, order, |done| Some((done.conversation, done.snapshot?))).await?;
        Ok(SnapshotPayload::of(became, input.client_mutation_id))
    }

    /// Makes a conversation what it was when a snapshot was taken. What came after stays in its history, and it can be
    /// brought back to that as well.
    async fn restore_snapshot(&self, context: &Context<'_>, input: TargetInput) -> Result<ConversationPayload> {
        let asker = Asker::of(context);
        let (whose, snapshot) = Name::snapshot(&input.id).map_err(problem)?;
        let found = if asker.may_see(whose) {
            asker.service.snapshot(asker.actor, snapshot).await.map_err(|error| trouble(&error))?
        } else {
            None
        };
        let Some((conversation, version)) = found else {
            return Ok(ConversationPayload::Refused(Refused::not_found("snapshot")));
        };
        let named = named(context, input.client_mutation_id.clone())?;
        let expected = input.expected_version.map(Version);
        let outcome = asker.service.restore(asker.actor, conversation, version, named, expected).await;
        let outcome = outcome.map_err(|error| trouble(&error))?;
        let became = became(conversation, outcome, |done| Some(done.conversation))?;
        Ok(ConversationPayload::of(became, input.client_mutation_id))
    }
}

/// Why what an account settled was not taken.
fn unsettled(error: ConfigureError) -> Result<Refused> {
    match error {
        ConfigureError::Refused(refusal) => Ok(Reason::Rule(refusal).into()),
        ConfigureError::Forgotten => Ok(Reason::Forgotten.into()),
        ConfigureError::Overtaken => Err(trouble(&Trouble::Busy { retry_after_s: 1 })),
        ConfigureError::Trouble(error) => Err(trouble(&error)),
    }
}

impl SnapshotFileInput {
    fn read(self) -> Result<(String, FileChange)> {
        let mut digest = [0; 32];
        hex::decode_to_slice(&self.digest, &mut digest).map_err(|_| {
            bad_input(format!("the `digest` of a file is not 64 hex digits: {} characters", self.digest.len()))
        })?;
        Ok((self.path, FileChange { digest, action: self.action.into() }))
    }
}

/// Where in a conversation something is said; none when a branch is not one of the conversation's.
fn places(
    asker: &Asker<'_>,
    conversation: ConversationId,
    parent: Option<ID>,
    branch: Option<ID>,
    branches: Option<Vec<ID>>,
) -> Result<Option<Vec<Below>>> {
    let branches = match (parent, branch, branches) {
        (None, None, None) => return Ok(Some(vec![Below::Preferred])),
        (Some(parent), None, None) => {
            return Ok(Some(vec![Below::Message(Name::message(&parent).map_err(problem)?.1)]));
        }
        (None, Some(branch), None) => vec![branch],
        (None, None, Some(branches)) if !branches.is_empty() && branches.len() <= BRANCHES_MAX => branches,
        (None, None, Some(_)) => return Err(bad_input(format!("`branchIds` takes 1 to {BRANCHES_MAX} branches"))),
        _ => return Err(bad_input("give one of `parentId`, `branchId` and `branchIds`")),
    };
    let mut below = Vec::with_capacity(branches.len());
    for branch in &branches {
        match Name::branch(branch).map_err(problem)? {
            (whose, of, number) if asker.may_see(whose) && of == conversation => below.push(Below::Branch(number)),
            _ => return Ok(None),
        }
    }
    Ok(Some(below))
}

async fn ancestor(asker: &Asker<'_>, message: &ID) -> Result<Option<Ancestor>> {
    let (whose, message) = Name::message(message).map_err(problem)?;
    if !asker.may_see(whose) {
        return Ok(None);
    }
    asker.service.ancestor(asker.actor, message).await.map_err(|error| trouble(&error))
}

fn appended(done: &Done) -> Option<Vec<MessageId>> {
    Some(done.messages.clone()).filter(|messages| !messages.is_empty())
}

async fn tag(asker: &Asker<'_>, word: String) -> Result<crate::ledger::Tag> {
    let tags = asker.service.tags(asker.actor, &[word]).await.map_err(|error| trouble(&error))?;
    tags.into_iter().next().ok_or_else(|| bad_input("the account was forgotten: nothing can be named in it any more"))
}

fn target(input: TagsInput) -> TargetInput {
    TargetInput { id: input.id, client_mutation_id: input.client_mutation_id, expected_version: input.expected_version }
}
