//! Opening a ledger, whole or in part, and closing it in the order that loses nothing.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use sqlx::PgPool;

use super::Place;
use crate::clock::Clock;
use crate::config;
use crate::database::{Database, Role};
use crate::log::{Limits, Log};
use crate::projection::{BUILT_IN, Engine};
use crate::service::Service;
use crate::vault::{KeyStore, Vault};

/// Connections for reading, for appending and for folding. They are apart, so that none starves another.
const READERS: u32 = 8;
const LANE: u32 = 4;
const PROJECTORS: u32 = 4;
/// How long a pool may take to get its connections back.
const POOL_CLOSES_WITHIN: Duration = Duration::from_secs(5);

impl Place {
    /// The data directory, whether or not it is there.
    pub(super) fn data(&self) -> anyhow::Result<PathBuf> {
        let data = self.data.clone().or_else(config::data_directory);
        data.context("this account has no home directory: say where the data shall lie with --data DIR")
    }

    pub(super) fn keys_directory(&self) -> anyhow::Result<PathBuf> {
        match &self.keys {
            Some(keys) => Ok(keys.clone()),
            None => Ok(self.data()?.join("keys")),
        }
    }

    pub(super) fn keys(&self) -> anyhow::Result<KeyStore> {
        let root = config::root_key();
        let root = root.as_ref().map(|root| root.as_str());
        KeyStore::new(self.keys_directory()?, root).context("CONVOLEDGER_ROOT_KEY cannot be used")
    }

    pub(super) const fn is_embedded(&self) -> bool {
        self.database_url.is_none()
    }

    /// The database, started if need be, with whatever schema it has.
    pub(super) async fn database(&self, role: Role) -> anyhow::Result<Database> {
        Ok(match &self.database_url {
            Some(url) => Database::at(url).await?,
            None => Database::embedded(&self.data()?, role).await?,
        })
    }

    /// A database that holds a ledger already, for a command that only looks: nothing is made.
    pub(super) async fn existing(&self) -> anyhow::Result<Database> {
        if self.is_embedded() {
            let data = self.data()?;
            ensure!(
                data.join("pg").exists() || data.join("owner.lock").exists(),
                "there is no ledger in {} yet: `convoledger serve` or `convoledger import` begins one, and --data names \
                 another place",
                data.display()
            );
        }
        let database = self.database(Role::Command).await?;
        let found = database.migrations().await;
        match found.context("reading which migrations are applied") {
            Ok(found) if found.pending.is_empty() => Ok(database),
            Ok(_) => {
                database.close().await;
                bail!("the database has not all of this program's schema: run `convoledger migrate`")
            }
            Err(error) => {
                database.close().await;
                Err(error)
            }
        }
    }

    /// Everything, ready for use.
    pub(super) async fn open(&self, role: Role) -> anyhow::Result<House> {
        if !self.is_embedded() && self.keys.is_none() {
            make_data(&self.data()?)?; // an embedded Postgres makes it itself
        }
        let database = self.database(role).await?;
        let pools = [READERS, LANE, PROJECTORS].map(|connections| database.pool(connections));
        match self.service(&database, &pools).await {
            Ok(service) => Ok(House { service, pools, database }),
            Err(error) => {
                close(&pools, database).await;
                Err(error)
            }
        }
    }

    async fn service(&self, database: &Database, [readers, lane, projectors]: &[PgPool; 3]) -> anyhow::Result<Service> {
        database.migrate().await?;
        let log =
            Log::open(readers.clone(), lane.clone(), Limits::default()).await.context("opening the log failed")?;
        let vault = match Vault::open(readers.clone(), log.identity().ledger, &self.keys()?).await {
            Ok(vault) => vault,
            Err(error) => {
                log.close().await;
                return Err(error.into());
            }
        };
        let engine = Engine::start(projectors.clone(), BUILT_IN, &log.tail().head());
        Ok(Service::new(readers.clone(), log, vault, engine, Clock::system()))
    }
}

/// An open ledger.
pub(super) struct House {
    pub service: Service,
    pools: [PgPool; 3],
    database: Database,
}

impl House {
    /// Writes what was taken in, ends the folds, gives the connections back and leaves the database.
    pub(super) async fn close(self) {
        self.service.close().await;
        close(&self.pools, self.database).await;
    }
}

async fn close(pools: &[PgPool], database: Database) {
    for pool in pools {
        if tokio::time::timeout(POOL_CLOSES_WITHIN, pool.close()).await.is_err() {
            tracing::warn!("the database is left although a connection is in use");
        }
    }
    database.close().await;
}

/// Others may pass through the data directory (the account that runs Postgres must), and not look.
fn make_data(data: &Path) -> anyhow::Result<()> {
    let making = || format!("{} cannot be made", data.display());
    if let Some(above) = data.parent() {
        fs::create_dir_all(above).with_context(making)?;
    }
    match DirBuilder::new().mode(0o711).create(data) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error).with_context(making),
        _ => Ok(()),
    }
}
