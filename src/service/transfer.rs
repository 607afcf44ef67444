//! Taking an archive in: this ledger goes on where another one stood.
//!
//! What happened there happens here again, command by command: with its ids, places, own times and order, in a log of its
//! own. Words are sealed anew, under the key that the account has here, and so are the tokens that facts compare words by.
//! A command that is here already is not carried out again; so an archive may be taken twice, or a later one after it.

use std::collections::HashMap;
use std::sync::Arc;

use moka::sync::Cache;

use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::{Actor, Reason, RegisterError, Service, Trouble, seal};
use crate::archive::line::{Line, State};
use crate::event::{
    AccountId, ConversationExpired, Event, MaskingConfigured, OwnerId, Payload as _, Private, StreamId, Token, Version,
};
use crate::ledger::account::Account;
use crate::ledger::sound::{Unsound, sound};
use crate::ledger::{Conversation, Happened, account, evolve, retention};
use crate::log::{Answer, Append, Expected, NewEvent, Target};
use crate::vault::SubjectKey;

/// Conversations that are written at once, and those that are remembered.
const IN_FLIGHT: usize = 64;
const STATES_MAX: u64 = 1_000;
/// What of an account's own stream is taken: how it wants to be served. Who it is, and what became of it there, is not.
const SETTINGS: [&str; 3] = ["snapshot.configured", "masking.configured", "retention.configured"];

/// What became of a command of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transferred {
    /// So many messages are new.
    Appended(u64),
    /// So many messages were there.
    AlreadyThere(u64),
    /// The conversation is here, and went on otherwise: it has this version.
    Differs {
        stream: StreamId,
        version: Version,
    },
    Refused(Reason),
    /// An event is none that can have happened there: of the conversation, nothing from it on is taken.
    Unsound {
        stream: StreamId,
        version: Version,
        why: Unsound,
    },
}

/// An archive that is being taken in.
pub struct Transfer {
    service: Service,
    actor: Actor,
    /// Whose it was.
    from: AccountId,
    key: Arc<SubjectKey>,
    /// What tokens of there are here.
    tokens: HashMap<Token, Token>,
    /// Conversations as far as they were taken.
    states: Cache<StreamId, Arc<Conversation>>,
}

/// A command as it is carried out here.
struct Again {
    append: Append,
    /// What happens to the conversation, when it is one.
    happened: Vec<Happened>,
    messages: u64,
}

impl Service {
    /// The account of `email`, registered now if it was not: under the id that it had elsewhere, so that whatever names it
    /// goes on naming it, unless somebody else has that here.
    pub async fn register_again(&self, email: &str, id: AccountId) -> Result<Actor, RegisterError> {
        let known = self.account(OwnerId::from(id)).await?;
        let fresh = if known.registered { AccountId(crate::random::id()) } else { id };
        self.register_as(email, fresh).await
    }

    /// Begins to take in what an archive of the account `from` holds; none when the actor is forgotten.
    pub async fn transfer(&self, actor: Actor, from: AccountId) -> Result<Option<Transfer>, Trouble> {
        let key = self.vault.current(actor.owner().into()).await?.known();
        let states = Cache::new(STATES_MAX);
        Ok(key.map(|key| Transfer { service: self.clone(), actor, from, key, tokens: HashMap::new(), states }))
    }
}

impl Transfer {
    /// Takes commands, each with its events, in the order of the archive.
    pub async fn take(&mut self, commands: Vec<Vec<Line>>) -> Result<Vec<Transferred>, Trouble> {
        let mut streams: Vec<(StreamId, Vec<Again>)> = Vec::new();
        let mut known: HashMap<StreamId, usize> = HashMap::new();
        for command in commands {
            let Some(again) = self.again(command)? else { continue };
            let Some(stream) = again.append.targets.first().map(|target| target.stream) else { continue };
            let at = *known.entry(stream).or_insert_with(|| {
                streams.push((stream, Vec::new()));
                streams.len() - 1
            });
            streams[at].1.push(again);
        }
        let taken = stream::iter(streams).map(|(stream, commands)| self.go_on(stream, commands));
        let taken: Vec<Vec<Transferred>> = taken.buffer_unordered(IN_FLIGHT).try_collect().await?;
        Ok(taken.into_iter().flatten().collect())
    }

    /// Commands of one stream, one after the other, until one does not go in.
    async fn go_on(&self, stream: StreamId, commands: Vec<Again>) -> Result<Vec<Transferred>, Trouble> {
        let mut taken = Vec::with_capacity(commands.len());
        let mut state = self.states.remove(&stream).map(Arc::unwrap_or_clone);
        for Again { append, happened, messages } in commands {
            let before = append.targets.first().map_or(Version(0), |target| match target.expected {
                Expected::Exact(before) => before,
                _ => Version(0),
            });
            if !happened.is_empty() {
                let mut then = match state.take() {
                    Some(state) if state.version == before => state,
                    _ => self.service.fold_to(self.actor.owner(), stream.into(), before).await?,
                };
                for one in &happened {
                    // Of a conversation that is shorter here, the append finds that out.
                    if then.version >= before
                        && let Err(why) = sound(&then, one)
                    {
                        taken.push(Transferred::Unsound { stream, version: then.version.next(), why });
                        return Ok(taken);
                    }
                    then = evolve(then, one);
                }
                state = Some(then);
            }
            let one = self.service.put(append, messages).await?;
            let ends = !matches!(one, Transferred::Appended(_) | Transferred::AlreadyThere(_));
            taken.push(one);
            if ends {
                return Ok(taken);
            }
        }
        if let Some(state) = state {
            self.states.insert(stream, Arc::new(state));
        }
        Ok(taken)
    }

