//! The rules for how long an account's words, facts and money are kept. Nothing goes before its time, unannounced, or while
//! it is held.
//!
//! A word's age counts from when it was recorded: for so long this ledger has kept it, whatever time an import says.
//! Facts and money go by conversation: its age counts from its newest event, so that what is talked about stays whole. The
//! notice looks ahead by the days in which it can be undone, so that what is announced is as old as it must be when it goes.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::account::{Account, Forgetting};
use super::{Bound, Refusal};
use crate::event::{
    Class, Event, Lapsed, Position, Requester, Resting, RetentionAnnounced, RetentionApplied, RetentionConfigured,
    RetentionPolicy, RetentionUndone, SAYING, Version,
};

/// What the history of an account says of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retention {
    /// What the account settled; none: as the server says.
    pub policy: Option<RetentionPolicy>,
    /// The newest notice, while it was neither undone nor carried out.
    pub notice: Option<Notice>,
    settled: Option<Settled>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Of the event in the account's stream.
    pub version: Version,
    pub announced: RetentionAnnounced,
    /// How far it was carried out.
    pub through: Position,
}

/// What is not announced again under a policy, kind by kind and class by class: it is gone, or was spared.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Settled {
    policy: RetentionPolicy,
    through: BTreeMap<String, Position>,
}

/// Words to look for: of this kind, behind a position, recorded until a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lapsing {
    pub kind: &'static str,
    pub after: Position,
    pub until: DateTime<Utc>,
}

/// Conversations to look for: of which this class may go, behind a position, at rest since a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idle {
    pub class: Class,
    pub after: Position,
    pub until: DateTime<Utc>,
}

impl Notice {
    /// The last position of words that were announced.
    #[must_use]
    pub fn last(&self) -> Position {
        self.announced.words.iter().map(|words| words.through).max().unwrap_or_default()
    }

    /// The last position of all that was announced.
    #[must_use]
    pub fn end(&self) -> Position {
        let conversations = self.announced.conversations.iter().map(|resting| resting.through);
        conversations.chain([self.last()]).max().unwrap_or_default()
    }

    /// The conversations of a class that were announced.
    #[must_use]
    pub fn resting(&self, class: Class) -> Option<&Resting> {
        self.announced.conversations.iter().find(|resting| resting.class == class)
    }
}

/// Everything for ever.
pub const KEPT: RetentionPolicy =
    RetentionPolicy { words: None, kinds: BTreeMap::new(), facts: None, money: None, undo: UNDO };
/// Days in which a notice can be undone, unless a policy says otherwise.
pub const UNDO: u32 = 7;

/// The policy that counts: the account's own, or the server's.
#[must_use]
pub fn policy<'a>(account: &'a Account, default: &'a RetentionPolicy) -> &'a RetentionPolicy {
    account.retention.policy.as_ref().unwrap_or(default)
}

/// The notice that counts: one under another policy than that of now is void.
#[must_use]
pub fn pending<'a>(account: &'a Account, default: &RetentionPolicy) -> Option<&'a Notice> {
    account.retention.notice.as_ref().filter(|notice| notice.announced.policy == *policy(account, default))
}

/// What is to be announced at `now`, if it is there: words whose time is over when the notice is due.
#[must_use]
pub fn lapsing(account: &Account, default: &RetentionPolicy, now: DateTime<Utc>) -> Vec<Lapsing> {
    let policy = policy(account, default);
    let settled = account.retention.settled.as_ref().filter(|settled| settled.policy == *policy);
    let due = due(policy, now);
    let lapsing = |kind: &&'static str| {
        let until = due.checked_sub_signed(days(lifetime(policy, kind)?))?;
        let after = settled.and_then(|settled| settled.through.get(*kind)).copied().unwrap_or_default();
        Some(Lapsing { kind, after, until })
    };
    SAYING.iter().filter_map(lapsing).collect()
}

/// The conversations that are to be announced at `now`, if they are there: those whose time is over when the notice is due.
#[must_use]
pub fn idle(account: &Account, default: &RetentionPolicy, now: DateTime<Utc>) -> Vec<Idle> {
    let policy = policy(account, default);
    let settled = account.retention.settled.as_ref().filter(|settled| settled.policy == *policy);
    let due = due(policy, now);
    let idle = |class: Class| {
        let until = due.checked_sub_signed(days(conversations_lifetime(policy, class)?))?;
        let after = settled.and_then(|settled| settled.through.get(class.name())).copied().unwrap_or_default();
        Some(Idle { class, after, until })
    };
    [Class::Facts, Class::Money].into_iter().filter_map(idle).collect()
}

