//! Who owns a data directory and who merely uses it, by locks that the kernel drops with the process.
//!
//! - `owner.lock`, exclusive: held by the process whose child Postgres is. It says who that is, and once Postgres is
//!   ready, where its socket lies.
//! - `users.lock`, shared: held by each process that joined. The owner takes it exclusively before it stops Postgres.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use super::{EmbeddedError, Role};

pub(super) struct Lock {
    file: File,
}

impl Lock {
    /// Null when another process holds it.
    pub(super) fn exclusive(path: &Path) -> Result<Option<Self>, EmbeddedError> {
        Self::take(path, FlockOperation::NonBlockingLockExclusive)
    }

    /// Null when another process holds it exclusively.
    pub(super) fn shared(path: &Path) -> Result<Option<Self>, EmbeddedError> {
        Self::take(path, FlockOperation::NonBlockingLockShared)
    }

    fn take(path: &Path, operation: FlockOperation) -> Result<Option<Self>, EmbeddedError> {
        let file = open(path).map_err(EmbeddedError::at("opening", path))?;
        match flock(&file, operation) {
            Ok(()) => Ok(Some(Self { file })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(EmbeddedError::at("locking", path)(error.into())),
        }
    }

    /// Says who holds the lock; others read it with [`Holder::read`].
    pub(super) fn sign(&mut self, role: Role, socket: Option<&Path>) -> io::Result<()> {
        let mut signature = format!("{role} {}", std::process::id());
        if let Some(socket) = socket {
            signature.push(' ');
            signature.push_str(&socket.to_string_lossy());
        }
        signature.push('\n');
        self.clear()?;
        self.file.write_all(signature.as_bytes())
    }

    pub(super) fn clear(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()
    }
}

/// Who holds a lock, as it says itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) role: Role,
    pub(super) process: i32,
    /// Where Postgres listens, once it does.
    pub(super) socket: Option<PathBuf>,
}

impl Holder {
    /// None while it has not signed yet, and for the signature of a dead process.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, EmbeddedError> {
        Ok(Self::last(path)?.filter(|holder| lives(holder.process)))
    }

    /// As [`read`](Self::read), also of a dead process: what is found there is what a killed owner left.
    pub(super) fn last(path: &Path) -> Result<Option<Self>, EmbeddedError> {
        let mut signature = String::new();
        open(path)
            .and_then(|mut file| file.read_to_string(&mut signature))
            .map_err(EmbeddedError::at("reading", path))?;
        Ok(Self::parse(&signature))
    }

    fn parse(signature: &str) -> Option<Self> {
        // Without its end it is still being written.
        let mut words = signature.strip_suffix('\n')?.splitn(3, ' ');
        let role = words.next()?.parse().ok()?;
        Some(Self { role, process: words.next()?.parse().ok()?, socket: words.next().map(PathBuf::from) })
    }
}

/// Whether a process of this id exists, ours or not.
pub(super) fn lives(process: i32) -> bool {
    Pid::from_raw(process).is_some_and(|process| test_kill_process(process) != Err(Errno::SRCH))
}

fn open(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_read_back_and_only_whole() {
        let holder = Holder { role: Role::Serve, process: 12, socket: Some(PathBuf::from("/tmp/a b")) };
        assert_eq!(Holder::parse("serve 12 /tmp/a b\n"), Some(holder));
        assert_eq!(Holder::parse("serve 12 /tmp/a"), None);
        assert_eq!(Holder::parse(""), None);
        let starting = Holder { role: Role::Command, process: 7, socket: None };
        assert_eq!(Holder::parse("command 7\n"), Some(starting));
    }

    #[test]
    fn an_exclusive_lock_keeps_others_out_and_shared_ones_do_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("lock");
        let first = Lock::shared(&path).expect("a file").expect("free");
        let second = Lock::shared(&path).expect("a file").expect("shared");
        assert!(Lock::exclusive(&path).expect("a file").is_none());
        drop((first, second));
        let alone = Lock::exclusive(&path).expect("a file").expect("free");
        assert!(Lock::shared(&path).expect("a file").is_none());
        drop(alone);
    }
}
