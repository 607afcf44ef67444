//! Cursors: one kind for connections and subscriptions. A cursor carries the history and the position it was given out
//! at, so that what follows a snapshot can be asked for without a hole; and, in a connection, where its item stands.
//! It is authenticated: what comes back is what was given out.

use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use crate::event::{HistoryId, Position};

/// An opaque place to go on from; the same in connections and in subscriptions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(pub String);

#[Scalar(name = "Cursor")]
impl ScalarType for Cursor {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value {
            Value::String(text) => Ok(Self(text)),
            value => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.clone())
    }
}

/// What a cursor says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Everything up to here had been seen when the cursor was given out.
    pub position: Position,
    pub at: At,
    /// The moment that its connection is read as of; none when that is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Position>,
}

impl Mark {
    pub const fn new(position: Position, at: At) -> Self {
        Self { position, at, as_of: None }
    }

    /// Of a connection that is read as of `moment`: it shows nothing later.
    #[must_use]
    pub fn of(mut self, moment: Position) -> Self {
        self.position = self.position.min(moment);
        self.as_of = Some(moment).filter(|moment| *moment != Position::LATEST);
        self
    }
}

/// Where an item stands in its connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum At {
    /// At its position: an event.
    Event,
    /// At a depth of a branch's path: a message.
    Depth(i32),
    /// By a sort value and an id: a conversation.
    Sorted { order: u8, value: String, id: Uuid },
    /// By a sort value (its bits) and what was said: a hit of a search.
    Found { order: u8, widened: bool, value: u64, said: Position, nth: i16 },
    /// By the event that took it: a snapshot.
    Snapshot(Position),
    /// On a day, at the position of its first event: an entry of the audit.
    Entry { day: NaiveDate, first: Position },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoCursor {
    #[error("this is no cursor that this ledger gave out; leave it out to begin at the beginning")]
    Foreign,
    #[error("the cursor is of another history: the ledger was restored from a backup; begin again without a cursor")]
    OtherHistory,
    #[error("the cursor belongs to another connection or another order; begin again without a cursor")]
    OtherConnection,
    #[error("the cursor is of another moment than `asOf`; leave `asOf` out to go on with the cursor's, or begin again")]
    OtherMoment,
    #[error("the cursor lies ahead of the log; begin again without a cursor")]
    AheadOfLog,
}

/// Gives cursors out and takes them back.
#[derive(Clone)]
pub struct Cursors {
    key: [u8; 32],
    history: HistoryId,
}

const MAC: usize = 12;

impl Cursors {
    pub const fn new(key: [u8; 32], history: HistoryId) -> Self {
        Self { key, history }
    }

    pub fn give(&self, mark: &Mark) -> Cursor {
        let mut bytes = self.history.0.as_bytes().to_vec();
        bytes.extend(serde_json::to_vec(mark).expect("a mark is plain data"));
        let mac = self.mac(&bytes);
        bytes.extend(mac);
        Cursor(URL_SAFE_NO_PAD.encode(bytes))
    }

    pub fn take(&self, cursor: &Cursor) -> Result<Mark, NoCursor> {
        let bytes = URL_SAFE_NO_PAD.decode(&cursor.0).map_err(|_| NoCursor::Foreign)?;
        let (bytes, mac) = bytes.split_at_checked(bytes.len().saturating_sub(MAC)).ok_or(NoCursor::Foreign)?;
        if !bool::from(self.mac(bytes).as_slice().ct_eq(mac)) {
            return Err(NoCursor::Foreign);
        }
        let (history, mark) = bytes.split_at_checked(16).ok_or(NoCursor::Foreign)?;
        if history != self.history.0.as_bytes() {
            return Err(NoCursor::OtherHistory);
        }
        serde_json::from_slice(mark).map_err(|_| NoCursor::Foreign)
    }

    fn mac(&self, bytes: &[u8]) -> [u8; MAC] {
        let mut mac = [0; MAC];
        mac.copy_from_slice(&blake3::keyed_hash(&self.key, bytes).as_bytes()[..MAC]);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursors(history: u128) -> Cursors {
        Cursors::new([7; 32], HistoryId(Uuid::from_u128(history)))
    }

    #[test]
    fn a_cursor_comes_back_as_it_was_given() {
        let at = At::Sorted { order: 3, value: "0.5".into(), id: Uuid::from_u128(9) };
        let mark = Mark::new(Position(42), at).of(Position(7));
        assert_eq!(cursors(1).take(&cursors(1).give(&mark)), Ok(mark.clone()));
        assert_eq!(cursors(2).take(&cursors(1).give(&mark)), Err(NoCursor::OtherHistory));
    }

    #[test]
    fn a_changed_cursor_is_refused() {
        let given = cursors(1).give(&Mark::new(Position(42), At::Event)).0;
        for at in 0..given.len() {
            let mut bytes = given.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = Cursor(String::from_utf8(bytes).expect("ASCII"));
            // The last character may carry bits that no byte has.
            assert!(cursors(1).take(&changed).is_err() || at == given.len() - 1);
        }
        assert_eq!(cursors(1).take(&Cursor(String::new())), Err(NoCursor::Foreign));
    }
}
