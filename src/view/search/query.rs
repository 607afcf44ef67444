//! What somebody looks for: words that must all be there, `"phrases"`, `prefixes*`, `-what` must not be there, and `OR`
//! between alternatives.
//!
//! [`Query::parse`] reads it, the vocabulary says what each word is searched as ([`Piece`]), and [`Query::spell`] writes
//! it in Postgres's language.

use std::collections::HashMap;

use super::marks::Marks;

/// Characters in a query, and terms.
const LENGTH_MAX: usize = 1_000;
const TERMS_MAX: usize = 32;
/// The shortest word that may be a typo, and the shortest that may be off by two.
const TYPO_LENGTH_MIN: usize = 4;
const TWO_TYPOS_LENGTH_MIN: usize = 8;
/// Words that one word is taken for, nearest first.
const NEAR_MAX: usize = 20;

/// Alternatives, each of terms that must all be met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query(Vec<Vec<Term>>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    text: String,
    shape: Shape,
    /// It must not be there.
    not: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Its inflections count too, and what it may be a typo of.
    Word,
    /// As it was said, in this order.
    Phrase,
    Prefix,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoQuery {
    #[error("the query is longer than {LENGTH_MAX} characters")]
    TooLong,
    #[error("the query has more than {TERMS_MAX} words and phrases")]
    TooMany,
    #[error("the query only says what must not be there; say something that must")]
    OnlyNot,
}

/// One word of a term, as the index has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    pub word: String,
    /// Whether it says little in a language that the owner speaks.
    pub stop: bool,
    /// Words that share its stem.
    pub akin: Vec<String>,
}

/// A query in Postgres's language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spelled {
    /// What the index can tell: words, without their order.
    pub coarse: String,
    /// All of it, when that is more.
    pub fine: Option<String>,
    /// Everything that a hit may say of it.
    pub rank: String,
    pub marks: Marks,
}

