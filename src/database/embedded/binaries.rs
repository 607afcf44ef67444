//! Finding Postgres server binaries on this machine.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::EmbeddedError;
use crate::config;

/// The oldest major version that the ledger runs on.
pub(in crate::database) const MAJOR_MIN: u32 = 15;

/// Where packages put server binaries: a directory of versions, and what lies below each.
const HOMES: [(&str, &str); 6] = [
    ("/usr/lib/postgresql", "bin"),
    ("/opt/homebrew/opt", "bin"),
    ("/usr/local/opt", "bin"),
    ("/usr", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "bin"),
    ("/opt/postgresql", "bin"),
];

/// A directory that holds `initdb` and `postgres`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    pub directory: PathBuf,
    /// Their major version.
    pub major: u32,
}

impl Binaries {
    /// The newest binaries, or those of exactly `major`, which an existing cluster needs.
    pub(super) fn find(major: Option<u32>, data: &Path) -> Result<Self, EmbeddedError> {
        let mut found: Vec<Self> = match config::server_binaries() {
            Some(named) => vec![Self::at(&named).ok_or(EmbeddedError::NotBinaries(named))?],
            None => candidates().iter().filter_map(|directory| Self::at(directory)).collect(),
        };
        found.retain(|binaries| binaries.major >= MAJOR_MIN);
        found.sort_by_key(|binaries| binaries.major);
        let Some(newest) = found.last() else { return Err(EmbeddedError::NoBinaries) };
        let Some(major) = major else { return Ok(newest.clone()) };
        let found_major = newest.major;
        let matching = found.into_iter().find(|binaries| binaries.major == major);
        matching.ok_or_else(|| EmbeddedError::OtherMajor { data: data.to_owned(), cluster: major, found: found_major })
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn at(directory: &Path) -> Option<Self> {
        if !directory.join("initdb").exists() {
            return None;
        }
        let said = Command::new(directory.join("postgres")).arg("--version").output().ok()?;
        let major = major(&String::from_utf8_lossy(&said.stdout))?;
        Some(Self { directory: directory.to_owned(), major })
    }
}

fn candidates() -> Vec<PathBuf> {
    let packaged = HOMES.iter().flat_map(|(home, below)| {
        let versions = fs::read_dir(home).into_iter().flatten().flatten();
        versions.filter(|version| names_postgres(&version.file_name())).map(move |version| version.path().join(below))
    });
    config::search_path().into_iter().chain(packaged).collect()
}

fn names_postgres(directory: &OsStr) -> bool {
    let name = directory.to_string_lossy();
    name.starts_with("postgresql") || name.starts_with("pgsql") || name.chars().all(|letter| letter.is_ascii_digit())
}

/// The major version in what `postgres --version` says: `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn major(said: &str) -> Option<u32> {
    said.split_whitespace().nth(2)?.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(major("postgres (PostgreSQL) 19beta1"), Some(19));
        assert_eq!(major("no such thing"), None);
    }
}
