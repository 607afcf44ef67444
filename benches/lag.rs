//! How long what was acknowledged takes to be seen in every view, while eight callers append as fast as they are answered.

use std::time::Duration;

use convoledger::clock::Clock;
use convoledger::projection::BUILT_IN;

use crate::ledgers::Cluster;
use crate::rounds::Turn;
use crate::text::Prose;

const CALLERS: usize = 8;
const LASTS: Duration = Duration::from_secs(20);

pub async fn measure(cluster: &Cluster) -> anyhow::Result<()> {
    let ledger = cluster.ledger(BUILT_IN).await?;
    let conversations = ledger.start_conversations(CALLERS + 1).await?;
    let load = conversations[1..].iter().enumerate().map(|(caller, &conversation)| {
        let ledger = ledger.clone();
        tokio::spawn(async move {
            let mut prose = Prose::new(caller)?;
            let (turn, mut done) = (Turn::begin(LASTS), 0);
            while turn.goes_on() {
                done += ledger.say(conversation, vec![prose.next()]).await?;
            }
            anyhow::Ok(turn.rate(done))
        })
    });
    let load: Vec<_> = load.collect();
    let (mut lags, mut prose, turn) = (Vec::new(), Prose::new(CALLERS)?, Turn::begin(LASTS));
    while turn.goes_on() {
        ledger.say(conversations[0], vec![prose.next()]).await?;
        let began = Clock::instant();
        ledger.caught_up().await?;
        lags.push(began.elapsed());
    }
    let mut rate = 0.0;
    for caller in load {
        rate += caller.await??;
    }
    lags.sort_unstable();
    let at = |percent: usize| lags[(lags.len() - 1) * percent / 100].as_secs_f64() * 1000.0;
    println!(
        "lag: all {} views, at {rate:.0} messages/s: p50 {:.0} p95 {:.0} p99 {:.0} ms",
        BUILT_IN.len(),
        at(50),
        at(95),
        at(99)
    );
    Ok(())
}
