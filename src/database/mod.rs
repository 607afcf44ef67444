//! How this process gets to Postgres: one of our own in a data directory, or any that a URL names.
//!
//! Nothing here, nor anything above, keeps state in a session: whatever a transaction needs it sets with `SET LOCAL`,
//! so a transaction pooler may stand between.

mod embedded;
mod migrate;
mod server;
mod silence;

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, Executor as _, PgConnection, PgPool};

pub use embedded::{Binaries, Embedded, EmbeddedError, Role};
pub use migrate::{MigrateError, Migrated, Migration};
pub use server::{DatabaseError, Version};
pub use silence::{silence, within};

/// The role of the running application in an embedded cluster: it may append to the log, not change it.
pub const APP: &str = "convoledger_app";
/// How long a caller waits for a connection of a full pool.
const ACQUIRE_WITHIN: Duration = Duration::from_secs(10);
/// How long an idle connection may take to answer the least there is to ask, before it is closed as dead.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);
/// How long a connection that answered is taken to answer still: asking takes as long as many a statement, and under load no
/// connection rests for long.
const TRUSTED_FOR: Duration = Duration::from_millis(20);

/// A reachable database of a supported version, and the roles to use it as. Cheap to clone; a server of our own is
/// left when the last clone is closed or dropped.
#[derive(Clone)]
pub struct Database {
    /// As whom to migrate.
    owner: PgConnectOptions,
    /// As whom to do everything else.
    app: PgConnectOptions,
    version: Version,
    embedded: Option<Arc<Embedded>>,
}

impl Database {
    /// The embedded Postgres of `data`: started, or joined when another process runs it.
    pub async fn embedded(data: &Path, role: Role) -> Result<Self, DatabaseError> {
        let data = data.to_owned();
        let opened = tokio::task::spawn_blocking(move || Embedded::open(&data, role)).await;
        let embedded = opened.map_err(DatabaseError::Interrupted)??;
        let database = Self::new(embedded.options(), embedded.options_as(APP)).await?;
        Ok(Self { embedded: Some(Arc::new(embedded)), ..database })
    }

    /// The Postgres that `url` names, as the one role it names. TLS is as its `sslmode` says; without one it is
    /// required, except on this machine.
    pub async fn at(url: &str) -> Result<Self, DatabaseError> {
        let options = server::options(url)?;
        Self::new(options.clone(), options).await
    }

    /// A database that `owner` may migrate and `app` may use.
    pub async fn new(owner: PgConnectOptions, app: PgConnectOptions) -> Result<Self, DatabaseError> {
        // A pooler refuses this setting when a session begins, and we read no floating-point numbers.
        let [owner, app] = [owner, app].map(|options| options.application_name("convoledger").extra_float_digits(None));
        let version = server::version(&owner).await?;
        Ok(Self { owner, app, version, embedded: None })
    }

    /// A pool of at most `max` connections, which are made when they are needed. To be called within a runtime.
    pub fn pool(&self, max: u32) -> PgPool {
        pool_options(max).connect_lazy_with(self.app.clone())
    }

    /// Brings the schema up to this program's, and the roles with it. Safe to call from many processes at once.
    pub async fn migrate(&self) -> Result<Migrated, MigrateError> {
        migrate::run(&self.owner, &self.app).await
    }

    /// What [`migrate`](Self::migrate) would find. Changes nothing.
    pub async fn migrations(&self) -> Result<Migrated, MigrateError> {
        migrate::look(&self.owner, &self.app).await
    }

    /// One connection as the owner of the tables.
    pub async fn connect_as_owner(&self) -> Result<PgConnection, sqlx::Error> {
        PgConnection::connect_with(&self.owner).await
    }

    /// How the owner of the tables gets there.
    pub const fn owner_options(&self) -> &PgConnectOptions {
        &self.owner
    }

    pub const fn version(&self) -> &Version {
        &self.version
    }

    /// The server of our own, if it is one.
    pub fn server(&self) -> Option<&Embedded> {
        self.embedded.as_deref()
    }

    /// Leaves a server of our own, which takes as long as others use it (seconds); close all pools first.
    pub async fn close(self) {
        if let Some(embedded) = self.embedded.and_then(Arc::into_inner) {
            // If the runtime is ending, the drop of what was to be moved has stopped the server.
            let _ = tokio::task::spawn_blocking(move || embedded.stop()).await;
        }
    }
}

/// What every pool has. A connection comes back to it outside any transaction, or not at all.
///
/// In sqlx 0.9.0 a `begin()` that is dropped while it waits leaves the session in a transaction that nothing ends: the
/// next borrower's writes are acknowledged and lost (transact-rs/sqlx issue 4393). So every returned connection is
/// rolled back. The `BEGIN` spares the server a warning whenever there is nothing to roll back. In an aborted
/// transaction it fails, and the connection is closed; in order, by `false`, for over TLS the hard close that an error
/// asks for waits for ever, and with it whoever needs the place in the pool. To be removed when
/// `tests/it/database/pool.rs` says so.
///
/// Both looks at a connection are bounded: sqlx's own would wait on a silent one for ever, and hold its place.
fn pool_options(max: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(max)
        .acquire_timeout(ACQUIRE_WITHIN)
        .test_before_acquire(false)
        .before_acquire(|connection, known| {
            let answered_just_now = known.idle_for < TRUSTED_FOR;
            Box::pin(async move { Ok(answered_just_now || answers(connection.ping()).await?) })
        })
        .after_release(|connection, _| Box::pin(answers(connection.execute("BEGIN; ROLLBACK"))))
}

async fn answers<T>(asked: impl Future<Output = Result<T, sqlx::Error>>) -> Result<bool, sqlx::Error> {
    Ok(within(ANSWERS_WITHIN, asked).await.is_ok())
}
