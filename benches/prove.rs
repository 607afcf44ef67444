//! The proof of one event, ready to be handed to a stranger: its leaf, its path and the checkpoint. Against a bare SELECT of
//! the same row by its key, which proves nothing.

use convoledger::clock::Clock;
use convoledger::event::Position;
use sqlx::Row as _;

use crate::ledgers::Cluster;
use crate::read;
use crate::rounds::median;

/// Proofs whose time is taken.
const PROOFS: i64 = 1_000;

pub async fn measure(cluster: &Cluster) -> anyhow::Result<()> {
    let (ledger, limit) = read::filled(cluster).await?;
    let began = Clock::instant();
    let size = ledger.service.seal_log().await?.checkpoint.size;
    println!("prove: the tree over {size} events, from nothing: {:.2} s", began.elapsed().as_secs_f64());
    let size = i64::try_from(size)?;
    let rows: i64 = sqlx::query_scalar(include_str!("limit/sql/last.sql")).fetch_one(&limit.pool).await?;
    let (mut proofs, mut selects) = (Vec::new(), Vec::new());
    for nth in 0..PROOFS {
        // Spread over the log, so that tiles of all its parts are read.
        let position = Position(1 + nth * (size - 1) / PROOFS);
        let began = Clock::instant();
        let proof = ledger.service.prove_inclusion(position, None).await?;
        proofs.push(began.elapsed().as_secs_f64() * 1_000.0);
        anyhow::ensure!(proof.is_some_and(|proof| proof.bundle.is_some()), "event {position} was not proven");
        let began = Clock::instant();
        let row = sqlx::query(include_str!("limit/sql/one.sql")).bind(1 + nth * (rows - 1) / PROOFS);
        let _data: serde_json::Value = row.fetch_one(&limit.pool).await?.try_get("data")?;
        selects.push(began.elapsed().as_secs_f64() * 1_000.0);
    }
    let slowest = proofs.iter().copied().fold(0.0, f64::max);
    let (proof, select) = (median(proofs), median(selects));
    println!(
        "prove: one event of {size}: p50 {proof:.2} ms (slowest {slowest:.1} ms), against {select:.2} ms, ratio {:.2}",
        select / proof
    );
    Ok(())
}
