//! The rules for accounts.

use chrono::{DateTime, Utc};

use super::retention::{self, Retention};
use super::{Bound, Refusal, snapshot};
use crate::event::{
    AccountForgetCancelled, AccountForgetRequested, AccountForgetStarted, AccountForgotten, AccountHeld, AccountRead,
    AccountRegistered, AccountReleased, ConversationId, Event, EventId, MaskingConfigured, Private, Reading, Requester,
    SnapshotPolicy, SubjectKeyCreated, SubjectKeyDestroyed, Version,
};

/// What the history of an account amounts to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    pub version: Version,
    pub registered: bool,
    /// For all conversations that say nothing else.
    pub snapshots: SnapshotPolicy,
    /// By law: nothing of it goes.
    pub held: bool,
    pub forgetting: Forgetting,
    /// The export that is being made.
    pub exporting: Option<EventId>,
    pub retention: Retention,
    /// The generation of its newest key.
    pub key: u32,
    /// The newest generation that is destroyed.
    pub dead_key: u32,
}

/// How far an account is on its way out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Forgetting {
    #[default]
    No,
    /// Closed, and open again if it is cancelled before it is due.
    Requested {
        due: DateTime<Utc>,
    },
    /// Its keys are gone.
    Started,
    Done,
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

/// Asks that the account be forgotten once `due`. Nothing happens when that was asked already.
pub fn request(state: &Account, due: DateTime<Utc>, by: Requester) -> Result<Vec<Event>, Refusal> {
    match state.forgetting {
        _ if !state.registered => Err(Refusal::NoAccount),
        Forgetting::No if state.held => Err(Refusal::Held),
        Forgetting::No => Ok(vec![AccountForgetRequested { due, by }.into()]),
        _ => Ok(Vec::new()),
    }
}

/// Takes it back. Nothing happens when nobody asked.
pub fn cancel(state: &Account) -> Result<Vec<Event>, Refusal> {
    match state.forgetting {
        Forgetting::No => Ok(Vec::new()),
        Forgetting::Requested { .. } => Ok(vec![AccountForgetCancelled {}.into()]),
        Forgetting::Started | Forgetting::Done => Err(Refusal::Begun),
    }
}

/// Begins to forget the account: from here there is no way back. Nothing happens when that was begun already.
pub fn start(state: &Account, goes: AccountForgetStarted, now: DateTime<Utc>) -> Result<Vec<Event>, Refusal> {
    match state.forgetting {
        Forgetting::Started | Forgetting::Done => Ok(Vec::new()),
        Forgetting::Requested { .. } if state.held => Err(Refusal::Held),
        Forgetting::Requested { due } if due <= now => Ok(vec![goes.into()]),
        Forgetting::Requested { .. } | Forgetting::No => Err(Refusal::NotDue),
    }
}

/// All is gone. Nothing happens when that was said already.
pub fn finish(state: &Account, gone: AccountForgotten) -> Result<Vec<Event>, Refusal> {
    match state.forgetting {
        Forgetting::Started => Ok(vec![gone.into()]),
        Forgetting::Done => Ok(Vec::new()),
        Forgetting::No | Forgetting::Requested { .. } => Err(Refusal::NotDue),
    }
}

/// Goes on under another key. Nothing happens when that was said already.
pub fn renew_key(state: &Account, key: SubjectKeyCreated) -> Vec<Event> {
    if key.generation > state.key { vec![key.into()] } else { Vec::new() }
}

/// Keys that came before are gone. Nothing happens when that was said already.
pub fn bury_keys(state: &Account, keys: SubjectKeyDestroyed) -> Vec<Event> {
    if keys.generation > state.dead_key { vec![keys.into()] } else { Vec::new() }
}

/// Holds on to the account. It wins over a request that was not begun.
pub fn hold(state: &Account, reason: String) -> Result<Vec<Event>, Refusal> {
    Bound::REASON.filled(&reason)?;
    match state.forgetting {
        _ if !state.registered => Err(Refusal::NoAccount),
        Forgetting::Started | Forgetting::Done => Err(Refusal::Begun),
        _ if state.held => Ok(Vec::new()),
        _ => Ok(vec![AccountHeld { reason: Private::Known(reason) }.into()]),
    }
}

