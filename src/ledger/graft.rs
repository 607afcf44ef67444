//! The rules for grafts: a run of messages of other conversations, repeated here without saying their words again.

use std::collections::HashSet;

use super::{Below, Bound, Conversation, Refusal, message};
use crate::event::{ConversationId, Elsewhere, Event, MessageAppended, MessageId, PartKind, Place, Private, Role};

/// A run of messages, each below the one before it, and where the first of them goes.
#[derive(Debug, Clone)]
pub struct Graft {
    pub onto: Below,
    pub run: Vec<Grafted>,
}

/// A message of another conversation, and the id that it gets here.
#[derive(Debug, Clone)]
pub struct Grafted {
    pub id: MessageId,
    pub conversation: ConversationId,
    pub message: MessageId,
    pub role: Role,
    pub shape: Vec<PartKind>,
    pub language: Option<String>,
    pub model: Option<String>,
    pub provider: Option<String>,
    pub finish_reason: Option<String>,
}

pub(super) fn graft(state: &Conversation, graft: Graft) -> Result<Vec<Event>, Refusal> {
    state.growing()?;
    if graft.run.is_empty() {
        return Err(Refusal::Empty { what: "the graft" });
    }
    Bound::GRAFT.count(graft.run.len())?;
    let (parent, branch) = message::below(state, graft.onto)?;
    let (mut place, mut fork) = state.tree.below(parent);
    let mut new = HashSet::with_capacity(graft.run.len());
    let mut events = Vec::with_capacity(graft.run.len());
    for grafted in graft.run {
        let Grafted { id, conversation, message, role, shape, language, model, provider, finish_reason } = grafted;
        if state.tree.place(id).is_some() || !new.insert(id) {
            return Err(Refusal::MessageExists { message: id });
        }
        let appended = MessageAppended {
            id,
            place,
            fork: fork.take(),
            branch,
            role,
            bytes: 0,
            shape,
            language,
            revises: None,
            model,
            provider,
            usage: None,
            cost_usd: None,
            latency_ms: None,
            finish_reason,
            origin: Some(Elsewhere { conversation, message }),
            parts: Private::Known(Vec::new()),
            verbatim: Private::Known(None),
        };
        events.push(appended.into());
        place = Place { depth: place.depth.next(), ..place };
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::scenario::*;
    use super::super::{Act, Start};
    use super::*;
    use crate::event::{Ancestor, Depth, Segment};

    fn run(names: impl IntoIterator<Item = u8>) -> Vec<Grafted> {
        let grafted = |name: u8| Grafted {
            id: id(name),
            conversation: ConversationId(Uuid::from_u128(7)),
            message: id(name + 100),
            role: Role::Assistant,
            shape: vec![PartKind::Text],
            language: None,
            model: Some("m".into()),
            provider: None,
            finish_reason: None,
        };
        names.into_iter().map(grafted).collect()
    }

    fn graft(onto: u8, names: impl IntoIterator<Item = u8>) -> Act {
        Act::Graft(Graft { onto: Below::Message(id(onto)), run: run(names) })
    }

    #[test]
    fn a_graft_is_a_run_below_its_place_and_says_nothing_of_its_own() {
        let two = given([started()]).and(say(1)).and(say(2));
        let events = two.clone().when(graft(1, [3, 4, 5])).events();
        assert!(events.iter().all(|event| event.words().is_empty() && event.facts()["bytes"] == 0));
        let state = two.and(graft(1, [3, 4, 5])).and(say_below(5, 6)).state();
        assert_eq!(state.tree.path(state.branches[1].tip), [1, 3, 4, 5, 6].map(id));
        assert_eq!(state.tree.path(state.branches[0].tip), [1, 2].map(id));
    }

    #[test]
    fn a_graft_ends_and_its_ids_are_new() {
        let one = given([started()]).and(say(1));
        one.clone().when(graft(1, [])).refused(Refusal::Empty { what: "the graft" });
        one.clone().when(graft(1, [2, 1])).refused(Refusal::MessageExists { message: id(1) });
        one.clone().when(graft(1, [2, 2])).refused(Refusal::MessageExists { message: id(2) });
        let endless = Graft { onto: Below::Preferred, run: vec![run([2]).remove(0); 1_001] };
        let (what, unit) = ("the graft", "messages");
        one.when(Act::Graft(endless)).refused(Refusal::TooLong { what, given: 1_001, max: 1_000, unit });
    }

    #[test]
    fn a_conversation_that_goes_on_from_a_message_has_its_roots_below_that() {
        let at = Place { segment: Segment(3), depth: Depth(7) };
        let from = Some(Ancestor { conversation: ConversationId(Uuid::from_u128(7)), message: id(9), at });
        let start = Act::Start(Start { from, ..Start::default() });
        let edit = super::super::EditMessage { id: id(3), message: id(1), parts: Vec::new() };
        let state = given([]).and(start).and(say(1)).and(say(2)).and(Act::Edit(edit)).state();
        let place = |name| state.tree.place(id(name)).map(|at| (at.segment.0, at.depth.0));
        assert_eq!([1, 2, 3].map(place), [Some((1, 8)), Some((1, 9)), Some((2, 8))]);
        assert_eq!(state.tree.path(state.branches[0].tip), [1, 2].map(id));
        assert_eq!(state.tree.path(state.branches[1].tip), [id(3)]);
    }
}
