//! What an export comes in: a bare file, one packed by zstd, or a zip archive. Nothing is ever unpacked to the disk.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::DeflateDecoder;
use zip::{CompressionMethod, ZipArchive};

use super::FormatError;

/// The files inside an export file.
pub struct Archive {
    /// Those that may hold conversations, in the order in which they are read.
    pub members: Vec<Member>,
    /// The names of all others.
    pub aside: Vec<String>,
}

/// A file that may hold conversations. It can be opened again and again.
pub struct Member {
    /// Its name for a person; in an archive, the archive's name and its own.
    pub name: String,
    /// Whether someone named it, or it is named as the conversations of an export are: leaving it out would be a loss.
    pub is_meant: bool,
    /// How long it is as it lies on the disk.
    pub packed_bytes: u64,
    path: PathBuf,
    packing: Packing,
}

#[derive(Clone, Copy)]
enum Packing {
    Bare,
    Zstd,
    Zipped { start: u64, crc32: u32, method: Method },
    Encrypted,
}

#[derive(Clone, Copy)]
enum Method {
    Stored,
    Deflated,
    Other(CompressionMethod),
}

/// The unpacked bytes of a member.
pub type Content = Box<dyn Read + Send>;

/// How much of a file is looked at to tell its format.
const BEGINNING_BYTES: u64 = 256 << 10;

impl Archive {
    pub fn open(path: &Path) -> Result<Self, FormatError> {
        let unreadable = |source| FormatError::Read { path: path.to_owned(), source };
        let metadata = path.metadata().map_err(unreadable)?;
        if metadata.is_dir() {
            return Err(FormatError::Directory { path: path.to_owned() });
        }
        let mut file = File::open(path).map_err(unreadable)?;
        let mut magic = Vec::new();
        file.by_ref().take(4).read_to_end(&mut magic).map_err(unreadable)?;
        let packing = match magic.as_slice() {
            zip if begins_as_zip(zip) => return Self::zip(path, file),
            // Also a frame that is to be skipped, with which a zstd file may begin.
            [0x28, 0xB5, 0x2F, 0xFD] | [0x50..=0x5F, 0x2A, 0x4D, 0x18] => Packing::Zstd,
            _ => Packing::Bare,
        };
        let name = file_name(path);
        let member = Member { name, is_meant: true, packed_bytes: metadata.len(), path: path.to_owned(), packing };
        Ok(Self { members: vec![member], aside: Vec::new() })
    }

    fn zip(path: &Path, file: File) -> Result<Self, FormatError> {
        let damaged =
            |reason: &dyn ToString| FormatError::Archive { path: path.to_owned(), reason: reason.to_string() };
        let mut archive = ZipArchive::new(io::BufReader::new(file)).map_err(|error| damaged(&error))?;
        let (mut ranked, mut aside) = (Vec::new(), Vec::new());
        for index in 0..archive.len() {
            let entry = archive.by_index_raw(index).map_err(|error| damaged(&error))?;
            let name = entry.name().to_owned();
            if entry.is_dir() {
                continue;
            }
            let packing = match entry.data_start() {
                _ if entry.encrypted() => Packing::Encrypted,
                Some(start) => Packing::Zipped {
                    start,
                    crc32: entry.crc32(),
                    method: match entry.compression() {
                        CompressionMethod::Stored => Method::Stored,
                        CompressionMethod::Deflated => Method::Deflated,
                        other => Method::Other(other),
                    },
                },
                None => return Err(damaged(&"its directory points nowhere")),
            };
            match Rank::of(&name) {
                Some(rank) => ranked.push((rank, name, packing, entry.compressed_size())),
                None => aside.push(name),
            }
        }
        // Where some are called conversations, only those are: an export's other lists are about them.
        if ranked.iter().any(|(rank, ..)| rank.is_conversations()) {
            for (_, name, ..) in ranked.extract_if(.., |(rank, ..)| !rank.is_conversations()) {
                aside.push(name);
            }
        }
        ranked.sort_by(|one, other| (&one.0, &one.1).cmp(&(&other.0, &other.1)));
        let member = |(rank, name, packing, packed_bytes): (Rank, String, Packing, u64)| Member {
            name: format!("{}/{name}", file_name(path)),
            is_meant: rank.is_conversations(),
            packed_bytes,
            path: path.to_owned(),
            packing,
        };
        Ok(Self { members: ranked.into_iter().map(member).collect(), aside })
    }
}

