//! Checking an archive with nothing but a public key: that the ledger signed for every byte of it; that every event is in the
//! log which the checkpoint is of, and says what it said when it was recorded; that none is missing, moved or told twice.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::expiry::Expiries;
use super::line::{Line, Unsound};
use super::manifest::{Counts, Manifest, Of, signed_text};
use super::name;
use super::open::{Archive, Unreadable};
use crate::event::{OwnerId, Position, StreamId, Version};
use crate::proof::checkpoint::Checkpoint;
use crate::proof::note::{Note, NoteError, Verifier};

/// What an archive was found to be.
#[derive(Debug, Clone)]
pub struct Checked {
    pub manifest: Manifest,
    pub checkpoint: Checkpoint,
}

/// The first thing that does not hold.
#[derive(Debug, thiserror::Error)]
pub enum Wrong {
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error("{0}: {1}")]
    Note(&'static str, NoteError),
    #[error("its manifest is not the one that was signed")]
    Manifest,
    #[error("its checkpoint is of `{found}`, {size} events, and the manifest says `{said}`, {of}")]
    Checkpoint { found: String, size: u64, said: String, of: u64 },
    #[error("{0} is not as it was signed for: its bytes were changed")]
    File(String),
    #[error("{0} is missing")]
    Missing(String),
    #[error("{0} is in it, and was not signed for")]
    Extra(String),
    #[error(transparent)]
    Unsound(#[from] Unsound),
    #[error("event {position} belongs to {owner}, whose archive this is not")]
    Stranger { position: Position, owner: OwnerId },
    #[error("event {0} does not follow: events were moved, told twice or left out before it")]
    Order(Position),
    #[error("stream {stream} has no version {version}: an event was left out")]
    Gap { stream: StreamId, version: Version },
    #[error("the manifest counts otherwise: events were left out or added")]
    Counts,
}

/// Checks the archive in `path`; `checked` is told of each event's position. Without keys that are trusted, only that it is
/// whole and agrees with itself: then whoever made it may have made all of it.
///
/// # Errors
/// The first thing that does not hold.
pub fn check(path: &Path, trusted: Option<&[Verifier]>, mut checked: impl FnMut(Position)) -> Result<Checked, Wrong> {
    let mut archive = Archive::open(path)?;
    let text = archive.whole(name::MANIFEST)?;
    let manifest = archive.manifest()?;
    signed(&mut archive, &text, trusted)?;
    let checkpoint = checkpoint(&mut archive, &manifest, trusted)?;
    files(&mut archive, &manifest)?;

    let mut events = Events::of(&manifest, &checkpoint);
    for file in archive.event_files() {
        archive.lines(&file, |line| {
            let position = line.position;
            events.take(&line)?;
            checked(position);
            Ok::<_, Wrong>(())
        })?;
    }
    events.expiries.end()?;
    archive.streams(|head| {
        let seen = events.streams.remove(&(head.owner, head.stream));
        let whole = seen.is_some_and(|(from, to)| from == head.from && to == head.version);
        let version = seen.map_or(head.from, |(_, to)| to.next());
        if whole { Ok(()) } else { Err(Wrong::Gap { stream: head.stream, version }) }
    })?;
    let counted = &manifest.counts;
    let told = events.streams.is_empty()
        && events.ended()
        && (counted.events, &counted.kinds, &counted.words)
            == (events.counts.events, &events.counts.kinds, &events.counts.words);
    if told { Ok(Checked { manifest, checkpoint }) } else { Err(Wrong::Counts) }
}

fn signed(archive: &mut Archive, manifest: &[u8], trusted: Option<&[Verifier]>) -> Result<(), Wrong> {
    let note = archive.whole(name::SIGNATURE)?;
    let wrong = |error| Wrong::Note(name::SIGNATURE, error);
    let note = Note::parse(&String::from_utf8_lossy(&note)).map_err(wrong)?;
    if let Some(trusted) = trusted {
        note.verified(trusted).map_err(wrong)?;
    }
    let text = signed_text(&hex::encode(Sha256::digest(manifest)));
    if note.text == text { Ok(()) } else { Err(Wrong::Manifest) }
}

fn checkpoint(archive: &mut Archive, manifest: &Manifest, trusted: Option<&[Verifier]>) -> Result<Checkpoint, Wrong> {
    let note = archive.whole(name::CHECKPOINT)?;
    let note = String::from_utf8_lossy(&note);
    let opened = match trusted {
        Some(trusted) => Checkpoint::open(&note, trusted).map(|(checkpoint, _)| checkpoint),
        None => Note::parse(&note)
            .and_then(|note| Checkpoint::parse(&note.text).ok_or(NoteError::Form("its text is no checkpoint"))),
    };
    let checkpoint = opened.map_err(|error| Wrong::Note(name::CHECKPOINT, error))?;
    let ledger = checkpoint.origin.rsplit_once('/').map_or("", |(ledger, _)| ledger);
    if ledger != manifest.origin || checkpoint.size != manifest.size {
        let (found, said) = (checkpoint.origin, manifest.origin.clone());
        return Err(Wrong::Checkpoint { found, size: checkpoint.size, said, of: manifest.size });
    }
    Ok(checkpoint)
}

/// Every file is in the list with its hash, and the list is the one that was signed for.
fn files(archive: &mut Archive, manifest: &Manifest) -> Result<(), Wrong> {
    let list = archive.whole(name::SUMS)?;
    if hex::encode(Sha256::digest(&list)) != manifest.sums {
        return Err(Wrong::File(name::SUMS.to_owned()));
    }
    let list = String::from_utf8_lossy(&list).into_owned();
    let mut sums: HashMap<&str, &str> =
        list.lines().filter_map(|line| line.split_once("  ")).map(|(sum, name)| (name, sum)).collect();
    for name in archive.names() {
        if [name::MANIFEST, name::SIGNATURE, name::SUMS].contains(&&*name) {
            continue;
        }
        let sum = sums.remove(&*name).ok_or_else(|| Wrong::Extra(name.clone()))?;
        if sha256(archive.file(&name)?).map_err(Unreadable::from)? != sum {
            return Err(Wrong::File(name));
        }
    }
    sums.into_keys().next().map_or(Ok(()), |name| Err(Wrong::Missing(name.to_owned())))
}

/// SHA-256 of all that is read, as hex.
fn sha256(mut from: impl Read) -> io::Result<String> {
    let mut hashed = Hashed(Sha256::new());
    io::copy(&mut from, &mut hashed)?;
    Ok(hex::encode(hashed.0.finalize()))
}

struct Hashed(Sha256);

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What must be checked in order.
struct Events<'a> {
    manifest: &'a Manifest,
    checkpoint: &'a Checkpoint,
    last: Position,
    /// The first and the last version of each.
    streams: HashMap<(OwnerId, StreamId), (Version, Version)>,
    expiries: Expiries,
    counts: Counts,
}

