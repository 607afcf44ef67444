//! Which snapshots are kept as time passes: the older, the fewer.

use std::collections::HashSet;

use chrono::{DateTime, Datelike as _, TimeDelta, Timelike as _, Utc};

use crate::event::{EventId, Trigger};

/// How long snapshots are kept, counted from when each was taken. Hours, days and weeks are those of UTC, and weeks
/// begin on Mondays: hours make up days and days weeks, so the last of a week is never thinned out before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thinning {
    pub all: TimeDelta,
    /// The last of every hour.
    pub hourly: TimeDelta,
    /// The last of every day; later, the last of every week.
    pub daily: TimeDelta,
    /// Whether those that were taken by hand are kept for ever.
    pub manual: bool,
}

impl Default for Thinning {
    fn default() -> Self {
        Self { all: TimeDelta::hours(24), hourly: TimeDelta::days(7), daily: TimeDelta::days(30), manual: true }
    }
}

/// A snapshot as far as its age matters: what it is, when it was taken and why.
pub type Aged = (EventId, DateTime<Utc>, Trigger);

/// The snapshots that are let go of at `now`. Of two that were taken at once, the latter in the list is the last.
#[must_use]
pub fn thinned(thinning: &Thinning, now: DateTime<Utc>, snapshots: &[Aged]) -> Vec<EventId> {
    let for_ever = |trigger: Trigger| thinning.manual && trigger == Trigger::Manual;
    let mut newest_first: Vec<&Aged> = snapshots.iter().rev().filter(|(_, _, trigger)| !for_ever(*trigger)).collect();
    newest_first.sort_by_key(|(_, taken_at, _)| std::cmp::Reverse(*taken_at));
    let (mut hours, mut days, mut weeks) = (HashSet::new(), HashSet::new(), HashSet::new());
    let mut gone = Vec::new();
    for (id, taken_at, _) in newest_first {
        let (day, week) = (taken_at.date_naive(), taken_at.iso_week());
        let last_of_hour = hours.insert((day, taken_at.hour()));
        let last_of_day = days.insert(day);
        let last_of_week = weeks.insert((week.year(), week.week()));
        let age = now - *taken_at;
        let kept = match () {
            () if age < thinning.all => true,
            () if age < thinning.hourly => last_of_hour,
            () if age < thinning.daily => last_of_day,
            () => last_of_week,
        };
        if !kept {
            gone.push(*id);
        }
    }
    gone
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        // 2025-01-01, 00:00
        DateTime::from_timestamp(1_735_689_600 + minute * 60, 0).expect("a time in range")
    }

    fn id(name: usize) -> EventId {
        EventId(Uuid::from_u128(name as u128))
    }

    fn without(snapshots: &[Aged], gone: &[EventId]) -> Vec<Aged> {
        snapshots.iter().filter(|(id, _, _)| !gone.contains(id)).copied().collect()
    }

    /// As one would say it: one is kept if no later one is in its span.
    fn kept_naively(now: DateTime<Utc>, snapshots: &[Aged]) -> BTreeSet<EventId> {
        let span = |taken_at: DateTime<Utc>, age: TimeDelta| match age.num_seconds() {
            ..86_400 => None,
            86_400..604_800 => Some(taken_at.format("%Y-%m-%d %H").to_string()),
            604_800..2_592_000 => Some(taken_at.format("%Y-%m-%d").to_string()),
            2_592_000.. => Some(taken_at.format("%G week %V").to_string()),
        };
        let kept = |index: usize| {
            let (_, taken_at, trigger) = snapshots[index];
            let age = now - taken_at;
            trigger == Trigger::Manual
                || span(taken_at, age).is_none()
                || !snapshots.iter().enumerate().any(|(other, (_, later, trigger))| {
                    *trigger != Trigger::Manual
                        && (*later, other) > (taken_at, index)
                        && span(*later, age) == span(taken_at, age)
                })
        };
        (0..snapshots.len()).filter(|index| kept(*index)).map(|index| snapshots[index].0).collect()
    }

    /// Snapshots over about two months, many of them close together.
    fn snapshots() -> impl Strategy<Value = Vec<Aged>> {
        let trigger = prop_oneof![4 => Just(Trigger::AutoHourly), 1 => Just(Trigger::Manual)];
        let minute = prop_oneof![0..90_000_i64, 40_000..40_200_i64, (0..60_i64).prop_map(|day| day * 1_440)];
        prop::collection::vec((minute, trigger), 0..120).prop_map(|drawn| {
            drawn.into_iter().enumerate().map(|(name, (minute, trigger))| (id(name), at(minute), trigger)).collect()
        })
    }

    proptest! {
        #[test]
        fn one_is_kept_if_no_later_one_is_in_its_span(taken in snapshots(), now in 0..200_000_i64) {
            let gone = thinned(&Thinning::default(), at(now), &taken);
            let kept: BTreeSet<_> = without(&taken, &gone).into_iter().map(|(id, _, _)| id).collect();
            prop_assert_eq!(kept, kept_naively(at(now), &taken));
        }

        #[test]
        fn thinning_twice_is_thinning_once(taken in snapshots(), now in 0..200_000_i64) {
            let gone = thinned(&Thinning::default(), at(now), &taken);
            let again = thinned(&Thinning::default(), at(now), &without(&taken, &gone));
            prop_assert_eq!(again, Vec::<EventId>::new());
        }

        /// However often it was thinned on the way, and whatever was taken meanwhile, what is left in the end is the same.
        #[test]
        fn thinning_as_time_passes_ends_as_thinning_at_the_end(
            taken in snapshots(),
            steps in prop::collection::btree_set(0..200_000_i64, 1..12),
        ) {
            let thinning = Thinning::default();
            let (mut kept, mut before) = (Vec::new(), i64::MIN);
            let mut coming = taken.clone();
            coming.sort_by_key(|(_, taken_at, _)| *taken_at);
            for step in &steps {
                let meanwhile = coming.iter().filter(|(_, taken_at, _)| {
                    *taken_at <= at(*step) && (before == i64::MIN || *taken_at > at(before))
                });
                kept.extend(meanwhile.copied());
                kept = without(&kept, &thinned(&thinning, at(*step), &kept));
                before = *step;
            }
            let end = at(before);
            let all: Vec<_> = coming.into_iter().filter(|(_, taken_at, _)| *taken_at <= end).collect();
            prop_assert_eq!(kept, without(&all, &thinned(&thinning, end, &all)));
        }

        /// What was let go of is never missed: had it been kept until later, it would go then.
        #[test]
        fn what_is_let_go_of_stays_gone(taken in snapshots(), now in 0..200_000_i64, more in 0..200_000_i64) {
            let thinning = Thinning::default();
            let gone = thinned(&thinning, at(now), &taken);
            let later: BTreeSet<_> = thinned(&thinning, at(now + more), &taken).into_iter().collect();
            prop_assert!(gone.iter().all(|id| later.contains(id)));
        }
    }

    #[test]
    fn a_year_of_hours_leaves_a_day_of_hours_a_week_of_hours_a_month_of_days_and_the_weeks_before() {
        let (thinning, mut kept) = (Thinning::default(), Vec::new());
        for hour in 0..365 * 24 {
            kept.push((id(hour), at(i64::try_from(hour).expect("few") * 60), Trigger::AutoHourly));
            let now = at(i64::try_from(hour + 1).expect("few") * 60);
            kept = without(&kept, &thinned(&thinning, now, &kept));
        }
        // At 2026-01-01, 00:00, a Thursday.
        let now = at(365 * 1_440);
        let aged = |from: TimeDelta, to: TimeDelta| {
            kept.iter().filter(|(_, taken_at, _)| (from..to).contains(&(now - *taken_at))).count()
        };
        let (day, week, month) = (thinning.all, thinning.hourly, thinning.daily);
        assert_eq!(aged(TimeDelta::zero(), day), 23, "hours of age 1 to 23");
        assert_eq!(aged(day, week), 144, "hours of age 24 to 167");
        assert_eq!(aged(week, month), 23, "the days from 24 back to 2 December");
        assert_eq!(aged(month, TimeDelta::days(400)), 48, "the weeks that begin from 24 November back to 30 December");
        let manual = [(id(1), at(0), Trigger::Manual), (id(2), at(1), Trigger::Manual)];
        assert!(thinned(&thinning, now, &manual).is_empty());
        assert_eq!(thinned(&Thinning { manual: false, ..thinning }, now, &manual), [id(1)]);
    }
}