/// What is kept of a conversation when a notice is carried out at `now` that rests since `rested`, at `position`; none when it
/// does not expire.
#[must_use]
pub fn keeps(notice: &Notice, position: Position, rested: DateTime<Utc>, now: DateTime<Utc>) -> Option<Option<Class>> {
    let goes = |class: Class| {
        let lifetime = conversations_lifetime(&notice.announced.policy, class);
        notice.resting(class).is_some_and(|told| told.after < position && position <= told.through)
            && lifetime.is_some_and(|lifetime| now.signed_duration_since(rested) >= days(lifetime))
    };
    if goes(Class::Money) { Some(None) } else { goes(Class::Facts).then_some(Some(Class::Money)) }
}

/// Settles how long things are kept; none: as the server says. Nothing happens when it is so already.
pub fn configure(account: &Account, policy: Option<RetentionPolicy>) -> Result<Vec<Event>, Refusal> {
    if !account.registered {
        return Err(Refusal::NoAccount);
    }
    if account.forgetting != Forgetting::No {
        return Err(Refusal::Forgetting);
    }
    policy.as_ref().map_or(Ok(()), check)?;
    if policy == account.retention.policy {
        return Ok(Vec::new());
    }
    Ok(vec![RetentionConfigured { policy }.into()])
}

/// Whether it can be kept to.
pub fn check(policy: &RetentionPolicy) -> Result<(), Refusal> {
    if let Some(kind) = policy.kinds.keys().find(|kind| !SAYING.contains(&kind.as_str())) {
        return Err(Refusal::SaysNothing { kind: kind.clone() });
    }
    let given = policy.kinds.values().copied().chain([policy.words, policy.facts, policy.money, Some(policy.undo)]);
    given.flatten().try_for_each(|days| Bound::LIFETIME.count(usize::try_from(days).unwrap_or(usize::MAX)))?;
    let within = |longer: &str, lifetime: Option<u32>, shorter, bound: Option<u32>| {
        let outlives = bound.is_some_and(|bound| lifetime.is_none_or(|lifetime| lifetime > bound));
        if outlives { Err(Refusal::Outlives { longer: longer.to_owned(), shorter }) } else { Ok(()) }
    };
    within("words", policy.words, "facts", policy.facts)?;
    policy.kinds.iter().try_for_each(|(kind, lifetime)| within(kind, *lifetime, "facts", policy.facts))?;
    within("facts", policy.facts, "money", policy.money)
}

/// Announces the `words` and `conversations` that were found. Nothing happens when there are none, or others are announced
/// already.
pub fn announce(
    account: &Account,
    default: &RetentionPolicy,
    (words, conversations): (Vec<Lapsed>, Vec<Resting>),
    now: DateTime<Utc>,
) -> Result<Vec<Event>, Refusal> {
    let policy = policy(account, default);
    free(account)?;
    if words.is_empty() && conversations.is_empty() || pending(account, default).is_some() {
        return Ok(Vec::new());
    }
    let at = due(policy, now);
    let rests = |resting: &Resting| {
        let lifetime = conversations_lifetime(policy, resting.class);
        lifetime.is_some_and(|lifetime| at.signed_duration_since(resting.last) >= days(lifetime))
    };
    if !words.iter().all(|words| is_over(policy, words, at)) || !conversations.iter().all(rests) {
        return Err(Refusal::NotDue);
    }
    Ok(vec![RetentionAnnounced { due: at, policy: policy.clone(), words, conversations }.into()])
}

/// The notice that is to be carried out at `now`.
pub fn due_notice<'a>(account: &'a Account, default: &RetentionPolicy, now: DateTime<Utc>) -> Option<&'a Notice> {
    pending(account, default).filter(|notice| free(account).is_ok() && notice.announced.due <= now)
}

/// Carries a notice out, as far as `through`: these `words` of it are still there.
pub fn apply(
    account: &Account,
    default: &RetentionPolicy,
    (through, words): (Position, Vec<Lapsed>),
    now: DateTime<Utc>,
) -> Result<Vec<Event>, Refusal> {
    free(account)?;
    let notice = due_notice(account, default, now).ok_or(Refusal::NotDue)?;
    let announced = |gone: &Lapsed| {
        let told = notice.announced.words.iter().find(|told| told.kind == gone.kind);
        told.is_some_and(|told| told.after <= gone.after && gone.through <= told.through)
    };
    if !words.iter().all(|gone| announced(gone) && is_over(&notice.announced.policy, gone, now)) {
        return Err(Refusal::NotDue);
    }
    // Conversations expire when the words have gone.
    let more = !notice.announced.conversations.is_empty();
    Ok(vec![RetentionApplied { announced: notice.version, through, words, conversations: 0, more }.into()])
}

