//! The rules for what is done to views by hand.

use std::collections::BTreeSet;

use super::{Bound, Refusal};
use crate::event::{Event, Position, Private, ProjectionSkipped, SubjectKeyCreated, Version};

/// What the history of the ledger's own stream amounts to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Views {
    pub version: Version,
    has_key: bool,
    skipped: BTreeSet<(String, Position)>,
}

/// Leave one event out of one view.
#[derive(Debug, Clone)]
pub struct Skip {
    pub projection: String,
    pub position: Position,
    pub reason: String,
    /// The ledger's own key, which was made before: a reason is words.
    pub key: SubjectKeyCreated,
}

/// Nothing happens when it is so already.
pub fn decide(state: &Views, skip: Skip) -> Result<Vec<Event>, Refusal> {
    let Skip { projection, position, reason, key } = skip;
    Bound::REASON.filled(&reason)?;
    if state.skipped.contains(&(projection.clone(), position)) {
        return Ok(Vec::new());
    }
    let key = (!state.has_key).then(|| key.into());
    let skipped = ProjectionSkipped { projection, position, reason: Private::Known(reason) };
    Ok(key.into_iter().chain([skipped.into()]).collect())
}

#[must_use]
pub fn evolve(mut state: Views, event: &Event) -> Views {
    state.version = state.version.next();
    match event {
        Event::SubjectKeyCreated(_) => state.has_key = true,
        Event::ProjectionSkipped(skipped) => {
            state.skipped.insert((skipped.projection.clone(), skipped.position));
        }
        _ => {}
    }
    state
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::event::SubjectId;

    fn skip(position: i64, reason: &str) -> Skip {
        let key = SubjectKeyCreated { subject: SubjectId(Uuid::from_u128(1)), generation: 1, commitment: "ab".into() };
        Skip { projection: "usage".into(), position: Position(position), reason: reason.into(), key }
    }

    #[test]
    fn a_skip_has_a_reason_happens_once_and_brings_the_first_key() {
        let mut state = Views::default();
        let kinds = |events: &[Event]| events.iter().map(Event::kind).collect::<Vec<_>>();
        for (asked, expected) in [
            (skip(7, "broken"), &["subject_key.created", "projection.skipped"][..]),
            (skip(7, "again"), &[]),
            (skip(8, "broken too"), &["projection.skipped"]),
        ] {
            let events = decide(&state, asked).expect("it may");
            assert_eq!(kinds(&events), expected);
            state = events.iter().fold(state, evolve);
        }
        assert_eq!(state.version, Version(3));
        assert_eq!(decide(&state, skip(9, " ")), Err(Refusal::Empty { what: "the reason" }));
    }
}