/// Whether this is the beginning of a ZIP: of the first file in it (APPNOTE 4.3.7), or of its end when there is none (4.3.16).
pub fn begins_as_zip(beginning: &[u8]) -> bool {
    [b"PK\x03\x04", b"PK\x05\x06"].iter().any(|head| beginning.starts_with(*head))
}

/// Whether and when a file of an archive is read.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// `conversations.json`, or one of its shards: `conversations-000.json`, `conversations-001.json`, …
    Conversations(u64),
    Other,
}

impl Rank {
    fn of(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let base = name.rsplit('/').next()?;
        let stem = base.strip_suffix(".json").or_else(|| base.strip_suffix(".jsonl"))?;
        let shard = match stem.strip_prefix("conversations") {
            Some("") => Some(0),
            Some(rest) => rest.strip_prefix('-').and_then(|number| number.parse().ok()),
            None => None,
        };
        Some(shard.map_or(Self::Other, Self::Conversations))
    }

    const fn is_conversations(&self) -> bool {
        matches!(self, Self::Conversations(_))
    }
}

impl Member {
    /// The first bytes, unpacked; fewer where the file is damaged, which is told when it is read.
    pub fn beginning(&self) -> io::Result<Vec<u8>> {
        let mut beginning = Vec::new();
        match self.open(&Arc::default())?.take(BEGINNING_BYTES).read_to_end(&mut beginning) {
            Err(error) if beginning.is_empty() => Err(error),
            _ => Ok(beginning),
        }
    }

    /// The content from its first byte; `read` counts what was read from the disk.
    pub fn open(&self, read: &Arc<AtomicU64>) -> io::Result<Content> {
        let mut file = File::open(&self.path)?;
        let counted = |file| Counted { file, read: Arc::clone(read) };
        let unsupported = |what: String| Err(io::Error::new(io::ErrorKind::Unsupported, what));
        match self.packing {
            Packing::Bare => Ok(Box::new(counted(file))),
            Packing::Zstd => Ok(Box::new(zstd::Decoder::new(counted(file))?)),
            Packing::Encrypted => unsupported("it is encrypted; unpack the archive and name the files".to_owned()),
            Packing::Zipped { start, crc32, method } => {
                file.seek(SeekFrom::Start(start))?;
                let packed = counted(file).take(self.packed_bytes);
                match method {
                    Method::Stored => Ok(Box::new(Checked::new(packed, crc32))),
                    Method::Deflated => Ok(Box::new(Checked::new(DeflateDecoder::new(packed), crc32))),
                    Method::Other(method) => {
                        unsupported(format!("it is packed by {method}; unpack the archive and name the files"))
                    }
                }
            }
        }
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// A file that tells how much of it was read.
struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.file.read(buffer)?;
        self.read.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(bytes)
    }
}

/// Content that is compared with its checksum where it ends.
struct Checked<R> {
    content: R,
    sum: crc32fast::Hasher,
    expected: u32,
}

impl<R> Checked<R> {
    fn new(content: R, expected: u32) -> Self {
        Self { content, sum: crc32fast::Hasher::new(), expected }
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.content.read(buffer)?;
        self.sum.update(&buffer[..bytes]);
        if bytes == 0 && !buffer.is_empty() && self.sum.clone().finalize() != self.expected {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the checksum of the archive does not match"));
        }
        Ok(bytes)
    }
}
