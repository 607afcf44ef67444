use proptest::prelude::*;

use super::*;
use crate::event::{AccountHeld, AccountReleased, Private};
use crate::ledger::account;

#[derive(Debug, Clone)]
enum Step {
    Say(usize),
    Wait(i64),
    Pass,
    Undo,
    Hold(bool),
    Settle(Option<RetentionPolicy>),
}

/// Something that was said.
#[derive(Debug, Clone)]
struct Said {
    position: Position,
    kind: &'static str,
    at: DateTime<Utc>,
    /// An undo kept it, and nothing was settled since.
    spared: bool,
    gone: bool,
}

/// An account and its log, as far as it matters here.
struct House {
    account: Account,
    default: RetentionPolicy,
    now: DateTime<Utc>,
    said: Vec<Said>,
}

/// Events whose words go at once.
const PIECE: usize = 2;

impl House {
    fn new(default: RetentionPolicy) -> Self {
        let account = Account { registered: true, ..Account::default() };
        Self { account, default, now: DateTime::UNIX_EPOCH, said: Vec::new() }
    }

    fn happen(&mut self, decided: Result<Vec<Event>, Refusal>) -> bool {
        let events = decided.unwrap_or_default();
        self.account = events.iter().fold(self.account.clone(), account::evolve);
        !events.is_empty()
    }

    fn days_kept(&self, kind: &str) -> Option<u32> {
        lifetime(policy(&self.account, &self.default), kind)
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Say(kind) => self.said.push(Said {
                position: Position(i64::try_from(self.said.len()).expect("few") + 1),
                kind: SAYING[kind],
                at: self.now,
                spared: false,
                gone: false,
            }),
            Step::Wait(hours) => self.now += TimeDelta::hours(hours),
            Step::Pass => self.pass(),
            Step::Undo => {
                let words = self.account.retention.notice.clone().map(|notice| notice.announced.words);
                let counts = pending(&self.account, &self.default).is_some();
                if self.happen(undo(&self.account, Requester::Subject)) && counts {
                    for words in words.expect("it was undone") {
                        for said in self.within(&words) {
                            said.spared = true;
                        }
                    }
                }
            }
            Step::Hold(true) => drop(self.happen(Ok(vec![AccountHeld { reason: Private::Forgotten }.into()]))),
            Step::Hold(false) => drop(self.happen(Ok(vec![AccountReleased { reason: Private::Forgotten }.into()]))),
            Step::Settle(policy) => {
                if self.happen(configure(&self.account, policy)) {
                    self.said.iter_mut().for_each(|said| said.spared = false);
                }
            }
        }
    }

    fn within<'a>(&'a mut self, words: &'a Lapsed) -> impl Iterator<Item = &'a mut Said> {
        let Lapsed { kind, after, through, .. } = words;
        self.said.iter_mut().filter(move |said| said.kind == kind && (after.next()..=*through).contains(&said.position))
    }

    /// As a server does it.
    fn pass(&mut self) {
        loop {
            if let Some(notice) = due_notice(&self.account, &self.default, self.now).cloned() {
                let left: Vec<Said> =
                    self.said.iter().filter(|said| !said.gone && said.position > notice.through).cloned().collect();
                let told = |said: &&Said| {
                    let words = &notice.announced.words;
                    words.iter().any(|words| {
                        words.kind == said.kind && (words.after.next()..=words.through).contains(&said.position)
                    })
                };
                let piece: Vec<&Said> = left.iter().filter(told).take(PIECE).collect();
                let last = piece.last().map(|said| said.position).unwrap_or_default();
                let through = if piece.len() < PIECE { notice.last() } else { last };
                let told =
                    |kind: &str| notice.announced.words.iter().find(|told| told.kind == kind).map(|told| told.after);
                let words = found(&piece, |kind| told(kind).unwrap_or_default().max(notice.through));
                assert!(self.happen(apply(&self.account, &self.default, (through, words), self.now)), "{notice:?}");
                for position in piece.iter().map(|said| said.position).collect::<Vec<_>>() {
                    self.go(position, &notice);
                }
                continue;
            }
            let lapsing = lapsing(&self.account, &self.default, self.now);
            let lapse = |said: &&Said| {
                !said.gone
                    && lapsing.iter().any(|lapsing| {
                        lapsing.kind == said.kind && said.position > lapsing.after && said.at <= lapsing.until
                    })
            };
            let there: Vec<&Said> = self.said.iter().filter(lapse).collect();
            let after = |kind: &str| lapsing.iter().find(|lapsing| lapsing.kind == kind).map(|lapsing| lapsing.after);
            let words = found(&there, |kind| after(kind).unwrap_or_default());
            if !self.happen(announce(&self.account, &self.default, (words, Vec::new()), self.now)) {
                return;
            }
        }
    }

    /// What must be so of whatever goes.
    fn go(&mut self, position: Position, notice: &Notice) {
        let index = usize::try_from(position.0 - 1).expect("few");
        let Said { kind, at, spared, gone, .. } = self.said[index];
        let kept = self.days_kept(kind).expect("nothing goes that is kept for ever");
        assert!(self.now - at >= days(kept), "nothing goes before its time");
        assert!(!self.account.held, "nothing goes while it is held");
        assert!(!spared, "what was undone stays");
        assert!(!gone, "and goes once");
        assert!(notice.announced.due <= self.now, "and not before it is due");
        self.said[index].gone = true;
    }
}

