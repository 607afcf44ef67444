//! A conversation at each of its versions, in memory: what it was at any moment is found by halving, whatever its length.
//!
//! It is the fold of the rules ([`evolve`]), kept as a track of changes for each value, and answers as the conversation view
//! does. What it holds are facts; like the view it says where words lie, not what they are. Conversations that go on from
//! another, or have expired, are left to the view.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use rust_decimal::{Decimal, RoundingStrategy};

use super::branch::BranchRow;
use super::conversation::{ConversationRow, Status};
use super::message::MessageRow;
use super::{Cut, Page, Slice};
use crate::event::{
    BranchNumber, ConversationId, Depth, Event, INTEGER_MAX, MessageAppended, Place, Position, Rating, Token,
    Unreadable, Version,
};
use crate::ledger::{Branch, Conversation, Happened, evolve, pass};
use crate::log::Recorded;

/// Bytes that a version takes, more or less.
const VERSION_BYTES: usize = 512;
/// What costs are counted up to, and to which place behind the point.
const COST_MAX: Decimal = Decimal::from_parts(2_764_472_320, 232_830, 0, false, 0);
const COST_SCALE: u32 = 12;

#[derive(Debug)]
pub struct Timeline {
    id: ConversationId,
    /// At its newest version. Its tree holds those of before: none of them ever loses a message.
    state: Conversation,
    /// By version, from 1 on.
    steps: Vec<Step>,
    created_at: DateTime<Utc>,
    source: Option<String>,
    shelf: Track<Shelf>,
    /// By number.
    branches: Vec<Line>,
    /// The version that appended each message.
    said: HashMap<Place, Version>,
    /// What was thought of messages, and when.
    judged: HashMap<Place, Track<Judgement>>,
    /// The versions that gave a branch a name.
    naming: HashMap<Version, Token>,
}

/// What a version is by itself, and what the versions up to it add up to.
#[derive(Debug, Clone)]
struct Step {
    position: Position,
    /// Whether its event says something beside its facts.
    worded: bool,
    sums: Sums,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    updated_at: DateTime<Utc>,
    messages: u64,
    tokens_in: u64,
    tokens_out: u64,
    cache_reads: u64,
    cache_writes: u64,
    bytes: u64,
    cost_usd: Option<Decimal>,
}

/// What changes rarely.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shelf {
    title: Version,
    tags: BTreeMap<Token, Version>,
    favorited: bool,
    status: Status,
    model: Option<String>,
    provider: Option<String>,
    preferred: BranchNumber,
}

/// A branch.
#[derive(Debug)]
struct Line {
    created_at: DateTime<Utc>,
    is: Track<Branch>,
    own_cost_usd: Track<Option<Decimal>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Judgement {
    hidden: bool,
    rating: Option<Rating>,
    /// The version that rated it.
    by: Version,
}

/// A value and since which versions it is so.
#[derive(Debug)]
struct Track<T>(Vec<(Version, T)>);

impl<T: PartialEq> Track<T> {
    const fn new() -> Self {
        Self(Vec::new())
    }

    fn set(&mut self, since: Version, value: T) {
        if self.0.last().is_none_or(|(_, last)| *last != value) {
            self.0.push((since, value));
        }
    }

    /// What it was at `version`; none before it was anything.
    fn at(&self, version: Version) -> Option<&T> {
        let set = self.0.partition_point(|(since, _)| *since <= version);
        self.0[..set].last().map(|(_, value)| value)
    }
}

impl Timeline {
    #[must_use]
    pub fn new(id: ConversationId) -> Self {
        Self {
            id,
            state: Conversation::default(),
            steps: Vec::new(),
            created_at: DateTime::default(),
            source: None,
            shelf: Track::new(),
            branches: Vec::new(),
            said: HashMap::new(),
            judged: HashMap::new(),
            naming: HashMap::new(),
        }
    }

    /// The newest version that it knows.
    #[must_use]
    pub fn version(&self) -> Version {
        self.state.version
    }

    /// Bytes of memory, more or less.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.steps.len() * VERSION_BYTES
    }

    /// Takes in the next event.
    ///
    /// # Errors
    /// If this program cannot read it: then nothing was taken in.
    pub fn take(&mut self, recorded: &Recorded) -> Result<(), Unreadable> {
        if recorded.reduced.is_some() {
            self.state = pass(std::mem::take(&mut self.state));
            self.state.expired = true;
            return Ok(());
        }
        let happened = Happened { occurred_at: recorded.fact.occurred_at, event: recorded.event()? };
        self.state = evolve(std::mem::take(&mut self.state), &happened);
        let Happened { occurred_at, event } = happened;
        if self.steps.is_empty() {
            self.created_at = occurred_at;
        }
        let mut sums = self.steps.last().map(|step| step.sums).unwrap_or_default();
        if !matches!(event, Event::SnapshotThinned(_)) {
            sums.updated_at = sums.updated_at.max(occurred_at);
        }
        if let Event::MessageAppended(appended) = &event {
            sums.add(appended);
        }
        let worded = !recorded.fact.words_digest.is_empty();
        self.steps.push(Step { position: recorded.position, worded, sums });
        self.follow(&event, occurred_at);
        Ok(())
    }

