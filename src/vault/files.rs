//! The directory of key files: read by their owner alone, written whole or not at all, by one process at a time.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use zeroize::Zeroizing;

use super::KeyringError;
use crate::random;

/// Taken for as long as files are looked at or made, so that servers that start at once make one set of keys, and none
/// reads half of a rotation. It holds nothing.
const LOCK: &str = "lock";

/// More than any key file holds.
const FILE_MAX: usize = 4096;

/// What a file is called that is being destroyed: no key file any more, whatever is left of it.
const DEAD: &str = ".dead";

/// The directory, locked against other processes until this is dropped.
pub(super) struct KeyDir {
    path: PathBuf,
    _lock: File,
}

impl KeyDir {
    /// Waits for the lock of the directory. A directory that is not there is made if `make` allows it.
    pub(super) fn lock(path: &Path, make: bool) -> Result<Self, KeyringError> {
        if make && !path.exists() {
            make_dir(path).map_err(|source| failed("make", path, source))?;
        }
        let mode = match fs::metadata(path) {
            Ok(metadata) => metadata.mode(),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(KeyringError::Missing { file: path.to_owned() });
            }
            Err(source) => return Err(failed("look at", path, source)),
        };
        // Whoever may write into the directory may put other keys in the place of ours.
        refuse_mode(path, mode & 0o022, mode, "700")?;

        let file = path.join(LOCK);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&file)
            .map_err(|source| failed("open", &file, source))?;
        rustix::io::retry_on_intr(|| rustix::fs::flock(&lock, FlockOperation::LockExclusive))
            .map_err(|error| failed("lock", &file, error.into()))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// What the file says, if there is one.
    pub(super) fn read(&self, name: &str) -> Result<Option<Zeroizing<String>>, KeyringError> {
        let path = self.file(name);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(failed("open", &path, source)),
        };
        let mode = file.metadata().map_err(|source| failed("look at", &path, source))?.mode();
        refuse_mode(&path, mode & 0o077, mode, "600")?;

        // All room at once: a string that grows leaves copies of the key behind.
        let mut text = Zeroizing::new(String::with_capacity(FILE_MAX));
        file.take(FILE_MAX as u64).read_to_string(&mut text).map_err(|source| failed("read", &path, source))?;
        Ok(Some(text))
    }

    /// Puts the file there, or in the place of the one that is: whole after any crash.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<(), KeyringError> {
        let (path, new) = (self.file(name), self.file(&format!("{name}.new")));
        replace(&self.path, &path, &new, text).map_err(|source| failed("write", &path, source))
    }

    /// Destroys the file, if it is there: it is put out of the way, overwritten where it lies, and removed. Cut short
    /// anywhere, it is whole, or [`bury`](Self::bury) ends what was begun.
    pub(super) fn destroy(&self, name: &str) -> Result<(), KeyringError> {
        let path = self.file(name);
        match fs::rename(&path, self.file(&format!("{name}{DEAD}"))) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(source) => return Err(failed("destroy", &path, source)),
            Ok(()) => sync(&self.path).map_err(|source| failed("destroy", &path, source))?,
        }
        self.bury()
    }

    /// Ends the destruction of files that a crash left half destroyed.
    pub(super) fn bury(&self) -> Result<(), KeyringError> {
        let dead = || -> io::Result<Vec<PathBuf>> {
            let entries = fs::read_dir(&self.path)?.collect::<io::Result<Vec<_>>>()?;
            Ok(entries.into_iter().map(|entry| entry.path()).filter(|path| is_dead(path)).collect())
        };
        for file in dead().map_err(|source| failed("list", &self.path, source))? {
            overwrite(&file)
                .and_then(|()| fs::remove_file(&file))
                .and_then(|()| sync(&self.path))
                .map_err(|source| failed("destroy", &file, source))?;
        }
        Ok(())
    }

    /// The numbers of all epoch files, lowest first.
    pub(super) fn epochs(&self) -> Result<Vec<u32>, KeyringError> {
        let read = || -> io::Result<Vec<u32>> {
            let mut epochs = Vec::new();
            for entry in fs::read_dir(&self.path)? {
                epochs.extend(entry?.file_name().to_str().and_then(epoch_of));
            }
            epochs.sort_unstable();
            Ok(epochs)
        };
        read().map_err(|source| failed("list", &self.path, source))
    }
}

/// The name of the file of an epoch's key.
pub(super) fn epoch_name(epoch: u32) -> String {
    format!("epoch-{epoch}")
}

/// The epoch that a file of this name holds the key of: none for `epoch-01` or a half-written `epoch-1.new`.
fn epoch_of(name: &str) -> Option<u32> {
    let epoch = name.strip_prefix("epoch-")?.parse().ok()?;
    (epoch > 0 && epoch_name(epoch) == name).then_some(epoch)
}

/// Makes the directory for its owner alone; directories above it are made as is usual.
fn make_dir(path: &Path) -> io::Result<()> {
    let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(above)?;
    match DirBuilder::new().mode(0o700).create(path) {
        // Another server that starts was quicker.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync(above),
    }
}

fn is_dead(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.ends_with(DEAD))
}

/// Writes chance over all of a file. Where the file system writes elsewhere instead (copy on write, flash), what it held is
/// still sealed by the root.
fn overwrite(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    let mut left = file.metadata()?.len();
    while left > 0 {
        let chance = random::bytes::<64>();
        let most = usize::try_from(left).map_or(chance.len(), |left| left.min(chance.len()));
        file.write_all(&chance[..most])?;
        left -= most as u64;
    }
    file.sync_all()
}

/// Makes names in a directory last.
fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn replace(dir: &Path, path: &Path, new: &Path, text: &str) -> io::Result<()> {
    match fs::remove_file(new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(new, path)?;
    sync(dir)
}

fn refuse_mode(file: &Path, loose: u32, mode: u32, right: &'static str) -> Result<(), KeyringError> {
    if loose == 0 {
        return Ok(());
    }
    Err(KeyringError::Permissions { file: file.to_owned(), mode: mode & 0o777, right })
}

fn failed(doing: &'static str, file: &Path, source: io::Error) -> KeyringError {
    KeyringError::File { doing, file: file.to_owned(), source }
}
