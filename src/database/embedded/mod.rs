//! A Postgres of our own: real server binaries, run as a child process on a private socket.
//!
//! The first process that opens a data directory owns it: it starts the server, and stops it when it ends. Others join
//! the running server, and the owner waits a while for them before it stops it. All calls here block.

mod account;
mod binaries;
mod cluster;
mod error;
mod leftover;
mod lock;
mod server;

use std::fmt;
use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::thread;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgSslMode};

pub use binaries::Binaries;
pub use error::EmbeddedError;

pub(super) use binaries::MAJOR_MIN;

use self::account::Account;
use self::lock::{Holder, Lock};
use self::server::{Launch, Server};
use crate::clock::Clock;
use crate::{config, random};

/// The cluster's superuser, who owns the ledger's tables.
const SUPERUSER: &str = "convoledger";
/// The database that holds the ledger.
const DATABASE: &str = "convoledger";
/// How often a process that waits for another looks again.
const GLANCE: Duration = Duration::from_millis(20);
/// How long one that joins waits for the owner's server. Making a cluster takes a second, recovery may take minutes.
const READY_WITHIN: Duration = Duration::from_mins(5);

/// What a process opens the data directory for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It stays, and should own the server: it waits for a command that owns it to end.
    Serve,
    /// It goes when its work is done.
    Command,
}

impl Role {
    /// How long an owner of this role waits at its end for those who joined.
    const fn patience(self) -> Duration {
        match self {
            // Whoever stops a service gives it seconds, not minutes.
            Self::Serve => Duration::from_secs(10),
            Self::Command => Duration::from_mins(1),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Serve => "serve",
            Self::Command => "command",
        })
    }
}

impl FromStr for Role {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        match name {
            "serve" => Ok(Self::Serve),
            "command" => Ok(Self::Command),
            _ => Err(()),
        }
    }
}

/// The Postgres of a data directory, owned or joined. It is left, and stopped if owned, by [`stop`](Self::stop) or on
/// drop, which both block.
pub struct Embedded {
    data: PathBuf,
    socket: PathBuf,
    major: u32,
    hold: Hold,
}

enum Hold {
    Owned { role: Role, server: Server, owner: Lock },
    Joined { _users: Lock },
    Left,
}

impl Embedded {
    /// Opens the Postgres of `data`, which is made when it is missing. Returns when it answers.
    pub fn open(data: &Path, role: Role) -> Result<Self, EmbeddedError> {
        Self::open_with(data, role, &[])
    }

    /// As [`open`](Self::open), with settings of the server (`name`, `value`) beyond ours. One that joins has no say.
    pub fn open_with(data: &Path, role: Role, settings: &[(&str, &str)]) -> Result<Self, EmbeddedError> {
        let data = directory(data)?;
        let began = Clock::instant();
        let mut told = false;
        loop {
            if let Some(owner) = Lock::exclusive(&data.join("owner.lock"))? {
                return Self::own(data, role, owner, settings);
            }
            match Holder::read(&data.join("owner.lock"))? {
                Some(holder) if role == Role::Serve && holder.role == Role::Command => once(&mut told, || {
                    let process = holder.process;
                    tracing::info!(process, data = %data.display(), "waiting for a command on the same data to end");
                }),
                Some(Holder { socket: Some(_), .. }) => {
                    if let Some(joined) = Self::join(&data)? {
                        return Ok(joined);
                    }
                }
                _ if began.elapsed() > READY_WITHIN => {
                    return Err(EmbeddedError::NeverReady { data, waited_s: READY_WITHIN.as_secs() });
                }
                _ => {}
            }
            thread::sleep(GLANCE);
        }
    }

    /// The server binaries that `data` would be opened with.
    pub fn binaries(data: &Path) -> Result<Binaries, EmbeddedError> {
        Binaries::find(cluster::major(data)?, data)
    }

    /// How to connect as the superuser, who owns the ledger's tables.
    pub fn options(&self) -> PgConnectOptions {
        self.options_as(SUPERUSER)
    }

    /// How to connect as a role of the cluster.
    pub fn options_as(&self, role: &str) -> PgConnectOptions {
        let options = PgConnectOptions::new_without_pgpass().ssl_mode(PgSslMode::Disable);
        options.socket(&self.socket).port(5432).username(role).database(DATABASE)
    }

    /// The directory of the server's socket: `psql -h` takes it.
    pub fn socket_dir(&self) -> &Path {
        &self.socket
    }

    /// The server's major version.
    pub const fn version(&self) -> u32 {
        self.major
    }

    /// Whether this process started the server and will stop it.
    pub const fn owns(&self) -> bool {
        matches!(self.hold, Hold::Owned { .. })
    }

    /// Leaves the server; its owner first waits for those who joined, then stops it.
    pub fn stop(mut self) {
        self.leave();
    }

