//! The end of a process's work, and of a batch of it.

use std::sync::Arc;

use super::{Parts, Service};
use crate::projection::FoldError;

impl Service {
    /// Waits until every view holds all that the log holds now.
    ///
    /// # Errors
    /// If a projection fails, which its error names.
    pub async fn fold_up(&self) -> Result<(), Arc<FoldError>> {
        self.engine.fold_until_caught_up().await
    }

    /// Makes views whose folder changed anew, while the rows that are there go on being read. For a server, once.
    pub fn renew_views(&self) {
        self.engine.renew_outdated();
    }

    /// Writes what was taken in, refuses what still comes, and ends behind the folds under way. For the last clone: the
    /// pools can be closed afterwards.
    pub async fn close(self) {
        self.log.close().await;
        if let Some(Parts { progress, engine, .. }) = Arc::into_inner(self.0) {
            if let Some(progress) = Arc::into_inner(progress) {
                progress.stop().await;
            }
            if let Some(engine) = Arc::into_inner(engine) {
                return engine.stop().await;
            }
        }
        tracing::warn!("requests are still under way; they end with the process");
    }
}
