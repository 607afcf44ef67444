//! The archive while it is made: units, numbered, each whole on the disk before the next is begun. Whoever is killed goes on
//! behind the last one.
//!
//! A unit is a row of records: a file begins, some of it, it ends (with its length and hash), and at last what the unit came
//! to, which only a whole one has.

use std::fs::{self, DirBuilder, File};
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::vault::SubjectKey;
use crate::vault::file::{Opener, Sealer};

const PLAN: &str = "plan.json";
const LEGEND: &str = "legend.json";
const BEGINS: u8 = 1;
const PIECE: u8 = 2;
const ENDS: u8 = 3;
const CAME_TO: u8 = 4;
/// Of a record; longer ones are cut into several.
const RECORD_MAX: usize = 1 << 20;

/// Whether what is on the disk lies there in the clear, as its owner asked, or sealed, as a server keeps it.
#[derive(Clone)]
pub enum Cover {
    Clear,
    Sealed(Arc<SubjectKey>),
}

impl Cover {
    /// A file that others may not read.
    pub fn create(&self, path: &Path) -> io::Result<Covered> {
        let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        let file = BufWriter::with_capacity(1 << 16, file);
        Ok(match self {
            Self::Clear => Covered::Clear(file),
            Self::Sealed(key) => Covered::Sealed(Box::new(Sealer::new(file, key)?)),
        })
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Read>> {
        let file = File::open(path)?;
        Ok(match self {
            Self::Clear => Box::new(BufReader::with_capacity(1 << 16, file)),
            Self::Sealed(key) => Box::new(BufReader::with_capacity(1 << 16, Opener::new(file, key)?)),
        })
    }
}

/// A file under its cover.
pub enum Covered {
    Clear(BufWriter<File>),
    Sealed(Box<Sealer<BufWriter<File>>>),
}

impl Covered {
    /// Ends it: whole, and on the disk.
    pub fn finish(self) -> io::Result<()> {
        let file = match self {
            Self::Clear(file) => file,
            Self::Sealed(sealer) => sealer.finish()?,
        };
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
    }
}

impl Write for Covered {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Clear(file) => file.write(bytes),
            Self::Sealed(sealer) => sealer.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Clear(file) => file.flush(),
            Self::Sealed(sealer) => sealer.flush(),
        }
    }
}

/// The directory that an archive is made in.
#[derive(Clone)]
pub struct Work {
    directory: PathBuf,
    cover: Cover,
}

impl Work {
    /// The directory is made when it is not there.
    pub fn in_directory(directory: PathBuf, cover: Cover) -> io::Result<Self> {
        match DirBuilder::new().mode(0o700).recursive(true).create(&directory) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
            _ => Ok(Self { directory, cover }),
        }
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    pub const fn cover(&self) -> &Cover {
        &self.cover
    }

    /// What is to be made, as it was planned when it was begun; `fresh` is kept when that is now.
    pub fn plan<P: Serialize + DeserializeOwned>(&self, fresh: impl FnOnce() -> P) -> io::Result<P> {
        if let Some(plan) = self.planned()? {
            return Ok(plan);
        }
        let plan = fresh();
        let path = self.directory.join(PLAN);
        let new = path.with_extension("new");
        fs::write(&new, serde_json::to_vec_pretty(&plan)?)?;
        File::open(&new)?.sync_all()?;
        fs::rename(&new, &path)?;
        Ok(plan)
    }

