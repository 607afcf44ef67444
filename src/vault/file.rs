//! Files sealed whole, such as an export that waits to be fetched: written in one pass, read from any place.
//!
//! Pieces of 64 KiB, each sealed under the nonce `prefix ‖ number ‖ last` (STREAM: Hoang, Reyhanitabar, Rogaway, Vizár 2015,
//! as age and Tink have it), so that none can be changed, moved, dropped or cut off unnoticed. Before them stand what it is,
//! the generation of the key, and the prefix.

use std::io::{self, Error, ErrorKind, Read, Seek, SeekFrom, Write};

use zeroize::Zeroizing;

use super::cipher::{self, TAG_LEN};
use super::seal::SubjectKey;
use crate::random;

const MAGIC: &[u8; 16] = b"convoledger f v1";
const PREFIX: usize = 19;
const HEADER: usize = MAGIC.len() + 4 + PREFIX;
/// Bytes in the clear of a piece; the last may be shorter.
const PIECE: usize = 64 * 1024;

/// What stands before the pieces.
#[derive(Clone, Copy)]
struct Header([u8; HEADER]);

impl Header {
    fn fresh(generation: u32) -> Self {
        let mut header = [0; HEADER];
        header[..16].copy_from_slice(MAGIC);
        header[16..20].copy_from_slice(&generation.to_be_bytes());
        header[20..].copy_from_slice(&random::bytes::<PREFIX>());
        Self(header)
    }

    fn nonce(&self, number: u32, last: bool) -> [u8; 24] {
        let mut nonce = [0; 24];
        nonce[..PREFIX].copy_from_slice(&self.0[20..]);
        nonce[PREFIX..23].copy_from_slice(&number.to_be_bytes()[..]);
        nonce[23] = u8::from(last);
        nonce
    }
}

/// Which of its subject's keys opens a file; the reader stands at its beginning afterwards.
///
/// # Errors
/// If it cannot be read, or is no sealed file.
pub fn generation(file: &mut (impl Read + Seek)) -> io::Result<u32> {
    let header = header(file)?;
    file.rewind()?;
    Ok(u32::from_be_bytes([header.0[16], header.0[17], header.0[18], header.0[19]]))
}

fn header(file: &mut impl Read) -> io::Result<Header> {
    let mut header = [0; HEADER];
    file.read_exact(&mut header)?;
    if header.starts_with(MAGIC) { Ok(Header(header)) } else { Err(damaged("it is no sealed file")) }
}

fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

/// Seals what is written to it. Only [`Sealer::finish`] makes it whole.
pub struct Sealer<W: Write> {
    to: W,
    key: Zeroizing<[u8; 32]>,
    header: Header,
    number: u32,
    piece: Zeroizing<Vec<u8>>,
}

impl<W: Write> Sealer<W> {
    /// # Errors
    /// If it cannot be written.
    pub fn new(mut to: W, key: &SubjectKey) -> io::Result<Self> {
        let header = Header::fresh(key.generation());
        to.write_all(&header.0)?;
        let piece = Zeroizing::new(Vec::with_capacity(PIECE + TAG_LEN));
        Ok(Self { to, key: Zeroizing::new(*key.files()), header, number: 0, piece })
    }

    fn seal(&mut self, last: bool) -> io::Result<()> {
        cipher::encrypt(&self.key, &self.header.nonce(self.number, last), &self.header.0, &mut self.piece);
        self.to.write_all(&self.piece)?;
        self.piece.clear();
        self.number = self.number.checked_add(1).ok_or_else(|| damaged("it is too long"))?;
        Ok(())
    }

    /// Writes the last piece, and gives what it was written to back.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.seal(true)?;
        Ok(self.to)
    }
}

impl<W: Write> Write for Sealer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // The last piece is never empty unless the file is: so a full one waits for what follows it.
        if self.piece.len() == PIECE && !bytes.is_empty() {
            self.seal(false)?;
        }
        let taken = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Opens what a [`Sealer`] wrote, from any place.
pub struct Opener<R: Read + Seek> {
    from: R,
    key: Zeroizing<[u8; 32]>,
    header: Header,
    /// In the clear.
    length: u64,
    at: u64,
    piece: Zeroizing<Vec<u8>>,
    /// The piece that is open.
    number: Option<u64>,
}

impl<R: Read + Seek> Opener<R> {
    /// # Errors
    /// If it cannot be read, or is no sealed file, or one that was cut off.
    pub fn new(mut from: R, key: &SubjectKey) -> io::Result<Self> {
        let header = header(&mut from)?;
        let sealed = from.seek(SeekFrom::End(0))?.saturating_sub(HEADER as u64);
        let whole = (PIECE + TAG_LEN) as u64;
        let (pieces, rest) = (sealed / whole, sealed % whole);
        // A last piece is a tag at least, and more than a tag behind others.
        let tag = TAG_LEN as u64;
        let is_whole = if pieces == 0 { rest >= tag } else { rest == 0 || rest > tag };
        if !is_whole {
            return Err(damaged("it was cut off, or something hangs on it"));
        }
        let length = sealed - (pieces + u64::from(rest > 0)) * tag;
        let piece = Zeroizing::new(Vec::with_capacity(PIECE + TAG_LEN));
        Ok(Self { from, key: Zeroizing::new(*key.files()), header, length, at: 0, piece, number: None })
    }

