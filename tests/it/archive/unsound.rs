//! An archive may come from anybody: whatever is taken in folds, so that no view of this ledger ever stops over it.

use std::cell::Cell;

use convoledger::event::{Event, EventId, Position};
use convoledger::ledger::sound::sound;
use convoledger::ledger::{Conversation, Happened, evolve};
use convoledger::projection::{CONVERSATION, Range, USAGE};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::history::{History, Told, asked};
use crate::support::postgres::fresh;

/// The state of a conversation before each of its events, in the order of the history.
fn before(history: &History) -> Vec<Conversation> {
    let mut states = std::collections::HashMap::<_, Conversation>::new();
    let then = |told: &Told| {
        let state = states.entry(told.conversation).or_default();
        let happened = Happened { occurred_at: told.occurred_at, event: told.event.clone() };
        let before = state.clone();
        *state = evolve(before.clone(), &happened);
        before
    };
    history.told.iter().map(then).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_rules_decide_is_sound(asked in prop::collection::vec(asked(), 1..120)) {
        let history = History::of(asked);
        for (state, told) in before(&history).iter().zip(&history.told) {
            let happened = Happened { occurred_at: told.occurred_at, event: told.event.clone() };
            prop_assert_eq!(sound(state, &happened), Ok(()), "{:?}", told);
        }
    }
}

/// Changes what the `nth` field or element within `facts` is, if there are so many.
fn change(facts: &mut Value, nth: &mut usize, to: &Value) {
    match facts {
        Value::Array(items) => items.iter_mut().for_each(|item| change(item, nth, to)),
        Value::Object(fields) => fields.values_mut().for_each(|field| change(field, nth, to)),
        _ if *nth == 0 => {
            *facts = to.clone();
            *nth = usize::MAX;
        }
        _ => *nth -= 1,
    }
}

#[test]
fn whatever_is_sound_folds() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let database = runtime.block_on(fresh());
    let pool = runtime.block_on(async { database.pool(4) });
    for projection in [CONVERSATION, USAGE] {
        runtime.block_on(projection.create(&pool)).expect("created");
    }
    let number =
        prop_oneof![4 => 0..6_i64, 1 => -2..80_i64, 1 => Just(i64::from(i32::MAX)), 1 => Just((1_i64 << 53) - 1)];
    let other = prop_oneof![6 => number.prop_map(Some), 1 => Just(None)];
    let changes = (prop::collection::vec(asked(), 2..60), any::<prop::sample::Index>(), 0..16_usize, other);
    let config = ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() };
    let (folded, refused) = (Cell::new(0), Cell::new(0));
    let outcome = TestRunner::new(config).run(&changes, |(asked, at, nth, to)| {
        let mut history = History::of(asked);
        let at = at.index(history.told.len());
        let states = before(&history);
        let told = &history.told[at];
        // One of its facts, or where its message stands.
        let (mut facts, mut place, mut nth) = (told.event.facts(), told.event.place(), nth);
        change(&mut facts, &mut nth, &json!(to));
        if let Some((place, to)) = place.as_mut().zip(to).filter(|_| nth < 2) {
            let to = i32::try_from(to).unwrap_or(i32::MAX);
            if nth == 0 { place.segment.0 = to } else { place.depth.0 = to }
        }
        let event = Event::read(told.event.kind(), 1, EventId(told.id.0), place, &facts);
        let event = event.ok().filter(|event| {
            let happened = Happened { occurred_at: told.occurred_at, event: event.clone() };
            sound(&states[at], &happened).is_ok()
        });
        let Some(event) = event else {
            refused.set(refused.get() + 1);
            return Ok(());
        };
        folded.set(folded.get() + 1);
        history.told.truncate(at + 1);
        history.told[at].event = event;
        let (after, last): (Position, Position) = runtime.block_on(history.write(&pool));
        for projection in [CONVERSATION, USAGE] {
            let fold = runtime.block_on(projection.fold(&pool, &Range::of_facts(after, last)));
            prop_assert!(fold.is_ok(), "{:?}: {:?}", fold.map(drop), history.told[at]);
        }
        Ok(())
    });
    outcome.expect("every change");
    let (folded, refused) = (folded.get(), refused.get());
    assert!(folded > 10 && refused > 10, "both happen: {folded} folded, {refused} refused");
}
