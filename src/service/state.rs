//! What recent streams amount to, kept so that a warm append reads nothing; and the queue before each of them.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{Service, Trouble};
use crate::event::{ConversationId, OwnerId, StreamId, Version};
use crate::ledger::{Conversation, Happened, evolve, pass};

/// Streams whose state is kept.
const STREAMS_MAX: u64 = 4_096;
const IDLE_MAX: Duration = Duration::from_mins(10);
/// Events in one read while a state is folded.
const PAGE: usize = 1_000;

/// Callers of one conversation decide one after the other, so that in this process none decides in vain. Whatever is
/// decided elsewhere is found out by the version it is appended at.
#[derive(Clone)]
pub(super) struct States {
    slots: Cache<(OwnerId, StreamId), Slot>,
}

type Slot = Arc<Mutex<Option<Conversation>>>;

/// A turn at one conversation. What is put back is what the next one starts from.
pub(super) struct Turn {
    slot: OwnedMutexGuard<Option<Conversation>>,
}

impl States {
    pub(super) fn new() -> Self {
        Self { slots: Cache::builder().max_capacity(STREAMS_MAX).time_to_idle(IDLE_MAX).build() }
    }

    /// Waits for its turn.
    pub(super) async fn turn(&self, owner: OwnerId, conversation: ConversationId) -> Turn {
        let slot = self.slots.get_with((owner, conversation.into()), Slot::default);
        Turn { slot: slot.lock_owned().await }
    }
}

impl Turn {
    /// The state that was put back, if any: as new as this process knows.
    pub(super) fn take(&mut self) -> Option<Conversation> {
        self.slot.take()
    }

    pub(super) fn put(&mut self, state: Conversation) {
        *self.slot = Some(state);
    }
}

impl Service {
    /// Folds a conversation from the log, or goes on from what was folded before.
    pub(super) async fn fold(
        &self,
        owner: OwnerId,
        conversation: ConversationId,
        known: Option<Conversation>,
    ) -> Result<Conversation, Trouble> {
        self.go_on(owner, conversation, known.unwrap_or_default(), Version(i32::MAX)).await
    }

    /// Folds a conversation from the log up to version `to`, or its end when that comes first.
    pub(super) async fn fold_to(
        &self,
        owner: OwnerId,
        conversation: ConversationId,
        to: Version,
    ) -> Result<Conversation, Trouble> {
        self.go_on(owner, conversation, Conversation::default(), to).await
    }

    async fn go_on(
        &self,
        owner: OwnerId,
        conversation: ConversationId,
        mut state: Conversation,
        to: Version,
    ) -> Result<Conversation, Trouble> {
        loop {
            let most = usize::try_from(to.0.saturating_sub(state.version.0)).unwrap_or_default().min(PAGE);
            let events = self.log.read_stream(owner, conversation.into(), state.version, most).await?;
            let last = events.len() < PAGE;
            for recorded in events {
                if recorded.reduced.is_some() {
                    state = pass(state);
                    continue;
                }
                state = evolve(state, &Happened { occurred_at: recorded.fact.occurred_at, event: recorded.event()? });
            }
            if last {
                return Ok(state);
            }
        }
    }

    /// Whether a conversation went on elsewhere since `version`.
    pub(super) async fn went_on(
        &self,
        owner: OwnerId,
        conversation: ConversationId,
        version: Version,
    ) -> Result<bool, Trouble> {
        Ok(!self.log.read_stream(owner, conversation.into(), version, 1).await?.is_empty())
    }
}
