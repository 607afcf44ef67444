//! The whole log in order, opened: for folds that need words. No request of anybody's reaches it.

use futures::{Stream, TryStreamExt as _, stream};

use super::{Opened, Service, Trouble};
use crate::event::Position;

/// Events in one read.
const PAGE: usize = 500;
/// Pages that are opened while the one before them is worked on: reading and opening keep different cores busy.
const AHEAD: usize = 2;

impl Service {
    /// All events after `after`, whoever owns them, page by page up to the head. It ends after an error.
    pub fn scan(&self, after: Position) -> impl Stream<Item = Result<Vec<Opened>, Trouble>> + Send + use<> {
        let (reader, opener) = (self.clone(), self.clone());
        let pages = stream::try_unfold(after, move |after| {
            let reader = reader.clone();
            async move {
                let page = reader.log.read_range(after, PAGE).await?;
                let last = page.last().map(|event| event.position);
                Ok::<_, Trouble>(last.map(|last| (page, last)))
            }
        });
        let opened = pages.map_ok(move |page| {
            let opener = opener.clone();
            async move {
                let opened = tokio::spawn(async move { opener.open(page).await }).await;
                opened.map_err(|panic| Trouble::Internal(panic.to_string()))?
            }
        });
        opened.try_buffered(AHEAD)
    }
}