    /// How long it is in the clear, in bytes.
    pub const fn length(&self) -> u64 {
        self.length
    }

    fn open(&mut self, number: u64) -> io::Result<()> {
        if self.number == Some(number) {
            return Ok(());
        }
        self.number = None;
        let whole = (PIECE + TAG_LEN) as u64;
        self.from.seek(SeekFrom::Start(HEADER as u64 + number * whole))?;
        self.piece.clear();
        (&mut self.from).take(whole).read_to_end(&mut self.piece)?;
        let last = (number + 1) * PIECE as u64 >= self.length;
        let nonce = self.header.nonce(u32::try_from(number).map_err(|_| damaged("it is too long"))?, last);
        cipher::decrypt(&self.key, &nonce, &self.header.0, &mut self.piece)
            .map_err(|_| damaged("a piece does not open: its bytes were changed, or it was cut off"))?;
        self.number = Some(number);
        Ok(())
    }
}

impl<R: Read + Seek> Read for Opener<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.length {
            // That nothing was cut off is said by the last piece, also of an empty file.
            self.open(self.length.saturating_sub(1) / PIECE as u64)?;
            return Ok(0);
        }
        self.open(self.at / PIECE as u64)?;
        let from = usize::try_from(self.at % PIECE as u64).unwrap_or(usize::MAX);
        let open = self.piece.get(from..).unwrap_or_default();
        let taken = open.len().min(buffer.len());
        buffer[..taken].copy_from_slice(&open[..taken]);
        self.at += taken as u64;
        Ok(taken)
    }
}

impl<R: Read + Seek> Seek for Opener<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let to = match to {
            SeekFrom::Start(to) => Some(to),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = to.ok_or_else(|| Error::new(ErrorKind::InvalidInput, "before its beginning"))?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::event::SubjectId;
    use crate::vault::cipher::Key;

    fn key(byte: u8) -> SubjectKey {
        SubjectKey::new(SubjectId(Uuid::from_u128(4)), 3, &Key::new([byte; 32]))
    }

    fn sealed(plain: &[u8]) -> Vec<u8> {
        let mut sealer = Sealer::new(Vec::new(), &key(7)).expect("a vector takes all");
        sealer.write_all(plain).expect("a vector takes all");
        sealer.finish().expect("a vector takes all")
    }

    fn opened(sealed: &[u8], by: u8) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        Opener::new(Cursor::new(sealed), &key(by))?.read_to_end(&mut plain)?;
        Ok(plain)
    }

    #[test]
    fn whatever_hangs_on_a_file_of_full_pieces_is_found() {
        for pieces in 0..3 {
            let sealed = sealed(&vec![7; pieces * PIECE]);
            for more in 1..40 {
                let longer = [&sealed[..], &vec![0; more]].concat();
                assert!(opened(&longer, 7).is_err(), "{more} behind {pieces} pieces");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_was_sealed_opens_from_any_place_and_not_when_changed(
            pieces in 0..3_usize,
            rest in prop_oneof![Just(0), Just(1), 0..PIECE],
            at: prop::sample::Index,
            cut: prop::sample::Index,
        ) {
            let plain: Vec<u8> = (0..pieces * PIECE + rest).map(|n| u8::try_from(n % 251).expect("small")).collect();
            let sealed = sealed(&plain);
            prop_assert_eq!(generation(&mut Cursor::new(&sealed)).expect("a header"), 3);
            prop_assert_eq!(opened(&sealed, 7).expect("it opens"), plain.clone());
            prop_assert!(opened(&sealed, 8).is_err());

            let mut changed = sealed.clone();
            changed[at.index(sealed.len())] ^= 1;
            prop_assert!(opened(&changed, 7).is_err());
            prop_assert!(opened(&sealed[..cut.index(sealed.len())], 7).is_err());
            prop_assert!(opened(&[&sealed[..], &[0]].concat(), 7).is_err());

            if !plain.is_empty() {
                let from = at.index(plain.len());
                let mut opener = Opener::new(Cursor::new(&sealed), &key(7)).expect("it opens");
                opener.seek(SeekFrom::Start(from as u64)).expect("a place");
                let mut rest = Vec::new();
                opener.read_to_end(&mut rest).expect("it opens");
                prop_assert_eq!(rest, &plain[from..]);
            }
        }
    }
}
