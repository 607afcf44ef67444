//! What sealing costs the lane: messages appended while a sealer signs, against the same ledger without one.

use std::time::Duration;

use tokio::sync::watch;

use crate::append;
use crate::ledgers::Cluster;
use crate::rounds::interleave;

const CALLERS: usize = 8;

pub async fn measure(cluster: &Cluster) -> anyhow::Result<()> {
    let ledger = cluster.ledger(&[]).await?;
    let sealed = async |turn: Duration| {
        let service = ledger.service.clone();
        let (signed, _) = watch::channel(None);
        let sealing = tokio::spawn(async move { service.keep_sealed(signed).await });
        let rate = append::ours(&ledger, CALLERS, turn).await;
        sealing.abort();
        rate
    };
    let alone = async |turn: Duration| append::ours(&ledger, CALLERS, turn).await;
    interleave("checkpoint: append-8 with a sealer beside", "messages/s", sealed, alone).await
}
