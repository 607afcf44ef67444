//! The use cases: load, decide, seal, append, wait, read. Nothing else appends, and every caller's rights are decided here.

mod account;
mod acknowledged;
mod checkpoint;
mod close;
pub mod compare;
mod epoch;
mod execute;
mod export;
mod forget;
mod graft;
mod import;
mod masking;
mod moment;
mod open;
mod oversight;
mod past;
mod progress;
mod pseudonym;
pub mod publish;
mod read;
mod receipt;
mod recent;
mod renewal;
mod replay;
mod retention;
mod seal;
mod search;
mod skip;
mod snapshot;
mod state;
pub mod stores;
mod thin;
mod totals;
mod transfer;
mod watch;
mod why;

use std::ops::Deref;
use std::sync::Arc;

use sqlx::PgPool;
use tokio::sync::Semaphore;

pub use account::{ChangeError, RegisterError};
pub use checkpoint::{Consistency, Inclusion, SealError};
pub use epoch::EPOCH_S;
pub use execute::{Done, Named, Order, Outcome, Reason};
pub use export::{Asked, ExportError, ExportRow, Exported, Exports, Fetched, Wanted, legend_of};
pub use forget::{ForgetError, Forgotten, Step, Survey};
pub use graft::Run;
pub use import::Imported;
pub use moment::{AsOf, NoMoment};
pub use open::{Opened, Words};
pub use oversight::{EnterError, FOUND_MAX, Overseen};
pub use progress::Progress;
pub use read::{AUDIT, CONVERSATION, Message, USAGE};
pub use receipt::{Part, Receipts};
pub use replay::{PAUSE_MAX, Replay, Speed};
pub use retention::{Kept, Retained};
pub use search::{After, Hit, Hits, Indexed, Search};
pub use skip::SkipError;
pub use snapshot::ConfigureError;
pub use thin::Thinned;
pub use totals::Totals;
pub use transfer::{Transfer, Transferred};
pub use watch::Watched;

use crate::account::Accounts;
use crate::clock::Clock;
use crate::event::{AccountId, OwnerId, RetentionPolicy, Unreadable};
use crate::ledger::retention::KEPT;
use crate::log::{AppendError, Log};
use crate::projection::{Behind, Engine};
use crate::vault::{OpenError, Vault, VaultError};
use acknowledged::Acknowledged;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Actor {
    pub account: AccountId,
}

impl Actor {
    /// Whose part of the ledger this actor reaches: an account's own, until others can be shared with it.
    pub const fn owner(self) -> OwnerId {
        OwnerId(self.account.0)
    }
}

/// Orders under way in this process; one more is told to come back.
const ORDERS_MAX: usize = 4_096;

/// Everything that convoledger does, behind whatever edge asks for it. Cheap to clone.
#[derive(Clone)]
pub struct Service(Arc<Parts>);

/// What a service is made of.
#[derive(Clone)]
pub struct Parts {
    /// For reads.
    pool: PgPool,
    log: Log,
    vault: Vault,
    words: Words,
    recent: recent::Recent,
    past: past::Past,
    accounts: Accounts,
    engine: Arc<Engine>,
    progress: Arc<progress::Watcher>,
    clock: Clock,
    states: state::States,
    policies: snapshot::Policies,
    maskings: masking::Maskings,
    orders: Arc<Semaphore>,
    receipts: Receipts,
    exports: Exports,
    /// Where an account settled nothing.
    retention: Arc<RetentionPolicy>,
    acknowledged: Acknowledged,
}

/// Why something could not be done that was allowed and made sense.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    #[error("more is being asked than this server takes on; try again in {retry_after_s} s")]
    Busy { retry_after_s: u64 },
    #[error(transparent)]
    Behind(#[from] Behind),
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error("the database did not answer")]
    Database(#[from] sqlx::Error),
    #[error("the vault did not answer")]
    Vault(#[from] VaultError),
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error("sealed words do not open under their key")]
    Open(#[from] OpenError),
    #[error(transparent)]
    Moment(#[from] NoMoment),
    #[error("the database has no such time or time zone: {0}")]
    Time(String),
    #[error("{0}")]
    Internal(String),
}

impl Service {
    pub fn new(pool: PgPool, log: Log, vault: Vault, engine: Engine, clock: Clock) -> Self {
        let engine = Arc::new(engine);
        Self(Arc::new(Parts {
            accounts: Accounts::new(pool.clone()),
            pool,
            words: Words::new(log.clone(), vault.clone()),
            recent: recent::Recent::new(recent::BYTES_MAX),
            past: past::Past::new(),
            log,
            vault,
            progress: Arc::new(progress::Watcher::start(Arc::clone(&engine))),
            engine,
            clock,
            states: state::States::new(),
            policies: snapshot::Policies::new(),
            maskings: masking::Maskings::new(),
            orders: Arc::new(Semaphore::new(ORDERS_MAX)),
            receipts: Receipts::default(),
            exports: Exports::default(),
            retention: Arc::new(KEPT),
            acknowledged: Acknowledged::new(),
        }))
    }

    pub fn log(&self) -> &Log {
        &self.log
    }

    pub fn vault(&self) -> &Vault {
        &self.vault
    }
}

impl Deref for Service {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
