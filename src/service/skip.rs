//! Leaving an event out of a view that cannot fold it: an act of whoever runs the ledger, and so an event.

use std::sync::Arc;

use super::{Service, Trouble, seal};
use crate::event::{
    AccountId, CommandId, Event, OwnerId, Position, Private, StreamId, SubjectId, SubjectKeyCreated, Version,
};
use crate::ledger::projection::{Skip, Views, decide, evolve};
use crate::ledger::{Happened, Refusal};
use crate::log::{Answer, Append, Expected, Target};
use crate::random;
use crate::vault::SubjectKey;

/// Why nothing is left out.
#[derive(Debug, thiserror::Error)]
pub enum SkipError {
    #[error("there is no view `{0}`")]
    NoProjection(String),
    #[error(
        "`{projection}` stands at event {stands} and not before {position}: only the event that it cannot fold is skipped"
    )]
    NotThere { projection: String, stands: Position, position: Position },
    #[error("`{projection}` has not failed; an event is skipped only when it cannot be folded")]
    NotFailed { projection: String },
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("others write what is done to views at this moment; try again")]
    Overtaken,
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

/// Events in the ledger's own stream that are read at once.
const PAGE: usize = 1_000;

impl Service {
    /// Records that `projection` leaves the event at `position` out, which is the one that it failed at; it goes on
    /// behind it by itself, here and in every rebuild. The position of what was recorded; none when it was so already.
    pub async fn skip(
        &self,
        projection: &str,
        position: Position,
        reason: String,
    ) -> Result<Option<Position>, SkipError> {
        let views = self.views().await?;
        let (key, key_created) = self.own_key().await?;
        let skip = Skip { projection: projection.to_owned(), position, reason, key: key_created };
        let events = decide(&views, skip)?;
        if events.is_empty() {
            return Ok(None);
        }
        self.is_stuck(projection, position).await?;
        let (owner, ledger, occurred_at) = (self.itself(), self.log.identity().ledger, self.clock.now());
        let sealed = |event: Event| seal::seal(ledger, owner, &key, &Happened { occurred_at, event });
        let append = Append {
            owner,
            actor: AccountId(owner.0),
            command: CommandId(random::id()),
            command_digest: None,
            correlation: None,
            causation: None,
            targets: vec![Target {
                stream: StreamId(owner.0),
                expected: if views.version == Version(0) { Expected::None } else { Expected::Exact(views.version) },
                events: events.into_iter().map(sealed).collect(),
            }],
        };
        match self.log.append(append).await.map_err(Trouble::from)? {
            Answer::Appended(appended) => Ok(Some(appended.last)),
            Answer::Conflict { .. } => Err(SkipError::Overtaken),
            answer => Err(Trouble::Internal(format!("skipping was answered {answer:?}")).into()),
        }
    }

    async fn is_stuck(&self, projection: &str, position: Position) -> Result<(), SkipError> {
        let all = self.engine.status().await.map_err(Trouble::from)?;
        let status = all.into_iter().find(|status| status.name == projection);
        let status = status.ok_or_else(|| SkipError::NoProjection(projection.to_owned()))?;
        if status.position.next() != position {
            return Err(SkipError::NotThere { projection: status.name, stands: status.position, position });
        }
        if status.error.is_none() {
            return Err(SkipError::NotFailed { projection: status.name });
        }
        Ok(())
    }

    /// What was done to views by hand so far.
    async fn views(&self) -> Result<Views, Trouble> {
        let mut views = Views::default();
        loop {
            let page = self.log.read_stream(self.itself(), StreamId(self.itself().0), views.version, PAGE).await?;
            let last = page.len() < PAGE;
            for recorded in page {
                views = evolve(views, &recorded.event()?);
            }
            if last {
                return Ok(views);
            }
        }
    }

    /// The key of what the ledger itself says, and what is to be said of it.
    pub(super) async fn own_key(&self) -> Result<(Arc<SubjectKey>, SubjectKeyCreated), Trouble> {
        let subject = SubjectId(self.itself().0);
        let created = self.vault.create(subject).await?;
        let Private::Known(key) = self.vault.current(subject).await? else {
            return Err(Trouble::Internal("the ledger's own key is gone".into()));
        };
        Ok((key, SubjectKeyCreated { subject, generation: created.generation, commitment: created.commitment }))
    }

    /// The ledger as an owner of events.
    pub(super) fn itself(&self) -> OwnerId {
        OwnerId(self.log.identity().ledger.0)
    }
}
