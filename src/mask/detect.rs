//! Finding all that is personal in a text, each thing once.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use regex::{Regex, RegexBuilder, escape};

use super::{address, number, secret};
use crate::event::Personal;

/// How often what is left of a text is looked through again: what was found is a border for what stands beside it.
const ROUNDS: usize = 4;
/// What the program of all names may take.
const NAMES_MAX: usize = 64 << 20;

/// Finds kinds of personal data. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Detector {
    kinds: BTreeSet<Personal>,
    names: Option<Arc<Regex>>,
}

/// Names that cannot be looked for.
#[derive(Debug, thiserror::Error)]
#[error("these names are too much to look for; give fewer or shorter ones")]
pub struct NotNames;

impl Default for Detector {
    /// All kinds, and no names.
    fn default() -> Self {
        Self { kinds: Personal::ALL.into(), names: None }
    }
}

impl Detector {
    /// Finds `kinds`, and the names that are listed, in capitals or not.
    pub fn new(kinds: impl IntoIterator<Item = Personal>, names: &[String]) -> Result<Self, NotNames> {
        let names = match pattern(names) {
            Some(pattern) => {
                let names = RegexBuilder::new(&pattern).case_insensitive(true).size_limit(NAMES_MAX).build();
                Some(Arc::new(names.map_err(|_| NotNames)?))
            }
            None => None,
        };
        Ok(Self { kinds: kinds.into_iter().collect(), names })
    }

    /// Where something personal stands, in order. Nothing of it overlaps.
    #[must_use]
    pub fn find(&self, text: &str) -> Vec<(Range<usize>, Personal)> {
        let mut found = Vec::new();
        let mut left: Vec<Range<usize>> = std::iter::once(0..text.len()).collect();
        for _ in 0..ROUNDS {
            let mut rest = Vec::new();
            for gap in left {
                let here = self.find_once(&text[gap.clone()]);
                let mut after = gap.start;
                for (range, kind) in &here {
                    let range = gap.start + range.start..gap.start + range.end;
                    rest.push(after..range.start);
                    after = range.end;
                    found.push((range, *kind));
                }
                if !here.is_empty() {
                    rest.push(after..gap.end);
                }
            }
            left = rest;
        }
        found.sort_unstable_by_key(|(range, _)| range.start);
        found
    }

    /// `text` without what is personal: only its kind is left.
    #[must_use]
    pub fn blank<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let found = self.find(text);
        if found.is_empty() {
            return text.into();
        }
        let (mut blank, mut after) = (String::with_capacity(text.len()), 0);
        for (range, kind) in found {
            blank += &text[after..range.start];
            blank += "[";
            blank += kind.label();
            blank += "]";
            after = range.end;
        }
        blank += &text[after..];
        blank.into()
    }

    /// What each kind finds for itself; where they overlap, the kinds that come first have it.
    fn find_once(&self, text: &str) -> Vec<(Range<usize>, Personal)> {
        let mut found: Vec<(Range<usize>, Personal)> = Vec::new();
        for kind in &self.kinds {
            let here: Vec<Range<usize>> = match kind {
                Personal::Secret => secret::find(text),
                Personal::Email => address::emails(text),
                Personal::Iban => number::ibans(text),
                Personal::Card => number::cards(text),
                Personal::Ip => address::ips(text),
                Personal::Phone => number::phones(text),
                Personal::Name => self.names(text),
            };
            // Both are in order: those that lie between what was found before are taken over in one pass.
            let mut merged = Vec::with_capacity(found.len() + here.len());
            let mut before = found.into_iter().peekable();
            for range in here {
                while let Some(earlier) = before.next_if(|(earlier, _)| earlier.start < range.start) {
                    merged.push(earlier);
                }
                let clear = |earlier: Option<&(Range<usize>, Personal)>| {
                    earlier.is_none_or(|(earlier, _)| earlier.end <= range.start || range.end <= earlier.start)
                };
                if clear(merged.last()) && clear(before.peek()) {
                    merged.push((range, *kind));
                }
            }
            merged.extend(before);
            found = merged;
        }
        found
    }

    fn names(&self, text: &str) -> Vec<Range<usize>> {
        self.names.iter().flat_map(|names| names.find_iter(text)).map(|name| name.range()).collect()
    }
}

/// Any of these names; the longest first, for one may begin with another. Between their words may stand any blanks.
fn pattern(names: &[String]) -> Option<String> {
    let mut names: Vec<&str> = names.iter().map(|name| name.trim()).filter(|name| !name.is_empty()).collect();
    names.sort_unstable_by_key(|name| std::cmp::Reverse(name.len()));
    let one = |name: &&str| {
        let words: Vec<String> = name.split_whitespace().map(escape).collect();
        let border = |edge: Option<char>, border| if edge.is_some_and(has_borders) { border } else { "" };
        let before = border(name.chars().next(), r"\b{start-half}");
        let after = border(name.chars().next_back(), r"\b{end-half}");
        format!("{before}{}{after}", words.join(r"\s+"))
    };
    let names: Vec<String> = names.iter().map(one).collect();
    (!names.is_empty()).then(|| names.join("|"))
}

/// Whether a name that begins or ends with `c` is one only where the word does: not in scripts that put no blanks between
/// words, or add to them.
fn has_borders(c: char) -> bool {
    c.is_alphanumeric()
        && !matches!(c,
            '\u{0e00}'..='\u{0eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{3040}'..='\u{30ff}'
            | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}'
            | '\u{20000}'..='\u{3134f}')
}
