//! Accounts.

use async_graphql::{Context, ID, Object, Result};

use super::asker::{Asker, trouble};
use super::id::Name;
use super::masking::{self, Masking};
use super::retention::Retention;
use crate::event::AccountId;
use crate::service::Actor;

#[derive(Clone, Copy)]
pub struct Account(pub AccountId);

/// Someone who can sign in.
#[Object]
impl Account {
    pub async fn id(&self) -> ID {
        Name::Account(self.0.into()).id()
    }

    /// The address it was registered with: told to itself alone, and null once it was forgotten.
    async fn email(&self, context: &Context<'_>) -> Result<Option<String>> {
        let asker = Asker::of(context);
        if !asker.may_see(self.0.into()) {
            return Ok(None);
        }
        let email = asker.service.email(Actor { account: self.0 }).await.map_err(|error| trouble(&error))?;
        Ok(email.known())
    }

    /// What is masked of what it says: told to itself alone.
    async fn masking(&self, context: &Context<'_>) -> Result<Option<Masking>> {
        let asker = Asker::of(context);
        if asker.may_see(self.0.into()) { masking::read(&asker).await.map(Some) } else { Ok(None) }
    }

    /// How long its words are kept: told to itself alone.
    async fn retention(&self, context: &Context<'_>) -> Result<Option<Retention>> {
        let asker = Asker::of(context);
        if asker.may_see(self.0.into()) { Retention::of(&asker).await.map(Some) } else { Ok(None) }
    }
}
