//! Thinning out snapshots: the older they are, the fewer keep their label. The log keeps every version; what goes is a name.

use std::time::Duration;

use super::execute::{Order, Outcome};
use super::{Actor, Service, Trouble};
use crate::event::{AccountId, ConversationId, EventId, OwnerId};
use crate::ledger::Act;
use crate::ledger::thinning::{Thinning, thinned};
use crate::view::snapshot::{self, Labels};

/// Conversations that are looked at in one read.
const PAGE: u32 = 500;
/// How often a server looks.
const EVERY: Duration = Duration::from_hours(1);
/// How soon after it has started: not amid everything else.
const FIRST: Duration = Duration::from_mins(5);

/// What thinning does, or would do, to one conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thinned {
    pub owner: OwnerId,
    pub conversation: ConversationId,
    pub kept: usize,
    pub gone: Vec<EventId>,
}

impl Service {
    /// What `thinning` would have go of the conversations behind `after`, in the order of their owners and ids: those of
    /// one page that are touched, and where the next page begins. None behind the last.
    pub async fn thinnable(
        &self,
        thinning: &Thinning,
        after: (OwnerId, ConversationId),
    ) -> Result<Option<(Vec<Thinned>, (OwnerId, ConversationId))>, Trouble> {
        let now = self.clock.now();
        let page = snapshot::aged(&self.pool, now - thinning.all, after, PAGE).await?;
        let Some(last) = page.last().map(|last| (last.owner, last.conversation)) else { return Ok(None) };
        let touched = page.into_iter().filter_map(|Labels { owner, conversation, labels }| {
            let gone = thinned(thinning, now, &labels);
            (!gone.is_empty()).then(|| Thinned { owner, conversation, kept: labels.len() - gone.len(), gone })
        });
        Ok(Some((touched.collect(), last)))
    }

    /// Lets go of labels, and says so in the log. A conversation that went on since keeps what it got.
    pub async fn thin(&self, Thinned { owner, conversation, gone, .. }: Thinned) -> Result<Outcome, Trouble> {
        let actor = Actor { account: AccountId::from(owner) };
        let commands = vec![Act::ThinSnapshots { snapshots: gone }.into()];
        self.execute(actor, Order { conversation, commands, named: None, expected: None }).await
    }

    /// Keeps to `thinning` for as long as it is polled.
    pub async fn keep_thin(&self, thinning: Thinning) {
        tokio::time::sleep(FIRST).await;
        loop {
            if let Err(error) = self.thin_all(&thinning).await {
                tracing::warn!("snapshots were not thinned: {error}; it is tried again in an hour");
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    async fn thin_all(&self, thinning: &Thinning) -> Result<(), Trouble> {
        let mut after = Default::default();
        while let Some((touched, last)) = self.thinnable(thinning, after).await? {
            for thinned in touched {
                self.thin(thinned).await?;
            }
            after = last;
        }
        Ok(())
    }
}
