//! What sealing costs the lane: messages appended while a sealer signs, against the same ledger without one. And how long
//! the proof of one event takes.

use std::time::Duration;

use convoledger::clock::Clock;
use convoledger::event::Position;
use tokio::sync::watch;

use crate::append;
use crate::ledgers::Cluster;
use crate::rounds::{interleave, median};

const CALLERS: usize = 8;
/// Proofs whose time is taken.
const PROOFS: usize = 500;

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
    interleave("checkpoint: append-8 with a sealer beside", "messages/s", sealed, alone).await?;

    let kept = ledger.service.seal_log().await?;
    let mut took = Vec::with_capacity(PROOFS);
    for nth in 0..PROOFS as u64 {
        // Spread over the log, so that tiles of all its parts are read.
        let position = Position(i64::try_from(1 + nth * (kept.checkpoint.size - 1) / PROOFS as u64)?);
        let began = Clock::instant();
        let proof = ledger.service.prove_inclusion(position, None).await?;
        anyhow::ensure!(proof.is_some_and(|proof| proof.bundle.is_some()), "event {position} was not proven");
        took.push(began.elapsed().as_secs_f64() * 1_000.0);
    }
    println!("checkpoint: proof of one event of {}, p50 {:.2} ms", kept.checkpoint.size, median(took));
    Ok(())
}
