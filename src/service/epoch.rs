//! Epochs of keys, as a server keeps them: a new one each week, so that whatever was destroyed in between is gone from
//! old copies after that long at most.

use std::time::Duration;

use super::{Service, Trouble};

/// How old an epoch gets, in seconds.
pub const EPOCH_S: f64 = 7.0 * 86_400.0;
/// How often a server looks, and reads the key files again: so long may it hold a key that others destroyed.
const EVERY: Duration = Duration::from_mins(1);

impl Service {
    /// Retires epochs that are due, and ends what was begun elsewhere, for as long as it is polled.
    pub async fn keep_epochs(&self) {
        loop {
            tokio::time::sleep(EVERY).await;
            if let Err(error) = self.retire_due().await {
                tracing::warn!("an epoch of keys was not retired: {error}; it is tried again in a minute");
            }
        }
    }

    async fn retire_due(&self) -> Result<(), Trouble> {
        self.vault.refresh().await?;
        if let Some(due) = self.vault.due_epoch(EPOCH_S).await? {
            let retired = self.retire_through(due).await?;
            tracing::info!(epochs = ?retired.epochs, current = retired.current, rewrapped = retired.rewrapped, "epochs of keys are retired");
        }
        Ok(())
    }
}
