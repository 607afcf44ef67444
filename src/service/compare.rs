//! Comparing two paths: where they part, what each says from there on, and what it took.

use std::time::Instant;

use similar::{ChangeTag, TextDiff};

use super::{Actor, Message, Service, Totals, Trouble};
use crate::event::{BranchNumber, ConversationId, Depth, Event, Position};
use crate::view::Slice;

/// Messages of a side beyond what both share, at most.
pub const MESSAGES_MAX: usize = 2_000;
/// Messages in one read.
const PAGE: u32 = 200;

/// A path that is compared: that of a branch, as it was at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Side {
    pub conversation: ConversationId,
    pub branch: BranchNumber,
    pub at: Position,
}

#[derive(Debug, Clone)]
pub struct Comparison {
    /// The last message that both share.
    pub ancestor: Option<Message>,
    /// How many messages both share.
    pub shared: u32,
    pub left: Path,
    pub right: Path,
}

/// What of a path only one side has, in order.
#[derive(Debug, Clone, Default)]
pub struct Path {
    pub messages: Vec<Message>,
    pub totals: Totals,
}

#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    #[error("there is no such branch")]
    NoSuchBranch,
    #[error("the sides have more than {MESSAGES_MAX} messages of their own; compare branches that part later")]
    TooLong,
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

impl Comparison {
    /// What both sides say at the same distance from where they part.
    pub fn pairs(&self) -> impl ExactSizeIterator<Item = (Option<&Message>, Option<&Message>)> {
        let (left, right) = (&self.left.messages, &self.right.messages);
        (0..left.len().max(right.len())).map(|at| (left.get(at), right.get(at)))
    }
}

impl Service {
    /// Compares the path of `left` with that of `right`.
    pub async fn compare(&self, actor: Actor, left: Side, right: Side) -> Result<Comparison, CompareError> {
        let (tip, other) = (self.tip(actor, left).await?, self.tip(actor, right).await?);
        // Paths that share a message share all above it.
        let (mut shared, mut apart) = (0, tip.min(other) + 1);
        let mut ancestor = None;
        while shared + 1 < apart {
            let depth = Depth(shared + (apart - shared) / 2);
            let (here, there) = (self.at(actor, left, depth).await?, self.at(actor, right, depth).await?);
            match here {
                Some(here) if there.as_ref().map(Message::id) == Some(here.id()) => {
                    (shared, ancestor) = (depth.0, Some(here));
                }
                _ => apart = depth.0,
            }
        }
        let own_max = i32::try_from(MESSAGES_MAX).unwrap_or(i32::MAX);
        if tip.max(other) - shared > own_max {
            return Err(CompareError::TooLong);
        }
        let parting = Depth(shared);
        Ok(Comparison {
            ancestor,
            shared: u32::try_from(shared).unwrap_or_default(),
            left: self.path(actor, left, parting).await?,
            right: self.path(actor, right, parting).await?,
        })
    }

    /// How deep the path goes.
    async fn tip(&self, actor: Actor, side: Side) -> Result<i32, CompareError> {
        let page = self.page(actor, side.conversation, side.branch, &Slice::last(1), side.at).await?;
        let page = page.ok_or(CompareError::NoSuchBranch)?;
        Ok(page.rows.last().map_or(0, |message| message.place.depth.0))
    }

    async fn at(&self, actor: Actor, side: Side, depth: Depth) -> Result<Option<Message>, CompareError> {
        let slice = Slice::first(1).after(Depth(depth.0 - 1));
        let page = self.page(actor, side.conversation, side.branch, &slice, side.at).await?;
        let message = page.and_then(|page| page.rows.into_iter().next());
        Ok(message.filter(|message| message.place.depth == depth))
    }

