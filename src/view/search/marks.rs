//! What of a text is shown for a hit, and which of its words were looked for.

use std::collections::HashSet;

/// Characters of a snippet, and how many of them stand before the first word that was found.
const SNIPPET: usize = 240;
const BEFORE: usize = 60;

/// The words that a query looks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks {
    pub words: HashSet<String>,
    pub prefixes: Vec<String>,
}

/// A piece of a snippet: a word that was looked for, or what stands between such words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    pub text: String,
    pub matched: bool,
}

impl Marks {
    /// The part of `text` where most of what was looked for stands first, cut at words; the pieces make it up in order.
    pub fn snippet(&self, text: &str) -> Vec<Run> {
        let found: Vec<(usize, usize)> = words(text).filter(|&(from, to)| self.meant(&text[from..to])).collect();
        let from = beginning(text, &found);
        let to = text[from..].char_indices().nth(SNIPPET).map_or(text.len(), |(at, _)| from + at);
        let to = boundary(text, from, to);
        let mut runs = Vec::new();
        let mut push = |text: &str, matched| {
            if !text.is_empty() {
                runs.push(Run { text: text.to_owned(), matched });
            }
        };
        let mut at = from;
        for (start, end) in found.into_iter().filter(|&(start, end)| start >= from && end <= to) {
            push(&text[at..start], false);
            push(&text[start..end], true);
            at = end;
        }
        push(&text[at..to], false);
        runs
    }

    fn meant(&self, word: &str) -> bool {
        let word = word.to_lowercase();
        self.words.contains(&word) || self.prefixes.iter().any(|prefix| word.starts_with(prefix))
    }
}

/// Where to begin: before the word from which on most different words were found.
fn beginning(text: &str, found: &[(usize, usize)]) -> usize {
    let different = |nth: usize| {
        let near = found[nth..].iter().take_while(|&&(start, _)| start - found[nth].0 < SNIPPET - BEFORE);
        near.map(|&(start, end)| text[start..end].to_lowercase()).collect::<HashSet<_>>().len()
    };
    // The earliest of the best.
    let best = (0..found.len().min(500)).rev().max_by_key(|&nth| different(nth));
    let Some(first) = best.map(|nth| found[nth].0) else { return 0 };
    let back = text[..first].char_indices().rev().nth(BEFORE).map_or(0, |(at, _)| at);
    if back == 0 { 0 } else { text[back..first].find(char::is_whitespace).map_or(back, |at| back + at + 1) }
}

/// The last blank before `to`, unless that leaves little.
fn boundary(text: &str, from: usize, to: usize) -> usize {
    if to == text.len() {
        return to;
    }
    text[from..to].rfind(char::is_whitespace).map(|at| from + at).filter(|at| at - from > (to - from) / 2).unwrap_or(to)
}

/// Where words stand, as the index has them: letters and digits, and each character of a script without blanks alone.
fn words(text: &str) -> impl Iterator<Item = (usize, usize)> {
    let mut characters = text.char_indices().peekable();
    std::iter::from_fn(move || {
        let (from, first) = characters.find(|(_, c)| c.is_alphanumeric())?;
        let mut to = from + first.len_utf8();
        if !alone(first) {
            while let Some((at, c)) = characters.next_if(|&(_, c)| c.is_alphanumeric() && !alone(c)) {
                to = at + c.len_utf8();
            }
        }
        Some((from, to))
    })
}

/// Of a script that writes no blanks between words: see `plain` in projections/search/schema.sql.
const fn alone(c: char) -> bool {
    matches!(c, '\u{0e00}'..='\u{0eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{3040}'..='\u{30ff}'
        | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(words: &[&str], text: &str) -> String {
        let marks = Marks { words: words.iter().map(ToString::to_string).collect(), prefixes: vec!["pre".into()] };
        let mark = |run: Run| if run.matched { format!("[{}]", run.text) } else { run.text };
        marks.snippet(text).into_iter().map(mark).collect()
    }

    #[test]
    fn what_was_found_is_marked_where_it_stands() {
        assert_eq!(shown(&["bread"], "Bread, <b>bread</b>!"), "[Bread], <b>[bread]</b>!");
        assert_eq!(shown(&[], "a preface of prey"), "a [preface] of [prey]");
        assert_eq!(shown(&["面", "包"], "我爱面包"), "我爱[面][包]");
        assert_eq!(shown(&["x"], ""), "");
        let long = format!("{}bread and butter {}", "so it was ".repeat(100), "and on ".repeat(100));
        let text = shown(&["bread", "butter"], &long);
        assert!(text.contains("was [bread] and [butter] and on") && text.chars().count() < SNIPPET + 10, "{text}");
    }
}