    /// The plan, if it was begun before.
    pub fn planned<P: DeserializeOwned>(&self) -> io::Result<Option<P>> {
        match fs::read(self.directory.join(PLAN)) {
            Ok(plan) => Ok(Some(serde_json::from_slice(&plan)?)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps what placeholders stand for, under the cover of the units.
    pub fn keep_legend(&self, legend: &[u8]) -> io::Result<()> {
        let path = self.directory.join(LEGEND);
        let new = path.with_extension("new");
        let mut file = self.cover.create(&new)?;
        file.write_all(legend)?;
        file.finish()?;
        fs::rename(new, path)
    }

    /// What was kept of it; nothing when nothing was.
    pub fn legend(&self) -> io::Result<Vec<u8>> {
        let mut legend = Vec::new();
        match self.cover.open(&self.directory.join(LEGEND)) {
            Ok(mut from) => from.read_to_end(&mut legend).map(|_| legend),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(legend),
            Err(error) => Err(error),
        }
    }

    /// Puts the legend, if there is one, where it stays.
    pub fn move_legend(&self, to: &Path) -> io::Result<()> {
        match fs::rename(self.directory.join(LEGEND), to) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// What the units that are whole came to, in order.
    pub fn came_to<S: DeserializeOwned>(&self) -> io::Result<Vec<S>> {
        let mut summaries = Vec::new();
        while let Some(records) = self.records(summaries.len())? {
            let mut last = None;
            for record in records {
                if let Record::CameTo(summary) = record? {
                    last = Some(serde_json::from_slice(&summary)?);
                }
            }
            summaries.push(last.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "a unit has no end"))?);
        }
        Ok(summaries)
    }

    /// A unit's records, one after the other; none when it is not there.
    pub fn records(&self, number: usize) -> io::Result<Option<Records>> {
        match self.cover.open(&self.unit(number)) {
            Ok(from) => Ok(Some(Records(from))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// How long a unit is on the disk, in bytes.
    pub fn size(&self, number: usize) -> io::Result<u64> {
        Ok(fs::metadata(self.unit(number))?.len())
    }

    pub fn begin(&self, number: usize) -> io::Result<Unit> {
        let path = self.unit(number);
        let file = self.cover.create(&path.with_extension("new"))?;
        Ok(Unit { file, path, current: None, bytes: 0 })
    }

    /// Takes it all away.
    pub fn remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.directory) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn unit(&self, number: usize) -> PathBuf {
        self.directory.join(format!("{number:06}.unit"))
    }
}

/// A unit that is being written.
pub struct Unit {
    file: Covered,
    path: PathBuf,
    current: Option<(Sha256, u64)>,
    bytes: u64,
}

impl Unit {
    /// How much was written.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A whole file of the archive.
    pub fn put(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        self.file(name)?;
        self.write(content)?;
        self.end()
    }

    /// Begins a file of the archive.
    pub fn file(&mut self, name: &str) -> io::Result<()> {
        self.current = Some((Sha256::new(), 0));
        self.record(BEGINS, name.as_bytes())
    }

    pub fn write(&mut self, content: &[u8]) -> io::Result<()> {
        if let Some((hasher, length)) = &mut self.current {
            hasher.update(content);
            *length += content.len() as u64;
        }
        content.chunks(RECORD_MAX).try_for_each(|piece| self.record(PIECE, piece))
    }

    pub fn end(&mut self) -> io::Result<()> {
        let (hasher, length) = self.current.take().unwrap_or_default();
        let ended = Ended { sha256: hex::encode(hasher.finalize()), length };
        self.record(ENDS, &serde_json::to_vec(&ended)?)
    }

    /// Ends the unit: from now on it is there, whatever dies.
    pub fn finish(mut self, came_to: &impl Serialize) -> io::Result<()> {
        self.record(CAME_TO, &serde_json::to_vec(came_to)?)?;
        self.file.finish()?;
        fs::rename(self.path.with_extension("new"), &self.path)?;
        self.path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    }

    fn record(&mut self, kind: u8, content: &[u8]) -> io::Result<()> {
        let length = u32::try_from(content.len()).map_err(|_| io::Error::from(ErrorKind::FileTooLarge))?;
        self.bytes += content.len() as u64;
        self.file.write_all(&[kind])?;
        self.file.write_all(&length.to_be_bytes())?;
        self.file.write_all(content)
    }
}

/// How a file ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ended {
    pub sha256: String,
    pub length: u64,
}

pub enum Record {
    Begins(String),
    Piece(Vec<u8>),
    Ends(Ended),
    CameTo(Vec<u8>),
}

/// The records of a unit.
pub struct Records(Box<dyn Read>);

impl Records {
    fn read(&mut self) -> io::Result<Option<Record>> {
        let mut head = [0; 5];
        match self.0.read(&mut head[..1])? {
            0 => return Ok(None),
            _ => self.0.read_exact(&mut head[1..])?,
        }
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
        let mut content = vec![0; usize::try_from(length).unwrap_or(usize::MAX).min(2 * RECORD_MAX)];
        self.0.read_exact(&mut content)?;
        Ok(Some(match head[0] {
            BEGINS => Record::Begins(String::from_utf8_lossy(&content).into_owned()),
            PIECE => Record::Piece(content),
            ENDS => Record::Ends(serde_json::from_slice(&content)?),
            CAME_TO => Record::CameTo(content),
            _ => return Err(io::Error::new(ErrorKind::InvalidData, "a unit holds what no unit holds")),
        }))
    }
}

impl Iterator for Records {
    type Item = io::Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}
