//! Bringing a database up to this program: `migrations/`, then the roles and what they may do.

use std::collections::BTreeMap;

use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};

use super::APP;

/// What a database has of this program's schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    pub applied: Vec<Migration>,
    /// What is still to be applied; empty after a migration.
    pub pending: Vec<Migration>,
    /// Whether privileges keep the application from changing the log. Where not, the triggers alone do.
    pub roles_guard: bool,
}

/// One file of `migrations/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    pub version: i64,
    pub name: String,
}

/// Why a database could not be brought up to this program.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error("migrating needs a connection")]
    Connect(#[source] sqlx::Error),

    #[error(
        "the database has migration {0}, which this program does not know: a newer convoledger made it, so run that"
    )]
    Newer(i64),

    #[error("migration {0} in the database differs from this program's: they do not belong together")]
    Differs(i64),

    #[error(
        "migrations failed and nothing was changed; they need a role that may create tables and schemas here, so give \
         `convoledger migrate` the URL of one"
    )]
    Failed(#[source] sqlx::migrate::MigrateError),

    #[error("{doing} failed")]
    Sql { doing: &'static str, source: sqlx::Error },
}

/// Applies what is pending, as `owner`, in one transaction.
pub(super) async fn run(owner: &PgConnectOptions, app: &PgConnectOptions) -> Result<Migrated, MigrateError> {
    let mut connection = PgConnection::connect_with(owner).await.map_err(MigrateError::Connect)?;
    // A role that cannot migrate may well use a database that is up to date.
    let mut found = read(&mut connection, app).await?;
    let ours = app.get_username() == APP && owner.get_username() != APP;
    if !found.pending.is_empty() || ours && !is_granted(&mut connection).await? {
        apply(&mut connection, ours).await?;
        found = read(&mut connection, app).await?;
    }
    let _ = connection.close().await; // the work is done
    Ok(found)
}

/// Only looks.
pub(super) async fn look(owner: &PgConnectOptions, app: &PgConnectOptions) -> Result<Migrated, MigrateError> {
    let mut connection = PgConnection::connect_with(owner).await.map_err(MigrateError::Connect)?;
    let found = read(&mut connection, app).await?;
    let _ = connection.close().await; // we have what we wanted
    Ok(found)
}

/// `ours` says whether the application's role is one that we make for it.
async fn apply(connection: &mut PgConnection, ours: bool) -> Result<(), MigrateError> {
    let mut transaction = connection.begin().await.map_err(sql("beginning a migration"))?;
    run_sql(&mut transaction, include_str!("sql/lock.sql"), "waiting for another migration").await?;
    // The lock above stands in for the migrator's own, which would live in the session. It begins a transaction for
    // each migration, which here is a savepoint.
    let mut migrator = migrator();
    migrator.set_locking(false);
    migrator.run_direct(None, &mut *transaction, false).await.map_err(|error| match error {
        sqlx::migrate::MigrateError::VersionMissing(version) => MigrateError::Newer(version),
        sqlx::migrate::MigrateError::VersionMismatch(version) => MigrateError::Differs(version),
        error => MigrateError::Failed(error),
    })?;
    run_sql(&mut transaction, include_str!("sql/roles.sql"), "granting roles").await?;
    if ours {
        run_sql(&mut transaction, include_str!("sql/app_settings.sql"), "setting up the application's role").await?;
    }
    transaction.commit().await.map_err(sql("committing a migration"))
}

async fn read(connection: &mut PgConnection, app: &PgConnectOptions) -> Result<Migrated, MigrateError> {
    let migrated = sqlx::query_scalar(include_str!("sql/migrated.sql")).fetch_one(&mut *connection).await;
    let mut checksums = BTreeMap::new();
    if migrated.map_err(sql("looking for migrations"))? {
        let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as(include_str!("sql/applied.sql"))
            .fetch_all(&mut *connection)
            .await
            .map_err(sql("reading which migrations are applied"))?;
        checksums.extend(rows);
    }
    let (mut applied, mut pending) = (Vec::new(), Vec::new());
    for ours in migrator().iter() {
        let migration = Migration { version: ours.version, name: ours.description.to_string() };
        match checksums.remove(&ours.version) {
            None => pending.push(migration),
            Some(checksum) if *checksum == *ours.checksum => applied.push(migration),
            Some(_) => return Err(MigrateError::Differs(ours.version)),
        }
    }
    if let Some(unknown) = checksums.into_keys().next() {
        return Err(MigrateError::Newer(unknown));
    }
    let roles_guard = sqlx::query_scalar(include_str!("sql/guarded.sql"))
        .bind(app.get_username())
        .fetch_one(connection)
        .await
        .map_err(sql("reading what the application's role may do"))?;
    Ok(Migrated { applied, pending, roles_guard })
}

/// Whether the application's role may do its work. A dump that is restored elsewhere brings neither roles nor all grants.
async fn is_granted(connection: &mut PgConnection) -> Result<bool, MigrateError> {
    let granted = sqlx::query_scalar(include_str!("sql/granted.sql")).fetch_one(connection).await;
    granted.map_err(sql("reading what the application's role may do"))
}

fn migrator() -> Migrator {
    sqlx::migrate!()
}

async fn run_sql(
    connection: &mut PgConnection,
    sql_text: &'static str,
    doing: &'static str,
) -> Result<(), MigrateError> {
    sqlx::raw_sql(sql_text).execute(connection).await.map_err(sql(doing))?;
    Ok(())
}

fn sql(doing: &'static str) -> impl FnOnce(sqlx::Error) -> MigrateError {
    move |source| MigrateError::Sql { doing, source }
}
