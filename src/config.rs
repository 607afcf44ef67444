//! The one place that reads the environment. Everything else is told what it needs to know.
#![allow(clippy::disallowed_methods)] // this is the one reader

use std::env;
use std::path::PathBuf;

use zeroize::Zeroizing;

/// The directory of Postgres server binaries that `CONVOLEDGER_PG_BIN` names: no other is then considered.
pub fn server_binaries() -> Option<PathBuf> {
    path("CONVOLEDGER_PG_BIN")
}

/// The root key that `CONVOLEDGER_ROOT_KEY` holds, as it was written there. Without it the key is a file.
pub fn root_key() -> Option<Zeroizing<String>> {
    env::var("CONVOLEDGER_ROOT_KEY").ok().filter(|key| !key.is_empty()).map(Zeroizing::new)
}

/// How buckets are reached. It shows nothing of itself, for it holds secrets.
pub struct Aws {
    /// Where another server than Amazon's is.
    pub endpoint: Option<String>,
    pub region: Option<String>,
    pub access_key: Option<String>,
    pub secret_key: Option<Zeroizing<String>>,
    /// Comes with keys that expire.
    pub session_token: Option<Zeroizing<String>>,
}

/// What the variables say that all AWS tools read. An empty one counts as none.
pub fn aws() -> Aws {
    let told = |name: &str| env::var(name).ok().filter(|value| !value.trim().is_empty());
    Aws {
        endpoint: told("AWS_ENDPOINT_URL_S3").or_else(|| told("AWS_ENDPOINT_URL")),
        region: told("AWS_REGION").or_else(|| told("AWS_DEFAULT_REGION")),
        access_key: told("AWS_ACCESS_KEY_ID"),
        secret_key: told("AWS_SECRET_ACCESS_KEY").map(Zeroizing::new),
        session_token: told("AWS_SESSION_TOKEN").map(Zeroizing::new),
    }
}

/// Where the ledger lives unless told otherwise: `/var/lib/convoledger` for root (accounts that run Postgres cannot
/// enter root's home), else in the user's own data directory. None when the account has no home.
pub fn data_directory() -> Option<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Some(PathBuf::from("/var/lib/convoledger"));
    }
    let shared = path("XDG_DATA_HOME").or_else(|| Some(path("HOME")?.join(".local/share")));
    Some(shared?.join("convoledger"))
}

/// What `RUST_LOG` says is to be logged.
pub fn log_filter() -> Option<String> {
    env::var("RUST_LOG").ok().filter(|filter| !filter.is_empty())
}

/// The directories in which programs are looked for.
pub fn search_path() -> Vec<PathBuf> {
    env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default()
}

/// Where short-lived files go.
pub fn temporary_directory() -> PathBuf {
    env::temp_dir()
}

/// An absolute path from a variable; a relative or an empty one counts as none, as the XDG specification has it.
fn path(name: &str) -> Option<PathBuf> {
    env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}
