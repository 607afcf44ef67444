//! The rules for snapshots: labels on versions, by hand and by themselves.
//!
//! There is no scheduler: whether one is due is decided when something is about to happen, which is the only time at
//! which a version can be worth coming back to.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Act, Bound, Command, Conversation, Refusal, Totals};
use crate::event::{
    Event, EventId, FileChange, Part, PartKind, Private, Role, SnapshotConfigured, SnapshotPolicy, SnapshotTaken,
    SnapshotThinned, Trigger, Version,
};

/// What rules need to know of the snapshots of a conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshots {
    /// In the order in which they were taken, without those that were thinned out.
    pub kept: Vec<Snapshot>,
    /// The conversation's own.
    pub policy: SnapshotPolicy,
    /// When the last one was taken; before the first, when the conversation began.
    pub last_at: Option<DateTime<Utc>>,
    /// Whether anything but snapshots happened since then.
    pub went_on: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    pub id: EventId,
    /// The version that it labels.
    pub version: Version,
    pub trigger: Trigger,
    pub taken_at: DateTime<Utc>,
}

/// Label the conversation as it is.
#[derive(Debug, Clone)]
pub struct TakeSnapshot {
    pub id: EventId,
    pub label: Option<String>,
    /// What became of files, with their paths.
    pub files: Vec<(String, FileChange)>,
}

/// What snapshots that are taken by themselves need to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Automatic {
    /// The account's policy, for what the conversation's leaves open.
    pub policy: SnapshotPolicy,
    /// The id of the one that may be taken.
    pub id: EventId,
}

/// Snapshots in one event at most.
const CHUNK: usize = 500;

pub(super) fn take(state: &Conversation, take: TakeSnapshot) -> Result<Vec<Event>, Refusal> {
    state.living()?;
    let TakeSnapshot { id, label, files } = take;
    label.as_deref().map_or(Ok(()), |label| Bound::LABEL.filled(label))?;
    Bound::FILES.count(files.len())?;
    files.iter().try_for_each(|(path, _)| Bound::PATH.filled(path))?;
    let (paths, files) = files.into_iter().unzip();
    let (label, paths) = (Private::Known(label), Private::Known(paths));
    Ok(vec![SnapshotTaken { id, version: state.version, trigger: Trigger::Manual, files, label, paths }.into()])
}

pub(super) fn thin(state: &Conversation, snapshots: &[EventId]) -> Result<Vec<Event>, Refusal> {
    state.living()?;
    let asked: BTreeSet<&EventId> = snapshots.iter().collect();
    let there: Vec<EventId> =
        state.snapshots.kept.iter().map(|snapshot| snapshot.id).filter(|id| asked.contains(id)).collect();
    Ok(there.chunks(CHUNK).map(|chunk| SnapshotThinned { snapshots: chunk.to_vec() }.into()).collect())
}

pub(super) fn configure(state: &Conversation, policy: SnapshotPolicy) -> Result<Vec<Event>, Refusal> {
    state.living()?;
    configured(&state.snapshots.policy, policy)
}

/// What settling `policy` becomes where `known` was in force: the same for a conversation and for an account.
pub(super) fn configured(known: &SnapshotPolicy, policy: SnapshotPolicy) -> Result<Vec<Event>, Refusal> {
    if policy.cost_limit_usd.is_some_and(|limit| limit.is_sign_negative() && !limit.is_zero()) {
        return Err(Refusal::Negative { what: "the cost limit" });
    }
    Bound::COUNT.count(policy.token_limit.map_or(0, |limit| usize::try_from(limit).unwrap_or(usize::MAX)))?;
    Ok(if *known == policy { Vec::new() } else { vec![SnapshotConfigured { policy }.into()] })
}

/// What commands bring that may call for a snapshot before them.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    used: Totals,
    /// The model is switched, or a tool used.
    change: bool,
}

impl Ahead {
    pub(super) fn of<'a>(commands: impl IntoIterator<Item = &'a Command>) -> Self {
        let mut ahead = Self::default();
        for command in commands {
            match &command.act {
                Act::SwitchModel { .. } => ahead.change = true,
                Act::Append(message) => {
                    ahead.used.add(message.cost_usd, message.usage.as_ref());
                    ahead.change |= message.role == Role::Tool || uses_tools(&message.parts);
                }
                Act::Edit(edit) => ahead.change |= uses_tools(&edit.parts),
                _ => {}
            }
        }
        ahead
    }
}

fn uses_tools(parts: &[Part]) -> bool {
    parts.iter().any(|part| matches!(part.kind(), PartKind::ToolCall | PartKind::ToolCallResponse))
}

