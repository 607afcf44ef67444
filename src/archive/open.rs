//! Reading an archive: its files one after the other, none of which is trusted.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use serde::de::DeserializeOwned;
use zip::ZipArchive;

use super::line::{Line, StreamHead};
use super::manifest::{FORMAT, Manifest};
use super::name;
use crate::format::begins_as_zip;

/// The longest line that is read: an event with as many words as one may have.
const LINE_MAX: u64 = 512 << 20;
/// Of what is read whole.
const SMALL_MAX: u64 = 64 << 20;

/// Why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("it cannot be read")]
    Read(#[from] io::Error),
    #[error("it is no archive that can be read ({0}); fetch it again")]
    Zip(#[from] zip::result::ZipError),
    #[error("it has no {0}: it is no archive of convoledger, or a part is missing")]
    Lacks(String),
    #[error("{file}, line {line}: it does not read ({why})")]
    Form { file: String, line: u64, why: String },
    #[error("it is of the form `{0}`, and this version of convoledger reads `{FORMAT}`; run a newer one")]
    Format(String),
}

/// An archive that was opened.
pub struct Archive {
    zip: ZipArchive<BufReader<File>>,
}

impl Archive {
    /// The manifest of a file that looks like one, if it can be read: of a ZIP with a manifest of ours, or a signature of one.
    pub fn manifest_of(path: &Path) -> Option<Result<Manifest, Unreadable>> {
        // The directory of a ZIP is at its end: what is none would be read through several times in search of it.
        let mut archive = is_zip(path).ok()?.then(|| Self::open(path).ok())??;
        match archive.manifest() {
            Err(_) if archive.zip.index_for_name(name::SIGNATURE).is_none() => None,
            manifest => Some(manifest),
        }
    }

    pub fn open(path: &Path) -> Result<Self, Unreadable> {
        Ok(Self { zip: ZipArchive::new(BufReader::with_capacity(1 << 16, File::open(path)?))? })
    }

    /// The names of its files, in the order in which they lie in it.
    pub fn names(&self) -> Vec<String> {
        self.zip.file_names().map(ToOwned::to_owned).collect()
    }

    /// One of its files.
    pub fn file(&mut self, name: &str) -> Result<impl Read, Unreadable> {
        self.zip.by_name(name).map_err(|error| match error {
            zip::result::ZipError::FileNotFound => Unreadable::Lacks(name.to_owned()),
            error => error.into(),
        })
    }

    /// A small file, whole.
    pub fn whole(&mut self, name: &str) -> Result<Vec<u8>, Unreadable> {
        let mut content = Vec::new();
        self.file(name)?.take(SMALL_MAX).read_to_end(&mut content)?;
        Ok(content)
    }

    pub fn manifest(&mut self) -> Result<Manifest, Unreadable> {
        let text = self.whole(name::MANIFEST)?;
        let form = |why: serde_json::Error| Unreadable::Form {
            file: name::MANIFEST.to_owned(),
            line: u64::try_from(why.line()).unwrap_or_default(),
            why: why.to_string(),
        };
        let value: serde_json::Value = serde_json::from_slice(&text).map_err(form)?;
        match value["format"].as_str() {
            Some(FORMAT) => serde_json::from_value(value).map_err(form),
            other => Err(Unreadable::Format(other.unwrap_or_default().to_owned())),
        }
    }

    /// The files that hold events, in order.
    pub fn event_files(&self) -> Vec<String> {
        let mut files: Vec<_> = self.names().into_iter().filter(|name| name.starts_with(name::EVENTS)).collect();
        files.sort_unstable();
        files
    }

    /// The events of a file, one after the other, until `take` has enough of it.
    pub fn lines<E: From<Unreadable>>(&mut self, file: &str, take: impl FnMut(Line) -> Result<(), E>) -> Result<(), E> {
        self.each(file, take)
    }

    /// The commands of an archive, each with its events, in order.
    pub fn commands<E: From<Unreadable>>(&mut self, mut take: impl FnMut(Vec<Line>) -> Result<(), E>) -> Result<(), E> {
        let mut command = Vec::<Line>::new();
        for file in self.event_files() {
            self.lines(&file, |line: Line| {
                let ended = command.first().is_some_and(|first| first.command != line.command);
                let whole = if ended { std::mem::take(&mut command) } else { Vec::new() };
                command.push(line);
                if ended { take(whole) } else { Ok(()) }
            })?;
        }
        if command.is_empty() { Ok(()) } else { take(command) }
    }

    /// How many events each stream has.
    pub fn streams<E: From<Unreadable>>(&mut self, take: impl FnMut(StreamHead) -> Result<(), E>) -> Result<(), E> {
        self.each(name::STREAMS, take)
    }

    fn each<T: DeserializeOwned, E: From<Unreadable>>(
        &mut self,
        file: &str,
        mut take: impl FnMut(T) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut reader = BufReader::with_capacity(1 << 16, self.file(file)?);
        let (mut text, mut number) = (Vec::new(), 0);
        loop {
            text.clear();
            number += 1;
            let read = (&mut reader).take(LINE_MAX).read_until(b'\n', &mut text).map_err(Unreadable::from)?;
            if read == 0 {
                return Ok(());
            }
            let read = serde_json::from_slice(&text);
            take(read.map_err(|why| Unreadable::Form {
                file: file.to_owned(),
                line: number,
                why: why.to_string(),
            })?)?;
        }
    }
}

/// Whether a file begins as a ZIP does.
pub fn is_zip(path: &Path) -> io::Result<bool> {
    let mut beginning = Vec::new();
    File::open(path)?.take(4).read_to_end(&mut beginning)?;
    Ok(begins_as_zip(&beginning))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_file_that_is_no_zip_is_told_by_its_beginning() {
        let file = tempfile::NamedTempFile::new().unwrap();
        // Nothing is in it, and whoever read it all would read for hours.
        file.as_file().set_len(1 << 40).unwrap();
        assert!(Archive::manifest_of(file.path()).is_none());
    }
}
