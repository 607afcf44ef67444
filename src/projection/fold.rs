//! One range of the log, folded into the rows of one projection: in one transaction with its progress, or not at all.

use std::sync::LazyLock;

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Postgres, Row as _, Transaction};

use super::said::{Opener, Said, Unopened};
use super::status::is_missing;
use super::table::Sees;
use super::{Projection, Strand, table};
use crate::event::{KINDS, Position};
use crate::log::erased;

/// What became of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Folded {
    Done,
    /// Progress was not where the range begins, or another projector is just moving it.
    Elsewhere,
    /// Some of what is said in the range went since it was read. Read it again.
    Gone,
}

#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    #[error(
        "projection `{projection}`: events {first}–{last} should be {expected} and are {held}; the log has a hole, run \
         `convoledger verify`"
    )]
    Hole { projection: String, first: Position, last: Position, expected: i64, held: i64 },
    #[error(
        "projection `{projection}`: event {position} is of a kind or version that this version of convoledger does not \
         know; run the version that wrote it, or a newer one"
    )]
    Unknown { projection: String, position: Position },
    #[error("projection `{projection}`: the words of events {first}–{last} cannot be opened: {what}")]
    Words { projection: String, first: Position, last: Position, what: String },
    #[error("projection `{projection}`: folding events {first}–{last} failed: {source}")]
    Apply { projection: String, first: Position, last: Position, source: sqlx::Error },
    #[error("projection `{projection}` is not used: {file}: {what}")]
    Unfit { projection: String, file: String, what: String },
    #[error("projection `{projection}` cannot be folded now: {source}")]
    Database { projection: String, source: sqlx::Error },
}

impl FoldError {
    /// Whether the events are to blame, so that a smaller range finds out which.
    pub(super) const fn is_poison(&self) -> bool {
        !matches!(self, Self::Database { .. } | Self::Unfit { .. })
    }
}

/// The events in (`after`, `last`], with what was said in them if the fold needs that.
#[derive(Debug, Clone)]
pub struct Range {
    pub after: Position,
    pub last: Position,
    pub said: Said,
    /// Whether it is passed over: one event that somebody said is to be left out.
    pub skipped: bool,
}

impl Range {
    /// Without words.
    pub fn of_facts(after: Position, last: Position) -> Self {
        Self { after, last, said: Said::default(), skipped: false }
    }

    /// One event that is passed over.
    pub(super) fn skipped(position: Position) -> Self {
        Self { skipped: true, ..Self::of_facts(Position(position.0 - 1), position) }
    }

    const fn first(&self) -> Position {
        self.after.next()
    }
}

impl Projection {
    /// The events in (`after`, `last`] as this projection folds them: with their words if it is an opened one.
    pub async fn range(&self, opener: &dyn Opener, after: Position, last: Position) -> Result<Range, FoldError> {
        self.range_of(Strand::WHOLE, opener, after, last).await
    }

    /// As [`range`](Self::range), with the words of one strand alone.
    pub(super) async fn range_of(
        &self,
        strand: Strand,
        opener: &dyn Opener,
        after: Position,
        last: Position,
    ) -> Result<Range, FoldError> {
        if !self.opened {
            return Ok(Range::of_facts(after, last));
        }
        match opener.said(strand, after, last).await {
            Ok(said) => Ok(Range { said, ..Range::of_facts(after, last) }),
            Err(Unopened::Database(source)) => Err(self.database(source)),
            Err(Unopened::Damaged(what)) => {
                Err(FoldError::Words { projection: self.name.to_string(), first: after.next(), last, what })
            }
        }
    }

    /// Folds a range, if that is where the projection stands. Rows and progress move together.
    ///
    /// Dropped half-way it leaves nothing, but `pool` must be one that rolls back whatever comes back to it.
    pub async fn fold(&self, pool: &PgPool, range: &Range) -> Result<Folded, FoldError> {
        let mut connection = pool.acquire().await.map_err(|source| self.database(source))?;
        self.fold_by(&mut connection, range).await
    }

    /// As [`fold`](Self::fold), by a connection that may go on with the next range when this one is done or was not to be. After
    /// an error, or dropped half-way, it may be in a transaction still.
    pub async fn fold_by(&self, connection: &mut PgConnection, range: &Range) -> Result<Folded, FoldError> {
        self.fold_in(&self.name, Sees::OneMoment, connection, range).await
    }

    /// As [`fold`](Self::fold), into whatever schema. Behind it may be told where else its tables are sought, as in a search path.
    pub(super) async fn fold_in(
        &self,
        schema: &str,
        sees: Sees,
        connection: &mut PgConnection,
        range: &Range,
    ) -> Result<Folded, FoldError> {
        let begun = table::begin(schema, sees, connection).await;
        let mut transaction = begun.map_err(|source| self.database(source))?;
        match self.fold_within(schema, sees, &mut transaction, range).await {
            Ok(Folded::Done) => match transaction.commit().await {
                Ok(()) => Ok(Folded::Done),
                Err(source) => self.judge(source, range),
            },
            outcome => match transaction.rollback().await {
                // Whoever goes on by this connection must find it in no transaction.
                Err(source) if outcome.is_ok() => Err(self.database(source)),
                _ => outcome,
            },
        }
    }

