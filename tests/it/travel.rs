//! Going back, and the snapshots that are taken on the way: random histories in which time passes and money is spent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use convoledger::event::{Event, EventId, Place, SnapshotPolicy, Trigger, Usage, Version};
use convoledger::ledger::{
    Act, AppendMessage, Automatic, Branch, Circumstances, Command, Conversation, Happened, Rated, Restore, Start,
    Totals, decide, evolve,
};
use proptest::prelude::*;
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::rules::{act, back, now, reread};

/// An act, after so many minutes, and what it uses if it is a message.
#[derive(Debug, Clone)]
struct Step {
    minutes: i64,
    cents: i64,
    tokens: u64,
    act: Act,
}

fn step() -> impl Strategy<Value = Step> {
    let minutes = prop_oneof![4 => 0..20_i64, 1 => 50..70_i64, 1 => 0..10_000_i64];
    (minutes, 0..40_i64, 0..40_u64, act()).prop_map(|(minutes, cents, tokens, act)| Step {
        minutes,
        cents,
        tokens,
        act,
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 1..60)
}

/// What a command became, and what was there before and after it.
struct Became {
    before: Conversation,
    happened: Vec<Happened>,
    after: Conversation,
}

/// A history: all that commands became that became anything.
fn told(steps: Vec<Step>, policy: SnapshotPolicy) -> Vec<Became> {
    let start = Step { minutes: 0, cents: 0, tokens: 0, act: Act::Start(Start::default()) };
    let (mut at, mut all) = (now(), Vec::<Became>::new());
    for (nth, step) in std::iter::once(start).chain(steps).enumerate() {
        at += TimeDelta::minutes(step.minutes);
        let automatic = Some(Automatic { policy, id: EventId(Uuid::from_u128(1_000 + nth as u128)) });
        let act = match back(step.act, all.iter().map(|became| &became.after)) {
            Act::Append(message) => {
                let usage = Some(Usage { input: Some(step.tokens), ..Usage::default() });
                Act::Append(AppendMessage { cost_usd: Some(Decimal::new(step.cents, 2)), usage, ..message })
            }
            act => act,
        };
        let before = all.last().map(|became| became.after.clone()).unwrap_or_default();
        let decided = decide(&before, Command::from(act), &Circumstances { now: at, automatic });
        let happened: Vec<_> = decided.unwrap_or_default().iter().map(reread).collect();
        if !happened.is_empty() {
            let after = happened.iter().fold(before.clone(), evolve);
            all.push(Became { before, happened, after });
        }
    }
    all
}

fn take(state: &Conversation, act: Act) -> Conversation {
    let decided = decide(state, Command::from(act), &Circumstances { now: now(), automatic: None });
    decided.expect("it may").iter().map(reread).fold(state.clone(), |state, happened| evolve(state, &happened))
}

fn restore(state: &Conversation, then: &Conversation) -> Conversation {
    take(state, Act::Restore(Restore { to: then.version, then: Arc::new(then.clone()) }))
}

/// What is thought of the messages that `then` has.
fn judged(state: &Conversation, then: &Conversation) -> (BTreeSet<Place>, BTreeMap<Place, Rated>) {
    let known = |at: &Place| then.tree.node(*at).is_some();
    let ratings = state.ratings.iter().filter(|(at, _)| known(at)).map(|(at, rated)| (*at, *rated));
    (state.hidden.iter().copied().filter(known).collect(), ratings.collect())
}

fn trigger(happened: &Happened) -> Option<Trigger> {
    if let Event::SnapshotTaken(taken) = &happened.event { Some(taken.trigger) } else { None }
}

fn is_about_snapshots(event: &Event) -> bool {
    matches!(event, Event::SnapshotTaken(_) | Event::SnapshotThinned(_) | Event::SnapshotConfigured(_))
}

/// A snapshot comes at most once in a command, first, and of what was there before it.
fn snapshot_of(became: &Became) -> Option<Trigger> {
    let mut automatic = became.happened.iter().filter_map(trigger).filter(|trigger| *trigger != Trigger::Manual);
    let first = automatic.next()?;
    assert_eq!(automatic.next(), None, "one a command");
    let Event::SnapshotTaken(taken) = &became.happened[0].event else { panic!("it comes first") };
    assert_eq!(taken.version, became.before.version);
    Some(first)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn going_back_gives_what_was_there_then(steps in steps(), moment in any::<prop::sample::Index>()) {
        let told = told(steps, SnapshotPolicy::default());
        let now = take(&told.last().expect("it began").after, Act::Undelete);
        let then = &told[moment.index(told.len())].after;
        prop_assume!(then.version < now.version);
        let restored = restore(&now, then);
        prop_assert_eq!(restored.title, then.title);
        prop_assert_eq!(&restored.tags, &then.tags);
        prop_assert_eq!((restored.favorited, restored.archived), (then.favorited, then.archived));
        prop_assert_eq!((&restored.model, &restored.provider), (&then.model, &then.provider));
        prop_assert_eq!(restored.preferred, then.preferred);
        let (old, born_later) = restored.branches.split_at(then.branches.len());
        prop_assert_eq!(old, &then.branches[..]);
        for (branch, was) in born_later.iter().zip(&now.branches[then.branches.len()..]) {
            prop_assert!(branch.abandoned && branch.tip == was.tip && branch.forked_from == was.forked_from);
        }
        let names: Vec<_> = restored.branches.iter().filter_map(|branch| branch.name).collect();
        prop_assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "no two have one name");
        prop_assert_eq!(judged(&restored, then), judged(then, then));
        prop_assert_eq!((&restored.tree, restored.totals, restored.deleted), (&now.tree, now.totals, now.deleted));
    }

    #[test]
    fn going_back_and_back_again_loses_nothing(
        steps in steps(),
        moments in prop::collection::vec(any::<prop::sample::Index>(), 1..5),
    ) {
        let told = told(steps, SnapshotPolicy::default());
        let now = take(&told.last().expect("it began").after, Act::Undelete);
        // However often one goes back in between.
        let earlier = moments.iter().map(|moment| &told[moment.index(told.len())].after);
        let earlier: Vec<_> = earlier.filter(|then| then.version < now.version).collect();
        prop_assume!(!earlier.is_empty());
        let back = earlier.into_iter().fold(now.clone(), |state, then| restore(&state, then));
        prop_assume!(back.version > now.version);
        let mut again = restore(&back, &now);
        (again.version, again.snapshots) = (now.version, now.snapshots.clone());
        prop_assert_eq!(again, now);
    }

    #[test]
    fn a_limit_is_marked_exactly_where_it_is_crossed(steps in steps(), cents in 1..400_i64, tokens in 1..400_u64) {
        let limit = Decimal::new(cents, 2);
        let policy =
            SnapshotPolicy { cost_limit_usd: Some(limit), token_limit: Some(tokens), ..SnapshotPolicy::default() };
        let mut marks = (0, 0);
        for became in told(steps, policy) {
            let (Totals { cost_usd: cost, tokens: used }, after) = (became.before.totals, became.after.totals);
            let expected = if cost < limit && after.cost_usd >= limit {
                Some(Trigger::CostLimit)
            } else if used < tokens && after.tokens >= tokens {
                Some(Trigger::TokenLimit)
            } else {
                None
            };
            let marked = snapshot_of(&became);
            let limits = [Some(Trigger::CostLimit), Some(Trigger::TokenLimit)];
            prop_assert_eq!(marked.filter(|_| limits.contains(&marked)), expected);
            marks.0 += usize::from(expected == limits[0]);
            marks.1 += usize::from(expected == limits[1]);
        }
        prop_assert!(marks.0 <= 1 && marks.1 <= 1, "totals only grow");
    }

    #[test]
    fn snapshots_are_taken_after_an_hour_or_before_a_change_and_never_twice_of_the_same(steps in steps()) {
        let told = told(steps, SnapshotPolicy::default());
        let all: Vec<&Happened> = told.iter().flat_map(|became| &became.happened).collect();
        // What happened before each command, as the list tells it.
        let mut seen = 0;
        for became in &told {
            let before = &all[..seen];
            seen += became.happened.len();
            let last = before.iter().rposition(|happened| trigger(happened).is_some());
            let since = &before[last.map_or(1.min(before.len()), |last| last + 1)..];
            let went_on = since.iter().any(|happened| !is_about_snapshots(&happened.event));
            let marked = |happened: &&&Happened| trigger(happened).is_some();
            let last_at: Option<DateTime<Utc>> =
                before.iter().filter(marked).map(|happened| happened.occurred_at).max();
            let last_at = last_at.or_else(|| before.first().map(|started| started.occurred_at));
            let act = became.happened.last().expect("something happened");
            let allowed = became.before.started && !is_about_snapshots(&act.event);
            let policy = became.before.snapshots.policy;
            let change = matches!(act.event, Event::ModelSwitched(_)) && policy.before_change.unwrap_or(true);
            let hour = last_at.is_some_and(|last| act.occurred_at - last >= TimeDelta::hours(1))
                && policy.auto_hourly.unwrap_or(true);
            let expected = match () {
                () if !allowed || !went_on => None,
                () if change => Some(Trigger::BeforeChange),
                () if hour => Some(Trigger::AutoHourly),
                () => None,
            };
            prop_assert_eq!(snapshot_of(became), expected);
        }
    }

    /// Every branch has a place to go on from, and the preferred one may.
    #[test]
    fn whatever_is_gone_back_to_the_preferred_branch_goes_on(steps in steps()) {
        for became in told(steps, SnapshotPolicy::default()) {
            let state = became.after;
            let preferred = usize::try_from(state.preferred.0 - 1).expect("from 1");
            prop_assert!(!state.branches[preferred].abandoned);
            let stands = |branch: &Branch| branch.tip.is_none_or(|tip| state.tree.node(tip).is_some());
            prop_assert!(state.branches.iter().all(stands));
            prop_assert!(state.version > Version(0));
        }
    }
}