/// Lets go of it again.
pub fn release(state: &Account, reason: String) -> Result<Vec<Event>, Refusal> {
    Bound::REASON.filled(&reason)?;
    if !state.held {
        return Ok(Vec::new());
    }
    Ok(vec![AccountReleased { reason: Private::Known(reason) }.into()])
}

/// Lets somebody else read what is the account's, by having it said. A closed account shows nothing any more.
pub fn read(
    state: &Account,
    what: Reading,
    conversation: Option<ConversationId>,
    reason: Option<String>,
) -> Result<Vec<Event>, Refusal> {
    if let Some(reason) = &reason {
        Bound::REASON.filled(reason)?;
    }
    if !state.registered {
        return Err(Refusal::NoAccount);
    }
    if state.forgetting != Forgetting::No {
        return Err(Refusal::Closed);
    }
    Ok(vec![AccountRead { what, conversation, reason: Private::Known(reason) }.into()])
}

/// Settles when snapshots are taken by themselves. Nothing happens when it is so already.
pub fn configure(state: &Account, policy: SnapshotPolicy) -> Result<Vec<Event>, Refusal> {
    if state.forgetting != Forgetting::No {
        return Err(Refusal::Forgetting);
    }
    snapshot::configured(&state.snapshots, policy)
}

/// Settles what is masked. Nothing happens when it `was` so already.
pub fn configure_masking(
    state: &Account,
    was: &MaskingConfigured,
    becomes: MaskingConfigured,
) -> Result<Vec<Event>, Refusal> {
    if let Private::Known(names) = &becomes.names {
        Bound::NAMES.count(names.len())?;
        names.iter().try_for_each(|name| Bound::NAME.filled(name))?;
    }
    if state.forgetting != Forgetting::No {
        return Err(Refusal::Forgetting);
    }
    if *was == becomes {
        return Ok(Vec::new());
    }
    Ok(vec![becomes.into()])
}

