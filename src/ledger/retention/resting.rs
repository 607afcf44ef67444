//! Conversations expire only when their time is over, announced, unspared, not held, and with nothing that depends on them:
//! random histories beside a naive model.

use proptest::prelude::*;

use super::*;
use crate::event::{AccountHeld, AccountReleased, Private};
use crate::ledger::account;

#[derive(Debug, Clone)]
enum Step {
    /// Something happens in a conversation: in a new one, unless there are so many.
    Talk(usize),
    Wait(i64),
    Pass,
    Undo,
    Hold(bool),
    Settle(Option<RetentionPolicy>),
}

/// A conversation, as far as it matters here.
#[derive(Debug, Clone, Default)]
struct Talk {
    /// Of its newest event, and when it was recorded.
    position: Position,
    at: DateTime<Utc>,
    facts: bool,
    money: bool,
    /// It goes on from that one.
    from: Option<usize>,
    /// An undo kept it as it was then, and nothing was settled since.
    spared: Vec<(Class, Position)>,
}

struct House {
    account: Account,
    default: RetentionPolicy,
    now: DateTime<Utc>,
    head: Position,
    talks: Vec<Talk>,
}

impl House {
    fn new(default: RetentionPolicy) -> Self {
        let account = Account { registered: true, ..Account::default() };
        Self { account, default, now: DateTime::UNIX_EPOCH, head: Position(0), talks: Vec::new() }
    }

    fn happen(&mut self, decided: Result<Vec<Event>, Refusal>) -> bool {
        let events = decided.unwrap_or_default();
        self.account = events.iter().fold(self.account.clone(), account::evolve);
        !events.is_empty()
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Talk(nth) => {
                self.head = self.head.next();
                if nth >= self.talks.len() {
                    // Every other one goes on from another, while that is there.
                    let from = (nth % 2 == 1).then_some(nth / 2).filter(|from| {
                        self.talks.get(*from).is_some_and(|talk| talk.facts) //
                    });
                    self.talks.push(Talk { facts: true, money: true, from, ..Talk::default() });
                }
                let (at, position, last) = (self.now, self.head, self.talks.len() - 1);
                let talk = &mut self.talks[nth.min(last)];
                if talk.facts {
                    (talk.at, talk.position) = (at, position);
                }
            }
            Step::Wait(hours) => self.now += TimeDelta::hours(hours),
            Step::Pass => self.pass(),
            Step::Undo => {
                let told = pending(&self.account, &self.default).map(|notice| notice.announced.conversations.clone());
                if self.happen(undo(&self.account, Requester::Subject)) {
                    for told in told.into_iter().flatten() {
                        for talk in self.talks.iter_mut().filter(|talk| within(talk, told.after, told.through)) {
                            talk.spared.push((told.class, talk.position));
                        }
                    }
                }
            }
            Step::Hold(true) => drop(self.happen(Ok(vec![AccountHeld { reason: Private::Forgotten }.into()]))),
            Step::Hold(false) => drop(self.happen(Ok(vec![AccountReleased { reason: Private::Forgotten }.into()]))),
            Step::Settle(policy) => {
                if self.happen(configure(&self.account, policy)) {
                    self.talks.iter_mut().for_each(|talk| talk.spared.clear());
                }
            }
        }
    }

    /// As the log finds them.
    fn resting(&self, class: Class, after: Position, through: Position) -> Vec<usize> {
        let there = |talk: &Talk| if class == Class::Facts { talk.facts } else { talk.money };
        let free = |nth: usize| !self.talks.iter().any(|other| other.facts && other.from == Some(nth));
        let rests = |nth: &usize| {
            let talk = &self.talks[*nth];
            there(talk) && within(talk, after, through) && free(*nth)
        };
        (0..self.talks.len()).filter(rests).collect()
    }

    /// As a server does it.
    fn pass(&mut self) {
        loop {
            if let Some(notice) = due_notice(&self.account, &self.default, self.now).cloned() {
                let told = notice.announced.conversations.iter().rev();
                let found = told.flat_map(|told| self.resting(told.class, told.after, told.through));
                let kept = |nth: usize| {
                    let Talk { position, at, .. } = self.talks[nth];
                    keeps(&notice, position, at, self.now).map(|keeps| (nth, keeps))
                };
                let next = { found }.find_map(kept);
                let applied = expire(&self.account, &self.default, u64::from(next.is_some()), self.now);
                assert!(self.happen(applied.map(|event| vec![event])), "{notice:?}");
                if let Some((nth, keeps)) = next {
                    self.go(nth, keeps, &notice);
                }
                continue;
            }
            let idle = idle(&self.account, &self.default, self.now);
            let resting = idle.into_iter().filter_map(|Idle { class, after, until }| {
                let through = self.talks.iter().filter(|talk| talk.at <= until).map(|talk| talk.position).max()?;
                let found = self.resting(class, after, through);
                let last = found.iter().map(|nth| self.talks[*nth].at).max()?;
                let conversations = found.len() as u64;
                Some(Resting { class, after, through, conversations, events: 1, first: last, last })
            });
            let resting = resting.collect();
            if !self.happen(announce(&self.account, &self.default, (Vec::new(), resting), self.now)) {
                return;
            }
        }
    }

    /// What must be so of whatever goes.
    fn go(&mut self, nth: usize, keeps: Option<Class>, notice: &Notice) {
        let settled = policy(&self.account, &self.default).clone();
        let talk = self.talks[nth].clone();
        let class = if keeps.is_some() { Class::Facts } else { Class::Money };
        let lifetime = conversations_lifetime(&settled, class).expect("nothing goes that is kept for ever");
        assert!(self.now - talk.at >= days(lifetime), "nothing goes before its time");
        assert!(!self.account.held, "nothing goes while it is held");
        assert!(!talk.spared.contains(&(class, talk.position)), "what was undone stays");
        assert!(notice.announced.due <= self.now, "nothing goes before it is due");
        assert!(!self.talks.iter().any(|other| other.facts && other.from == Some(nth)), "nothing that is depended on");
        assert!(if keeps.is_some() { talk.facts } else { talk.money }, "and goes once");
        let talk = &mut self.talks[nth];
        (talk.facts, talk.money) = (false, keeps.is_some());
    }
}