    /// Ends it: what was said to be forgotten there is swept out of views here.
    pub async fn finish(self) -> Result<(), Trouble> {
        self.service.sweep_rest().await
    }

    /// A command as it is carried out here; none when nothing of it is taken.
    fn again(&mut self, command: Vec<Line>) -> Result<Option<Again>, Trouble> {
        let (own, mut targets, mut messages) = (StreamId(self.from.0), Vec::<Target>::new(), 0);
        let mut all = Vec::new();
        let Some(first) = command.first() else { return Ok(None) };
        let actor = if first.actor == self.from { self.actor.account } else { first.actor };
        let (id, correlation, causation) = (first.command, first.correlation, first.causation);
        for line in command {
            let settles = line.stream == own;
            if settles && !SETTINGS.contains(&&*line.kind) {
                continue;
            }
            // What expired there is not there any more.
            if line.expired.is_some() || line.kind == ConversationExpired::KIND {
                continue;
            }
            messages += u64::from(line.kind == "message.appended");
            let stream = if settles { self.actor.account.into() } else { line.stream };
            let expected = match line.version {
                _ if settles => Expected::Any,
                Version(1) => Expected::None,
                Version(version) => Expected::Exact(Version(version - 1)),
            };
            let (event, happened) = self.event(line)?;
            if !settles {
                all.push(happened);
            } else if !may_settle(&happened.event) {
                continue;
            }
            match targets.last_mut() {
                Some(target) if target.stream == stream => target.events.push(event),
                _ => targets.push(Target { stream, expected, events: vec![event] }),
            }
        }
        if targets.is_empty() {
            return Ok(None);
        }
        let owner = self.actor.owner();
        let append = Append { owner, actor, command: id, command_digest: None, correlation, causation, targets };
        Ok(Some(Again { append, happened: all, messages }))
    }

    fn event(&mut self, line: Line) -> Result<(NewEvent, Happened), Trouble> {
        let version = u16::try_from(line.kind_version).unwrap_or_default();
        let mut event = Event::read(&line.kind, version, line.id, line.place, &line.facts)?;
        let mut gone = Vec::new();
        for part in line.words {
            if let (State::Opened | State::Masked, Some(said)) = (part.state, part.said) {
                event.open(part.part, Private::Known(said.to_string().as_bytes()))?;
            } else {
                event.open(part.part, Private::Forgotten)?;
                gone.push(part.part);
            }
        }
        self.renew_tokens(&mut event);
        let ledger = self.service.log.identity().ledger;
        let occurred_at = line.occurred_at;
        let sealed = seal::seal_as(ledger, self.actor.owner(), &self.key, line.id, occurred_at, &event, gone);
        Ok((sealed, Happened { occurred_at, event }))
    }

    /// Tokens are keyed: here they are others. Those of words that nobody knows any more stay apart from all others.
    fn renew_tokens(&mut self, event: &mut Event) {
        match event {
            Event::ConversationTagged(tagged) => match tagged.tags.as_ref() {
                Private::Known(words) => {
                    for (token, word) in tagged.tokens.iter_mut().zip(words) {
                        *token = self.known(*token, word);
                    }
                }
                Private::Forgotten => tagged.tokens.iter_mut().for_each(|token| *token = self.renewed(*token)),
            },
            Event::ConversationUntagged(untagged) => {
                untagged.tokens.iter_mut().for_each(|token| *token = self.renewed(*token));
            }
            Event::BranchCreated(created) => {
                created.token = match &created.name {
                    Private::Known(name) => self.known(created.token, name),
                    Private::Forgotten => self.renewed(created.token),
                };
            }
            Event::BranchRenamed(renamed) => {
                renamed.token = match &renamed.name {
                    Private::Known(name) => self.known(renamed.token, name),
                    Private::Forgotten => self.renewed(renamed.token),
                };
            }
            Event::ConversationRestored(restored) => {
                if let Some(tags) = &mut restored.tags {
                    *tags = std::mem::take(tags).into_iter().map(|(token, at)| (self.renewed(token), at)).collect();
                }
                for branch in &mut restored.branches {
                    branch.token = branch.token.map(|token| self.renewed(token));
                }
            }
            _ => {}
        }
    }

    fn known(&mut self, there: Token, word: &str) -> Token {
        let here = self.key.token(word);
        self.tokens.insert(there, here);
        here
    }

    fn renewed(&self, there: Token) -> Token {
        self.tokens.get(&there).copied().unwrap_or_else(|| Token(self.key.digest(&there.0)))
    }
}

/// Whether an account here may settle what one settled elsewhere.
fn may_settle(event: &Event) -> bool {
    let default = MaskingConfigured::default();
    match event {
        Event::MaskingConfigured(masking) => {
            account::configure_masking(&Account::default(), &default, masking.clone()).is_ok()
        }
        Event::RetentionConfigured(retention) => {
            retention.policy.as_ref().is_none_or(|policy| retention::check(policy).is_ok())
        }
        _ => true,
    }
}

impl Service {
    async fn put(&self, append: Append, messages: u64) -> Result<Transferred, Trouble> {
        Ok(match self.log.append(append).await? {
            Answer::Appended(_) => Transferred::Appended(messages),
            Answer::Repeated(_) => Transferred::AlreadyThere(messages),
            Answer::Conflict { stream, version } => Transferred::Differs { stream, version },
            Answer::Reused { .. } => Transferred::Refused(Reason::NameReused),
            Answer::IdTaken => Transferred::Refused(Reason::IdTaken),
            Answer::SourceExpired => Transferred::Refused(Reason::SourceExpired),
            Answer::Closed => Transferred::Refused(Reason::Forgotten),
        })
    }
}
