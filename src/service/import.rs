//! Importing: a transcript becomes the same acts that a person would have done, at the times they were done and in that
//! order, so that what the conversation was at a moment of its own time is a prefix of its stream.
//!
//! Ids are derived from the owner, the source and the source's ids, so a second import of the same export finds
//! everything there and appends nothing, and one of a later export appends what is new.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::execute::Reason;
use super::{Actor, Outcome, Service, Trouble};
use crate::event::{BranchNumber, ConversationId, MessageId, Origin, OwnerId, Place};
use crate::format::{SourceMessage, Transcript};
use crate::ledger::{
    Act, AppendMessage, Below, Circumstances, Command, Conversation, Happened, Refusal, Start, Tag, decide_all,
};

/// What became of one transcript.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Imported {
    /// Events were appended: so many messages are new, and so many were there.
    Taken {
        conversation: ConversationId,
        appended: u64,
        already_there: u64,
    },
    Refused(Reason),
}

/// Events in one command at most: a longer conversation takes several, each of which leaves it whole.
const MESSAGES_MAX: usize = 1_000;

impl Service {
    /// Takes `transcript` into the actor's ledger.
    pub async fn import(&self, actor: Actor, transcript: Transcript) -> Result<Imported, Trouble> {
        let conversation = conversation_id(actor.owner(), transcript.source, &transcript.id);
        let transcript = self.masked_transcript(actor.owner(), transcript).await?;
        let tags = self.tags(actor, &transcript.tags).await?;
        let messages = transcript.messages.len();
        let script = Arc::new(Script { conversation, transcript, tags });
        let mut appended = 0;
        loop {
            let script = Arc::clone(&script);
            let plan = Box::new(move |state: &mut Conversation, circumstances: &_| script.next(state, circumstances));
            match self.carry_out(actor, conversation, plan, None, None).await? {
                Outcome::Done(done) => appended += done.messages.len() as u64,
                Outcome::AlreadyDone(_) => break,
                Outcome::Refused(reason) => return Ok(Imported::Refused(reason)),
                Outcome::Stale { .. } => return Err(Trouble::Internal("an import expects no version".into())),
            }
            if messages <= MESSAGES_MAX {
                break;
            }
        }
        Ok(Imported::Taken { conversation, appended, already_there: messages as u64 - appended })
    }

    /// Words as they are kept, and the tokens that facts know them by, under the actor's key.
    pub async fn tags(&self, actor: Actor, words: &[String]) -> Result<Vec<Tag>, Trouble> {
        let words = self.masked_names(actor.owner(), words).await?;
        let tokens = self.tokens(actor, &words).await?;
        Ok(tokens.into_iter().zip(&words).map(|(token, word)| Tag { token, word: word.trim().to_owned() }).collect())
    }
}

/// A transcript that is played to a conversation.
struct Script {
    conversation: ConversationId,
    transcript: Transcript,
    tags: Vec<Tag>,
}

impl Script {
    /// The next acts that the conversation lacks.
    fn next(&self, state: &mut Conversation, circumstances: &Circumstances) -> Result<Vec<Happened>, Refusal> {
        // What is told afterwards was no occasion for a snapshot.
        let circumstances = &Circumstances { automatic: None, ..*circumstances };
        let now = circumstances.now;
        let fresh = !state.started;
        let mut commands = if fresh { self.beginning(now) } else { Vec::new() };
        let mut places: HashMap<&str, MessageId> = HashMap::new();
        let mut taken = 0;
        for message in &self.transcript.messages {
            let id = message_id(self.conversation, &message.id);
            places.insert(&message.id, id);
            if state.tree.place(id).is_none() && taken < MESSAGES_MAX {
                taken += 1;
                commands.extend(self.said(message, id, &places, now));
            }
        }
        if taken == 0 && !fresh {
            return Ok(Vec::new());
        }
        let mut happened = decide_all(state, commands, circumstances)?;
        happened.extend(decide_all(state, self.ending(state, fresh, now), circumstances)?);
        Ok(happened)
    }