/// Whether `act` may have a snapshot taken before it.
pub(super) const fn may_trigger(act: &Act) -> bool {
    !matches!(act, Act::Start(_) | Act::TakeSnapshot(_) | Act::ThinSnapshots { .. } | Act::ConfigureSnapshots(_))
}

/// The snapshot to be taken of `state` before what lies ahead happens, if one is due.
pub(super) fn due(
    state: &Conversation,
    ahead: &Ahead,
    automatic: &Automatic,
    occurred_at: DateTime<Utc>,
) -> Option<Event> {
    let policy = in_force(&state.snapshots.policy, &automatic.policy);
    let (used, snapshots) = (&state.totals, &state.snapshots);
    let cost = |limit| used.cost_usd < limit && used.cost_usd.saturating_add(ahead.used.cost_usd) >= limit;
    let tokens = |limit| used.tokens < limit && used.tokens.saturating_add(ahead.used.tokens) >= limit;
    let hour_past = snapshots.last_at.is_some_and(|last| occurred_at - last >= TimeDelta::hours(1));
    let trigger = if policy.cost_limit_usd.is_some_and(cost) {
        Trigger::CostLimit
    } else if policy.token_limit.is_some_and(tokens) {
        Trigger::TokenLimit
    } else if !snapshots.went_on {
        return None;
    } else if policy.before_change.unwrap_or(true) && ahead.change {
        Trigger::BeforeChange
    } else if policy.auto_hourly.unwrap_or(true) && hour_past {
        Trigger::AutoHourly
    } else {
        return None;
    };
    let (label, paths) = (Private::Known(None), Private::Known(Vec::new()));
    let (id, version) = (automatic.id, state.version);
    Some(SnapshotTaken { id, version, trigger, files: Vec::new(), label, paths }.into())
}

/// `policy`, and what `above` says where it says nothing.
fn in_force(policy: &SnapshotPolicy, above: &SnapshotPolicy) -> SnapshotPolicy {
    SnapshotPolicy {
        auto_hourly: policy.auto_hourly.or(above.auto_hourly),
        before_change: policy.before_change.or(above.before_change),
        cost_limit_usd: policy.cost_limit_usd.or(above.cost_limit_usd),
        token_limit: policy.token_limit.or(above.token_limit),
    }
}

pub(super) fn evolve(snapshots: &mut Snapshots, occurred_at: DateTime<Utc>, event: &Event) {
    match event {
        Event::SnapshotTaken(taken) => {
            let SnapshotTaken { id, version, trigger, .. } = *taken;
            snapshots.kept.push(Snapshot { id, version, trigger, taken_at: occurred_at });
            // One act may be told later than another that came after it.
            snapshots.last_at = snapshots.last_at.max(Some(occurred_at));
            snapshots.went_on = false;
        }
        Event::SnapshotThinned(thinned) => snapshots.kept.retain(|snapshot| !thinned.snapshots.contains(&snapshot.id)),
        Event::SnapshotConfigured(configured) => snapshots.policy = configured.policy,
        Event::ConversationStarted(_) => snapshots.last_at = Some(occurred_at),
        _ => snapshots.went_on = true,
    }
}

#[cfg(test)]
mod tests {
    use rust_decimal::Decimal;

    use super::super::scenario::*;
    use super::super::{AppendMessage, Below};
    use super::*;
    use crate::event::{ConversationFavorited, ModelSwitched, Usage};

    fn switch(model: &str) -> Act {
        Act::SwitchModel { model: model.into(), provider: None }
    }

    fn switched(model: &str) -> Event {
        ModelSwitched { model: model.into(), provider: None }.into()
    }

    fn taken(version: i32, trigger: Trigger) -> Event {
        let (label, paths) = (Private::Known(None), Private::Known(Vec::new()));
        let (id, version) = (AUTOMATIC, Version(version));
        SnapshotTaken { id, version, trigger, files: Vec::new(), label, paths }.into()
    }

    fn costing(name: u8, cents: i64, tokens: u64) -> Act {
        let usage = Some(Usage { input: Some(tokens), ..Usage::default() });
        let cost_usd = Some(Decimal::new(cents, 2));
        Act::Append(AppendMessage { usage, cost_usd, ..AppendMessage::text(id(name), Role::Assistant, "") })
    }

