//! Every digest of the log computed again, with words. Against reading the limit's rows in keyset pages, which proves
//! nothing.

use std::time::Duration;

use convoledger::log::verify::verify;

use crate::ledgers::Cluster;
use crate::read;
use crate::rounds::{interleave, rate};

/// Connections, as the command uses them.
const WORKERS: usize = 2;

pub async fn measure(cluster: &Cluster) -> anyhow::Result<()> {
    let (ledger, limit) = read::filled(cluster).await?;
    let ours = async |turn: Duration| {
        rate(turn, async || {
            let report = verify(&ledger.pool, None, WORKERS, |_, _| ()).await?;
            anyhow::ensure!(report.wrong.is_none(), "the log does not hold: {:?}", report.wrong);
            Ok(u32::try_from(report.size)?)
        })
        .await
    };
    let against = async |turn: Duration| read::pages(&limit, turn).await;
    interleave("verify: every digest of the log", "events/s", ours, against).await
}
