//! What the messages say: English that people and models wrote, from the corpus.

use std::sync::LazyLock;

use convoledger::event::Part;
use convoledger::format::SourceMessage;

use crate::import;

/// A kilobyte, as one of the figures' messages.
pub const KILOBYTE: usize = 1_024;

/// All English of the corpus, read once: no turn pays for it.
static TEXT: LazyLock<String> = LazyLock::new(|| {
    let corpus = import::corpus().unwrap_or_default();
    let said = corpus.iter().flat_map(|transcript| &transcript.messages).map(text_of);
    said.filter(|said| said.is_ascii()).collect::<Vec<_>>().join(" ")
});

/// English prose cut into messages of a kilobyte, given out in turn.
pub struct Prose {
    text: &'static str,
    at: usize,
}

impl Prose {
    /// Prose that begins at another place for each `seed`.
    pub fn new(seed: usize) -> anyhow::Result<Self> {
        let text = TEXT.as_str();
        anyhow::ensure!(text.len() > 8 * KILOBYTE, "the corpus holds only {} bytes of English", text.len());
        Ok(Self { at: seed * 7_919 % (text.len() - KILOBYTE), text })
    }

    pub fn next(&mut self) -> String {
        let said = self.text[self.at..self.at + KILOBYTE].to_owned();
        // No message says again what the one before said: whoever keeps both in one value compresses that away.
        self.at = (self.at + KILOBYTE) % (self.text.len() - KILOBYTE);
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