fn within(talk: &Talk, after: Position, through: Position) -> bool {
    after < talk.position && talk.position <= through
}

fn policies() -> impl Strategy<Value = RetentionPolicy> {
    let days = || prop_oneof![Just(None), (0..60_u32).prop_map(Some)];
    let policy = (days(), days(), 0..10_u32).prop_map(|(facts, money, undo)| {
        RetentionPolicy { words: facts.map(|_| 0), facts, money, undo, ..KEPT } //
    });
    policy.prop_filter("it can be kept to", |policy| check(policy).is_ok())
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..9_usize).prop_map(Step::Talk),
        4 => (0..24 * 20_i64).prop_map(Step::Wait),
        4 => Just(Step::Pass),
        1 => Just(Step::Undo),
        1 => any::<bool>().prop_map(Step::Hold),
        1 => prop::option::of(policies()).prop_map(Step::Settle),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    #[test]
    fn nothing_expires_before_its_time_unannounced_held_spared_or_depended_on(default in policies(), steps in steps()) {
        let mut house = House::new(default);
        for step in steps {
            house.take(step);
        }
    }

    /// Looked at daily and left alone, everything goes in the end: what others go on from behind them.
    #[test]
    fn what_nobody_keeps_expires(default in policies(), steps in steps()) {
        let mut house = House::new(default);
        for step in steps {
            house.take(step);
        }
        house.take(Step::Hold(false));
        let policy = RetentionPolicy { words: Some(1), facts: Some(20), money: Some(30), undo: 3, ..KEPT };
        house.take(Step::Settle(Some(policy)));
        for _ in 0..30 + 3 * 9 {
            house.take(Step::Pass);
            house.take(Step::Wait(24));
        }
        let kept: Vec<_> = house.talks.iter().filter(|talk| (talk.facts || talk.money) && talk.spared.is_empty()).collect();
        prop_assert!(kept.is_empty(), "{kept:?}");
    }
}
