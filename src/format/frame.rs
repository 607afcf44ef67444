//! Cuts a stream of bytes into conversations without reading what they say.
//!
//! A conversation whose JSON is broken inside is thus refused alone: only where the bytes between conversations are
//! damaged, or the file ends too early, is its rest lost.

use std::io::BufRead;

use super::Reason;
use super::input::{Damage, Input, Taken};

/// How a file is cut into conversations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The elements of one JSON array.
    Elements,
    /// The values of one JSON object, each under a key of its own.
    Entries,
    /// JSON values, one after the other; mostly just one.
    Values,
    /// One JSON value a line. Lines end at \n alone: JSON may hold U+2028 and its like unescaped.
    Lines,
}

/// One conversation as it lies in its file.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    /// Which one of the file, or which line, from 1.
    pub index: u64,
    /// The key of an entry: JSON text.
    pub key: Option<Vec<u8>>,
    pub json: Vec<u8>,
}

/// The longest conversation that is taken, in bytes of JSON. The longest ones that people have are a tenth of it.
const FRAME_BYTES_MAX: usize = 512 << 20;

/// The frames of a stream. A frame that cannot be taken is an error with its index; the others go on.
pub struct Frames<R> {
    input: Input<R>,
    cut: Cut,
    state: State,
    /// How many frames are behind us.
    index: u64,
    bytes_max: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Before,
    Within,
    Done,
}

impl<R: BufRead> Frames<R> {
    pub const fn new(reader: R, cut: Cut) -> Self {
        Self { input: Input::new(reader), cut, state: State::Before, index: 0, bytes_max: FRAME_BYTES_MAX }
    }

    fn frame(&mut self) -> Result<Option<Frame>, Damage> {
        let begins = self.state == State::Before;
        if begins {
            self.input.skip_byte_order_mark()?;
            self.state = State::Within;
        }
        match self.cut {
            Cut::Lines => self.line(),
            Cut::Values => match self.input.after_space()? {
                Some(_) => self.value(None).map(Some),
                None => Ok(None),
            },
            Cut::Elements => self.item(begins, b'[', b']'),
            Cut::Entries => self.item(begins, b'{', b'}'),
        }
    }

    fn line(&mut self) -> Result<Option<Frame>, Damage> {
        loop {
            let mut json = Taken::new(self.bytes_max);
            if !self.input.take_line(&mut json)? {
                return Ok(None);
            }
            if !json.bytes.iter().all(u8::is_ascii_whitespace) {
                return self.done(None, json).map(Some);
            }
            self.index += 1;
        }
    }

    /// The next item of an array or object, with all that stands before it.
    fn item(&mut self, begins: bool, opening: u8, closing: u8) -> Result<Option<Frame>, Damage> {
        if begins {
            self.input.expect(opening)?;
        }
        if self.input.after_space()? == Some(closing) {
            self.input.expect(closing)?;
            return if self.input.after_space()?.is_none() { Ok(None) } else { Err(Damage::Unexpected) };
        }
        if !begins {
            self.input.expect(b',')?;
            self.input.after_space()?;
        }
        let mut key = None;
        if self.cut == Cut::Entries {
            let mut taken = Taken::new(self.bytes_max);
            self.input.take_value(&mut taken)?;
            self.input.expect(b':')?;
            self.input.after_space()?;
            key = Some(taken.bytes);
        }
        self.value(key).map(Some)
    }

    fn value(&mut self, key: Option<Vec<u8>>) -> Result<Frame, Damage> {
        let mut json = Taken::new(self.bytes_max);
        self.input.take_value(&mut json)?;
        self.done(key, json)
    }

    fn done(&mut self, key: Option<Vec<u8>>, json: Taken) -> Result<Frame, Damage> {
        self.index += 1;
        if json.is_cut { Err(Damage::TooLong) } else { Ok(Frame { index: self.index, key, json: json.bytes }) }
    }
}

impl<R: BufRead> Iterator for Frames<R> {
    type Item = Result<Frame, (u64, Reason)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == State::Done {
            return None;
        }
        let reason = match self.frame() {
            Ok(Some(frame)) => return Some(Ok(frame)),
            Ok(None) => {
                self.state = State::Done;
                return None;
            }
            Err(Damage::TooLong) => {
                return Some(Err((self.index, format!("it is longer than {} MiB of JSON", self.bytes_max >> 20))));
            }
            Err(Damage::Unexpected) => {
                "the JSON is damaged; repair the file there, or download the export again".into()
            }
            Err(Damage::Ends) => "the file ends in its middle; download the export again".into(),
            Err(Damage::Read(error)) => format!("the file cannot be read on ({error}); download the export again"),
        };
        self.state = State::Done;
        let (at, before) = (self.input.offset(), self.index);
        let told =
            format!("at byte {at} {reason}. What came before ({before}) was read, this one and the rest was not");
        Some(Err((before + 1, told)))
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use proptest::prelude::*;

