//! Watching: an actor's events from a position on, first those that were, then those that come.

use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use futures::stream;

use super::{Actor, Opened, Service, Trouble};
use crate::database::within;
use crate::event::{Position, StreamId};
use crate::log::{Live, Recorded};

/// How long reading the words of what is shown may take; then the connection counts as cut.
const OPENED_WITHIN: Duration = Duration::from_secs(10);

/// What of the actor's events is watched.
#[derive(Debug, Clone, Default)]
pub struct Watched {
    pub stream: Option<StreamId>,
    /// Any of these; all kinds when there are none.
    pub kinds: Vec<String>,
}

impl Watched {
    fn sees(&self, event: &Recorded) -> bool {
        self.stream.is_none_or(|stream| event.fact.stream == stream)
            && (self.kinds.is_empty() || self.kinds.contains(&event.fact.kind))
    }
}

impl Service {
    /// The events of `actor` after `after`, without a hole or a repeat, for as long as the stream is polled. It ends
    /// after an error.
    pub fn watch(
        &self,
        actor: Actor,
        after: Position,
        watched: Watched,
    ) -> impl Stream<Item = Result<Arc<Opened>, Trouble>> + Send + 'static {
        let live = self.log.follow(actor.owner(), after);
        let state = Watching { service: self.clone(), live, watched, ready: Vec::new(), failed: false };
        stream::unfold(state, |mut watching| async move {
            let next = watching.next().await?;
            Some((next, watching))
        })
    }
}

struct Watching {
    service: Service,
    live: Live,
    watched: Watched,
    /// Read and opened, the next one last.
    ready: Vec<Opened>,
    failed: bool,
}

impl Watching {
    async fn next(&mut self) -> Option<Result<Arc<Opened>, Trouble>> {
        while self.ready.is_empty() && !self.failed {
            if let Err(trouble) = self.read().await {
                self.failed = true;
                return Some(Err(trouble));
            }
        }
        self.ready.pop().map(|opened| Ok(Arc::new(opened)))
    }

    async fn read(&mut self) -> Result<(), Trouble> {
        let mut events = self.live.next().await?;
        events.retain(|event| self.watched.sees(event));
        self.ready = within(OPENED_WITHIN, self.service.open(events)).await?;
        self.ready.reverse();
        Ok(())
    }
}
