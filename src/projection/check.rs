//! Whether a projection that is not built in does nothing but fold.
//!
//! A fold must come to the same rows whenever and wherever it runs, and touch nothing but them. So the tables are made of
//! a few kinds of statements only; the fold is one statement that Postgres itself parses, into a function that is never
//! kept, and what that function's tree names is looked at: every table it reads or writes, every function it calls. The
//! role under which it runs ([`VIEW_ROLE`]) is the second line, which nobody should reach.

use sqlparser::ast::Statement;
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;
use sqlx::postgres::PgTypeInfo;
use sqlx::{AssertSqlSafe, Executor as _, PgConnection, PgPool, Row as _, SqlSafeStr as _, Type as _};

use super::table::{Indexes, Sees, drop_schema, enter};
use super::{FoldError, Opener, Projection, Range, rows};
use crate::event::Position;

/// May read `event` and write the tables of projections that are not built in.
pub(super) const VIEW_ROLE: &str = "convoledger_view";

/// What a trial found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// The events that were folded: the first ones of the log.
    pub events: i64,
    /// How the rows of another division differ from those of all events at once, if they do.
    pub differs: Option<(&'static str, Vec<rows::Difference>)>,
}

/// Which range comes nth.
type Ranges = fn(i64) -> i64;

/// Small and large ranges by turns, and every event alone.
const DIVISIONS: [(&str, Ranges); 2] =
    [("in ranges of 1 to 97 events", |nth| nth * 31 % 97 + 1), ("one event at a time", |_| 1)];

impl Projection {
    /// Finds out whether it may be used. Nothing is kept.
    ///
    /// # Errors
    /// [`FoldError::Unfit`], which says what is wrong in which file.
    pub async fn check(&self, pool: &PgPool) -> Result<(), FoldError> {
        self.only_makes_tables("schema.sql", &self.schema)?;
        self.only_makes_tables("index.sql", &self.index)?;
        let database = |source| self.database(source);
        let mut transaction = pool.begin().await.map_err(database)?;
        let can = sqlx::query_scalar(include_str!("sql/view_role.sql")).fetch_one(&mut *transaction).await;
        if !can.map_err(database)? {
            return Err(self.unfit(
                "manifest.json",
                format!(
                    "views of one's own are folded under the role `{VIEW_ROLE}`, which is not there or not ours to take \
                     on: run `convoledger migrate` as a role that may create roles"
                ),
            ));
        }
        let schema = format!("{}_check", self.name);
        let lock = sqlx::query(include_str!("sql/lock.sql")).bind(&schema).execute(&mut *transaction).await;
        lock.map_err(database)?;
        let checked = self.check_in(&schema, &mut transaction).await;
        // The answer is known already; a rollback that fails only loses the connection.
        let _ = transaction.rollback().await;
        checked
    }

    async fn check_in(&self, schema: &str, connection: &mut PgConnection) -> Result<(), FoldError> {
        let database = |source| self.database(source);
        self.make_tables(schema, connection).await?;
        self.make_indexes(schema, connection).await?;
        enter(schema, connection).await.map_err(database)?;
        // Alone, before it is put between BEGIN and END: what is two statements there is refused here.
        let apply = self.apply.trim().trim_end_matches(';');
        let parameters = self.parameters().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let body = format!(
            "CREATE FUNCTION {schema}.fold({parameters}) RETURNS void LANGUAGE sql BEGIN ATOMIC {apply}\n; END"
        );
        let alone = AssertSqlSafe(apply.to_owned()).into_sql_str();
        if let Err(source) = (&mut *connection).prepare_with(alone, &self.parameters()).await {
            return Err(self.unfit("apply.sql", source.to_string()));
        }
        if let Err(source) = sqlx::query(AssertSqlSafe(body)).execute(&mut *connection).await {
            return Err(self.unfit("apply.sql", source.to_string()));
        }
        let faults = sqlx::query(include_str!("sql/faults.sql")).bind(schema).fetch_all(&mut *connection).await;
        if let Some(fault) = faults.map_err(database)?.first() {
            let (file, what) = (fault.try_get(0).map_err(database)?, fault.try_get(1).map_err(database)?);
            return Err(self.unfit(file, what));
        }
        // On no events at all, to see whether its role lets it.
        let nothing = Range::of_facts(Position(0), Position(0));
        match self.apply_as(&self.apply, connection, &nothing).await {
            Ok(()) => Ok(()),
            Err(source) => Err(self.unfit("apply.sql", source.to_string())),
        }
    }