    /// Notes what the event changed, of which the state is that of after.
    fn follow(&mut self, event: &Event, occurred_at: DateTime<Utc>) {
        let version = self.state.version;
        match event {
            Event::MessageAppended(appended) => {
                self.said.insert(appended.place, version);
                self.branch(appended.branch, occurred_at);
                self.charge(appended.branch, appended.cost_usd);
                return;
            }
            Event::MessageHidden(hidden) => return self.judge(hidden.at),
            Event::MessageUnhidden(unhidden) => return self.judge(unhidden.at),
            Event::MessageRated(rated) => return self.judge(rated.at),
            Event::ConversationStarted(started) => self.source.clone_from(&started.source),
            Event::BranchCreated(created) => drop(self.naming.insert(version, created.token)),
            Event::BranchRenamed(renamed) => drop(self.naming.insert(version, renamed.token)),
            Event::ConversationRestored(restored) => {
                for message in &restored.messages {
                    self.judge(message.at);
                }
            }
            _ => {}
        }
        for number in (1..).map(BranchNumber).take(self.state.branches.len()) {
            self.branch(number, occurred_at);
        }
        let state = &self.state;
        let shelf = Shelf {
            title: state.title,
            tags: state.tags.clone(),
            favorited: state.favorited,
            status: Status::of(state.archived, state.deleted),
            model: state.model.clone(),
            provider: state.provider.clone(),
            preferred: state.preferred,
        };
        self.shelf.set(version, shelf);
    }

    fn branch(&mut self, number: BranchNumber, occurred_at: DateTime<Utc>) {
        let Some((index, branch)) = nth(&self.state.branches, number.0) else { return };
        if index == self.branches.len() {
            self.branches.push(Line { created_at: occurred_at, is: Track::new(), own_cost_usd: Track::new() });
        }
        self.branches[index].is.set(self.state.version, *branch);
    }

    fn charge(&mut self, number: BranchNumber, cost_usd: Option<Decimal>) {
        let Some((index, _)) = nth(&self.branches, number.0) else { return };
        let own = &mut self.branches[index].own_cost_usd;
        let before = own.at(self.state.version).copied().flatten();
        own.set(self.state.version, charged(before, cost_usd));
    }

    fn judge(&mut self, at: Place) {
        let rated = self.state.ratings.get(&at).copied().unwrap_or_default();
        let judgement = Judgement { hidden: self.state.hidden.contains(&at), rating: rated.rating, by: rated.by };
        self.judged.entry(at).or_insert_with(Track::new).set(self.state.version, judgement);
    }