    async fn path(&self, actor: Actor, side: Side, mut after: Depth) -> Result<Path, CompareError> {
        let mut path = Path::default();
        loop {
            let slice = Slice::first(PAGE).after(after);
            let page = self.page(actor, side.conversation, side.branch, &slice, side.at).await?;
            let page = page.ok_or(CompareError::NoSuchBranch)?;
            for message in page.rows {
                after = message.place.depth;
                if let Event::MessageAppended(said) = &message.opened.event {
                    path.totals.add(said);
                }
                path.messages.push(message);
            }
            if path.messages.len() > MESSAGES_MAX {
                return Err(CompareError::TooLong);
            }
            if !page.has_next {
                return Ok(path);
            }
        }
    }
}

/// A run of text that both say, or one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Run {
    Equal(String),
    /// Only on the left.
    Deleted(String),
    /// Only on the right.
    Inserted(String),
}

/// How `right` differs from `left`, word by word, by the word boundaries of Unicode. What is not compared at `deadline`
/// counts as different.
pub fn differences(left: &str, right: &str, deadline: Instant) -> Vec<Run> {
    let diff = TextDiff::configure().deadline(deadline).diff_unicode_words(left, right);
    let mut runs: Vec<Run> = Vec::new();
    for change in diff.iter_all_changes() {
        let (tag, word) = (change.tag(), change.value());
        match (runs.last_mut(), tag) {
            (Some(Run::Equal(run)), ChangeTag::Equal)
            | (Some(Run::Deleted(run)), ChangeTag::Delete)
            | (Some(Run::Inserted(run)), ChangeTag::Insert) => run.push_str(word),
            (_, ChangeTag::Equal) => runs.push(Run::Equal(word.to_owned())),
            (_, ChangeTag::Delete) => runs.push(Run::Deleted(word.to_owned())),
            (_, ChangeTag::Insert) => runs.push(Run::Inserted(word.to_owned())),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::clock::Clock;

    fn soon() -> Instant {
        Clock::instant() + Duration::from_secs(5)
    }

    fn sides(runs: &[Run]) -> (String, String) {
        let (mut left, mut right) = (String::new(), String::new());
        for run in runs {
            match run {
                Run::Equal(text) => {
                    left.push_str(text);
                    right.push_str(text);
                }
                Run::Deleted(text) => left.push_str(text),
                Run::Inserted(text) => right.push_str(text),
            }
        }
        (left, right)
    }

    #[test]
    fn words_are_compared_and_not_letters() {
        let runs = differences("the old cat", "the new cat", soon());
        let [equal, deleted, inserted] = [Run::Equal, Run::Deleted, Run::Inserted];
        let expected = [equal("the ".into()), deleted("old".into()), inserted("new".into()), equal(" cat".into())];
        assert_eq!(runs, expected);
        assert_eq!(differences("", "", soon()), []);
    }

    #[test]
    fn a_text_without_an_end_is_given_up_at_the_deadline() {
        let text = |by: usize| (0..200_000).map(|at| format!("w{} ", at * by % 50_021)).collect::<Vec<_>>().concat();
        let (left, right) = (text(7), text(11));
        let began = Clock::instant();
        let runs = differences(&left, &right, began + Duration::from_millis(100));
        assert!(began.elapsed() < Duration::from_secs(20));
        assert!(sides(&runs) == (left, right), "nothing is lost");
    }

    proptest! {
        #[test]
        fn both_texts_are_in_their_differences(
            left in "[ab .\n👩🏽‍🚀é]{0,40}", right in "[ab .\n👩🏽‍🚀é]{0,40}", late in any::<bool>()
        ) {
            let runs = differences(&left, &right, if late { Clock::instant() } else { soon() });
            prop_assert_eq!(sides(&runs), (left, right));
        }

        #[test]
        fn a_text_does_not_differ_from_itself(text in any::<String>()) {
            let runs = differences(&text, &text, soon());
            prop_assert!(runs.iter().all(|run| matches!(run, Run::Equal(_))) && runs.len() <= 1);
        }
    }
}
