//! What the messages say: English that people and models wrote, from the fixtures.

use std::path::Path;

use convoledger::event::Part;
use convoledger::format::{self, SourceMessage};

/// A kilobyte, as one of the figures' messages.
pub const KILOBYTE: usize = 1_024;

/// English prose cut into messages of a kilobyte, given out in turn.
pub struct Prose {
    text: String,
    at: usize,
}

impl Prose {
    /// Prose that begins at another place for each `seed`.
    pub fn new(seed: usize) -> anyhow::Result<Self> {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/corpus/linear.jsonl");
        let mut text = String::new();
        for transcript in format::open(&fixtures)?.flatten() {
            for said in transcript.messages.iter().map(text_of) {
                if said.is_ascii() {
                    text.push_str(&said);
                    text.push(' ');
                }
            }
        }
        anyhow::ensure!(text.len() > 16 * KILOBYTE, "the fixtures hold only {} bytes of English", text.len());
        Ok(Self { at: seed * 7_919 % (text.len() - KILOBYTE), text })
    }

    pub fn next(&mut self) -> String {
        let said = self.text[self.at..self.at + KILOBYTE].to_owned();
        self.at = (self.at + 331) % (self.text.len() - KILOBYTE);
        said
    }

    pub fn many(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.next()).collect()
    }
}

/// All text of a message.
pub fn text_of(message: &SourceMessage) -> String {
    let text = |part: &Part| if let Part::Text { content } = part { Some(content.clone()) } else { None };
    message.parts.iter().filter_map(text).collect()
}
