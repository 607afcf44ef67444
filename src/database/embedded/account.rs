//! The account that Postgres runs as. It refuses root, so started by root it runs as one that may do nothing else.

use std::fs::{self, Metadata};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::EmbeddedError;

/// Who takes the server over when root starts it, in this order.
const STAND_INS: [&str; 2] = ["postgres", "nobody"];

#[derive(Debug, Clone)]
pub(super) struct Account {
    /// Its name and ids when it is not our own.
    other: Option<(String, u32, u32)>,
}

impl Account {
    pub(super) fn choose() -> Result<Self, EmbeddedError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self { other: None });
        }
        let accounts = fs::read_to_string("/etc/passwd").map_err(EmbeddedError::at("reading", "/etc/passwd"))?;
        let stand_in = STAND_INS.iter().find_map(|name| entry(&accounts, name));
        Ok(Self { other: Some(stand_in.ok_or(EmbeddedError::NoAccount)?) })
    }

    /// A command that this account runs, in a clean environment.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C.UTF-8");
        command.current_dir("/").stdin(Stdio::null());
        if let Some((_, uid, gid)) = &self.other {
            command.uid(*uid).gid(*gid); // which also clears the supplementary groups
        }
        command
    }

    /// Gives `path` to the account.
    pub(super) fn own(&self, path: &Path) -> Result<(), EmbeddedError> {
        match &self.other {
            None => Ok(()),
            Some((_, uid, gid)) => chown(path, Some(*uid), Some(*gid)).map_err(EmbeddedError::at("giving away", path)),
        }
    }

    /// Says which directory above keeps the account from `path`, if any does.
    pub(super) fn reach(&self, path: &Path) -> Result<(), EmbeddedError> {
        let Some((name, uid, gid)) = &self.other else { return Ok(()) };
        let closed = |above: &&Path| fs::metadata(above).is_ok_and(|found| !enters(&found, *uid, *gid));
        match path.ancestors().filter(closed).last() {
            None => Ok(()),
            Some(closed) => Err(EmbeddedError::Unreachable {
                path: path.to_owned(),
                account: name.clone(),
                closed: PathBuf::from(closed),
            }),
        }
    }
}

/// Name, user and group id from a line of `/etc/passwd`.
fn entry(accounts: &str, name: &str) -> Option<(String, u32, u32)> {
    let fields = accounts.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let found = fields.into_iter().find(|fields| fields.first() == Some(&name))?;
    Some((name.to_owned(), found.get(2)?.parse().ok()?, found.get(3)?.parse().ok()?))
}

fn enters(directory: &Metadata, uid: u32, gid: u32) -> bool {
    let execute = match (directory.uid() == uid, directory.gid() == gid) {
        (true, _) => 0o100,
        (_, true) => 0o010,
        _ => 0o001,
    };
    !directory.is_dir() || directory.mode() & execute != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let accounts = "root:x:0:0::/root:/bin/sh\npostgresql:x:7:8::/:/bin/sh\npostgres:x:101:104::/:/bin/sh\n";
        assert_eq!(entry(accounts, "postgres"), Some(("postgres".to_owned(), 101, 104)));
        assert_eq!(entry(accounts, "nobody"), None);
    }

    #[test]
    fn the_outermost_closed_directory_is_named() {
        use std::os::unix::fs::PermissionsExt as _;
        let top = tempfile::tempdir().expect("a directory");
        let (closed, inner) = (top.path().join("closed"), top.path().join("closed/inner"));
        fs::create_dir_all(&inner).expect("directories");
        fs::set_permissions(top.path(), fs::Permissions::from_mode(0o711)).expect("a mode");
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).expect("a mode");
        let nobody = Account { other: Some(("nobody".to_owned(), 65_534, 65_534)) };
        let refused = nobody.reach(&inner).expect_err("it cannot enter");
        assert!(matches!(refused, EmbeddedError::Unreachable { closed: named, .. } if named == closed));
        assert!(nobody.reach(top.path()).is_ok());
    }
}