impl<'a> Events<'a> {
    fn of(manifest: &'a Manifest, checkpoint: &'a Checkpoint) -> Self {
        let last = match manifest.of {
            Of::Account { .. } => Position(0),
            Of::Range { from, .. } => Position(from.0 - 1),
        };
        Self {
            manifest,
            checkpoint,
            last,
            streams: HashMap::new(),
            expiries: Expiries::new(matches!(manifest.of, Of::Account { .. })),
            counts: Counts::default(),
        }
    }

    fn take(&mut self, line: &Line) -> Result<(), Wrong> {
        let position = line.position;
        let follows = match self.manifest.of {
            Of::Account { account } => {
                if line.owner != OwnerId::from(account) {
                    return Err(Wrong::Stranger { position, owner: line.owner });
                }
                position > self.last
            }
            Of::Range { .. } => position == self.last.next(),
        };
        if !follows {
            return Err(Wrong::Order(position));
        }
        self.last = position;
        let known = self.streams.get(&(line.owner, line.stream)).copied();
        let begins = matches!(self.manifest.of, Of::Range { .. }) || line.version == Version(1);
        match known {
            Some((_, last)) if line.version != last.next() => {
                return Err(Wrong::Gap { stream: line.stream, version: last.next() });
            }
            None if !begins => return Err(Wrong::Gap { stream: line.stream, version: Version(1) }),
            _ => {}
        }
        let first = known.map_or(line.version, |(first, _)| first);
        self.streams.insert((line.owner, line.stream), (first, line.version));
        line.check(&self.manifest.origin, self.manifest.ledger, self.checkpoint.size, &self.checkpoint.root)?;
        self.expiries.take(line)?;
        self.counts.count(line);
        Ok(())
    }

    /// Whether the last event is where the range ends.
    fn ended(&self) -> bool {
        match self.manifest.of {
            Of::Account { .. } => true,
            Of::Range { to, .. } => self.last == to,
        }
    }
}

impl Counts {
    /// One more event.
    pub fn count(&mut self, line: &Line) {
        self.events += 1;
        *self.kinds.entry(line.kind.clone()).or_default() += 1;
        for part in &line.words {
            *self.words.entry(part.state).or_default() += 1;
        }
    }
}
