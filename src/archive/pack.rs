//! Packing units into the archive: a ZIP, written in one pass, the same bytes for the same units.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::path::Path;

use sha2::{Digest as _, Sha256};
use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::name;
use super::work::{Record, Work};

/// Files longer than this say so ahead, as ZIP64 wants it.
const LARGE: u64 = 1 << 30;

/// An archive that is being packed.
pub struct Pack<'w, W: Write> {
    zip: ZipWriter<StreamWriter<&'w mut Counted<W>>>,
    sums: Sums,
}

impl<'w, W: Write> Pack<'w, W> {
    pub fn of(work: &Work, to: &'w mut Counted<W>) -> io::Result<Self> {
        Ok(Self { zip: ZipWriter::new_stream(to), sums: Sums::new(&work.directory().join(name::SUMS))? })
    }

    /// Packs a unit, if it is there.
    pub fn unit(&mut self, work: &Work, number: usize) -> io::Result<bool> {
        let Some(records) = work.records(number)? else { return Ok(false) };
        let large = work.size(number)? > LARGE;
        let mut current = String::new();
        for record in records {
            match record? {
                Record::Begins(name) => {
                    self.zip.start_file(&*name, options(large))?;
                    current = name;
                }
                Record::Piece(piece) => self.zip.write_all(&piece)?,
                Record::Ends(ended) => self.sums.add(&ended.sha256, &current)?,
                Record::CameTo(_) => {}
            }
        }
        Ok(true)
    }

    /// One more file.
    pub fn put(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        self.zip.start_file(name, options(false))?;
        self.zip.write_all(content)?;
        self.sums.add(&hex::encode(Sha256::digest(content)), name)
    }

    /// Ends the list of files: its SHA-256, as hex.
    pub fn sums(&mut self) -> io::Result<String> {
        self.zip.start_file(name::SUMS, options(false))?;
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 1 << 16];
        let mut list = self.sums.list()?;
        loop {
            match list.read(&mut buffer)? {
                0 => return Ok(hex::encode(hasher.finalize())),
                read => {
                    hasher.update(&buffer[..read]);
                    self.zip.write_all(&buffer[..read])?;
                }
            }
        }
    }

    /// Ends it, with what is not in the list.
    pub fn finish(mut self, manifest: &[u8], signature: &str) -> io::Result<()> {
        for (name, content) in [(name::MANIFEST, manifest), (name::SIGNATURE, signature.as_bytes())] {
            self.zip.start_file(name, options(false))?;
            self.zip.write_all(content)?;
        }
        self.zip.finish()?;
        Ok(())
    }
}

fn options(large: bool) -> SimpleFileOptions {
    SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o600)
        .large_file(large)
}

/// The list of files and their hashes, as `sha256sum -c` reads it. It may be long, and waits on the disk.
struct Sums(File);

impl Sums {
    fn new(path: &Path) -> io::Result<Self> {
        File::options().read(true).write(true).create(true).truncate(true).open(path).map(Self)
    }

    fn add(&mut self, sha256: &str, name: &str) -> io::Result<()> {
        self.0.write_all(format!("{sha256}  {name}\n").as_bytes())
    }

    fn list(&mut self) -> io::Result<File> {
        self.0.seek(SeekFrom::Start(0))?;
        self.0.try_clone()
    }
}

/// Counts and hashes what is written through it.
pub struct Counted<W> {
    pub to: W,
    hasher: Sha256,
    pub bytes: u64,
}

impl<W> Counted<W> {
    pub fn new(to: W) -> Self {
        Self { to, hasher: Sha256::new(), bytes: 0 }
    }

    /// SHA-256 of all that was written, as hex.
    pub fn sha256(&self) -> String {
        hex::encode(self.hasher.clone().finalize())
    }
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.to.write(bytes)?;
        self.hasher.update(&bytes[..taken]);
        self.bytes += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