impl Query {
    /// # Errors
    /// If it is beyond a limit, or one of its alternatives says only what must not be there.
    pub fn parse(text: &str) -> Result<Self, NoQuery> {
        if text.chars().count() > LENGTH_MAX {
            return Err(NoQuery::TooLong);
        }
        let mut groups = vec![Vec::new()];
        // Nobody said a NUL: Postgres holds none.
        let text = text.replace('\0', " ");
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let not = rest.starts_with('-') && rest[1..].starts_with(|next: char| !next.is_whitespace());
            rest = &rest[usize::from(not)..];
            let (term, after) = if let Some(quoted) = rest.strip_prefix('"') {
                let (text, after) = quoted.split_once('"').unwrap_or((quoted, ""));
                (Term { text: text.to_owned(), shape: Shape::Phrase, not }, after)
            } else {
                let end = rest.find(|c: char| c.is_whitespace() || c == '"').unwrap_or(rest.len());
                let (word, after) = rest.split_at(end);
                let (text, shape) = match word.strip_suffix('*') {
                    Some(prefix) => (prefix, Shape::Prefix),
                    None => (word, Shape::Word),
                };
                (Term { text: text.to_owned(), shape, not }, after)
            };
            rest = after.trim_start();
            if term.shape == Shape::Word && !not && term.text == "OR" {
                groups.push(Vec::new());
            } else if let Some(group) = groups.last_mut() {
                group.push(term);
            }
        }
        groups.retain(|group| !group.is_empty());
        if groups.iter().map(Vec::len).sum::<usize>() > TERMS_MAX {
            return Err(NoQuery::TooMany);
        }
        if groups.iter().any(|group| group.iter().all(|term| term.not)) {
            return Err(NoQuery::OnlyNot);
        }
        Ok(Self(groups))
    }

    /// The text of each term.
    pub fn terms(&self) -> Vec<String> {
        self.0.iter().flatten().map(|term| term.text.clone()).collect()
    }

    /// Words that may be typos: those that stand alone and must be there. `pieces` are those of each term.
    pub fn doubtful(&self, pieces: &[Vec<Piece>]) -> Vec<String> {
        let may_be_typo = |(term, pieces): (&Term, &Vec<Piece>)| match pieces.as_slice() {
            [piece] if term.shape == Shape::Word && !term.not && piece.word.chars().count() >= TYPO_LENGTH_MIN => {
                Some(piece.word.clone())
            }
            _ => None,
        };
        self.0.iter().flatten().zip(pieces).filter_map(may_be_typo).collect()
    }

    /// What to look for, when each term is made of `pieces` and a word may be meant as those `near` it; none when nothing
    /// is left to look for.
    pub fn spell(&self, pieces: &[Vec<Piece>], near: &HashMap<String, Vec<String>>) -> Option<Spelled> {
        let (mut coarse, mut fine, mut rank) = (Vec::new(), Vec::new(), Vec::new());
        let mut marks = Marks::default();
        let mut ordered = false;
        let mut pieces = pieces.iter();
        for group in &self.0 {
            let terms: Vec<_> = group.iter().zip(pieces.by_ref()).filter(|(_, pieces)| !pieces.is_empty()).collect();
            let says_little = |(term, pieces): &(&Term, &Vec<Piece>)| {
                term.shape == Shape::Word && pieces.iter().all(|piece| piece.stop)
            };
            let says_much = terms.iter().any(|term| !term.0.not && !says_little(term));
            if terms.iter().all(|(term, _)| term.not) {
                continue;
            }
            let (mut all_coarse, mut all_fine) = (Vec::new(), Vec::new());
            for (term, pieces) in &terms {
                let words = term.alternatives(pieces, near);
                if !term.not {
                    rank.extend(words.iter().cloned());
                    term.mark(pieces, near, &mut marks);
                    // Nobody who asks for “the bread” means to leave out what says only “bread”.
                    if says_much && says_little(&(term, pieces)) {
                        continue;
                    }
                }
                ordered |= words.len() > 1;
                let not = if term.not { "!" } else { "" };
                all_fine.push(format!("{not}{}", joined(&words, " <-> ")));
                // Which words stand beside each other the index cannot tell: what must not, it lets pass.
                if !term.not || words.len() == 1 {
                    all_coarse.push(format!("{not}{}", joined(&words, " & ")));
                }
            }
            coarse.push(all_coarse.join(" & "));
            fine.push(all_fine.join(" & "));
        }
        (!coarse.is_empty()).then(|| Spelled {
            coarse: coarse.join(" | "),
            fine: ordered.then(|| fine.join(" | ")),
            rank: rank.join(" | "),
            marks,
        })
    }
}

impl Term {
    /// What may stand at each place of the term, as Postgres writes it.
    fn alternatives(&self, pieces: &[Piece], near: &HashMap<String, Vec<String>>) -> Vec<String> {
        let last = pieces.len().saturating_sub(1);
        let place = |(nth, piece): (usize, &Piece)| {
            let words: Vec<String> = self.words(piece, near).map(quoted).collect();
            if self.shape == Shape::Prefix && nth == last {
                format!("{}:*", quoted(&piece.word))
            } else {
                joined(&words, " | ")
            }
        };
        pieces.iter().enumerate().map(place).collect()
    }

    /// The words that one place may say.
    fn words<'a>(
        &'a self,
        piece: &'a Piece,
        near: &'a HashMap<String, Vec<String>>,
    ) -> impl Iterator<Item = &'a str> + 'a {
        let widened = self.shape == Shape::Word;
        let akin = piece.akin.iter().filter(move |_| widened).filter(move |akin| **akin != piece.word);
        let near = near.get(&piece.word).into_iter().flatten().filter(move |_| widened && !self.not);
        std::iter::once(piece.word.as_str()).chain(akin.chain(near).map(String::as_str))
    }

    fn mark(&self, pieces: &[Piece], near: &HashMap<String, Vec<String>>, marks: &mut Marks) {
        for (nth, piece) in pieces.iter().enumerate() {
            if self.shape == Shape::Prefix && nth + 1 == pieces.len() {
                marks.prefixes.push(piece.word.clone());
            } else {
                marks.words.extend(self.words(piece, near).map(str::to_owned));
            }
        }
    }
}

