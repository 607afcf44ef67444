//! Foreign export files, read into one neutral shape: [`Transcript`]. Streaming, blocking, without a database.
//!
//! [`open`] looks into a file (bare, `.zst` or `.zip`), tells the format by its content and never by its name, and
//! gives an iterator of transcripts. What cannot be taken is an item too, a [`Refused`]: one broken conversation never
//! fails its file. Memory holds one conversation at a time, however long the file is.
//!
//! Nothing is dropped in silence. What no field of a transcript carries stays in its JSON as it came, beside the
//! conversation (`kept`) or the message (`verbatim`); what had to be guessed or is kept without being understood is a
//! [`Note`], for the report of losses.
//!
//! A new format is one file: a [`Format`] that says which files it knows, how they are cut into conversations, and how
//! one of those becomes a transcript. It is added to [`FORMATS`], and nowhere else.

mod archive;
mod build;
mod chatgpt;
mod corpus;
mod frame;
mod glimpse;
mod input;
mod json;
mod order;
mod transcript;
mod tree;

use std::fmt;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use archive::begins_as_zip;
use archive::{Archive, Member};
use frame::{Cut, Frame, Frames};
use glimpse::Glimpse;
pub use transcript::{Counts, Note, SourceMessage, Transcript};

/// Every format that is understood, in the order in which they are asked whether a file is theirs.
const FORMATS: &[Format] = &[chatgpt::FORMAT, corpus::FORMAT];

/// How one kind of export is read.
struct Format {
    /// What a person calls it, for the error that lists what is understood.
    name: &'static str,
    /// How a file that begins so is cut into conversations; none when it is not of this format.
    knows: fn(&Glimpse) -> Option<Cut>,
    read: fn(&Frame) -> Result<Transcript, Reason>,
}

/// Why a conversation was refused: what is wrong and what to do, without a word of what it says.
type Reason = String;

/// Opens an export file and tells its format.
///
/// # Errors
/// If the file cannot be read, or nothing in it is of a format that is understood.
pub fn open(path: &Path) -> Result<Export, FormatError> {
    let archive = Archive::open(path)?;
    let (mut members, mut aside) = (Vec::new(), archive.aside);
    for member in archive.members {
        match Reader::of(&member) {
            Err(Unknown::Empty | Unknown::Format) if !member.is_meant => aside.push(member.name),
            reader => members.push((member, reader)),
        }
    }
    // What is understood is read, whatever stands beside it; when nothing is, the file as a whole is at fault.
    if members.iter().all(|(_, reader)| reader.is_err()) {
        let why = members.into_iter().find_map(|(_, reader)| reader.err());
        return Err(why.map_or_else(|| FormatError::NothingInside { path: path.to_owned() }, |why| why.of(path)));
    }
    let total = members.iter().map(|(member, _)| member.packed_bytes).sum();
    let progress = Progress { read: Arc::default(), total };
    members.reverse();
    Ok(Export { progress, members, current: None, aside })
}

/// An export file that was opened: an iterator of its conversations.
pub struct Export {
    progress: Progress,
    /// What is still to be read, the next one last.
    members: Vec<(Member, Result<Reader, Unknown>)>,
    current: Option<Current>,
    aside: Vec<String>,
}

struct Current {
    file: String,
    read: fn(&Frame) -> Result<Transcript, Reason>,
    frames: Frames<BufReader<archive::Content>>,
}

impl Export {
    /// How far the reading is; it may be asked from another thread.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// The files of the archive that hold no conversation and are not read.
    pub fn aside(&self) -> &[String] {
        &self.aside
    }
}

/// Reads one conversation.
fn transcript(read: fn(&Frame) -> Result<Transcript, Reason>, frame: &Frame) -> Result<Transcript, Reason> {
    let mut transcript = read(frame)?;
    if json::has_half_a_pair(&frame.json) {
        let what = "changed: half a surrogate pair, which no text can hold, to U+FFFD".to_owned();
        transcript.notes.push(Note { message: None, what });
    }
    Ok(transcript)
}

