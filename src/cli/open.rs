//! Opening a ledger, whole or in part, and closing it in the order that loses nothing.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use sqlx::PgPool;

use super::Place;
use crate::clock::Clock;
use crate::config;
use crate::database::{Database, Role};
use crate::log::{Limits, Log, read};
use crate::projection::{BUILT_IN, Closed, Engine, Opener, Projection, own};
use crate::service::{Exports, Receipts, Service, Words};
use crate::vault::{KeyStore, Signing, SigningKeys, Vault};

/// Connections for reading, for appending and for folding. They are apart, so that none starves another.
const READERS: u32 = 8;
const LANE: u32 = 4;
/// Each view that is folded keeps one; these are for making views anew and for telling how they stand.
const PROJECTORS_SPARE: u32 = 3;
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

    pub(super) fn signing(&self) -> anyhow::Result<Signing> {
        Ok(Signing::new(self.keys()?))
    }

    /// What checkpoints call this ledger's log.
    pub(super) async fn checkpoint_origin(&self) -> anyhow::Result<String> {
        let database = self.existing().await?;
        let pool = database.pool(1);
        let identity = read::identity(&pool).await;
        close(&[pool], database).await;
        Ok(identity.context("reading which ledger this is")?.checkpoint_origin())
    }

    /// The keys that this ledger signs checkpoints with. None are made over a ledger that has none yet.
    pub(super) async fn own_keys(&self) -> anyhow::Result<SigningKeys> {
        let origin = self.checkpoint_origin().await?;
        let keys = self.signing()?.keys(&origin, true);
        keys.context("this ledger has signed no checkpoint yet, or its keys are not here")
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

    /// Refuses a data directory that holds no ledger, for a command that only looks.
    pub(super) fn must_exist(&self) -> anyhow::Result<()> {
        if self.is_embedded() {
            let data = self.data()?;
            ensure!(
                data.join("pg").exists() || data.join("owner.lock").exists(),
                "there is no ledger in {} yet: `convoledger serve` or `convoledger import` begins one, and --data names \
                 another place",
                data.display()
            );
        }
        Ok(())
    }

    /// A database that holds a ledger already, for a command that only looks: nothing is made.
    pub(super) async fn existing(&self) -> anyhow::Result<Database> {
        self.must_exist()?;
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
        let views = self.projections()?;
        let database = self.database(role).await?;
        let projectors = PROJECTORS_SPARE + u32::try_from(views.len())?;
        let pools = [READERS, LANE, projectors].map(|connections| database.pool(connections));
        match self.service(&database, &pools, &views).await {
            Ok(service) => Ok(House { service, pools, database }),
            Err(error) => {
                close(&pools, database).await;
                Err(error)
            }
        }
    }

    async fn service(
        &self,
        database: &Database,
        [readers, lane, projectors]: &[PgPool; 3],
        views: &[Projection],
    ) -> anyhow::Result<Service> {
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
        let words: Arc<dyn Opener> = Arc::new(Words::new(log.clone(), vault.clone()));
        let engine = Engine::start(projectors.clone(), views, &log.tail().head(), &words);
        let exports = Exports::kept_in(self.data()?.join("exports"));
        let receipts = Receipts::kept_in(self.data()?.join("receipts")).with_backups(self.backups_days);
        Ok(Service::new(readers.clone(), log, vault, engine, Clock::system())
            .with_receipts(receipts)
            .with_exports(exports))
    }
}

impl Place {
    /// The views of this ledger: those that are built in, and the user's own.
    pub(super) fn projections(&self) -> anyhow::Result<Vec<Projection>> {
        let own = self.projections.as_deref().map(own::read_all).transpose()?;
        Ok(BUILT_IN.iter().cloned().chain(own.into_iter().flatten()).collect())
    }

    /// Those of these names; all when there are none.
    pub(super) fn views(&self, names: &[String]) -> anyhow::Result<Vec<Projection>> {
        let all = self.projections()?;
        if names.is_empty() {
            return Ok(all);
        }
        let named = |name: &String| {
            let found = all.iter().find(|projection| projection.name == **name).cloned();
            found.with_context(|| {
                let names: Vec<_> = all.iter().map(|projection| &*projection.name).collect();
                format!("there is no view `{name}`; there are: {}", names.join(", "))
            })
        };
        names.iter().map(named).collect()
    }

    /// What it takes to make `views` without a server: nothing is folded by itself, and nobody is answered.
    pub(super) async fn workshop(&self, views: &[Projection], workers: usize) -> anyhow::Result<Workshop> {
        let database = self.existing().await?;
        let workers = u32::try_from(workers).unwrap_or(1);
        // Each view that is being made holds one, each strand of it another, and both may ask beside it.
        let pools = [5 * workers, 1, 2 * workers].map(|connections| database.pool(connections));
        let mut workshop = Workshop { pool: pools[0].clone(), opener: Arc::new(Closed), log: None, pools, database };
        if views.iter().any(|view| view.opened)
            && let Err(error) = workshop.open_words(self).await
        {
            workshop.close().await;
            return Err(error);
        }
        Ok(workshop)
    }
}

/// A ledger whose views can be folded.
pub(super) struct Workshop {
    pub pool: PgPool,
    pub opener: Arc<dyn Opener>,
    /// Open when words are needed.
    log: Option<Log>,
    pools: [PgPool; 3],
    database: Database,
}

impl Workshop {
    async fn open_words(&mut self, place: &Place) -> anyhow::Result<()> {
        let [_, lane, readers] = &self.pools;
        let log =
            Log::open(readers.clone(), lane.clone(), Limits::default()).await.context("opening the log failed")?;
        self.log = Some(log.clone());
        let vault = Vault::open(readers.clone(), log.identity().ledger, &place.keys()?).await?;
        self.opener = Arc::new(Words::new(log, vault));
        Ok(())
    }

    pub(super) async fn close(self) {
        if let Some(log) = self.log {
            log.close().await;
        }
        close(&self.pools, self.database).await;
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
