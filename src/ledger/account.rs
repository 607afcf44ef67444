//! The rules for accounts.

use super::Refusal;
use crate::event::{AccountRegistered, Event, Private, SubjectKeyCreated, Version};

/// What the history of an account amounts to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Account {
    pub version: Version,
    pub registered: bool,
}

/// An account and its first key, which was made before: words cannot be sealed without one.
#[derive(Debug, Clone)]
pub struct Register {
    pub email: String,
    pub key: SubjectKeyCreated,
}

pub fn decide(state: &Account, register: Register) -> Result<Vec<Event>, Refusal> {
    if state.registered {
        return Err(Refusal::AccountExists);
    }
    Ok(vec![register.key.into(), AccountRegistered { email: Private::Known(register.email) }.into()])
}

#[must_use]
pub fn evolve(mut state: Account, event: &Event) -> Account {
    state.version = state.version.next();
    state.registered |= matches!(event, Event::AccountRegistered(_));
    state
}
