//! How the projections go on. One watcher a process looks, and feeds everyone who watches.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::{Stream, stream};
use tokio::sync::{Notify, watch};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;

use super::{Service, Trouble};
use crate::clock::Clock;
use crate::database::within;
use crate::event::Position;
use crate::projection::{Engine, Status};

/// How often it looks, and a watcher is shown a change at most.
const LOOK: Duration = Duration::from_millis(500);
/// What a rate is taken over.
const LATELY: Duration = Duration::from_secs(5);
/// How long the database may take to tell.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

/// Where a projection stands, and how fast it goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    pub status: Status,
    /// Events folded a second over the last five, whichever server folded them.
    pub rate: f64,
}

impl Service {
    pub async fn projections(&self) -> Result<Vec<Progress>, Trouble> {
        Ok(self.progress.rates.beside(self.engine.status().await?))
    }

    /// Each projection's progress, and then each time that it has changed. It ends after an error.
    pub fn watch_projections(&self) -> impl Stream<Item = Result<Progress, Arc<Trouble>>> + Send + 'static {
        let news = self.progress.news.subscribe();
        if news.borrow().is_none() {
            self.progress.wanted.notify_one();
        }
        let watching = Watching { news, shown: HashMap::new(), ready: VecDeque::new(), failed: false };
        stream::unfold(watching, |mut watching| async move {
            let next = watching.next().await?;
            Some((next, watching))
        })
    }
}

/// What was seen at the last look; none while nobody watches.
type News = Option<Result<Arc<Vec<Progress>>, Arc<Trouble>>>;

/// The outside of the watcher. It looks for as long as this lives.
pub(super) struct Watcher {
    rates: Rates,
    news: watch::Sender<News>,
    /// Somebody begins to watch, where nobody did.
    wanted: Arc<Notify>,
    task: AbortOnDropHandle<()>,
}

impl Watcher {
    pub(super) fn start(engine: Arc<Engine>) -> Self {
        let (rates, news, wanted) = (Rates::default(), watch::channel(None).0, Arc::<Notify>::default());
        let task = tokio::spawn(look(engine, rates.clone(), news.clone(), Arc::clone(&wanted)));
        Self { rates, news, wanted, task: AbortOnDropHandle::new(task) }
    }

    /// Returns when it has let go of the engine.
    pub(super) async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

/// Rates cost nothing: the engine knows how far it has come. The database is asked once at the beginning, and while
/// somebody watches.
async fn look(engine: Arc<Engine>, rates: Rates, news: watch::Sender<News>, wanted: Arc<Notify>) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! { _ = ticks.tick() => {}, () = wanted.notified() => {} }
        let watched = news.receiver_count() > 0;
        let told = if watched || rates.are_new() { Some(within(TOLD_WITHIN, engine.status()).await) } else { None };
        if let Some(Ok(statuses)) = &told {
            for status in statuses {
                rates.saw(&status.name, status.position);
            }
        } else {
            rates.see_again(&engine);
        }
        let told = told.filter(|_| watched);
        let told = told.map(|told| told.map(|all| Arc::new(rates.beside(all))).map_err(|error| Arc::new(error.into())));
        news.send_if_modified(|known| {
            let same = matches!((&known, &told), (Some(Ok(before)), Some(Ok(now))) if before == now);
            if !same {
                *known = told;
            }
            !same
        });
    }
}

/// How fast each projection goes, by its name.
#[derive(Clone, Default)]
struct Rates(Arc<Mutex<BTreeMap<String, Rate>>>);

impl Rates {
    fn are_new(&self) -> bool {
        self.all().is_empty()
    }

    fn saw(&self, name: &str, position: Position) {
        let mut all = self.all();
        let rate = all.entry(name.to_owned()).or_default();
        rate.saw(Clock::instant(), position);
        metrics::gauge!("projection_rate", "projection" => name.to_owned()).set(rate.a_second());
    }

    /// One that the engine has not looked at yet is taken to be where it was.
    fn see_again(&self, engine: &Engine) {
        let names: Vec<_> = self.all().iter().map(|(name, rate)| (name.clone(), rate.position())).collect();
        for (name, before) in names {
            let now = engine.progress(&name).map(|progress| *progress.borrow()).unwrap_or_default();
            self.saw(&name, if now == Position(0) { before } else { now });
        }
    }

    fn beside(&self, statuses: Vec<Status>) -> Vec<Progress> {
        let all = self.all();
        let rate = |status: &Status| all.get(&status.name).map(Rate::a_second).unwrap_or_default();
        statuses.into_iter().map(|status| Progress { rate: rate(&status), status }).collect()
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Rate>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where one projection stood, lately.
#[derive(Default)]
struct Rate(VecDeque<(Instant, Position)>);

impl Rate {
    fn saw(&mut self, now: Instant, position: Position) {
        if position < self.position() {
            self.0.clear(); // other rows took the place of those
        }
        while self.0.get(1).is_some_and(|(then, _)| now.duration_since(*then) > LATELY) {
            self.0.pop_front();
        }
        self.0.push_back((now, position));
    }

    fn position(&self) -> Position {
        self.0.back().map(|(_, position)| *position).unwrap_or_default()
    }

    /// To a tenth, so that it comes to rest.
    #[allow(clippy::cast_precision_loss)] // a rate need not be exact
    fn a_second(&self) -> f64 {
        let (Some((first, from)), Some((last, to))) = (self.0.front(), self.0.back()) else { return 0.0 };
        let folded = (to.0 - from.0) as f64;
        if folded > 0.0 { (folded / last.duration_since(*first).as_secs_f64() * 10.0).round() / 10.0 } else { 0.0 }
    }
}

struct Watching {
    news: watch::Receiver<News>,
    shown: HashMap<String, Progress>,
    ready: VecDeque<Progress>,
    failed: bool,
}

impl Watching {
    async fn next(&mut self) -> Option<Result<Progress, Arc<Trouble>>> {
        loop {
            if self.failed {
                return None;
            }
            if let Some(progress) = self.ready.pop_front() {
                return Some(Ok(progress));
            }
            let news = self.news.borrow_and_update().clone();
            match news {
                Some(Ok(all)) => {
                    let changed = all.iter().filter(|now| self.shown.get(&now.status.name) != Some(*now));
                    self.ready = changed.cloned().collect();
                    let shown = self.ready.iter().map(|now| (now.status.name.clone(), now.clone()));
                    self.shown.extend(shown.collect::<Vec<_>>());
                }
                Some(Err(trouble)) => {
                    self.failed = true;
                    return Some(Err(trouble));
                }
                None => {}
            }
            if self.ready.is_empty() {
                self.news.changed().await.ok()?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_of_the_last_seconds_and_begins_anew_behind_other_rows() {
        let (start, mut rate) = (Clock::instant(), Rate::default());
        let mut saw = |at_ms: u64, position: i64| {
            rate.saw(start + Duration::from_millis(at_ms), Position(position));
            rate.a_second()
        };
        let near = |rate: f64, expected: f64| assert!((rate - expected).abs() < 0.05, "{rate}, not {expected}");
        near(saw(0, 1_000), 0.0); // it may always have stood there
        near(saw(500, 1_100), 200.0);
        near(saw(2_000, 1_400), 200.0);
        near(saw(5_000, 1_400), 80.0);
        near(saw(5_600, 1_400), 300.0 / 5.1);
        near(saw(7_100, 1_400), 0.0);
        near(saw(7_600, 10), 0.0);
        near(saw(8_600, 20), 10.0);
    }
}
