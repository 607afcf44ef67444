//! How long what was acknowledged takes to be seen in each view, while eight callers append as fast as they are answered.

use std::time::Duration;

use convoledger::clock::Clock;
use convoledger::projection::BUILT_IN;

use crate::ledgers::{Cluster, Ledger};
use crate::rounds::Turn;
use crate::text::Prose;

const CALLERS: usize = 8;
const LASTS: Duration = Duration::from_secs(20);

/// By one server, and by two that share the ledger: both append, and what the first took is looked for at the second.
pub async fn measure(cluster: &Cluster) -> anyhow::Result<()> {
    let one = cluster.ledger(BUILT_IN).await?;
    measure_at("lag", &[&one]).await?;
    let first = cluster.ledger(BUILT_IN).await?;
    let second = cluster.open(&first.name, BUILT_IN).await?;
    measure_at("lag at another server", &[&first, &second]).await
}

async fn measure_at(what: &str, servers: &[&Ledger]) -> anyhow::Result<()> {
    let (first, last) = (servers[0], servers[servers.len() - 1]);
    let conversations = first.start_conversations(CALLERS + 1).await?;
    let load =
        conversations[1..].iter().zip(servers.iter().cycle()).enumerate().map(|(caller, (&conversation, server))| {
            let server = Ledger::clone(server);
            tokio::spawn(async move {
                let mut prose = Prose::new(caller)?;
                let (turn, mut done) = (Turn::begin(LASTS), 0);
                while turn.goes_on() {
                    done += server.say(conversation, vec![prose.next()]).await?;
                }
                anyhow::Ok(turn.rate(done))
            })
        });
    let load: Vec<_> = load.collect();
    let (mut prose, turn) = (Prose::new(CALLERS)?, Turn::begin(LASTS));
    let mut lags = vec![Vec::new(); BUILT_IN.len()];
    while turn.goes_on() {
        first.say(conversations[0], vec![prose.next()]).await?;
        let (began, head) = (Clock::instant(), first.log.tail().head());
        let acknowledged = *head.borrow();
        let seen = BUILT_IN.iter().map(async |view| {
            // Longer than anybody would wait is a lag too.
            while last.service.caught_up(last.actor, &view.name, Some(acknowledged)).await.is_err() {}
            began.elapsed()
        });
        for (lags, lag) in lags.iter_mut().zip(futures::future::join_all(seen).await) {
            lags.push(lag);
        }
    }
    let mut rate = 0.0;
    for caller in load {
        rate += caller.await??;
    }
    for (view, mut lags) in BUILT_IN.iter().zip(lags) {
        lags.sort_unstable();
        let at = |percent: usize| lags[(lags.len() - 1) * percent / 100].as_secs_f64() * 1000.0;
        let (middle, most, nearly_all) = (at(50), at(95), at(99));
        println!(
            "{what}: {:<14} at {rate:.0} messages/s: p50 {middle:.0} p95 {most:.0} p99 {nearly_all:.0} ms",
            view.name
        );
    }
    Ok(())
}