    fn own(data: PathBuf, role: Role, mut owner: Lock, settings: &[(&str, &str)]) -> Result<Self, EmbeddedError> {
        let earlier = Holder::last(&data.join("owner.lock"))?.and_then(|holder| holder.socket);
        let sign = EmbeddedError::at("writing", data.join("owner.lock"));
        owner.sign(role, None).map_err(sign)?;
        let account = Account::choose()?;
        let made = cluster::major(&data)?;
        let binaries = Binaries::find(made, &data)?;
        account.reach(&data)?;
        account.reach(&binaries.directory)?;
        if made.is_none() {
            tracing::info!(data = %data.display(), postgres = binaries.major, "making a Postgres cluster");
            cluster::make(&data, &account, &binaries, !settings.contains(&("fsync", "off")))?;
        }
        let (major, cluster, log) = (binaries.major, cluster::path(&data), data.join("postgres.log"));
        let socket = socket_directory(&account)?;
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let launch = Launch { binaries, account, cluster, socket: socket.clone(), log, settings };
        let server = Server::start(launch).inspect_err(|_| remove(&socket))?;
        if let Some(earlier) = earlier {
            remove(&earlier); // of an owner that was killed
        }
        let embedded = Self { hold: Hold::Owned { role, server, owner }, data, socket, major };
        embedded.announce()
    }

    /// Tells others where the server listens.
    fn announce(mut self) -> Result<Self, EmbeddedError> {
        if let Hold::Owned { role, owner, .. } = &mut self.hold {
            let sign = EmbeddedError::at("writing", self.data.join("owner.lock"));
            owner.sign(*role, Some(&self.socket)).map_err(sign)?;
        }
        Ok(self)
    }

    /// None when the owner is about to stop the server, or is gone.
    fn join(data: &Path) -> Result<Option<Self>, EmbeddedError> {
        let Some(users) = Lock::shared(&data.join("users.lock"))? else { return Ok(None) };
        // Read again: from here on an owner waits for us, but before it may have changed.
        let Some(Holder { socket: Some(socket), .. }) = Holder::read(&data.join("owner.lock"))? else {
            return Ok(None);
        };
        let Some(major) = cluster::major(data)? else { return Ok(None) };
        Ok(Some(Self { data: data.to_owned(), socket, major, hold: Hold::Joined { _users: users } }))
    }

    fn leave(&mut self) {
        let Hold::Owned { role, mut server, mut owner } = std::mem::replace(&mut self.hold, Hold::Left) else {
            return;
        };
        let users = self.wait_for_users(role);
        // Whoever comes now waits for the next owner.
        if let Err(error) = owner.sign(role, None) {
            tracing::warn!(%error, "owner.lock could not be written");
        }
        server.stop();
        remove(&self.socket);
        if let Err(error) = owner.clear() {
            tracing::warn!(%error, "owner.lock could not be cleared");
        }
        drop((owner, users));
    }

    fn wait_for_users(&self, role: Role) -> Option<Lock> {
        let began = Clock::instant();
        let mut told = false;
        loop {
            match Lock::exclusive(&self.data.join("users.lock")) {
                Ok(Some(alone)) => return Some(alone),
                Ok(None) if began.elapsed() < role.patience() => {
                    once(&mut told, || tracing::info!("waiting for other commands on the same data to end"));
                    thread::sleep(GLANCE);
                }
                Ok(None) => {
                    tracing::warn!("stopping Postgres although other commands use it");
                    return None;
                }
                Err(error) => {
                    tracing::warn!(%error, "users.lock could not be read");
                    return None;
                }
            }
        }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The data directory as the kernel names it. Made when missing: others may pass through, not look.
fn directory(data: &Path) -> Result<PathBuf, EmbeddedError> {
    if !data.exists() {
        if let Some(above) = data.parent() {
            fs::create_dir_all(above).map_err(EmbeddedError::at("creating", above))?;
        }
        match DirBuilder::new().mode(0o711).create(data) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {} // another process was quicker
            made => made
                .and_then(|()| fs::set_permissions(data, fs::Permissions::from_mode(0o711))) // whatever the umask
                .map_err(EmbeddedError::at("creating", data))?,
        }
    }
    data.canonicalize().map_err(EmbeddedError::at("finding", data))
}

/// A fresh directory for the socket, closed to all but the account that runs Postgres. A socket's path is limited to
/// about a hundred bytes, which is why it does not lie with the data.
fn socket_directory(account: &Account) -> Result<PathBuf, EmbeddedError> {
    let places = [config::temporary_directory(), PathBuf::from("/tmp")];
    let place = places.iter().find(|place| account.reach(place).is_ok()).unwrap_or(&places[0]);
    let socket = place.join(format!("convoledger-{}", hex::encode(random::bytes::<6>())));
    let failed = |error| EmbeddedError::at("creating", &socket)(error);
    DirBuilder::new().mode(0o700).create(&socket).map_err(failed)?;
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o700)).map_err(failed)?;
    account.own(&socket)?;
    Ok(socket)
}

/// Says what has not been said yet.
fn once(told: &mut bool, tell: impl FnOnce()) {
    if !std::mem::replace(told, true) {
        tell();
    }
}

fn remove(socket: &Path) {
    if let Err(error) = fs::remove_dir_all(socket) {
        tracing::debug!(%error, socket = %socket.display(), "the socket's directory could not be removed");
    }
}