/// Carries the rest of a notice out, whose words are gone: so many `conversations` expire in the same command. None: no more
/// of them are left, and it is done with.
pub fn expire(
    account: &Account,
    default: &RetentionPolicy,
    conversations: u64,
    now: DateTime<Utc>,
) -> Result<Event, Refusal> {
    free(account)?;
    let notice = due_notice(account, default, now).filter(|notice| notice.through >= notice.last());
    let notice = notice.ok_or(Refusal::NotDue)?;
    let (through, more) = (notice.end(), conversations > 0);
    Ok(RetentionApplied { announced: notice.version, through, words: Vec::new(), conversations, more }.into())
}

/// Takes a notice back: what it announced is kept, until the policy changes. Nothing happens when there is none.
pub fn undo(account: &Account, by: Requester) -> Result<Vec<Event>, Refusal> {
    match &account.retention.notice {
        None => Ok(Vec::new()),
        Some(notice) if notice.through > Position(0) => Err(Refusal::Going),
        Some(notice) => Ok(vec![RetentionUndone { announced: notice.version, by }.into()]),
    }
}

pub(super) fn evolve(retention: &mut Retention, version: Version, event: &Event) {
    match event {
        Event::RetentionConfigured(configured) => {
            *retention = Retention { policy: configured.policy.clone(), ..Retention::default() };
        }
        Event::RetentionAnnounced(announced) => {
            retention.notice = Some(Notice { version, announced: announced.clone(), through: Position(0) });
        }
        Event::RetentionUndone(_) => settle(retention, true),
        Event::RetentionApplied(applied) => {
            if let Some(notice) = &mut retention.notice {
                notice.through = applied.through;
                if notice.through >= notice.last() && !applied.more {
                    settle(retention, false);
                }
            }
        }
        _ => {}
    }
}

/// The notice is done with. A conversation that it did not let go, for something depended on it, may be announced again; one
/// that was spared may not.
fn settle(retention: &mut Retention, spared: bool) {
    let Some(Notice { announced: RetentionAnnounced { policy, words, conversations, .. }, .. }) =
        retention.notice.take()
    else {
        return;
    };
    let before = retention.settled.take().filter(|settled| settled.policy == policy);
    let mut through = before.map(|settled| settled.through).unwrap_or_default();
    let words = words.into_iter().map(|words| (words.kind, words.through));
    let spared = conversations.into_iter().filter(|_| spared);
    let spared = spared.map(|resting| (resting.class.name().to_owned(), resting.through));
    for (what, position) in words.chain(spared) {
        let known = through.entry(what).or_default();
        *known = position.max(*known);
    }
    retention.settled = Some(Settled { policy, through });
}

/// Whether anything of the account may go.
const fn free(account: &Account) -> Result<(), Refusal> {
    match account.forgetting {
        _ if account.held => Err(Refusal::Held),
        Forgetting::No => Ok(()),
        _ => Err(Refusal::Forgetting),
    }
}

/// When what is announced at `now` goes.
#[must_use]
pub fn due(policy: &RetentionPolicy, now: DateTime<Utc>) -> DateTime<Utc> {
    now.checked_add_signed(days(policy.undo)).unwrap_or(now)
}

/// Days that words of a kind are kept; none: for ever.
fn lifetime(policy: &RetentionPolicy, kind: &str) -> Option<u32> {
    policy.kinds.get(kind).copied().unwrap_or(policy.words)
}

const fn conversations_lifetime(policy: &RetentionPolicy, class: Class) -> Option<u32> {
    match class {
        Class::Facts => policy.facts,
        Class::Money => policy.money,
    }
}

fn is_over(policy: &RetentionPolicy, words: &Lapsed, now: DateTime<Utc>) -> bool {
    let age = now.signed_duration_since(words.last);
    lifetime(policy, &words.kind).is_some_and(|lifetime| age >= days(lifetime))
}

fn days(days: u32) -> TimeDelta {
    TimeDelta::days(days.into())
}

#[cfg(test)]
mod resting;
#[cfg(test)]
mod tests;