fn found(said: &[&Said], after: impl Fn(&str) -> Position) -> Vec<Lapsed> {
    let of = |kind: &&'static str| {
        let said: Vec<_> = said.iter().filter(|said| said.kind == *kind).collect();
        let (first, last) = (said.first()?, said.last()?);
        let events = u64::try_from(said.len()).ok()?;
        Some(Lapsed {
            kind: (*kind).to_owned(),
            after: after(kind),
            through: last.position,
            events,
            parts: events,
            bytes: events,
            first: first.at,
            last: last.at,
        })
    };
    SAYING.iter().filter_map(of).collect()
}

fn policies() -> impl Strategy<Value = RetentionPolicy> {
    let days = || prop_oneof![Just(None), (0..60_u32).prop_map(Some)];
    let kinds = prop::collection::btree_map((0..3_usize).prop_map(|kind| SAYING[kind].to_owned()), days(), 0..3);
    (days(), kinds, 0..10_u32).prop_map(|(words, kinds, undo)| RetentionPolicy { words, kinds, undo, ..KEPT })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..3_usize).prop_map(Step::Say),
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
    fn nothing_goes_before_its_time_unannounced_held_or_spared(default in policies(), steps in steps()) {
        let mut house = House::new(default);
        for step in steps {
            house.take(step);
        }
    }

    /// Looked at daily and left alone, all goes: a window after its time, or two where it was said after a notice.
    #[test]
    fn what_nobody_keeps_goes(default in policies(), steps in steps()) {
        let mut house = House::new(default);
        for step in steps {
            house.take(step);
        }
        house.take(Step::Hold(false));
        house.take(Step::Settle(Some(RetentionPolicy { words: Some(30), undo: 5, ..KEPT })));
        for _ in 0..30 + 2 * 5 + 2 {
            house.take(Step::Pass);
            house.take(Step::Wait(24));
        }
        let kept: Vec<_> = house.said.iter().filter(|said| !said.gone && !said.spared).collect();
        prop_assert!(kept.is_empty(), "{kept:?}");
    }
}

#[test]
fn a_policy_that_cannot_be_kept_to_is_refused() {
    let account = Account { registered: true, ..Account::default() };
    let settle = |policy| configure(&account, Some(policy));
    for (words, facts, money) in [(None, Some(1), None), (Some(2), Some(1), None), (Some(1), Some(3), Some(2))] {
        let settled = settle(RetentionPolicy { words, facts, money, ..KEPT });
        assert!(matches!(settled, Err(Refusal::Outlives { .. })), "{settled:?}");
    }
    assert!(settle(RetentionPolicy { words: Some(1), facts: Some(1), money: Some(1), ..KEPT }).is_ok());
    let kinds = || [("message.hidden".to_owned(), Some(1))].into();
    assert!(matches!(settle(RetentionPolicy { kinds: kinds(), ..KEPT }), Err(Refusal::SaysNothing { .. })));
    assert!(matches!(settle(RetentionPolicy { words: Some(40_000), ..KEPT }), Err(Refusal::TooLong { .. })));
    assert_eq!(configure(&account, None), Ok(Vec::new()));
    assert_eq!(configure(&Account::default(), None), Err(Refusal::NoAccount));
}
