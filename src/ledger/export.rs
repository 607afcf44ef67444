//! The rules for exports that a server makes: one at a time for an account, none of one that is closed.

use super::Refusal;
use super::account::{Account, Forgetting};
use crate::event::{Event, EventId, ExportExpired, ExportFetched, ExportMade, ExportRequested};

/// Asks for an export. Nothing happens while one is being made.
pub fn request(state: &Account, id: EventId, masked: bool) -> Result<Vec<Event>, Refusal> {
    match (state.forgetting, state.exporting) {
        _ if !state.registered => Err(Refusal::NoAccount),
        (Forgetting::No, None) => Ok(vec![ExportRequested { id, masked }.into()]),
        (Forgetting::No, Some(_)) => Ok(Vec::new()),
        _ => Err(Refusal::Closed),
    }
}

/// It is made. Nothing happens when that was said before, by whatever server.
pub fn made(state: &Account, made: ExportMade) -> Result<Vec<Event>, Refusal> {
    match state.forgetting {
        Forgetting::No if state.exporting == Some(made.export) => Ok(vec![made.into()]),
        Forgetting::No => Ok(Vec::new()),
        _ => Err(Refusal::Closed),
    }
}

/// It is fetched.
pub fn fetched(state: &Account, export: EventId) -> Result<Vec<Event>, Refusal> {
    match state.forgetting {
        Forgetting::No => Ok(vec![ExportFetched { export }.into()]),
        _ => Err(Refusal::Closed),
    }
}

/// Its time is over.
pub fn expired(state: &Account, export: EventId) -> Result<Vec<Event>, Refusal> {
    match state.forgetting {
        Forgetting::No => Ok(vec![ExportExpired { export }.into()]),
        _ => Err(Refusal::Closed),
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use uuid::Uuid;

    use super::*;
    use crate::ledger::account::{self, evolve};

    const FIRST: EventId = EventId(Uuid::from_u128(1));
    const SECOND: EventId = EventId(Uuid::from_u128(2));

    fn done(export: EventId) -> ExportMade {
        ExportMade { export, size: 1, bytes: 1, sha256: String::new(), expires: DateTime::UNIX_EPOCH }
    }

    fn then(state: &Account, decided: Result<Vec<Event>, Refusal>) -> Account {
        decided.expect("no refusal").iter().fold(state.clone(), evolve)
    }

    #[test]
    fn one_is_made_at_a_time_and_once() {
        let account = Account { registered: true, ..Account::default() };
        let asked = then(&account, request(&account, FIRST, false));
        assert_eq!(request(&asked, SECOND, false), Ok(Vec::new()));
        assert_eq!(made(&asked, done(SECOND)), Ok(Vec::new()));
        let made_once = then(&asked, made(&asked, done(FIRST)));
        assert_eq!(made(&made_once, done(FIRST)), Ok(Vec::new()));
        assert_eq!(request(&made_once, SECOND, true).map(|events| events.len()), Ok(1));
    }

    #[test]
    fn nothing_is_handed_out_of_an_account_that_is_closed() {
        let account = Account { registered: true, ..Account::default() };
        let asked = then(&account, request(&account, FIRST, false));
        let closed = then(&asked, account::request(&asked, DateTime::UNIX_EPOCH, crate::event::Requester::Subject));
        assert_eq!(request(&closed, SECOND, false), Err(Refusal::Closed));
        assert_eq!(made(&closed, done(FIRST)), Err(Refusal::Closed));
        assert_eq!(fetched(&closed, FIRST), Err(Refusal::Closed));
        assert_eq!(request(&Account::default(), FIRST, false), Err(Refusal::NoAccount));
    }
}
