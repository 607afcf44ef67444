//! Forgetting a person: a process that the log tells the state of. It may be killed anywhere and taken up by any server.
//!
//! ```text
//! requested   the account is closed: no token opens, nothing is appended       one transaction
//! started     what is there is counted; the keys are gone                      one transaction
//! retired     the epoch that wrapped them is destroyed, everybody else's keys are in a new one
//! pruned      the sealed words are deleted
//! swept       views hold none of them, in no file; tokens and address are gone
//! forgotten   said so in the log
//! receipted   the receipt of it is kept
//! ```
//!
//! Between `started` and `receipted` every step is done again by whoever takes it up: each finds out what is left.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use serde_json::Value;

use super::account::ChangeError;
use super::receipt::{Receipts, told};
use super::{Actor, Service, Trouble};
use crate::event::{
    AccountForgetStarted, AccountForgotten, AccountId, DeadKey, Event, OwnerId, Position, Removed, Requester, StreamId,
    Version, WordsGone,
};
use crate::ledger::Refusal;
use crate::ledger::account::{self, Account, Forgetting};
use crate::log::Recorded;
use crate::projection::sweep;

/// How often a server looks for those who are due.
const EVERY: Duration = Duration::from_secs(30);
const PAGE: usize = 1_000;

/// Why something is not forgotten, or not yet.
#[derive(Debug, thiserror::Error)]
pub enum ForgetError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the account is being changed by others at this moment; try again")]
    Overtaken,
    #[error("the receipt cannot be kept")]
    Receipt(#[from] std::io::Error),
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

impl From<ChangeError> for ForgetError {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Refused(refusal) => Self::Refused(refusal),
            ChangeError::Overtaken => Self::Overtaken,
            ChangeError::Trouble(trouble) => Self::Trouble(trouble),
        }
    }
}

impl From<sqlx::Error> for ForgetError {
    fn from(error: sqlx::Error) -> Self {
        Self::Trouble(error.into())
    }
}

/// What there is of a person that would go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    pub keys: Vec<DeadKey>,
    pub words: WordsGone,
    pub removes: Vec<Removed>,
}

/// What is done once it is due, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    Start,
    Retire,
    Prune,
    Sweep,
    Leave,
    Finish,
}

impl Step {
    pub const ALL: [Self; 6] = [Self::Start, Self::Retire, Self::Prune, Self::Sweep, Self::Leave, Self::Finish];
}

/// A person forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forgotten {
    pub receipt: Value,
    /// Where it is kept.
    pub file: Option<PathBuf>,
}

impl Service {
    /// What forgetting `account` would remove. Changes nothing.
    pub async fn survey(&self, account: AccountId) -> Result<Survey, Trouble> {
        let owner = OwnerId::from(account);
        let said = self.log.said_by(owner).await?;
        let had = self.vault.had(account.into()).await?;
        let keys = had.into_iter().map(|key| DeadKey { generation: key.generation, commitment: key.commitment });
        let (tokens, addressed) = self.accounts.known(account).await?;
        let removed = |store: &str, count| Removed { store: store.to_owned(), count };
        let mut removes = vec![
            removed("public.words", said.parts),
            removed("exports", self.exports.count(account).map_err(|error| Trouble::Internal(error.to_string()))?),
            removed("account.token", tokens.unsigned_abs()),
            removed("account.account", addressed.into()),
        ];
        removes.extend(sweep::count(owner, &self.pool).await?.iter().map(|(view, rows)| removed(view, *rows)));
        let words = WordsGone { events: said.events, parts: said.parts, positions: said.positions };
        Ok(Survey { keys: keys.collect(), words, removes })
    }

    /// Asks that `account` be forgotten, and closes it: all in one transaction. The state that it is in from now on, and
    /// whether it was in it already. It can be cancelled until `grace` is over.
    pub async fn request_forgetting(
        &self,
        account: AccountId,
        by: Requester,
        grace: TimeDelta,
    ) -> Result<(Forgetting, bool), ForgetError> {
        let due = crate::clock::micros(self.clock.now() + grace);
        let asker = if by == Requester::Subject { account } else { self.itself().into() };
        let asked = self.decide_account(account, asker, |state| account::request(state, due, by)).await?;
        self.vault.forget_cached(account.into()).await;
        Ok((self.account(account.into()).await?.forgetting, asked.is_none()))
    }

