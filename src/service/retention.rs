//! Retention: words, facts and money go when their time is over. Like forgetting it is a process that the log tells the state of.
//!
//! ```text
//! announced   what goes, and when: the notice, which can be undone until then
//! applied     the sealed words up to a position are gone                            one transaction, as often as it takes
//! applied     conversations expired: an event of each says what is left of it       one transaction, as often as it takes
//! swept       views hold none of them, in no file
//! ```
//!
//! It may be killed anywhere: the next pass, of any server, finds out what is left.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::forget::ForgetError;
use super::{Service, Trouble, seal};
use crate::event::{
    AccountId, Class, CommandId, Event, Lapsed, OwnerId, Position, Requester, Resting, RetentionPolicy,
};
use crate::ledger::Happened;
use crate::ledger::account::{Account, Forgetting};
use crate::ledger::retention::{self, Idle, Lapsing, Notice};
use crate::log::{Answer, Append, Expected, Rested, Span, Target};
use crate::random;
use crate::view::moment;

/// Events whose words go at once. Whoever appends waits meanwhile.
const PIECE: i64 = 2_000;
/// Conversations that expire at once.
const CONVERSATIONS: usize = 20;
/// Accounts in one read.
const PAGE: i64 = 500;
/// How often a server looks, and how soon after it has started: not amid everything else.
const EVERY: Duration = Duration::from_hours(1);
const FIRST: Duration = Duration::from_mins(5);

/// How long what an account said is kept, and what is announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub policy: RetentionPolicy,
    /// Whether the account settled it; if not, it is the server's.
    pub own: bool,
    pub held: bool,
    pub notice: Option<Notice>,
}

/// What a pass does to an account, or would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retained {
    pub account: AccountId,
    /// By law: nothing goes.
    pub held: bool,
    /// What is announced, and when it is due.
    pub announced: Vec<Lapsed>,
    pub resting: Vec<Resting>,
    pub due: Option<DateTime<Utc>>,
    /// What went, or would go now.
    pub gone: Vec<Lapsed>,
    pub expired: Vec<Resting>,
}

impl Service {
    /// Where an account settled nothing, everything is kept by this.
    #[must_use]
    pub fn with_retention(mut self, default: RetentionPolicy) -> Self {
        Arc::make_mut(&mut self.0).retention = default.into();
        self
    }

    /// How long what an account said is kept.
    pub async fn kept(&self, account: AccountId) -> Result<Kept, Trouble> {
        let state = self.account(account.into()).await?;
        Ok(Kept {
            policy: retention::policy(&state, &self.retention).clone(),
            own: state.retention.policy.is_some(),
            held: state.held,
            notice: retention::pending(&state, &self.retention).cloned(),
        })
    }

    /// Settles how long what an account said is kept; none: as the server says. False when it was so already.
    pub async fn configure_retention(
        &self,
        account: AccountId,
        policy: Option<RetentionPolicy>,
        by: Requester,
    ) -> Result<bool, ForgetError> {
        let configured = self.decide_account(account, self.asker(account, by), |state| {
            retention::configure(state, policy.clone()) //
        });
        Ok(configured.await?.is_some())
    }

    /// Takes back what is announced; false when nothing is.
    pub async fn undo_retention(&self, account: AccountId, by: Requester) -> Result<bool, ForgetError> {
        let undone = self.decide_account(account, self.asker(account, by), |state| retention::undo(state, by));
        Ok(undone.await?.is_some())
    }

