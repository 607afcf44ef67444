//! Carrying an order out: load, decide, seal, append, answer.

use std::sync::Arc;
use std::time::Duration;

use super::{Actor, Service, Trouble, seal};
use crate::database::within;
use crate::event::{
    BranchNumber, CommandId, ConversationId, Event, EventId, MessageId, OwnerId, Position, Private, Trigger, Version,
};
use crate::ledger::{Circumstances, Command, Conversation, Happened, Refusal, decide_all};
use crate::log::{Answer, Append, AppendError, Expected, Recorded, Target};
use crate::random;
use crate::vault::SubjectKey;

/// What is asked of one conversation: commands that are carried out all together or not at all.
#[derive(Debug, Clone)]
pub struct Order {
    pub conversation: ConversationId,
    pub commands: Vec<Command>,
    pub named: Option<Named>,
    /// The version that the conversation must have; without one, the order is decided again on whatever it has become.
    pub expected: Option<Version>,
}

/// A command that its caller gave a name to, so that asking twice does it once.
#[derive(Debug, Clone)]
pub struct Named {
    pub id: String,
    /// What was asked, in a form that is the same for the same request.
    pub request: Vec<u8>,
}

/// What became of an order. All of these are expected.
#[derive(Debug, Clone)]
pub enum Outcome {
    Done(Done),
    /// The same command was carried out before (its first answer), or all was so already.
    AlreadyDone(Done),
    /// The conversation has another version than the order expects.
    Stale {
        expected: Version,
        version: Version,
    },
    Refused(Reason),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    pub conversation: ConversationId,
    /// The position to wait for before reading what was done.
    pub position: Position,
    pub version: Version,
    /// The message that was appended, if one was: the last of them.
    pub message: Option<MessageId>,
    /// The branch that was created, or on which the message is.
    pub branch: Option<BranchNumber>,
    /// The messages that were appended.
    pub messages: Vec<MessageId>,
    /// The snapshot that was asked for.
    pub snapshot: Option<EventId>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    #[error(transparent)]
    Rule(#[from] Refusal),
    #[error("another command was carried out under this clientMutationId; choose another one for this")]
    NameReused,
    #[error("the id is taken by something else of yours; leave `id` out or choose another")]
    IdTaken,
    #[error(
        "the conversation that it goes on from, or whose messages it repeats, has expired; choose one that is there"
    )]
    SourceExpired,
    #[error("the messages are not on one path, with the first above the last; choose two of one conversation that are")]
    NoRun,
    #[error("the account was forgotten: nothing can be said in its name any more")]
    Forgotten,
}

/// Decides what an order becomes, and leaves the state as it is afterwards.
type Plan = Box<dyn Fn(&mut Conversation, &Circumstances) -> Result<Vec<Happened>, Refusal> + Send + Sync>;

/// How often an order is decided again because others were faster, before its caller is told to come back.
const TRIES_MAX: usize = 64;
/// How long an order may go on. Nobody waits any more for one that takes longer: one of its reads hangs on a connection
/// that was cut, and holds the conversation up. What it appended, if it came so far, is written all the same.
const CARRIED_WITHIN: Duration = Duration::from_mins(1);

impl Service {
    /// Carries `order` out for `actor`, in the actor's own ledger. Dropping the future cancels nothing.
    pub async fn execute(&self, actor: Actor, order: Order) -> Result<Outcome, Trouble> {
        let Order { conversation, commands, named, expected } = order;
        let takes_words = commands.iter().any(|command| command.act.takes_words());
        // What few orders need is in boxes: futures are moved, and this one would be of 15 KB.
        if takes_words && Box::pin(self.is_held(actor.owner())).await? {
            return Ok(Outcome::Refused(Refusal::Held.into()));
        }
        let commands = self.masked(actor.owner(), commands).await?;
        let plan: Plan = Box::new(move |state, circumstances| decide_all(state, commands.clone(), circumstances));
        let outcome = self.carry_out(actor, conversation, plan, named, expected).await?;
        if takes_words && let Err(error) = Box::pin(self.sweep_rest()).await {
            tracing::warn!("views are not swept yet: {error}; a server does it later");
        }
        Ok(outcome)
    }