    /// Takes the request back; says whether there was one.
    pub async fn cancel_forgetting(&self, account: AccountId) -> Result<bool, ForgetError> {
        Ok(self.decide_account(account, self.itself().into(), account::cancel).await?.is_some())
    }

    /// Holds on to all of an account's, by law or for a dispute; says whether it was not held before.
    pub async fn hold(&self, account: AccountId, reason: &str) -> Result<bool, ForgetError> {
        let held = self.decide_account(account, self.itself().into(), |state| account::hold(state, reason.to_owned()));
        Ok(held.await?.is_some())
    }

    /// Lets go of it; says whether it was held.
    pub async fn release(&self, account: AccountId, reason: &str) -> Result<bool, ForgetError> {
        let released =
            self.decide_account(account, self.itself().into(), |state| account::release(state, reason.to_owned()));
        Ok(released.await?.is_some())
    }

    /// How far an account is on its way out.
    pub async fn forgetting(&self, account: AccountId) -> Result<Forgetting, Trouble> {
        Ok(self.account(account.into()).await?.forgetting)
    }

    /// Carries on from wherever it stands until `account` is forgotten.
    pub async fn forget(&self, account: AccountId) -> Result<Forgotten, ForgetError> {
        for step in Step::ALL {
            self.forget_by(account, step).await?;
        }
        let history = self.history(account).await?;
        let receipt = self.signed_receipt(told(self.log.identity(), account, &history)).await?;
        let (receipts, kept) = (self.receipts.clone(), receipt.clone());
        let file = tokio::task::spawn_blocking(move || receipts.keep(account, &kept)).await;
        let file = file.map_err(|panic| Trouble::Internal(panic.to_string()))??;
        // Only now: one that was killed before it had kept the receipt is taken up again.
        self.log.receipted(account.into()).await?;
        Ok(Forgotten { receipt, file })
    }

    /// One step of it. Each may be done again, and does then what is left of it.
    pub async fn forget_by(&self, account: AccountId, step: Step) -> Result<(), ForgetError> {
        let owner = OwnerId::from(account);
        match step {
            Step::Start => self.start_forgetting(account).await?,
            Step::Retire => {
                let epoch = self.last_epoch(account).await?;
                self.retire_through(epoch).await?;
            }
            Step::Prune => self.log.erase(self.started(account).await?).await?,
            Step::Sweep => sweep::sweep(owner, None, false, &self.pool).await?,
            Step::Leave => {
                self.exports.remove(account).await.map_err(|error| Trouble::Internal(error.to_string()))?;
                self.accounts.forget(account).await?;
            }
            Step::Finish => {
                let (epoch, started) = (self.last_epoch(account).await?, self.started(account).await?);
                let gone = AccountForgotten { epoch, started, backups_days: self.receipts.backups_days };
                self.decide_account(account, self.itself().into(), |state| account::finish(state, gone.clone()))
                    .await?;
            }
        }
        Ok(())
    }

