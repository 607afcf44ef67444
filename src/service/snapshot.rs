//! Going back: restoring a conversation, and settling when its snapshots are taken.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;

use super::execute::{Named, Order, Outcome};
use super::{Actor, Service, Trouble, seal};
use crate::event::{
    CommandId, ConversationId, Event, EventId, OwnerId, Position, Private, SnapshotPolicy, StreamId, Version,
};
use crate::ledger::account::{self, Account};
use crate::ledger::{Act, Automatic, Happened, Refusal, Restore};
use crate::log::{Answer, Append, Expected, Target};
use crate::random;

/// Events of an account's stream that are read at once.
const PAGE: usize = 1_000;
/// Accounts whose policy is remembered, and for how long: so late may one be heeded that was settled on another server.
const POLICIES_MAX: u64 = 100_000;
const POLICY_LASTS: Duration = Duration::from_secs(10);

/// What accounts settled about snapshots.
#[derive(Clone)]
pub(super) struct Policies {
    known: Cache<OwnerId, SnapshotPolicy>,
}

/// Why an account's policy is not what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ConfigureError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the account was forgotten: nothing can be said in its name any more")]
    Forgotten,
    #[error("the account is being changed by others at this moment; try again")]
    Overtaken,
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

impl Policies {
    pub(super) fn new() -> Self {
        Self { known: Cache::builder().max_capacity(POLICIES_MAX).time_to_live(POLICY_LASTS).build() }
    }
}

impl Service {
    /// Makes a conversation what it was at version `to`. Whatever came after stays in its history.
    pub async fn restore(
        &self,
        actor: Actor,
        conversation: ConversationId,
        to: Version,
        named: Option<Named>,
        expected: Option<Version>,
    ) -> Result<Outcome, Trouble> {
        // What was then will always have been so: it is folded once, however often the order is decided.
        let then = Arc::new(self.fold_to(actor.owner(), conversation, to).await?);
        let commands = vec![Act::Restore(Restore { to, then }).into()];
        self.execute(actor, Order { conversation, commands, named, expected }).await
    }

    /// The conversation that a snapshot of the actor's is of, and the version that it labels. One that was thinned out
    /// is found as well, for the log keeps it.
    pub async fn snapshot(
        &self,
        actor: Actor,
        snapshot: EventId,
    ) -> Result<Option<(ConversationId, Version)>, Trouble> {
        let found = self.log.read_ids(actor.owner(), &[snapshot]).await?;
        let Some(recorded) = found.first() else { return Ok(None) };
        let Event::SnapshotTaken(taken) = recorded.event()? else { return Ok(None) };
        Ok(Some((recorded.fact.stream.into(), taken.version)))
    }

    /// Settles when snapshots are taken by themselves in all conversations of an account that say nothing else. The
    /// position of what was recorded; none when it was so already.
    pub async fn configure_snapshots(
        &self,
        actor: Actor,
        policy: SnapshotPolicy,
    ) -> Result<Option<Position>, ConfigureError> {
        let owner = actor.owner();
        let Private::Known(key) = self.vault.current(owner.into()).await.map_err(Trouble::from)? else {
            return Err(ConfigureError::Forgotten);
        };
        let account = self.account(owner).await?;
        let events = account::configure(&account, policy)?;
        if events.is_empty() {
            return Ok(None);
        }
        let (ledger, occurred_at) = (self.log.identity().ledger, self.clock.now());
        let sealed = |event| seal::seal(ledger, owner, &key, &Happened { occurred_at, event });
        let append = Append {
            owner,
            actor: actor.account,
            command: CommandId(random::id()),
            command_digest: None,
            correlation: None,
            causation: None,
            targets: vec![Target {
                stream: actor.account.into(),
                expected: Expected::Exact(account.version),
                events: events.into_iter().map(sealed).collect(),
            }],
        };
        match self.log.append(append).await.map_err(Trouble::from)? {
            Answer::Appended(appended) => {
                self.policies.known.insert(owner, policy);
                self.acknowledged.note(actor.account, appended.last);
                Ok(Some(appended.last))
            }
            Answer::Conflict { .. } => Err(ConfigureError::Overtaken),
            answer => Err(Trouble::Internal(format!("configuring was answered {answer:?}")).into()),
        }
    }

    /// What the snapshots that an order of `owner`'s may take by itself need to be told.
    pub(super) async fn automatic(&self, owner: OwnerId) -> Result<Automatic, Trouble> {
        let policy = if let Some(policy) = self.policies.known.get(&owner) {
            policy
        } else {
            let policy = self.account(owner).await?.snapshots;
            self.policies.known.insert(owner, policy);
            policy
        };
        Ok(Automatic { policy, id: EventId(random::id()) })
    }

    pub(super) async fn account(&self, owner: OwnerId) -> Result<Account, Trouble> {
        let mut account = Account::default();
        loop {
            let page = self.log.read_stream(owner, StreamId(owner.0), account.version, PAGE).await?;
            let last = page.len() < PAGE;
            for recorded in page {
                account = account::evolve(account, &recorded.event()?);
            }
            if last {
                return Ok(account);
            }
        }
    }
}