    /// What a fold does inside of its transaction, which has entered `schema`.
    pub(super) async fn fold_within(
        &self,
        schema: &str,
        sees: Sees,
        transaction: &mut Transaction<'_, Postgres>,
        range: &Range,
    ) -> Result<Folded, FoldError> {
        let Some(claim) = self.claim(schema, sees, transaction, range).await? else { return Ok(Folded::Elsewhere) };
        if let Some(counted) = claim.counted {
            self.sound(counted, range)?;
        }
        if range.skipped {
            return Ok(Folded::Done);
        }
        // Read behind the claim: whoever sweeps holds progress, too.
        if self.opened && erased(&mut **transaction).await.map_err(|source| self.database(source))? > range.said.erased
        {
            return Ok(Folded::Gone);
        }
        let apply = table::asked_in(schema, claim.apply.as_deref().unwrap_or(&self.apply));
        match self.apply_as(&apply, transaction, range).await {
            Ok(()) => Ok(Folded::Done),
            Err(source) => self.judge(source, range),
        }
    }

    /// Moves progress over the range; none when it stands elsewhere.
    async fn claim(
        &self,
        schema: &str,
        sees: Sees,
        connection: &mut PgConnection,
        range: &Range,
    ) -> Result<Option<Claim>, FoldError> {
        let statement = match sees {
            Sees::OneMoment => concat!(include_str!("sql/count.sql"), include_str!("sql/claim.sql")),
            Sees::OthersRows => include_str!("sql/move.sql"),
        };
        let mut claim = sqlx::query(AssertSqlSafe(table::asked_in(schema, statement)));
        claim = claim.bind(range.after.0).bind(range.last.0);
        if matches!(sees, Sees::OneMoment) {
            claim = claim.bind(KNOWN.as_slice());
        }
        let fingerprint = self.fingerprint();
        match claim.bind(fingerprint.as_slice()).fetch_optional(connection).await {
            Ok(row) => row.map(|row| Claim::read(&row, sees)).transpose().map_err(|source| self.database(source)),
            Err(source) => self.judge(source, range).map(|_| None),
        }
    }

    /// Sees to it that a range is all there, and of kinds that are known.
    pub(super) async fn count(&self, connection: &mut PgConnection, range: &Range) -> Result<(), FoldError> {
        let count = concat!(include_str!("sql/count.sql"), "SELECT held, unknown FROM range");
        let count = sqlx::query(count).bind(range.after.0).bind(range.last.0).bind(KNOWN.as_slice());
        let counted = count.fetch_one(connection).await.and_then(|row| Counted::read(&row));
        self.sound(counted.map_err(|source| self.database(source))?, range)
    }

    fn sound(&self, counted: Counted, range: &Range) -> Result<(), FoldError> {
        let (projection, expected, held) = (|| self.name.to_string(), range.last.0 - range.after.0, counted.held);
        if held != expected {
            let (first, last) = (range.first(), range.last);
            return Err(FoldError::Hole { projection: projection(), first, last, expected, held });
        }
        match counted.unknown {
            Some(position) if !range.skipped => Err(FoldError::Unknown { projection: projection(), position }),
            _ => Ok(()),
        }
    }

    /// Runs a fold, this projection's or that of another version of it. One that is not built in runs as a role that can
    /// do nothing else.
    pub(super) async fn apply_as(
        &self,
        apply: &str,
        connection: &mut PgConnection,
        range: &Range,
    ) -> Result<(), sqlx::Error> {
        if self.own {
            table::take_view_role(connection).await?;
        }
        let mut apply = sqlx::query(AssertSqlSafe(apply)).bind(range.after.0).bind(range.last.0);
        if self.opened {
            let Said { positions, parts, texts, .. } = &range.said;
            apply = apply.bind(positions).bind(parts).bind(texts);
        }
        apply.execute(&mut *connection).await?;
        if self.own { table::leave_view_role(connection).await } else { Ok(()) }
    }

    /// What an error of the database says: that another projector won the row, that the events do not fold, or neither.
    fn judge(&self, source: sqlx::Error, range: &Range) -> Result<Folded, FoldError> {
        let code =
            source.as_database_error().and_then(sqlx::error::DatabaseError::code).unwrap_or_default().into_owned();
        match (&*code, code.get(..2)) {
            (_, Some("40")) => Ok(Folded::Elsewhere),
            _ if is_missing(&source) => Err(self.database(source)),
            // What was asked is at fault: data, constraints, the statement itself, a limit or the time that it ran into.
            (_, Some("21" | "22" | "23" | "2F" | "42" | "44" | "54" | "P0")) | ("57014", _) => {
                let (first, last) = (range.first(), range.last);
                Err(FoldError::Apply { projection: self.name.to_string(), first, last, source })
            }
            _ => Err(self.database(source)),
        }
    }

    pub(super) fn database(&self, source: sqlx::Error) -> FoldError {
        FoldError::Database { projection: self.name.to_string(), source }
    }
}

/// Every kind and version that this program can read.
static KNOWN: LazyLock<Vec<String>> = LazyLock::new(|| {
    KINDS.iter().flat_map(|&(kind, newest)| (1..=newest).map(move |version| format!("{kind} {version}"))).collect()
});

struct Claim {
    /// Set when the rows were made by another fold than ours.
    apply: Option<String>,
    /// None when that was done before.
    counted: Option<Counted>,
}

#[derive(Clone, Copy)]
struct Counted {
    held: i64,
    unknown: Option<Position>,
}

impl Claim {
    fn read(row: &PgRow, sees: Sees) -> Result<Self, sqlx::Error> {
        let counted = matches!(sees, Sees::OneMoment).then(|| Counted::read(row)).transpose()?;
        Ok(Self { apply: row.try_get("apply")?, counted })
    }
}

impl Counted {
    fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self { held: row.try_get("held")?, unknown: row.try_get::<Option<i64>, _>("unknown")?.map(Position) })
    }
}