    /// What [`retain`](Self::retain) would do. Changes nothing.
    pub async fn would_retain(&self, account: AccountId) -> Result<Retained, Trouble> {
        let (state, now) = (self.account(account.into()).await?, self.clock.now());
        let mut retained = Retained::nothing(&state, account);
        match retention::pending(&state, &self.retention) {
            Some(notice) => {
                let words = self.log.lapsed(account.into(), &rest(notice), None).await?;
                let spans = notice.announced.conversations.iter();
                let spans = spans.map(|told| (told.class, told.after, told.through)).collect();
                let rest = (words, self.resting(account, spans).await?);
                retained.tell(rest, notice.announced.due, now);
            }
            None if state.forgetting == Forgetting::No => {
                let over = (self.lapsing(account, &state, now).await?, self.idle(account, &state, now).await?);
                retained.tell(over, retention::due(retention::policy(&state, &self.retention), now), now);
            }
            None => {}
        }
        Ok(retained)
    }

    /// Takes away what is due of an account's, and announces what comes next.
    pub async fn retain(&self, account: AccountId) -> Result<Retained, ForgetError> {
        let now = self.clock.now();
        let mut state = self.account(account.into()).await?;
        let mut retained = Retained::nothing(&state, account);
        while !state.held && state.forgetting == Forgetting::No {
            let asker = self.itself().into();
            let told = if let Some(notice) = retention::due_notice(&state, &self.retention, now)
                && notice.through >= notice.last()
            {
                retained.expire(self.expire_conversations(account, &state, notice, now).await?);
                true
            } else if let Some(notice) = retention::due_notice(&state, &self.retention, now) {
                let (through, words) = self.piece(account, notice).await?;
                let version = notice.version;
                let applied = self.decide_account(account, asker, |state| {
                    // Another server may have carried it out, or another notice taken its place.
                    let same = state.retention.notice.as_ref().filter(|notice| notice.version == version);
                    match same.filter(|notice| notice.through < through) {
                        Some(_) => retention::apply(state, &self.retention, (through, words.clone()), now),
                        None => Ok(Vec::new()),
                    }
                });
                if applied.await?.is_some() {
                    retained.add(words);
                }
                true
            } else if retention::pending(&state, &self.retention).is_none() {
                let over = (self.lapsing(account, &state, now).await?, self.idle(account, &state, now).await?);
                let announce = |state: &Account| retention::announce(state, &self.retention, over.clone(), now);
                let announced = self.decide_account(account, asker, announce).await?.is_some();
                if announced && state.retention.policy.is_none() && state.retention.notice.is_some() {
                    tracing::warn!(
                        %account,
                        "a notice of retention that was made under another policy than this server's is replaced by a \
                         later one; where that comes again, servers of this ledger differ in what they --retain"
                    );
                }
                announced
            } else {
                false
            };
            if !told {
                break;
            }
            state = self.account(account.into()).await?;
        }
        if let Some(notice) = retention::pending(&state, &self.retention) {
            retained.announced.clone_from(&notice.announced.words);
            retained.resting.clone_from(&notice.announced.conversations);
            retained.due = Some(notice.announced.due);
        }
        self.sweep_rest().await?;
        Ok(retained)
    }

    /// Every account that is there, behind one: a page.
    pub async fn accounts_behind(&self, after: AccountId) -> Result<Vec<AccountId>, Trouble> {
        Ok(self.accounts.list(after, PAGE).await?)
    }