    use super::*;

    fn frames(input: &str, cut: Cut) -> Vec<(u64, String)> {
        // A tiny buffer, so that every boundary falls between two reads.
        let frames = Frames::new(BufReader::with_capacity(1, input.as_bytes()), cut).map(Result::unwrap);
        frames.map(|frame| (frame.index, String::from_utf8(frame.json).unwrap())).collect()
    }

    fn whole(index: u64, json: &str) -> (u64, String) {
        (index, json.to_owned())
    }

    #[test]
    fn an_array_is_cut_at_its_commas_and_nowhere_else() {
        let input = "\u{feff} [ {\"a\": \"],\\\"}\"} ,[1,[2]], null,\"x,]\" ]\n";
        let cut = [whole(1, "{\"a\": \"],\\\"}\"}"), whole(2, "[1,[2]]"), whole(3, "null"), whole(4, "\"x,]\"")];
        assert_eq!(frames(input, Cut::Elements), cut);
        assert_eq!(frames("[]", Cut::Elements), []);
    }

    #[test]
    fn entries_carry_their_keys() {
        let mut frames = Frames::new(&b"{\"a,\" : {\"b\":1} , \"c\":2}"[..], Cut::Entries);
        let first = frames.next().unwrap().unwrap();
        assert_eq!((first.key.as_deref(), first.json.as_slice()), (Some(&b"\"a,\""[..]), &b"{\"b\":1}"[..]));
        assert_eq!(frames.next().unwrap().unwrap().key.as_deref(), Some(&b"\"c\""[..]));
        assert!(frames.next().is_none());
    }

    #[test]
    fn lines_end_at_newlines_alone_and_are_counted_blank_or_not() {
        let input = "{\"a\":\"\u{2028}\"}\r\n\n{broken\n[1]";
        let cut = [whole(1, "{\"a\":\"\u{2028}\"}\r"), whole(3, "{broken"), whole(4, "[1]")];
        assert_eq!(frames(input, Cut::Lines), cut);
    }

    #[test]
    fn values_may_follow_each_other() {
        assert_eq!(frames("{} \n{\"a\":1}\n", Cut::Values), [whole(1, "{}"), whole(2, "{\"a\":1}")]);
    }

    #[test]
    fn a_conversation_broken_inside_does_not_break_the_next() {
        assert_eq!(frames("[{\"a\": tru}, {}]", Cut::Elements), [whole(1, "{\"a\": tru}"), whole(2, "{}")]);
    }

    #[test]
    fn damage_between_conversations_says_where_and_how_many_were_read() {
        for (input, index, says) in [
            ("[{} {}]", 2, "at byte 4 the JSON is damaged"),
            ("[{}, {\"a\": ", 2, "at byte 11 the file ends"),
            ("[{}", 2, "at byte 3 the file ends"),
            ("[{}] x", 2, "at byte 5 the JSON is damaged"),
            ("[{},,{}]", 2, "at byte 4 the JSON is damaged"),
            ("x", 1, "at byte 0 the JSON is damaged"),
        ] {
            let frames = Frames::new(input.as_bytes(), Cut::Elements);
            let (at, reason) = frames.last().unwrap().unwrap_err();
            assert_eq!(at, index, "{input}");
            assert!(reason.contains(says) && reason.contains(&format!("before ({})", index - 1)), "{input}: {reason}");
        }
    }

    #[test]
    fn a_conversation_too_long_is_left_out_alone() {
        let mut frames = Frames::new(&b"[\"12345678\", {}]"[..], Cut::Elements);
        frames.bytes_max = 8;
        assert_eq!(frames.next().unwrap().unwrap_err().0, 1);
        assert_eq!(frames.next().unwrap().unwrap().json, b"{}");
        assert!(frames.next().is_none());
    }

    proptest! {
        #[test]
        fn whatever_the_bytes_the_cutting_ends(bytes in prop::collection::vec(any::<u8>(), 0..200), picks in "[\\[\\]{}\",: a\\\\\n]{0,80}") {
            for cut in [Cut::Elements, Cut::Entries, Cut::Values, Cut::Lines] {
                for input in [bytes.as_slice(), picks.as_bytes()] {
                    prop_assert!(Frames::new(input, cut).count() <= input.len() + 1);
                }
            }
        }
    }
}
