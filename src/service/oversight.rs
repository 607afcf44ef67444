//! What whoever runs the ledger reads of others. It is said to the owner before it is shown to anybody.

use std::collections::HashSet;

use super::account::ChangeError;
use super::{Actor, Hit, Opened, Search, Service, Trouble};
use crate::event::{AccountId, AccountRead, ConversationId, Payload as _, Position, Reading};
use crate::ledger::account;
use crate::view::Page;
use crate::view::conversation::Filter;
use crate::view::event::{self as events, EventFilter};
use crate::view::search::{Order, Query};

/// Hits of a search across accounts, at most.
pub const FOUND_MAX: u32 = 1_000;
/// Accounts that are read at once.
const PAGE: i64 = 1_000;

/// What a search across accounts found.
#[derive(Debug, Clone)]
pub struct Overseen {
    /// The newest first.
    pub hits: Vec<(AccountId, Hit)>,
    /// How many accounts were searched.
    pub accounts: usize,
}

/// Why somebody does not get to read.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    #[error("the token is none of this ledger's, or was revoked")]
    NoToken,
    #[error(transparent)]
    Change(#[from] ChangeError),
}

impl From<Trouble> for EnterError {
    fn from(trouble: Trouble) -> Self {
        Self::Change(trouble.into())
    }
}

impl Service {
    /// Says to `account` that somebody else reads what is its own. It must be said before anything is shown.
    ///
    /// # Errors
    /// If there is no such account, it is closed, or the reason is empty or too long: then nothing may be shown.
    pub async fn record_read(
        &self,
        account: AccountId,
        what: Reading,
        conversation: Option<ConversationId>,
        reason: Option<&str>,
    ) -> Result<(), ChangeError> {
        let (key, _) = self.own_key().await?;
        let read = |state: &_| account::read(state, what, conversation, reason.map(str::to_owned));
        self.change_account(account, self.itself().into(), &key, read).await.map(drop)
    }

    /// Has it recorded that what is `owner`'s is read, unless it is the owner's own `token` by which it is.
    ///
    /// # Errors
    /// As [`Service::record_read`], or if the token is none.
    pub async fn enter(
        &self,
        owner: Actor,
        token: Option<&str>,
        what: Reading,
        conversation: Option<ConversationId>,
        reason: Option<&str>,
    ) -> Result<(), EnterError> {
        if let Some(token) = token
            && self.authenticate(token.trim()).await?.ok_or(EnterError::NoToken)? == owner
        {
            return Ok(());
        }
        Ok(self.record_read(owner.account, what, conversation, reason).await?)
    }

    /// Who else read what is the actor's, the newest first: the first `limit` before the position `before`.
    pub async fn reads(
        &self,
        actor: Actor,
        before: Option<Position>,
        limit: u32,
        counted: bool,
    ) -> Result<Page<Opened>, Trouble> {
        let owner = actor.owner();
        let filter = EventFilter {
            stream: Some(actor.account.into()),
            kinds: vec![AccountRead::KIND.to_owned()],
            last: before.map(|before| Position(before.0 - 1)),
        };
        let mut rows = events::newest(&self.pool, owner, &filter, limit + 1).await?;
        let has_next = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let all = EventFilter { last: None, ..filter };
        let total = if counted { Some(events::count(&self.pool, owner, &all).await?) } else { None };
        Ok(Page { rows: self.open_rows(rows).await?, has_next, has_previous: before.is_some(), total })
    }

    /// Searches what was said in all accounts, or in one, and shows the newest hits: only of those who were told.
    pub async fn search_accounts(
        &self,
        query: &Query,
        account: Option<AccountId>,
        first: u32,
        reason: &str,
    ) -> Result<Overseen, ChangeError> {
        let first = first.min(FOUND_MAX);
        let head = self.log.head().await.map_err(Trouble::from)?;
        let mut overseen = Overseen { hits: Vec::new(), accounts: 0 };
        let mut page: Vec<AccountId> = account.into_iter().collect();
        let mut after = None;
        loop {
            if account.is_none() {
                page = self.accounts.page(after, PAGE).await.map_err(Trouble::from)?;
            }
            for account in &page {
                let found = self.found_in(*account, query, first, head).await?;
                overseen.hits.extend(found.into_iter().map(|hit| (*account, hit)));
                overseen.hits.sort_by_key(|(_, hit)| std::cmp::Reverse((hit.key.position, hit.key.nth)));
                overseen.hits.truncate(first as usize);
            }
            overseen.accounts += page.len();
            after = page.last().copied();
            if account.is_some() || after.is_none() {
                break;
            }
        }
        let mut told = HashSet::new();
        for whose in overseen.hits.iter().map(|(whose, _)| *whose).collect::<HashSet<_>>() {
            match self.record_read(whose, Reading::Search, None, Some(reason)).await {
                Ok(()) => drop(told.insert(whose)),
                // It closed meanwhile.
                Err(ChangeError::Refused(crate::ledger::Refusal::Closed)) => {}
                Err(error) => return Err(error),
            }
        }
        overseen.hits.retain(|(whose, _)| told.contains(whose));
        Ok(overseen)
    }

    async fn found_in(
        &self,
        account: AccountId,
        query: &Query,
        first: u32,
        head: Position,
    ) -> Result<Vec<Hit>, Trouble> {
        let search = Search {
            query: query.clone(),
            filter: Filter::default(),
            include_hidden: false,
            order: Order::Newest,
            first,
            after: None,
            counted: false,
            at: Position::LATEST,
        };
        Ok(self.search(Actor { account }, Some(head), &search).await?.hits)
    }
}