    /// Keeps to what was settled for as long as it is polled.
    pub async fn keep_retention(&self) {
        tokio::time::sleep(FIRST).await;
        loop {
            if let Err(error) = self.retain_all().await {
                tracing::warn!("not all that lapsed is gone: {error}; it is tried again in an hour");
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    async fn retain_all(&self) -> Result<(), Trouble> {
        let mut after = AccountId::default();
        loop {
            let page = self.accounts_behind(after).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = *last;
            for account in page {
                match self.retain(account).await {
                    Ok(_) | Err(ForgetError::Refused(_)) => {} // held meanwhile, or being forgotten
                    Err(error) => tracing::warn!(%account, "not all that lapsed of an account is gone: {error}"),
                }
            }
        }
    }

    /// What is to be announced and is there.
    async fn lapsing(&self, account: AccountId, state: &Account, now: DateTime<Utc>) -> Result<Vec<Lapsed>, Trouble> {
        let lapsing = retention::lapsing(state, &self.retention, now);
        // Most kinds lapse at one time.
        let mut by: BTreeMap<DateTime<Utc>, Position> = BTreeMap::new();
        for Lapsing { until, .. } in &lapsing {
            if !by.contains_key(until) {
                by.insert(*until, moment::recorded_by(&self.pool, *until).await?);
            }
        }
        let spans = lapsing.iter().filter_map(|Lapsing { kind, after, until }| {
            let through = by.get(until).copied().filter(|through| through > after)?;
            Some(Span { kind, after: *after, through })
        });
        let spans: Vec<_> = spans.collect();
        if spans.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.log.lapsed(account.into(), &spans, None).await?)
    }

    /// The conversations that are to be announced and are there.
    async fn idle(&self, account: AccountId, state: &Account, now: DateTime<Utc>) -> Result<Vec<Resting>, Trouble> {
        let mut spans = Vec::new();
        for Idle { class, after, until } in retention::idle(state, &self.retention, now) {
            spans.push((class, after, moment::recorded_by(&self.pool, until).await?));
        }
        self.resting(account, spans).await
    }

    /// What rests there, summed up by class.
    async fn resting(
        &self,
        account: AccountId,
        spans: Vec<(Class, Position, Position)>,
    ) -> Result<Vec<Resting>, Trouble> {
        let mut resting = Vec::new();
        for (class, after, through) in spans {
            let rested = self.log.resting(account.into(), class, (after, through), i64::MAX).await?;
            resting.extend(
                rested
                    .iter()
                    .map(|one| said_of(class, one))
                    .reduce(|all, one| all.and(&one))
                    .map(|told| Resting { after, ..told }),
            );
        }
        Ok(resting)
    }

    /// The next conversations of a notice expire, or it is done with; or nothing happens, for something else did meanwhile.
    /// Whatever does not go by the notice that it was decided on does not go.
    async fn expire_conversations(
        &self,
        account: AccountId,
        state: &Account,
        notice: &Notice,
        now: DateTime<Utc>,
    ) -> Result<Vec<Resting>, ForgetError> {
        let owner = OwnerId::from(account);
        let mut expiring: Vec<(Rested, Option<Class>)> = Vec::new();
        for told in notice.announced.conversations.iter().rev() {
            let most = i64::try_from(CONVERSATIONS - expiring.len()).unwrap_or_default();
            let rested = self.log.resting(owner, told.class, (told.after, told.through), most).await;
            for one in rested.map_err(Trouble::from)? {
                let keeps = retention::keeps(notice, one.position, one.recorded_at, now);
                let known = expiring.iter().any(|(other, _)| other.stream == one.stream);
                expiring.extend(keeps.filter(|_| !known).map(|keeps| (one, keeps)));
            }
        }
        let (key, _) = self.own_key().await?;
        let ledger = self.log.identity().ledger;
        let target = |stream, version, event: Event| Target {
            stream,
            expected: Expected::Exact(version),
            events: vec![seal::seal(ledger, owner, &key, &Happened { occurred_at: now, event })],
        };
        let applied = retention::expire(state, &self.retention, expiring.len() as u64, now)?;
        let mut targets = vec![target(account.into(), state.version, applied)];
        for (one, keeps) in &expiring {
            let expired = self.log.expired(owner, (one.stream, one.version), *keeps).await.map_err(Trouble::from)?;
            targets.push(target(one.stream, one.version, expired.into()));
        }
        let append = Append {
            owner,
            actor: self.itself().into(),
            command: CommandId(random::id()),
            command_digest: None,
            correlation: None,
            causation: None,
            targets,
        };
        let whole = |one: &Rested| u64::try_from(one.version.0).is_ok_and(|version| version == one.events);
        match self.log.append(append).await.map_err(Trouble::from)? {
            Answer::Appended(_) => {
                let facts = expiring.iter().filter(|(one, _)| whole(one)).map(|(one, _)| said_of(Class::Facts, one));
                let money = expiring.iter().filter(|(_, keeps)| keeps.is_none());
                Ok(facts.chain(money.map(|(one, _)| said_of(Class::Money, one))).collect())
            }
            Answer::Conflict { .. } => Ok(Vec::new()),
            answer => Err(Trouble::Internal(format!("an expiry was answered {answer:?}")).into()),
        }
    }

    /// The next words of a notice that go, and how far it is carried out with them.
    async fn piece(&self, account: AccountId, notice: &Notice) -> Result<(Position, Vec<Lapsed>), Trouble> {
        let words = self.log.lapsed(OwnerId::from(account), &rest(notice), Some(PIECE)).await?;
        let events: u64 = words.iter().map(|words| words.events).sum();
        let last = words.iter().map(|words| words.through).max().unwrap_or_default();
        Ok((if events < PIECE.unsigned_abs() { notice.last() } else { last }, words))
    }

    fn asker(&self, account: AccountId, by: Requester) -> AccountId {
        if by == Requester::Subject { account } else { self.itself().into() }
    }
}

impl Retained {
    fn nothing(state: &Account, account: AccountId) -> Self {
        Self {
            account,
            held: state.held,
            announced: Vec::new(),
            resting: Vec::new(),
            due: None,
            gone: Vec::new(),
            expired: Vec::new(),
        }
    }

    /// Whether there is anything to it.
    pub fn is_empty(&self) -> bool {
        [self.announced.len(), self.resting.len(), self.gone.len(), self.expired.len()] == [0; 4]
    }

    fn tell(&mut self, (words, resting): (Vec<Lapsed>, Vec<Resting>), due: DateTime<Utc>, now: DateTime<Utc>) {
        if due <= now && !self.held {
            (self.gone, self.expired) = (words, resting);
        } else if !words.is_empty() || !resting.is_empty() {
            (self.announced, self.resting, self.due) = (words, resting, Some(due));
        }
    }

    /// Class by class.
    fn expire(&mut self, more: Vec<Resting>) {
        for one in more {
            match self.expired.iter_mut().find(|told| told.class == one.class) {
                Some(told) => *told = told.clone().and(&one),
                None => self.expired.push(one),
            }
        }
        self.expired.sort_by_key(|told| told.class);
    }

    /// Kind by kind, for a large account's go in pieces.
    fn add(&mut self, words: Vec<Lapsed>) {
        let mut gone: BTreeMap<String, Lapsed> = self.gone.drain(..).map(|words| (words.kind.clone(), words)).collect();
        for more in words {
            if let Some(words) = gone.get_mut(&more.kind) {
                words.events += more.events;
                words.parts += more.parts;
                words.bytes += more.bytes;
                (words.through, words.last) = (more.through, more.last);
            } else {
                gone.insert(more.kind.clone(), more);
            }
        }
        self.gone = gone.into_values().collect();
    }
}

/// What there is to say of one conversation.
fn said_of(class: Class, one: &Rested) -> Resting {
    let Rested { position, recorded_at, events, .. } = *one;
    let after = Position(position.0 - 1);
    Resting { class, after, through: position, conversations: 1, events, first: recorded_at, last: recorded_at }
}

impl Resting {
    /// Of both.
    fn and(self, other: &Self) -> Self {
        let Self { after, through, conversations, events, first, last, .. } = *other;
        Self {
            class: self.class,
            after: self.after.min(after),
            through: self.through.max(through),
            conversations: self.conversations + conversations,
            events: self.events + events,
            first: self.first.min(first),
            last: self.last.max(last),
        }
    }
}

/// What is left of a notice.
fn rest(notice: &Notice) -> Vec<Span<'_>> {
    let rest = notice.announced.words.iter().map(|words| Span {
        kind: &words.kind,
        after: words.after.max(notice.through),
        through: words.through,
    });
    rest.collect()
}
