//! Takes JSON values and lines out of a stream of bytes, knowing no more of JSON than where a value ends.

use std::io::{self, BufRead};

/// A reader of which values and lines are taken.
pub struct Input<R> {
    reader: R,
    /// How many bytes were consumed.
    offset: u64,
}

impl<R: BufRead> Input<R> {
    pub const fn new(reader: R) -> Self {
        Self { reader, offset: 0 }
    }

    pub const fn offset(&self) -> u64 {
        self.offset
    }

    fn chunk(&mut self) -> io::Result<&[u8]> {
        // Asked twice, because a borrow that is returned on one path only would last for the loop.
        while let Err(error) = self.reader.fill_buf() {
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
        self.reader.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        self.reader.consume(bytes);
        self.offset += bytes as u64;
    }

    fn peek(&mut self) -> io::Result<Option<u8>> {
        Ok(self.chunk()?.first().copied())
    }

    pub fn expect(&mut self, byte: u8) -> Result<(), Damage> {
        match self.after_space()? {
            Some(next) if next == byte => self.consume(1),
            Some(_) => return Err(Damage::Unexpected),
            None => return Err(Damage::Ends),
        }
        Ok(())
    }

    pub fn skip_byte_order_mark(&mut self) -> Result<(), Damage> {
        if self.peek()? == Some(0xEF) {
            [0xEF, 0xBB, 0xBF].into_iter().try_for_each(|byte| self.expect(byte))?;
        }
        Ok(())
    }

    /// The next byte that is no white space.
    pub fn after_space(&mut self) -> io::Result<Option<u8>> {
        while let Some(byte) = self.peek()? {
            if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                return Ok(Some(byte));
            }
            self.consume(1);
        }
        Ok(None)
    }

    pub fn take_value(&mut self, taken: &mut Taken) -> Result<(), Damage> {
        let ended = match self.peek()? {
            None => false,
            Some(b'{' | b'[' | b'"') => {
                let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
                self.take(taken, |byte| {
                    match byte {
                        _ if escaped => escaped = false,
                        b'\\' if in_string => escaped = true,
                        b'"' => in_string = !in_string,
                        _ if in_string => {}
                        b'{' | b'[' => depth += 1,
                        b'}' | b']' => depth = depth.saturating_sub(1),
                        _ => {}
                    }
                    if depth == 0 && !in_string { Scan::With } else { Scan::On }
                })?
            }
            Some(_) => {
                let is_delimiter = |byte: u8| byte.is_ascii_whitespace() || b",:]}".contains(&byte);
                self.take(taken, |byte| if is_delimiter(byte) { Scan::Before } else { Scan::On })?;
                if taken.bytes.is_empty() && !taken.is_cut {
                    return Err(Damage::Unexpected);
                }
                true
            }
        };
        if ended { Ok(()) } else { Err(Damage::Ends) }
    }

    /// Takes a line without its end; false when there is none any more.
    pub fn take_line(&mut self, taken: &mut Taken) -> Result<bool, Damage> {
        let ended = self.take(taken, |byte| if byte == b'\n' { Scan::Before } else { Scan::On })?;
        if ended {
            self.consume(1);
        }
        Ok(ended || taken.is_cut || !taken.bytes.is_empty())
    }

    /// Takes bytes until `scan` says so; false when the input ended before.
    fn take(&mut self, taken: &mut Taken, mut scan: impl FnMut(u8) -> Scan) -> io::Result<bool> {
        loop {
            let chunk = self.chunk()?;
            let (mut end, mut last) = (chunk.len(), Scan::On);
            for (at, &byte) in chunk.iter().enumerate() {
                last = scan(byte);
                if last != Scan::On {
                    end = at + usize::from(last == Scan::With);
                    break;
                }
            }
            taken.extend(&chunk[..end]);
            let was_empty = chunk.is_empty();
            self.consume(end);
            if last != Scan::On || was_empty {
                return Ok(!was_empty);
            }
        }
    }
}

/// Where a scan stands after a byte.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scan {
    On,
    /// It ends with this byte.
    With,
    /// It ended before this byte.
    Before,
}

/// Bytes that were taken, up to a bound; what is more is skipped.
pub struct Taken {
    pub bytes: Vec<u8>,
    bytes_max: usize,
    pub is_cut: bool,
}

impl Taken {
    pub const fn new(bytes_max: usize) -> Self {
        Self { bytes: Vec::new(), bytes_max, is_cut: false }
    }

    fn extend(&mut self, bytes: &[u8]) {
        self.is_cut |= self.bytes.len() + bytes.len() > self.bytes_max;
        if self.is_cut {
            self.bytes = Vec::new();
        } else {
            self.bytes.extend_from_slice(bytes);
        }
    }
}

/// Why a frame cannot be taken.
pub enum Damage {
    /// The frame is too long to be held; the next one can be read.
    TooLong,
    Unexpected,
    Ends,
    Read(io::Error),
}

impl From<io::Error> for Damage {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof { Self::Ends } else { Self::Read(error) }
    }
}