    pub(super) async fn carry_out(
        &self,
        actor: Actor,
        conversation: ConversationId,
        plan: Plan,
        named: Option<Named>,
        expected: Option<Version>,
    ) -> Result<Outcome, Trouble> {
        let Ok(room) = Arc::clone(&self.orders).try_acquire_owned() else {
            return Err(Trouble::Busy { retry_after_s: 1 });
        };
        let service = self.clone();
        let errand = async move {
            let _room = room;
            // Views that fall behind are waited for a moment: else appends could outrun them for good.
            let held_back = service.engine.held_back();
            if !held_back.is_zero() {
                metrics::histogram!("append_held_back_seconds").record(held_back.as_secs_f64());
                tokio::time::sleep(held_back).await;
            }
            let Private::Known(key) = service.vault.current(actor.owner().into()).await? else {
                return Ok(Outcome::Refused(Reason::Forgotten));
            };
            let (command, digest) = match &named {
                Some(named) => {
                    (CommandId::of(actor.owner(), actor.account, &named.id), Some(key.digest(&named.request)))
                }
                None => (CommandId(random::id()), None),
            };
            let errand = Errand { service, actor, conversation, plan, command, digest, expected, key };
            errand.run().await
        };
        // In a box, for it is large, and spawning moves it from place to place.
        let carried = tokio::spawn(Box::pin(within(CARRIED_WITHIN, errand)));
        let outcome = carried.await.map_err(|panic| Trouble::Internal(panic.to_string()))??;
        if let Outcome::Done(done) | Outcome::AlreadyDone(done) = &outcome {
            self.acknowledged.note(actor.account, done.position);
        }
        Ok(outcome)
    }
}

/// An order under way.
struct Errand {
    service: Service,
    actor: Actor,
    conversation: ConversationId,
    plan: Plan,
    command: CommandId,
    digest: Option<[u8; 16]>,
    expected: Option<Version>,
    key: Arc<SubjectKey>,
}

impl Errand {
    async fn run(mut self) -> Result<Outcome, Trouble> {
        let owner = self.owner();
        let mut turn = self.service.states.turn(owner, self.conversation).await;
        let mut known = turn.take();
        // A state that was not read just now may be behind what another server wrote: nobody is refused on it.
        let mut fresh = known.is_none();
        for _ in 0..TRIES_MAX {
            let mut state = match known.take() {
                Some(state) if !fresh => state,
                known => self.service.fold(owner, self.conversation, known).await?,
            };
            let before = state.version;
            if self.expected.is_some_and(|expected| expected != before) {
                if !fresh && self.service.went_on(owner, self.conversation, before).await? {
                    (known, fresh) = (Some(state), true);
                    continue;
                }
                turn.put(state);
                return self
                    .first_answer(Outcome::Stale { expected: self.expected.unwrap_or_default(), version: before })
                    .await;
            }
            let automatic = Some(self.service.automatic(owner).await?);
            let decided = (self.plan)(&mut state, &Circumstances { now: self.service.clock.now(), automatic });
            let happened = match decided {
                Ok(happened) if !happened.is_empty() => happened,
                // Refused, or nothing to do: true only of the newest state.
                _ if !fresh && self.service.went_on(owner, self.conversation, before).await? => {
                    (known, fresh) = (None, true);
                    continue;
                }
                Ok(_) => {
                    let done = self.nothing(&state).await?;
                    turn.put(state);
                    return self.first_answer(Outcome::AlreadyDone(done)).await;
                }
                // The state may have evolved over what came before the refusal: it is not put back.
                Err(refusal) => return self.first_answer(Outcome::Refused(refusal.into())).await,
            };
            let answer = match self.append(before, &happened).await {
                Err(AppendError::Outdated) => {
                    self.service.vault.forget_cached(owner.into()).await;
                    let Private::Known(key) = self.service.vault.current(owner.into()).await? else {
                        return Ok(Outcome::Refused(Reason::Forgotten));
                    };
                    (self.key, known, fresh) = (key, None, true);
                    continue;
                }
                answer => answer?,
            };
            match answer {
                Answer::Appended(appended) => {
                    let done =
                        done(self.conversation, appended.last, state.version, happened.iter().map(|one| &one.event));
                    turn.put(state);
                    return Ok(Outcome::Done(done));
                }
                Answer::Repeated(_) | Answer::Reused { .. } => {
                    return self.first_answer(Outcome::Refused(Reason::NameReused)).await;
                }
                Answer::IdTaken => return Ok(Outcome::Refused(Reason::IdTaken)),
                Answer::SourceExpired => return Ok(Outcome::Refused(Reason::SourceExpired)),
                Answer::Closed => return Ok(Outcome::Refused(Reason::Forgotten)),
                Answer::Conflict { version, .. } => {
                    if let Some(expected) = self.expected {
                        return Ok(Outcome::Stale { expected, version });
                    }
                    (known, fresh) = (None, true);
                }
            }
        }
        Err(Trouble::Busy { retry_after_s: 1 })
    }

