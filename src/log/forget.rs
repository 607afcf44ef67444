//! What the log lets go of: sealed words, and only where an event says so.

use std::collections::{HashMap, HashSet};

use sqlx::types::Json;
use sqlx::{Error, PgExecutor, PgPool};
use uuid::Uuid;

use super::{Log, Recorded};
use crate::event::{
    AccountForgetStarted, ConversationExpired, ConversationForgotten, EventId, Lapsed, MessageForgotten, OwnerId,
    Payload as _, Position, RetentionApplied, StreamId, Version,
};

/// How many words somebody said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    pub events: u64,
    pub parts: u64,
    /// SHA-256 over the positions: hex.
    pub positions: String,
}

/// Which words were taken away, as the log says: where they lack, nothing is wrong.
#[derive(Debug, Default)]
pub(super) struct Erasures {
    owners: HashSet<OwnerId>,
    /// Up to this version.
    streams: HashMap<(OwnerId, StreamId), Version>,
    messages: HashSet<(OwnerId, EventId)>,
    /// Behind one position and up to another.
    lapsed: HashMap<(OwnerId, String), Vec<(Position, Position)>>,
}

/// Owner, stream and version of such an event, its kind, and what it took: a message, or kinds in ranges.
type Erasure = (Uuid, Uuid, i32, String, Option<Uuid>, Option<Json<Vec<Lapsed>>>);

impl Erasures {
    /// Those of some owners. To be read behind the words that may lack: they go in the transaction of the event that says so,
    /// or later.
    pub(super) async fn read(owners: HashSet<OwnerId>, pool: &PgPool) -> Result<Self, Error> {
        if owners.is_empty() {
            return Ok(Self::default());
        }
        let owners: Vec<Uuid> = owners.into_iter().map(|owner| owner.0).collect();
        let rows: Vec<Erasure> = sqlx::query_as(include_str!("sql/erasures.sql")).bind(owners).fetch_all(pool).await?;
        let mut erasures = Self::default();
        for (owner, stream, version, kind, message, lapsed) in rows {
            let (owner, version) = (OwnerId(owner), Version(version));
            if let Some(Json(lapsed)) = lapsed {
                for Lapsed { kind, after, through, .. } in lapsed {
                    erasures.lapsed.entry((owner, kind)).or_default().push((after, through));
                }
                continue;
            }
            match (kind.as_str(), message) {
                ("account.forget_started", _) => drop(erasures.owners.insert(owner)),
                (_, Some(message)) => drop(erasures.messages.insert((owner, EventId(message)))),
                _ => {
                    let until = erasures.streams.entry((owner, StreamId(stream))).or_default();
                    *until = version.max(*until);
                }
            }
        }
        Ok(erasures)
    }

    pub(super) fn cover(&self, event: &Recorded) -> bool {
        let fact = &event.fact;
        // Reasons to hold or to read an account are the ledger's own words.
        let owners = !["account.held", "account.released", "account.read"].contains(&fact.kind.as_str());
        let at = event.position;
        let within = |ranges: &Vec<_>| ranges.iter().any(|(after, through)| *after < at && at <= *through);
        let rated = (fact.kind == "message.rated").then(|| fact.body["message"].as_str()?.parse().ok()).flatten();
        owners && self.owners.contains(&fact.owner)
            || self.streams.get(&(fact.owner, fact.stream)).is_some_and(|until| event.version < *until)
            || self.messages.contains(&(fact.owner, rated.map_or(fact.id, EventId)))
            || fact.stream.0 != fact.owner.0 && self.lapsed.get(&(fact.owner, fact.kind.clone())).is_some_and(within)
    }
}

/// The kinds of events that take words away, as the view `erased` has them.
pub(super) const ERASING: [&str; 5] = [
    AccountForgetStarted::KIND,
    MessageForgotten::KIND,
    ConversationForgotten::KIND,
    ConversationExpired::KIND,
    RetentionApplied::KIND,
];

/// The newest event that took words away, as a transaction sees it.
pub async fn erased(executor: impl PgExecutor<'_>) -> Result<Position, Error> {
    sqlx::query_scalar(include_str!("sql/erased.sql")).fetch_one(executor).await.map(Position)
}

impl Log {
    /// The newest event that took words away.
    pub async fn erased(&self) -> Result<Position, Error> {
        erased(&self.pool).await
    }

    /// All words that `owner` ever said, whether they are still there or not.
    pub async fn said_by(&self, owner: OwnerId) -> Result<Said, Error> {
        let (events, parts, positions): (i64, i64, String) =
            sqlx::query_as(include_str!("sql/words_of.sql")).bind(owner.0).fetch_one(&self.pool).await?;
        Ok(Said { events: events.unsigned_abs(), parts: parts.unsigned_abs(), positions })
    }

    /// The words that the event at `because` took away, which forgot a message or a conversation.
    pub async fn said_in(&self, because: Position) -> Result<Said, Error> {
        let (events, parts, positions): (i64, i64, String) =
            sqlx::query_as(include_str!("sql/said_in.sql")).bind(because.0).fetch_one(&self.pool).await?;
        Ok(Said { events: events.unsigned_abs(), parts: parts.unsigned_abs(), positions })
    }

    /// Deletes the sealed words of whoever the event at `because` says is forgotten, piece by piece.
    pub async fn erase(&self, because: Position) -> Result<(), Error> {
        let mut after = Some(0_i64);
        while let Some(from) = after {
            after = sqlx::query_scalar(include_str!("sql/erase_words.sql"))
                .bind(because.0)
                .bind(from)
                .fetch_one(&self.pool)
                .await?;
        }
        Ok(())
    }

    /// Those who asked to be forgotten, and are not yet, or have no receipt of it.
    pub async fn being_forgotten(&self) -> Result<Vec<OwnerId>, Error> {
        let owners: Vec<Uuid> =
            sqlx::query_scalar(include_str!("sql/being_forgotten.sql")).fetch_all(&self.pool).await?;
        Ok(owners.into_iter().map(OwnerId).collect())
    }

    /// The receipt of an account is kept, and nothing is left to be done.
    pub async fn receipted(&self, owner: OwnerId) -> Result<(), Error> {
        sqlx::query(include_str!("sql/receipted.sql")).bind(owner.0).execute(&self.pool).await.map(drop)
    }

    /// What was taken away of conversations and may still be in views: by which event, whose, said
    /// where, and whether facts went as well.
    pub async fn unswept(&self) -> Result<Vec<(Position, OwnerId, Vec<Position>, bool)>, Error> {
        let rows: Vec<(i64, Uuid, Vec<i64>, bool)> =
            sqlx::query_as(include_str!("sql/unswept.sql")).fetch_all(&self.pool).await?;
        let read = |(because, owner, said, facts): (i64, Uuid, Vec<i64>, bool)| {
            (Position(because), OwnerId(owner), said.into_iter().map(Position).collect(), facts)
        };
        Ok(rows.into_iter().map(read).collect())
    }

    /// It is in views no more.
    pub async fn swept(&self, because: Position) -> Result<(), Error> {
        sqlx::query(include_str!("sql/swept.sql")).bind(because.0).execute(&self.pool).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_words_away_is_told_alike_everywhere() {
        let kinds = format!("e.kind IN ('{}')", ERASING.join("', '"));
        let told = [include_str!("../../migrations/0006_forgetting.sql"), include_str!("sql/erasures.sql")];
        assert!(told.iter().all(|told| told.contains(&kinds)), "{kinds}");
    }
}
