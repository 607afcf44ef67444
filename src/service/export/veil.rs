//! What is shown of words in an export: all, or all but personal data.

use serde_json::Value;

/// Draws over what is not to be shown.
pub(super) struct Veil {
    drawn: bool,
}

impl Veil {
    pub(super) const fn new(drawn: bool) -> Self {
        Self { drawn }
    }

    /// Whether anything is drawn over: then nothing is shown that would open what was sealed.
    pub(super) const fn is_drawn(&self) -> bool {
        self.drawn
    }

    pub(super) fn text(&mut self, text: String) -> String {
        text
    }

    pub(super) fn value(&mut self, value: Value) -> Value {
        value
    }
}