    fn beginning(&self, now: DateTime<Utc>) -> Vec<Command> {
        let transcript = &self.transcript;
        let origin = Origin { id: transcript.id.clone(), kept: transcript.kept.clone() };
        let start = Start {
            from: None,
            model: transcript.model.clone(),
            provider: transcript.provider.clone(),
            source: Some(transcript.source.to_owned()),
            origin: Some(origin),
        };
        let title = transcript.title.clone().filter(|title| !title.trim().is_empty());
        let acts = std::iter::once(Act::Start(start))
            .chain(title.map(|title| Act::SetTitle { title }))
            .chain((!self.tags.is_empty()).then(|| Act::Tag { tags: self.tags.clone() }));
        acts.map(|act| Command { occurred_at: Some(self.began(now)), act }).collect()
    }

    fn said(
        &self,
        message: &SourceMessage,
        id: MessageId,
        places: &HashMap<&str, MessageId>,
        now: DateTime<Utc>,
    ) -> Vec<Command> {
        let parent = message.parent.as_deref().and_then(|parent| places.get(parent));
        let append = AppendMessage {
            id,
            below: parent.map_or(Below::Root, |parent| Below::Message(*parent)),
            role: message.role,
            parts: message.parts.clone(),
            model: message.model.clone(),
            provider: message.provider.clone(),
            usage: message.usage,
            cost_usd: message.cost_usd,
            latency_ms: message.latency_ms,
            finish_reason: message.finish_reason.clone(),
            verbatim: message.verbatim.clone(),
        };
        let rate = message.rating.map(|rating| Act::Rate { message: id, rating: Some(rating), comment: None });
        let acts =
            std::iter::once(Act::Append(append)).chain(message.hidden.then_some(Act::Hide { message: id })).chain(rate);
        let occurred_at = Some(message.at.unwrap_or_else(|| self.began(now)).min(now));
        acts.map(|act| Command { occurred_at, act }).collect()
    }

    /// What is so once all messages are there: which branch was in view, and where the conversation lies.
    fn ending(&self, state: &Conversation, fresh: bool, now: DateTime<Utc>) -> Vec<Command> {
        let all = self
            .transcript
            .messages
            .iter()
            .all(|message| state.tree.place(message_id(self.conversation, &message.id)).is_some());
        if !all {
            return Vec::new();
        }
        let current = self.transcript.current.as_deref().map(|id| message_id(self.conversation, id));
        let in_view =
            current.and_then(|current| state.tree.place(current)).and_then(|place| branch_through(state, place));
        let prefer = in_view.map(|branch| Act::PreferBranch { branch });
        let favorite = (fresh && self.transcript.favorited).then_some(Act::Favorite);
        let archive = (fresh && self.transcript.archived).then_some(Act::Archive);
        let occurred_at = Some(self.ended(now));
        prefer.into_iter().chain(favorite).chain(archive).map(|act| Command { occurred_at, act }).collect()
    }

    /// No later than the first message: a conversation's events lie in the order of their time.
    fn began(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let first_said = self.transcript.messages.iter().find_map(|message| message.at);
        self.transcript.created_at.into_iter().chain(first_said).min().unwrap_or(now).min(now)
    }

    /// No earlier than the last message.
    fn ended(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let last_said = self.transcript.messages.iter().filter_map(|message| message.at).max();
        self.transcript.updated_at.into_iter().chain(last_said).max().unwrap_or_else(|| self.began(now)).min(now)
    }
}

/// A branch that may go on, on whose path `place` lies: one whose tip it is, before others.
fn branch_through(state: &Conversation, place: Place) -> Option<BranchNumber> {
    let numbered = || (1..).map(BranchNumber).zip(&state.branches).filter(|(_, branch)| !branch.abandoned);
    let through = |tip: Option<Place>| {
        state
            .tree
            .lineage(tip)
            .into_iter()
            .any(|(segment, from, to)| segment == place.segment && (from..=to).contains(&place.depth))
    };
    numbered()
        .find(|(_, branch)| branch.tip == Some(place))
        .or_else(|| numbered().find(|(_, branch)| through(branch.tip)))
        .map(|(number, _)| number)
}

fn conversation_id(owner: OwnerId, source: &str, id: &str) -> ConversationId {
    ConversationId(Uuid::new_v5(&Uuid::new_v5(&owner.0, source.as_bytes()), id.as_bytes()))
}

fn message_id(conversation: ConversationId, id: &str) -> MessageId {
    MessageId(Uuid::new_v5(&conversation.0, id.as_bytes()))
}