impl Iterator for Export {
    type Item = Result<Transcript, Refused>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(Current { file, read, frames }) = &mut self.current {
                match frames.next() {
                    Some(frame) => {
                        let read = frame.and_then(|frame| transcript(*read, &frame).map_err(|why| (frame.index, why)));
                        return Some(read.map_err(|(index, reason)| Refused { file: file.clone(), index, reason }));
                    }
                    None => self.current = None,
                }
            }
            let (member, reader) = self.members.pop()?;
            let content = |reader| Ok((reader, member.open(&self.progress.read).map_err(Unknown::Unreadable)?));
            match reader.and_then(content) {
                Ok((Reader { read, cut }, content)) => {
                    let frames = Frames::new(BufReader::with_capacity(1 << 16, content), cut);
                    self.current = Some(Current { file: member.name, read, frames });
                }
                Err(why) => return Some(Err(Refused { file: member.name, index: 0, reason: why.to_string() })),
            }
        }
    }
}

/// How far the reading of a file is, in bytes as they lie on the disk.
#[derive(Debug, Clone)]
pub struct Progress {
    read: Arc<AtomicU64>,
    total: u64,
}

impl Progress {
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// How many bytes there are to read; of an archive, those of the files in it that are read.
    pub const fn total(&self) -> u64 {
        self.total
    }
}

/// A conversation that was not taken, or the rest of a file that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}, {}: {reason}", if *.index == 0 { "as a whole".to_owned() } else { format!("conversation {}", .index) })]
pub struct Refused {
    pub file: String,
    /// Which conversation of the file, or which line of it, from 1. 0 is the whole file.
    pub index: u64,
    /// What is wrong and what to do. It holds no word of what the conversation says.
    pub reason: String,
}

/// Why a file as a whole cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    #[error("{} cannot be read", .path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is a directory; name the export file itself, or the .zip as it was downloaded", .path.display())]
    Directory { path: PathBuf },
    #[error("{} is empty; download the export again", .path.display())]
    Empty { path: PathBuf },
    #[error("{} is no archive that can be read ({reason}); download it again, or unpack it and name the files", .path.display())]
    Archive { path: PathBuf, reason: String },
    #[error("{} is an archive without conversations; what is understood is {}", .path.display(), understood())]
    NothingInside { path: PathBuf },
    #[error("{} is of no format that is understood, which are {}", .path.display(), understood())]
    Unknown { path: PathBuf },
}

fn understood() -> String {
    FORMATS.iter().map(|format| format.name).collect::<Vec<_>>().join("; ")
}

/// How the content of one file is read.
struct Reader {
    read: fn(&Frame) -> Result<Transcript, Reason>,
    cut: Cut,
}

enum Unknown {
    Unreadable(io::Error),
    Empty,
    Format,
}

impl Reader {
    fn of(member: &Member) -> Result<Self, Unknown> {
        let beginning = member.beginning().map_err(Unknown::Unreadable)?;
        let glimpse = Glimpse::of(&beginning);
        if glimpse.is_empty() {
            return Err(Unknown::Empty);
        }
        FORMATS
            .iter()
            .find_map(|format| (format.knows)(&glimpse).map(|cut| Self { read: format.read, cut }))
            .ok_or(Unknown::Format)
    }
}

impl Unknown {
    fn of(self, path: &Path) -> FormatError {
        let path = path.to_owned();
        match self {
            Self::Unreadable(source) => FormatError::Read { path, source },
            Self::Empty => FormatError::Empty { path },
            Self::Format => FormatError::Unknown { path },
        }
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(f, "it cannot be read ({error})"),
            Self::Empty => f.write_str("it is empty"),
            Self::Format => write!(f, "it is of no format that is understood, which are {}", understood()),
        }
    }
}

#[cfg(test)]
mod tests;