    /// Whether it can say anything: it began, by itself, and has not expired.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.state.started && self.state.from.is_none() && !self.state.expired
    }

    /// Where the log had come to with `version`; none when there is no such version yet.
    #[must_use]
    pub fn position(&self, version: Version) -> Option<Position> {
        nth(&self.steps, version.0).map(|(_, step)| step.position)
    }

    /// Where its events after `after` and up to `at` lie in the log: the first `limit`.
    #[must_use]
    pub fn events(&self, after: Position, limit: u32, at: Position) -> Vec<Position> {
        let first = self.steps.partition_point(|step| step.position <= after);
        let listed = self.steps[first..].iter().map(|step| step.position).take_while(|position| *position <= at);
        listed.take(limit as usize).collect()
    }

    /// The conversation as it was at `at`; none before it began.
    #[must_use]
    pub fn conversation(&self, at: Position) -> Option<ConversationRow> {
        let (version, step) = self.step(at)?;
        let Shelf { title, tags, favorited, status, model, provider, preferred } = self.shelf.at(version)?;
        let Sums { updated_at, messages, tokens_in, tokens_out, cache_reads, cache_writes, bytes, cost_usd } =
            step.sums;
        Some(ConversationRow {
            id: self.id,
            title_at: self.position(*title),
            tags: tags.iter().filter_map(|(token, by)| Some((*token, self.position(*by)?))).collect(),
            favorited: *favorited,
            status: *status,
            model: model.clone(),
            provider: provider.clone(),
            source: self.source.clone(),
            from: None,
            preferred: *preferred,
            version,
            position: step.position,
            created_at: self.created_at,
            updated_at,
            message_count: messages,
            tokens_in,
            tokens_out,
            cache_reads,
            cache_writes,
            cost_usd: cost_usd.map(|cost| cost.normalize()),
            size_bytes: bytes,
        })
    }

    /// Its branches as they were at `at`, by number.
    #[must_use]
    pub fn branches(&self, at: Position) -> Vec<BranchRow> {
        (1..).map(BranchNumber).take(self.branches.len()).map_while(|number| self.branch_at(number, at)).collect()
    }

    /// One branch as it was at `at`, if it was there.
    #[must_use]
    pub fn branch_at(&self, number: BranchNumber, at: Position) -> Option<BranchRow> {
        let (version, _) = self.step(at)?;
        let (_, line) = nth(&self.branches, number.0)?;
        let Branch { tip, forked_from, named, abandoned, .. } = *line.is.at(version)?;
        Some(BranchRow {
            conversation: self.id,
            number,
            tip,
            forked_from,
            name: self.position(named).zip(self.naming.get(&named).copied()),
            preferred: self.shelf.at(version)?.preferred == number,
            abandoned,
            created_at: line.created_at,
            own_cost_usd: line.own_cost_usd.at(version).copied().flatten().map(|cost| cost.normalize()),
            from: None,
        })
    }

    /// A page of a branch as it was at `at`, root first; none when there was no such branch.
    #[must_use]
    pub fn page(&self, number: BranchNumber, slice: &Slice<Depth>, at: Position) -> Option<Page<MessageRow>> {
        let (version, _) = self.step(at)?;
        let (_, line) = nth(&self.branches, number.0)?;
        let tip = line.is.at(version)?.tip;
        let total = tip.map_or(0, |tip| tip.depth.0);
        let low = slice.after.map_or(1, |after| after.0.max(0).saturating_add(1));
        let high = slice.before.map_or(total, |before| (before.0 - 1).clamp(0, total));
        let many = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
        let (low, high) = match slice.cut {
            Cut::First(count) => (low, high.min(low.saturating_add(many(count)).saturating_sub(1))),
            Cut::Last(count) => (low.max(high.saturating_sub(many(count)).saturating_add(1)), high),
        };
        let rows = self.state.tree.lineage(tip).into_iter().flat_map(|(segment, first, last)| {
            let depths = first.0.max(low)..=last.0.min(high);
            depths.filter_map(move |depth| self.message(Place { segment, depth: Depth(depth) }, version))
        });
        Some(Page {
            rows: rows.collect(),
            has_next: high < total,
            has_previous: total > 0 && low > 1,
            total: Some(u64::try_from(total).unwrap_or_default()),
        })
    }

    fn message(&self, place: Place, version: Version) -> Option<MessageRow> {
        let position = self.position(*self.said.get(&place)?)?;
        let judged = self.judged.get(&place).and_then(|judged| judged.at(version)).copied().unwrap_or_default();
        let comment = nth(&self.steps, judged.by.0).filter(|(_, step)| step.worded);
        Some(MessageRow {
            position,
            hidden: judged.hidden,
            rating: judged.rating,
            comment_at: comment.map(|(_, step)| step.position),
        })
    }

    /// The version that it had at `at`; none before it began.
    fn step(&self, at: Position) -> Option<(Version, &Step)> {
        let version = self.steps.partition_point(|step| step.position <= at);
        let step = self.steps[..version].last()?;
        Some((Version(i32::try_from(version).unwrap_or(i32::MAX)), step))
    }
}

impl Sums {
    fn add(&mut self, appended: &MessageAppended) {
        let usage = appended.usage.unwrap_or_default();
        let written = usage.cache_write_5m.unwrap_or_default().saturating_add(usage.cache_write_1h.unwrap_or_default());
        self.messages += 1;
        for (sum, more) in [
            (&mut self.tokens_in, usage.input.unwrap_or_default()),
            (&mut self.tokens_out, usage.output.unwrap_or_default()),
            (&mut self.cache_reads, usage.cache_read.unwrap_or_default()),
            (&mut self.cache_writes, written),
            (&mut self.bytes, appended.bytes),
        ] {
            *sum = sum.saturating_add(more).min(INTEGER_MAX);
        }
        self.cost_usd = charged(self.cost_usd, appended.cost_usd);
    }
}

/// A sum of costs and one more: unknown as long as none is known.
fn charged(before: Option<Decimal>, cost_usd: Option<Decimal>) -> Option<Decimal> {
    let Some(cost) = cost_usd else { return before };
    let cost = cost.round_dp_with_strategy(COST_SCALE, RoundingStrategy::MidpointAwayFromZero);
    Some(before.unwrap_or_default().saturating_add(cost).min(COST_MAX))
}

/// What is numbered `number`, from 1 on, and its index.
fn nth<T>(of: &[T], number: i32) -> Option<(usize, &T)> {
    let index = usize::try_from(number.checked_sub(1)?).ok()?;
    of.get(index).map(|item| (index, item))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_stop_where_the_view_stops() {
        assert_eq!(COST_MAX, Decimal::from(1_000_000_000_000_000_u64));
    }
}
