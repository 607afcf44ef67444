//! Why a value is what it is: random histories, in which every change of every value has its reason.

use convoledger::event::{BranchNumber, Event, MessageId, Token, Version};
use convoledger::ledger::why::{Reasons, Value};
use convoledger::ledger::{Act, Command, Conversation, Start, decide, evolve};
use proptest::prelude::*;
use uuid::Uuid;

use crate::rules::{act, back, calm};

/// What may have a reason in histories like these.
fn values(state: &Conversation) -> Vec<Value> {
    let tags = ["main", "one", "two", "three"].map(|word| {
        let mut token = [0; 16];
        token[..word.len()].copy_from_slice(word.as_bytes());
        Value::Tag(Token(token))
    });
    let messages = (1..24).map(|name| MessageId(Uuid::from_u128(name)));
    let branches = (1..=state.branches.len() + 1).map(|number| BranchNumber(i32::try_from(number).expect("few")));
    [
        Value::Title,
        Value::Favorited,
        Value::Status,
        Value::Model,
        Value::Provider,
        Value::PreferredBranch,
        Value::Updated,
    ]
    .into_iter()
    .chain(tags)
    .chain(messages.flat_map(|message| [Value::Hidden(message), Value::Rating(message)]))
    .chain(
        branches
            .flat_map(|branch| [Value::BranchName(branch), Value::BranchTip(branch), Value::BranchAbandoned(branch)]),
    )
    .collect()
}

/// A value as it can be compared.
fn read(state: &Conversation, value: Value) -> String {
    let branch = |number: BranchNumber| state.branches.get(usize::try_from(number.0 - 1).expect("from 1"));
    let place = |message: MessageId| state.tree.place(message);
    match value {
        Value::Title => format!("{:?}", state.title),
        Value::Tag(token) => format!("{:?}", state.tags.get(&token)),
        Value::Favorited => state.favorited.to_string(),
        Value::Status => format!("{} {}", state.archived, state.deleted),
        Value::Model => format!("{:?}", state.model),
        Value::Provider => format!("{:?}", state.provider),
        Value::PreferredBranch => state.preferred.to_string(),
        Value::BranchName(number) => format!("{:?}", branch(number).map(|branch| (branch.name, branch.named))),
        Value::BranchTip(number) => format!("{:?}", branch(number).map(|branch| branch.tip)),
        Value::BranchAbandoned(number) => format!("{:?}", branch(number).map(|branch| branch.abandoned)),
        Value::Hidden(message) => format!("{:?}", place(message).map(|place| state.hidden.contains(&place))),
        Value::Rating(message) => format!("{:?}", place(message).and_then(|place| state.ratings.get(&place))),
        Value::Updated => state.version.to_string(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    #[test]
    fn a_value_changes_only_at_the_events_that_are_its_reasons(acts in prop::collection::vec(act(), 1..60)) {
        let (mut state, mut reasons, mut past) = (Conversation::default(), Reasons::default(), Vec::new());
        for act in std::iter::once(Act::Start(Start::default())).chain(acts) {
            let act = back(act, past.iter());
            for happened in decide(&state, Command::from(act), &calm()).unwrap_or_default() {
                let before = reasons.clone();
                reasons.take(&happened);
                let after = evolve(state.clone(), &happened);
                let restored = matches!(happened.event, Event::ConversationRestored(_));
                for value in values(&after) {
                    let changed = read(&state, value) != read(&after, value);
                    let is_reason = reasons.of(value) == Some(after.version);
                    prop_assert!(!changed || is_reason, "{:?} changed by {:?}", value, happened.event);
                    prop_assert!(is_reason || reasons.of(value) == before.of(value));
                    prop_assert!(!restored || !is_reason || changed, "{:?} was so before {:?}", value, happened.event);
                }
                prop_assert_eq!(reasons.state(), &after);
                state = after;
                past.push(state.clone());
            }
        }
        prop_assert_eq!(reasons.of(Value::Updated), Some(state.version).filter(|version| *version > Version(0)));
    }
}
