//! The rules for accounts.

use super::{Refusal, snapshot};
use crate::event::{AccountRegistered, Event, Private, SnapshotPolicy, SubjectKeyCreated, Version};

/// What the history of an account amounts to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Account {
    pub version: Version,
    pub registered: bool,
    /// For all conversations that say nothing else.
    pub snapshots: SnapshotPolicy,
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

/// Settles when snapshots are taken by themselves. Nothing happens when it is so already.
pub fn configure(state: &Account, policy: SnapshotPolicy) -> Result<Vec<Event>, Refusal> {
    snapshot::configured(&state.snapshots, policy)
}

#[must_use]
pub fn evolve(mut state: Account, event: &Event) -> Account {
    state.version = state.version.next();
    match event {
        Event::AccountRegistered(_) => state.registered = true,
        Event::SnapshotConfigured(configured) => state.snapshots = configured.policy,
        _ => {}
    }
    state
}