    /// Forgets whoever is due, and ends what was begun elsewhere, for as long as it is polled.
    pub async fn keep_forgetting(&self) {
        loop {
            if let Err(error) = self.sweep_rest().await {
                tracing::warn!("views are not swept yet: {error}; it is tried again in half a minute");
            }
            if let Err(error) = self.forget_due().await {
                tracing::warn!("whoever is due is not forgotten yet: {error}; it is tried again in half a minute");
            }
            // Whatever is not to be in memory any longer goes though nobody asks for anything.
            self.recent.sweep();
            self.vault.sweep().await;
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Whether all of an account's is held, and no words of it go.
    pub(super) async fn is_held(&self, owner: OwnerId) -> Result<bool, Trouble> {
        Ok(self.account(owner).await?.held)
    }

    /// Sweeps out of views what was taken away of conversations: all of an owner's at once, for each sweep writes files anew.
    pub(super) async fn sweep_rest(&self) -> Result<(), Trouble> {
        loop {
            let mut rest: BTreeMap<OwnerId, (Vec<Position>, Vec<Position>, bool)> = BTreeMap::new();
            for (because, owner, mut said, facts) in self.log.unswept().await? {
                let (events, all, any) = rest.entry(owner).or_default();
                events.push(because);
                all.append(&mut said);
                *any |= facts;
            }
            if rest.is_empty() {
                return Ok(());
            }
            for (owner, (events, said, facts)) in rest {
                sweep::sweep(owner, Some(&said), facts, &self.pool).await?;
                for because in events {
                    self.log.swept(because).await?;
                }
            }
        }
    }

    async fn forget_due(&self) -> Result<(), Trouble> {
        for owner in self.log.being_forgotten().await? {
            let account = AccountId::from(owner);
            match self.forget(account).await {
                Ok(_) => tracing::info!(%account, "an account is forgotten"),
                Err(ForgetError::Refused(_)) => {} // in its grace period, or held
                Err(error) => tracing::warn!(%account, "an account is not forgotten yet: {error}"),
            }
        }
        Ok(())
    }

    async fn start_forgetting(&self, account: AccountId) -> Result<(), ForgetError> {
        if matches!(self.forgetting(account).await?, Forgetting::Requested { .. }) {
            // The account is closed: what is counted now is all that there will be.
            let Survey { keys, words, removes } = self.survey(account).await?;
            let goes = AccountForgetStarted { keys, words, removes };
            let now = self.clock.now();
            self.decide_account(account, self.itself().into(), |state| account::start(state, goes.clone(), now))
                .await?;
        }
        self.vault.forget_cached(account.into()).await;
        self.recent.forget_all();
        match self.forgetting(account).await? {
            Forgetting::Started | Forgetting::Done => Ok(()),
            Forgetting::No | Forgetting::Requested { .. } => Err(Refusal::NotDue.into()),
        }
    }

    /// The last epoch that wrapped a key of the account's.
    async fn last_epoch(&self, account: AccountId) -> Result<u32, Trouble> {
        let had = self.vault.had(account.into()).await?;
        if had.iter().any(|key| !key.destroyed) {
            return Err(Trouble::Internal(format!("a key of {account} is still there")));
        }
        Ok(had.iter().map(|key| key.epoch).max().unwrap_or_default())
    }

    /// Where it began.
    async fn started(&self, account: AccountId) -> Result<Position, ForgetError> {
        let history = self.history(account).await?;
        let started = history.iter().rfind(|(_, event)| matches!(event, Event::AccountForgetStarted(_)));
        Ok(started.ok_or(Refusal::NotDue)?.0.position)
    }

    /// Everything in the account's own stream.
    pub(super) async fn history(&self, account: AccountId) -> Result<Vec<(Recorded, Event)>, Trouble> {
        self.told_in(account.into(), StreamId(account.0)).await
    }

    /// Everything in a stream, as far as it is whole.
    pub(super) async fn told_in(&self, owner: OwnerId, stream: StreamId) -> Result<Vec<(Recorded, Event)>, Trouble> {
        let (mut history, mut after) = (Vec::new(), Version(0));
        loop {
            let page = self.log.read_stream(owner, stream, after, PAGE).await?;
            let last = page.len() < PAGE;
            for recorded in page {
                after = recorded.version;
                if recorded.reduced.is_none() {
                    let event = recorded.event()?;
                    history.push((recorded, event));
                }
            }
            if last {
                return Ok(history);
            }
        }
    }

    /// Has something happen to an account, as `actor` asked; none when it was so already. Its words, if there are any, are
    /// the ledger's own.
    pub(super) async fn decide_account(
        &self,
        account: AccountId,
        actor: AccountId,
        decide: impl Fn(&Account) -> Result<Vec<Event>, Refusal>,
    ) -> Result<Option<Position>, ForgetError> {
        let (key, _) = self.own_key().await?;
        Ok(self.change_account(account, actor, &key, decide).await?)
    }

    /// With receipts of those who are forgotten kept there.
    #[must_use]
    pub fn with_receipts(mut self, receipts: Receipts) -> Self {
        Arc::make_mut(&mut self.0).receipts = receipts;
        self
    }

    /// The account that an address or an id names.
    pub async fn named(&self, name: &str) -> Result<Option<Actor>, Trouble> {
        match name.trim().parse::<AccountId>() {
            Ok(account) => {
                let registered = self.account(account.into()).await?.registered;
                Ok(registered.then_some(Actor { account }))
            }
            Err(_) => self.find_account(name).await,
        }
    }
}