/// Those of `candidates` that `word` may be a typo of, nearest first. Two letters that changed places are one mistake.
pub fn nearest(word: &str, candidates: impl IntoIterator<Item = String>) -> Vec<String> {
    let mistakes_max = if word.chars().count() >= TWO_TYPOS_LENGTH_MIN { 2 } else { 1 };
    let mut near: Vec<(usize, String)> = candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(word, &candidate), candidate))
        .filter(|(mistakes, _)| (1..=mistakes_max).contains(mistakes))
        .collect();
    near.sort_unstable();
    near.truncate(NEAR_MAX);
    near.into_iter().map(|(_, word)| word).collect()
}

fn joined(words: &[String], operator: &str) -> String {
    if let [word] = words { word.clone() } else { format!("({})", words.join(operator)) }
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every word as it is, `the` being a stop word.
    fn spelled(text: &str) -> Option<Spelled> {
        let query = Query::parse(text).expect("a query");
        let piece = |word: &str| Piece { word: word.to_lowercase(), stop: word == "the", akin: Vec::new() };
        let pieces = |term: String| {
            term.split(|c: char| !c.is_alphanumeric() && c != '\'').filter(|word| !word.is_empty()).map(piece).collect()
        };
        let pieces: Vec<Vec<Piece>> = query.terms().into_iter().map(pieces).collect();
        query.spell(&pieces, &HashMap::new())
    }

    #[test]
    fn a_query_is_spelled_for_the_index_and_whole() {
        let both = |text: &str| spelled(text).map(|spelled| (spelled.coarse, spelled.fine));
        let plain = |coarse: &str| Some((coarse.to_owned(), None));
        assert_eq!(both("a b"), plain("'a' & 'b'"));
        assert_eq!(both("a -b OR c*"), plain("'a' & !'b' | 'c':*"));
        let whole = "('a' <-> 'b') & !('c' <-> 'd')".to_owned();
        assert_eq!(both("\"a b\" -\"c d\""), Some(("('a' & 'b')".into(), Some(whole))));
        assert_eq!(both("it's"), plain("'it''s'"));
        assert_eq!(both("?! …"), None);
    }

    #[test]
    fn a_stop_word_need_not_be_there_unless_it_is_all_there_is_or_is_quoted() {
        let coarse = |text: &str| spelled(text).expect("something to look for").coarse;
        assert_eq!(coarse("the bread"), "'bread'");
        assert_eq!(coarse("the"), "'the'");
        assert_eq!(coarse("\"the\" bread"), "'the' & 'bread'");
        assert_eq!(spelled("the bread").expect("some").rank, "'the' | 'bread'");
    }

    #[test]
    fn what_cannot_be_looked_for_is_refused() {
        assert_eq!(Query::parse("-a"), Err(NoQuery::OnlyNot));
        assert_eq!(Query::parse("a OR -b"), Err(NoQuery::OnlyNot));
        assert_eq!(Query::parse(&"a ".repeat(33)), Err(NoQuery::TooMany));
        assert_eq!(Query::parse(&"a".repeat(1_001)), Err(NoQuery::TooLong));
        assert_eq!(Query::parse("OR OR"), Ok(Query(Vec::new())));
        assert_eq!(Query::parse("\"never closed").map(|query| query.terms()), Ok(vec!["never closed".to_owned()]));
    }

    #[test]
    fn a_typo_is_taken_for_what_is_near() {
        let near = |word: &str, candidates: &[&str]| nearest(word, candidates.iter().map(ToString::to_string));
        assert_eq!(near("braed", &["bread", "braid", "broad", "breads", "braed"]), ["braid", "bread"]);
        assert_eq!(near("recieveing", &["receiving", "relieving", "received"]), ["receiving", "relieving"]);
    }
}