    fn kinds(events: &[Event]) -> Vec<&'static str> {
        events.iter().map(Event::kind).collect()
    }

    #[test]
    fn the_first_act_after_an_hour_in_which_something_happened_is_preceded_by_a_snapshot() {
        let one = given([started()]).and(say(1));
        one.clone().when_at(59, Act::Favorite).then([ConversationFavorited {}.into()]);
        let both = [taken(2, Trigger::AutoHourly), ConversationFavorited {}.into()];
        one.clone().when_at(60, Act::Favorite).then(both);
        given([started()]).when_at(60, Act::Favorite).then([ConversationFavorited {}.into()]);
        one.when_at(60, Act::Unfavorite).then([]);
    }

    #[test]
    fn a_snapshot_comes_before_another_model_and_before_tools_are_used() {
        let one = given([started()]).and(say(1));
        one.clone().when_at(0, switch("b")).then([taken(2, Trigger::BeforeChange), switched("b")]);
        given([started()]).when_at(0, switch("b")).then([switched("b")]);
        let after = one.clone().and_at(0, switch("b"));
        after.clone().when_at(0, switch("b")).then([]);
        let just_taken =
            one.clone().and(Act::TakeSnapshot(TakeSnapshot { id: EventId::default(), label: None, files: Vec::new() }));
        just_taken.when_at(0, switch("b")).then([switched("b")]);
        let call = Part::ToolCall { id: None, name: "look".into(), arguments: "{}".into() };
        let calling = AppendMessage { parts: vec![call], ..AppendMessage::text(id(2), Role::Assistant, "") };
        let answering = AppendMessage::text(id(2), Role::Tool, "seen");
        for message in [calling, answering] {
            let events = one.clone().when_at(0, Act::Append(message)).events();
            assert_eq!(events[0], taken(2, Trigger::BeforeChange));
            assert_eq!(events.len(), 2);
        }
    }

    #[test]
    fn a_limit_is_marked_once_where_it_is_reached() {
        let policy = SnapshotPolicy {
            cost_limit_usd: Some(Decimal::new(100, 2)),
            token_limit: Some(1_000),
            ..SnapshotPolicy::default()
        };
        let base = given([started()]).and(Act::ConfigureSnapshots(policy));
        base.clone().when(Act::ConfigureSnapshots(policy)).then([]);
        let near = base.and_at(0, costing(1, 99, 0));
        assert_eq!(kinds(&near.clone().when_at(0, costing(2, 0, 999)).events()), ["message.appended"]);
        let events = near.clone().when_at(0, costing(2, 1, 1_000)).events();
        assert_eq!(events[0], taken(3, Trigger::CostLimit), "of two limits at once the cost's is marked");
        let over = near.and_at(0, costing(2, 1, 0));
        assert_eq!(kinds(&over.clone().when_at(0, costing(3, 500, 0)).events()), ["message.appended"]);
        let events = over.when_at(0, costing(3, 500, 1_000)).events();
        assert_eq!(events[0], taken(5, Trigger::TokenLimit));
    }

    #[test]
    fn the_conversation_has_the_last_word_on_its_policy() {
        let off = SnapshotPolicy { before_change: Some(false), ..SnapshotPolicy::default() };
        let one = given([started()]).and(say(1)).and(Act::ConfigureSnapshots(off));
        one.when_at(0, switch("b")).then([switched("b")]);
        let negative = SnapshotPolicy { cost_limit_usd: Some(Decimal::new(-1, 0)), ..off };
        let refusal = Refusal::Negative { what: "the cost limit" };
        given([started()]).when(Act::ConfigureSnapshots(negative)).refused(refusal);
    }

    #[test]
    fn of_an_order_only_the_first_is_preceded_by_one_whatever_the_others_bring() {
        let one = given([started()]).and(say(1));
        let append = AppendMessage::text(id(2), Role::Tool, "seen").below(Below::Message(id(1)));
        let events = one.when_all_at(90, [Act::Favorite, switch("b"), Act::Append(append)]);
        let expected = ["snapshot.taken", "conversation.favorited", "model.switched", "message.appended"];
        assert_eq!(kinds(&events), expected);
        assert_eq!(events[0], taken(2, Trigger::BeforeChange));
    }

    #[test]
    fn a_snapshot_by_hand_labels_what_is_there_and_is_let_go_of_once() {
        let name = |name: u8| EventId::from(id(name));
        let take = |name: EventId, label: &str| {
            Act::TakeSnapshot(TakeSnapshot { id: name, label: Some(label.into()), files: Vec::new() })
        };
        let one = given([started()]).and(say(1)).and(take(name(8), "a")).and(take(name(9), "b"));
        let versions = |given: &Given| {
            given.clone().state().snapshots.kept.iter().map(|snapshot| snapshot.version.0).collect::<Vec<_>>()
        };
        assert_eq!(versions(&one), [2, 3]);
        let thin = Act::ThinSnapshots { snapshots: vec![name(9), name(7), name(8), name(9)] };
        let thinned = SnapshotThinned { snapshots: vec![name(8), name(9)] };
        one.clone().when(thin.clone()).then([thinned.into()]);
        let none = one.clone().and(thin.clone());
        assert!(versions(&none).is_empty());
        none.when(thin).then([]);
        one.when(take(name(7), " ")).refused(Refusal::Empty { what: "the label" });
    }
}
