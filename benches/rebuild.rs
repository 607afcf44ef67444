//! Views made anew over a whole log of the corpus, which is imported for one account after the other until there are
//! `EVENTS` events. Those of facts against one bare INSERT … SELECT of the same rows; then all of them as `--offline` does
//! it; and what a rebuild on one core and eight callers who append lose by each other.

use std::time::Duration;

use convoledger::clock::Clock;
use convoledger::projection::{BUILT_IN, Closed, Opener, Projection, Rebuild};
use convoledger::service::Words;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use sqlx::AssertSqlSafe;
use tokio_util::sync::CancellationToken;

use crate::append;
use crate::fold::limit_of;
use crate::import::corpus;
use crate::ledgers::{Cluster, Ledger};
use crate::rounds::median;

const EVENTS: i64 = 100_000;
const ROUNDS: usize = 3;
const IN_FLIGHT: usize = 64;
const CALLERS: usize = 8;
/// What `--offline` uses of two cores.
const CORES: usize = 2;

pub async fn measure(cluster: &Cluster) -> anyhow::Result<()> {
    let ledger = cluster.ledger(&[]).await?;
    let head = fill(&ledger).await?;
    let events = f64::from(u32::try_from(head)?);
    for projection in BUILT_IN.iter().filter(|projection| !projection.opened) {
        let (create, insert) = limit_of(&projection.name)?;
        let (mut rates, mut limits, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let ours = events / replace(&ledger, projection, &Closed, CORES).await?.as_secs_f64();
            sqlx::raw_sql(create).execute(&ledger.pool).await?;
            let began = Clock::instant();
            sqlx::query(insert).bind(0_i64).bind(head).execute(&ledger.pool).await?;
            let limit = events / began.elapsed().as_secs_f64();
            rates.push(ours);
            limits.push(limit);
            ratios.push(ours / limit);
        }
        let (ours, limit, ratio) = (median(rates), median(limits), median(ratios));
        println!("rebuild: {:<16} {ours:>9.0} against {limit:>9.0} events/s, ratio {ratio:.2}", projection.name);
    }
    let words = Words::new(ledger.log.clone(), ledger.service.vault().clone());
    let began = Clock::instant();
    let all = BUILT_IN.iter().map(|projection| replace(&ledger, projection, &words, CORES));
    let took: Vec<Duration> = stream::iter(all).buffered(CORES).try_collect().await?;
    let each: Vec<_> = took.iter().map(|took| format!("{:.1} s", took.as_secs_f64())).collect();
    let whole = began.elapsed().as_secs_f64();
    println!("rebuild: all views over {head} events, two at a time: {whole:.1} s ({})", each.join(", "));

    let alone = append::ours(&ledger, CALLERS, Duration::from_secs(5)).await?;
    let quiet = replace(&ledger, &BUILT_IN[0], &Closed, 1).await?;
    let (beside, busy) =
        tokio::join!(append::ours(&ledger, CALLERS, quiet), replace(&ledger, &BUILT_IN[0], &Closed, 1));
    println!(
        "rebuild: while {CALLERS} append: {:.2} of their rate alone, {:.2} of its own",
        beside? / alone,
        quiet.as_secs_f64() / busy?.as_secs_f64()
    );
    Ok(())
}

/// The corpus, as often as it takes.
async fn fill(ledger: &Ledger) -> anyhow::Result<i64> {
    #[allow(clippy::disallowed_methods)] // how long a run is
    let wanted = std::env::var("EVENTS").map_or(Ok(EVENTS), |wanted| wanted.parse())?;
    let mut nth = 0;
    loop {
        let head = ledger.log.head().await?.0;
        if head >= wanted {
            // As it is in a ledger that has been there for a while.
            sqlx::query("ANALYZE").execute(&ledger.pool).await?;
            return Ok(head);
        }
        nth += 1;
        let actor = ledger.service.register(&format!("{nth}@example.org")).await?;
        let taken = stream::iter(corpus()?).map(async |transcript| ledger.service.import(actor, transcript).await);
        taken.buffer_unordered(IN_FLIGHT).try_collect::<Vec<_>>().await?;
    }
}

/// How long a rebuild takes, from nothing to its place.
async fn replace(
    ledger: &Ledger,
    projection: &Projection,
    opener: &dyn Opener,
    strands: usize,
) -> anyhow::Result<Duration> {
    let drop = AssertSqlSafe(format!("DROP SCHEMA IF EXISTS {} CASCADE", projection.name));
    sqlx::query(drop).execute(&ledger.pool).await?;
    let (pool, stop) = (&ledger.pool, CancellationToken::new());
    let rebuild = Rebuild { projection, pool, opener, throttle: None, strands, stop };
    let began = Clock::instant();
    rebuild.replace(|_, _| {}).await?;
    Ok(began.elapsed())
}