#[must_use]
pub fn evolve(mut state: Account, event: &Event) -> Account {
    state.version = state.version.next();
    match event {
        Event::AccountRegistered(_) => state.registered = true,
        Event::SubjectKeyCreated(key) => state.key = key.generation,
        Event::SubjectKeyDestroyed(keys) => state.dead_key = keys.generation,
        Event::SnapshotConfigured(configured) => state.snapshots = configured.policy,
        Event::AccountForgetRequested(requested) => state.forgetting = Forgetting::Requested { due: requested.due },
        Event::AccountForgetCancelled(_) => state.forgetting = Forgetting::No,
        Event::AccountForgetStarted(_) => state.forgetting = Forgetting::Started,
        Event::AccountForgotten(_) => state.forgetting = Forgetting::Done,
        Event::AccountHeld(_) => state.held = true,
        Event::AccountReleased(_) => state.held = false,
        Event::ExportRequested(requested) => state.exporting = Some(requested.id),
        Event::ExportMade(_) => state.exporting = None,
        event => retention::evolve(&mut state.retention, state.version, event),
    }
    state
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::event::{Position, WordsGone};

    const DUE: DateTime<Utc> = DateTime::UNIX_EPOCH;

    fn goes() -> AccountForgetStarted {
        let words = WordsGone { events: 0, parts: 0, positions: String::new() };
        AccountForgetStarted { keys: Vec::new(), words, removes: Vec::new() }
    }

    const fn gone() -> AccountForgotten {
        AccountForgotten { epoch: 1, started: Position(1), backups_days: None }
    }

    fn then(state: &Account, decided: Result<Vec<Event>, Refusal>) -> Account {
        decided.expect("no refusal").iter().fold(state.clone(), evolve)
    }

    fn requested() -> Account {
        let account = Account { registered: true, ..Account::default() };
        then(&account, request(&account, DUE, Requester::Subject))
    }

    #[test]
    fn it_is_forgotten_once_and_only_when_it_is_due() {
        let state = requested();
        assert_eq!(request(&state, DUE, Requester::Operator), Ok(Vec::new()));
        assert_eq!(start(&state, goes(), DUE - TimeDelta::seconds(1)), Err(Refusal::NotDue));
        assert_eq!(finish(&state, gone()), Err(Refusal::NotDue));
        let state = then(&state, start(&state, goes(), DUE));
        assert_eq!(start(&state, goes(), DUE), Ok(Vec::new()));
        assert_eq!(cancel(&state), Err(Refusal::Begun));
        assert_eq!(hold(&state, "late".into()), Err(Refusal::Begun));
        let state = then(&state, finish(&state, gone()));
        assert_eq!(state.forgetting, Forgetting::Done);
        assert_eq!(finish(&state, gone()), Ok(Vec::new()));
    }

    #[test]
    fn it_can_be_cancelled_before_and_asked_again() {
        let state = requested();
        let state = then(&state, cancel(&state));
        assert_eq!(state.forgetting, Forgetting::No);
        assert_eq!(start(&state, goes(), DUE), Err(Refusal::NotDue));
        assert_eq!(request(&state, DUE, Requester::Subject).map(|events| events.len()), Ok(1));
    }

    #[test]
    fn a_hold_wins_until_it_is_released() {
        let state = requested();
        let state = then(&state, hold(&state, "case 12".into()));
        assert_eq!(start(&state, goes(), DUE), Err(Refusal::Held));
        let open = then(&state, cancel(&state));
        assert_eq!(request(&open, DUE, Requester::Subject), Err(Refusal::Held));
        let state = then(&state, release(&state, "settled".into()));
        assert!(start(&state, goes(), DUE).is_ok());
        assert!(matches!(hold(&state, " ".into()), Err(Refusal::Empty { .. })));
    }

    #[test]
    fn what_is_open_is_read_and_said_each_time() {
        let open = Account { registered: true, ..Account::default() };
        let ask = |state: &Account, reason: Option<&str>| {
            read(state, Reading::Search, None, reason.map(str::to_owned)).map(|events| events.len())
        };
        let again = then(&open, read(&open, Reading::Search, None, None));
        assert_eq!((ask(&open, Some("a complaint")), ask(&again, None)), (Ok(1), Ok(1)));
        let held = then(&open, hold(&open, "case 12".into()));
        assert_eq!(ask(&held, Some("case 12")), Ok(1));
        assert!(matches!(ask(&open, Some(" ")), Err(Refusal::Empty { .. })));
        assert!(matches!(ask(&open, Some(&"x".repeat(1_001))), Err(Refusal::TooLong { .. })));
        assert_eq!(ask(&Account::default(), Some("a guess")), Err(Refusal::NoAccount));
        let closed = requested();
        assert_eq!(ask(&closed, Some("a last look")), Err(Refusal::Closed));
        let reopened = then(&closed, cancel(&closed));
        assert_eq!(ask(&reopened, None), Ok(1));
    }

    #[test]
    fn masking_is_settled_when_it_changes() {
        let open = Account { registered: true, ..Account::default() };
        let was = MaskingConfigured::default();
        let named = |names: Vec<String>| MaskingConfigured { names: Private::Known(names), ..was.clone() };
        let settle = |state: &Account, becomes| configure_masking(state, &was, becomes).map(|events| events.len());
        assert_eq!((settle(&open, was.clone()), settle(&open, named(vec!["Ada".into()]))), (Ok(0), Ok(1)));
        assert!(matches!(settle(&open, named(vec![" ".into()])), Err(Refusal::Empty { .. })));
        assert!(matches!(settle(&open, named(vec!["Ada".into(); 201])), Err(Refusal::TooLong { .. })));
        assert_eq!(settle(&requested(), named(vec!["Ada".into()])), Err(Refusal::Forgetting));
    }

    #[test]
    fn nobody_is_forgotten_who_is_not_there() {
        assert_eq!(request(&Account::default(), DUE, Requester::Operator), Err(Refusal::NoAccount));
    }
}
