//! Two contestants taking turns, so that what else the machine does hits both.

use std::future::Future;
use std::time::{Duration, Instant};

use convoledger::clock::Clock;

const ROUNDS: usize = 5;
/// How long a contestant's turn takes.
const TURN: Duration = Duration::from_secs(2);

/// Lets both take their turns, ours first, and prints the medians of their rates and of the ratios round by round.
/// Each is given the time of its turn and answers how many a second it did.
pub async fn interleave(
    figure: &str,
    unit: &str,
    mut ours: impl AsyncFnMut(Duration) -> anyhow::Result<f64>,
    mut limit: impl AsyncFnMut(Duration) -> anyhow::Result<f64>,
) -> anyhow::Result<()> {
    // One short turn each to warm up, not counted.
    ours(TURN / 4).await?;
    limit(TURN / 4).await?;
    take_turns(figure, unit, ROUNDS, async || ours(TURN).await, async || limit(TURN).await).await
}

/// The same where a turn is one whole piece of work and lasts as long as it takes.
pub async fn take_turns(
    figure: &str,
    unit: &str,
    rounds: usize,
    mut ours: impl AsyncFnMut() -> anyhow::Result<f64>,
    mut limit: impl AsyncFnMut() -> anyhow::Result<f64>,
) -> anyhow::Result<()> {
    let (mut rates, mut limits, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (rate, against) = (ours().await?, limit().await?);
        rates.push(rate);
        limits.push(against);
        ratios.push(rate / against);
    }
    let (low, high) = (ratios.iter().copied().fold(f64::MAX, f64::min), ratios.iter().copied().fold(0.0, f64::max));
    println!(
        "{figure:<40} {:>8.0} against {:>8.0} {unit:<12} ratio {:.2} ({low:.2} to {high:.2})",
        median(rates),
        median(limits),
        median(ratios),
    );
    Ok(())
}

/// How many a second `act` does, repeated one after the other until `turn` is over; it answers how many it did.
pub async fn rate(turn: Duration, mut act: impl AsyncFnMut() -> anyhow::Result<u32>) -> anyhow::Result<f64> {
    let (turn, mut done) = (Turn::begin(turn), 0);
    while turn.goes_on() {
        done += act().await?;
    }
    Ok(turn.rate(done))
}

/// A turn under way, of one of many at once.
pub struct Turn {
    began: Instant,
    lasts: Duration,
}

impl Turn {
    pub fn begin(lasts: Duration) -> Self {
        Self { began: Clock::instant(), lasts }
    }

    pub fn goes_on(&self) -> bool {
        self.began.elapsed() < self.lasts
    }

    /// Does what the turn is not about, with the clock stopped.
    pub async fn aside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let stopped = Clock::instant();
        let done = work.await;
        self.began += stopped.elapsed();
        done
    }

    pub fn rate(&self, done: u32) -> f64 {
        f64::from(done) / self.began.elapsed().as_secs_f64()
    }
}

/// The rates of many at once, added up.
pub async fn rate_of_all<F>(callers: impl IntoIterator<Item = F>) -> anyhow::Result<f64>
where
    F: Future<Output = anyhow::Result<f64>> + Send + 'static,
{
    let running: Vec<_> = callers.into_iter().map(tokio::spawn).collect();
    let mut all = 0.0;
    for caller in running {
        all += caller.await??;
    }
    Ok(all)
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
