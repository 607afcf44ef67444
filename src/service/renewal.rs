//! Keys of people of whose words some went: renewed with each epoch that is retired, so that no copy of what went opens.
//!
//! What is left of their words opens as before. Nothing of it is sealed anew, and the log stays as it is.

use super::account::ChangeError;
use super::export::ExportError;
use super::{Service, Trouble};
use crate::event::{AccountId, OwnerId, Position, SubjectId, SubjectKeyCreated, SubjectKeyDestroyed};
use crate::ledger::account;
use crate::vault::{GivenUp, Retired};

/// Events of which what opens them is kept at once.
const PAGE: usize = 1_000;

impl Service {
    /// Retires the epoch that wraps keys now, and all before it.
    pub async fn retire_epoch(&self) -> Result<Retired, Trouble> {
        self.renew_keys().await?;
        let retired = self.vault.retire().await?;
        self.tell_of_renewals().await?;
        Ok(retired)
    }

    /// Retires the epochs up to `through`. With them go the keys of whoever took some words away. Begun and cut short, it is
    /// ended by the next.
    pub(super) async fn retire_through(&self, through: u32) -> Result<Retired, Trouble> {
        self.renew_keys().await?;
        let retired = self.vault.retire_through(through).await?;
        self.tell_of_renewals().await?;
        Ok(retired)
    }

    async fn renew_keys(&self) -> Result<(), Trouble> {
        // Twice, for one that was cut short and is ended now may not know what went since it began.
        for _ in 0..2 {
            for subject in self.vault.renewals_due().await? {
                // One that fails holds no other up, and is due again with the next epoch.
                if let Err(error) = self.renew_key(subject).await {
                    tracing::warn!(%subject, "a key was not renewed: {error}; it is tried again with the next epoch");
                }
            }
        }
        Ok(())
    }

    async fn tell_of_renewals(&self) -> Result<(), Trouble> {
        for gone in self.vault.untold().await? {
            self.tell(&gone).await?;
        }
        Ok(())
    }

    /// Gives the keys of a subject up for the next.
    async fn renew_key(&self, subject: SubjectId) -> Result<(), Trouble> {
        let (account, owner) = (AccountId(subject.0), OwnerId(subject.0));
        let Some(next) = self.vault.begin_renewal(subject).await? else { return Ok(()) };
        let generation = next.generation;
        let created = SubjectKeyCreated { subject, generation, commitment: next.commitment };
        self.say_of_keys(account, |state| account::renew_key(state, created.clone())).await?;
        let Some(key) = self.vault.key(subject, generation).await?.known() else { return Ok(()) };
        let mut after = Position(0);
        while let Some((last, pieces)) = self.log.sealed_before(owner, generation, after, PAGE).await? {
            self.vault.cover(&key, &pieces).await?;
            after = last;
        }
        self.vault.give_up(subject, generation).await?;
        match self.take_exports_away(account).await {
            Ok(()) | Err(ExportError::Closed) => Ok(()),
            Err(ExportError::Trouble(trouble)) => Err(trouble),
            Err(error) => Err(Trouble::Internal(error.to_string())),
        }
    }

    /// Says in the log that keys are gone.
    async fn tell(&self, gone: &GivenUp) -> Result<(), Trouble> {
        let &GivenUp { subject, generation, epoch, through } = gone;
        let destroyed =
            SubjectKeyDestroyed { subject, generation, epoch, through, backups_days: self.receipts.backups_days };
        self.say_of_keys(AccountId(subject.0), |state| account::bury_keys(state, destroyed.clone())).await?;
        Ok(self.vault.told(gone).await?)
    }

    async fn say_of_keys(
        &self,
        account: AccountId,
        events: impl Fn(&account::Account) -> Vec<crate::event::Event>,
    ) -> Result<(), Trouble> {
        let (key, _) = self.own_key().await?;
        match self.change_account(account, self.itself().into(), &key, |state| Ok(events(state))).await {
            Ok(_) => Ok(()),
            Err(ChangeError::Trouble(trouble)) => Err(trouble),
            Err(error) => Err(Trouble::Internal(error.to_string())),
        }
    }
}