    /// The types of $1, $2 and so on.
    fn parameters(&self) -> Vec<PgTypeInfo> {
        let said = [Vec::<i64>::type_info(), Vec::<i16>::type_info(), Vec::<String>::type_info()];
        let range = [i64::type_info(), i64::type_info()];
        range.into_iter().chain(said.into_iter().filter(|_| self.opened)).collect()
    }

    /// Folds the first `events` events of the log in three divisions, beside whatever is live, and compares.
    pub async fn trial(&self, pool: &PgPool, opener: &dyn Opener, events: i64) -> Result<Trial, FoldError> {
        let [one, other] = ["trial", "other_trial"].map(|end| format!("{}_{end}", self.name));
        let tried = self.try_in([&one, &other], pool, opener, events).await;
        for schema in [&one, &other] {
            let dropped = async { drop_schema(schema, &mut *pool.acquire().await?).await };
            dropped.await.map_err(|source| self.database(source))?;
        }
        tried
    }

    async fn try_in(
        &self,
        [one, other]: [&str; 2],
        pool: &PgPool,
        opener: &dyn Opener,
        events: i64,
    ) -> Result<Trial, FoldError> {
        let database = |source| self.database(source);
        let head: i64 = sqlx::query_scalar(include_str!("sql/head.sql")).fetch_one(pool).await.map_err(database)?;
        let last = Position(events.min(head));
        self.divide(one, pool, opener, last, |_| i64::MAX).await?;
        for (name, range) in DIVISIONS {
            self.divide(other, pool, opener, last, range).await?;
            let mut connection = pool.acquire().await.map_err(database)?;
            let differences = rows::differences(one, other, None, &mut connection).await.map_err(database)?;
            if !differences.is_empty() {
                return Ok(Trial { events: last.0, differs: Some((name, differences)) });
            }
        }
        Ok(Trial { events: last.0, differs: None })
    }

    /// Folds the events up to `last` anew, the nth time so many as `range` says.
    async fn divide(
        &self,
        schema: &str,
        pool: &PgPool,
        opener: &dyn Opener,
        last: Position,
        range: Ranges,
    ) -> Result<(), FoldError> {
        let dropped = async { drop_schema(schema, &mut *pool.acquire().await?).await };
        dropped.await.map_err(|source| self.database(source))?;
        self.create_in(schema, Indexes::Now, pool).await?;
        let mut connection = pool.acquire().await.map_err(|source| self.database(source))?;
        let (mut position, mut nth) = (Position(0), 0);
        while position < last {
            let to = Position(last.0.min(position.0.saturating_add(range(nth))));
            let range = self.range(opener, position, to).await?;
            self.fold_in(schema, Sees::OneMoment, &mut connection, &range).await?;
            (position, nth) = (to, nth + 1);
        }
        Ok(())
    }

    fn only_makes_tables(&self, file: &str, text: &str) -> Result<(), FoldError> {
        let statements =
            Parser::parse_sql(&PostgreSqlDialect {}, text).map_err(|error| self.unfit(file, error.to_string()))?;
        for statement in statements {
            let fits = match &statement {
                Statement::CreateTable(table) => table.query.is_none() && !table.temporary,
                Statement::CreateIndex(index) => !index.concurrently,
                Statement::CreateType { .. } | Statement::CreateDomain(_) => true,
                _ => false,
            };
            if !fits {
                let text: String = statement.to_string().chars().take(80).collect();
                return Err(self.unfit(
                    file,
                    format!("`{text}` is no CREATE TABLE (without AS), CREATE INDEX, CREATE TYPE or CREATE DOMAIN"),
                ));
            }
        }
        Ok(())
    }

    pub(super) fn unfit(&self, file: &str, what: String) -> FoldError {
        FoldError::Unfit { projection: self.name.to_string(), file: file.to_owned(), what }
    }
}
