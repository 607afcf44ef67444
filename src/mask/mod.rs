//! Masking: personal data in a text becomes placeholders. Pure, and linear in the text, whatever the text is.
//!
//! A [`Detector`] finds. [`Detector::blank`] masks for good: `[email]`. A [`Masker`] masks so that it can be undone: the same
//! text always becomes the same placeholder, `[email-1]`, and its legend says what stood there. A text that looks like such
//! a placeholder already is masked as well, as `[literal-1]`: so [`unmask`] gives back every text as it was.
//!
//! What has a check digit is taken only if that is right. What has none (names, secrets) is told by its shape. Nothing finds
//! all that is personal: who somebody is can be told in plain words.

mod address;
mod detect;
mod number;
mod secret;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::Value;

pub use detect::{Detector, NotNames};

use crate::event::Personal;

/// What every placeholder of a [`Masker`] looks like.
static PLACEHOLDER: LazyLock<Regex> = LazyLock::new(|| {
    let labels = Personal::ALL.map(Personal::label).join("|");
    Regex::new(&format!(r"\[(?:{labels}|{LITERAL})-[0-9]+\]")).expect("a pattern")
});

/// What a text is called that looks like a placeholder and is none.
const LITERAL: &str = "literal";

/// Masks texts, and remembers what stood there.
#[derive(Debug, Clone)]
pub struct Masker {
    detector: Detector,
    /// Where in the legend an original stands.
    known: HashMap<String, usize>,
    legend: Vec<Masked>,
    /// How many there are of each kind.
    counts: BTreeMap<Option<Personal>, usize>,
}

/// What a placeholder stands for.
#[derive(Clone, PartialEq, Eq)]
pub struct Masked {
    pub placeholder: String,
    /// None for what only looked like a placeholder.
    pub kind: Option<Personal>,
    pub original: String,
}

/// Without the original: it is never to be printed by accident.
impl std::fmt::Debug for Masked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Masked").field(&self.placeholder).finish()
    }
}

impl Masker {
    #[must_use]
    pub fn new(detector: Detector) -> Self {
        Self { detector, known: HashMap::new(), legend: Vec::new(), counts: BTreeMap::new() }
    }

    /// Goes on from the legend of what was masked before.
    #[must_use]
    pub fn resumed(detector: Detector, legend: Vec<Masked>) -> Self {
        let mut masker = Self::new(detector);
        for (nth, masked) in legend.iter().enumerate() {
            masker.known.insert(masked.original.clone(), nth);
            *masker.counts.entry(masked.kind).or_default() += 1;
        }
        masker.legend = legend;
        masker
    }

    /// `text` with placeholders in the place of what is personal.
    pub fn mask(&mut self, text: &str) -> String {
        let mut masked = String::with_capacity(text.len());
        let mut after = 0;
        for literal in PLACEHOLDER.find_iter(text) {
            self.mask_between(&text[after..literal.start()], &mut masked);
            masked += self.placeholder(None, literal.as_str());
            after = literal.end();
        }
        self.mask_between(&text[after..], &mut masked);
        masked
    }

    /// Masks every string within, but no keys: they are the names of fields.
    pub fn mask_json(&mut self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.mask(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.mask_json(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.mask_json(field)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// What every placeholder so far stands for, in the order in which they were given.
    pub fn legend(&self) -> impl Iterator<Item = &Masked> {
        self.legend.iter()
    }

    fn mask_between(&mut self, text: &str, masked: &mut String) {
        let mut after = 0;
        for (range, kind) in self.detector.find(text) {
            *masked += &text[after..range.start];
            *masked += self.placeholder(Some(kind), &text[range.clone()]);
            after = range.end;
        }
        *masked += &text[after..];
    }

    fn placeholder(&mut self, kind: Option<Personal>, original: &str) -> &str {
        let nth = if let Some(nth) = self.known.get(original) {
            *nth
        } else {
            let number = self.counts.entry(kind).or_default();
            *number += 1;
            let placeholder = format!("[{}-{number}]", kind.map_or(LITERAL, Personal::label));
            self.legend.push(Masked { placeholder, kind, original: original.to_owned() });
            self.known.insert(original.to_owned(), self.legend.len() - 1);
            self.legend.len() - 1
        };
        &self.legend[nth].placeholder
    }
}

/// `text` as it was before it was masked. Placeholders that are not in the legend stay.
#[must_use]
pub fn unmask<'l>(text: &'l str, legend: impl IntoIterator<Item = &'l Masked>) -> Cow<'l, str> {
    let originals: HashMap<&str, &str> =
        legend.into_iter().map(|masked| (masked.placeholder.as_str(), masked.original.as_str())).collect();
    PLACEHOLDER.replace_all(text, |found: &Captures<'_>| {
        let placeholder = &found[0];
        originals.get(placeholder).map_or_else(|| placeholder.to_owned(), |original| (*original).to_owned())
    })
}

#[cfg(test)]
mod tests;