    const fn owner(&self) -> OwnerId {
        self.actor.owner()
    }

    async fn append(&self, before: Version, happened: &[Happened]) -> Result<Answer, AppendError> {
        let ledger = self.service.log.identity().ledger;
        let events = happened.iter().map(|happened| seal::seal(ledger, self.owner(), &self.key, happened)).collect();
        let target = Target { stream: self.conversation.into(), expected: Expected::Exact(before), events };
        let append = Append {
            owner: self.owner(),
            actor: self.actor.account,
            command: self.command,
            command_digest: self.digest,
            correlation: None,
            causation: None,
            targets: vec![target],
        };
        self.service.log.append(append).await
    }

    /// `outcome`, unless this very command was carried out before: then its first answer.
    async fn first_answer(&self, outcome: Outcome) -> Result<Outcome, Trouble> {
        if self.digest.is_none() { Ok(outcome) } else { Ok(self.repeated().await?.unwrap_or(outcome)) }
    }

    /// The first answer to this command, or its refusal when another command has its name; none if neither went in.
    async fn repeated(&self) -> Result<Option<Outcome>, Trouble> {
        let first = self.service.log.read_command(self.owner(), self.command).await?;
        let Some((begin, last)) = first.first().zip(first.last()) else { return Ok(None) };
        if begin.fact.command_digest != self.digest {
            return Ok(Some(Outcome::Refused(Reason::NameReused)));
        }
        // Of what expired, nothing is left to tell.
        let whole = first.iter().filter(|event| event.reduced.is_none());
        let events = whole.map(Recorded::event).collect::<Result<Vec<_>, _>>()?;
        let done = done(begin.fact.stream.into(), last.position, last.version, events.iter());
        Ok(Some(Outcome::AlreadyDone(done)))
    }

    /// The answer when there was nothing to do: what is newest is what there is.
    async fn nothing(&self, state: &Conversation) -> Result<Done, Trouble> {
        let before = Version(state.version.0 - 1);
        let newest = self.service.log.read_stream(self.owner(), self.conversation.into(), before, 1).await?;
        let position = newest.first().map(|event| event.position).unwrap_or_default();
        Ok(done(self.conversation, position, state.version, std::iter::empty()))
    }
}

fn done<'a>(
    conversation: ConversationId,
    position: Position,
    version: Version,
    events: impl Iterator<Item = &'a Event>,
) -> Done {
    let mut done =
        Done { conversation, position, version, message: None, branch: None, messages: Vec::new(), snapshot: None };
    for event in events {
        match event {
            Event::MessageAppended(appended) => {
                done.message = Some(appended.id);
                done.messages.push(appended.id);
                done.branch = Some(appended.branch);
            }
            Event::BranchCreated(created) => done.branch = Some(created.branch),
            Event::SnapshotTaken(taken) if taken.trigger == Trigger::Manual => done.snapshot = Some(taken.id),
            _ => {}
        }
    }
    done
}
