//! Every digest of the log computed again, with words. Against reading the limit's rows in keyset pages, which proves
//! nothing.

use std::hint::black_box;
use std::time::Duration;

use convoledger::event::Position;
use convoledger::log::digest;
use convoledger::log::verify::verify;
use convoledger::proof::merkle;

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

/// The same against BLAKE3 and SHA-256 alone, over the bytes that `verify` hashes: they are in memory, and all of one event
/// lies together.
pub async fn hashes(cluster: &Cluster) -> anyhow::Result<()> {
    let (ledger, _) = read::filled(cluster).await?;
    let mut bytes = Vec::new();
    let mut after = Position(0);
    loop {
        let events = ledger.log.read_range(after, 1_000).await?;
        let Some(last) = events.last() else { break };
        after = last.position;
        let positions: Vec<Position> = events.iter().map(|event| event.position).collect();
        let mut words = ledger.log.read_words(&positions).await?.into_iter().peekable();
        for event in &events {
            let mut hashed = digest::canonical(&event.fact.body).into_bytes();
            hashed.extend(&event.fact.words_digest);
            while let Some((_, sealed)) = words.next_if(|(position, _)| *position == event.position) {
                hashed.extend(sealed.ciphertext);
            }
            bytes.push(hashed);
        }
    }
    let ours = async |turn: Duration| {
        rate(turn, async || Ok(u32::try_from(verify(&ledger.pool, None, WORKERS, |_, _| ()).await?.size)?)).await
    };
    let count = u32::try_from(bytes.len())?;
    let blake3 = async |turn: Duration| {
        rate(turn, async || {
            for bytes in &bytes {
                black_box(blake3::hash(bytes));
            }
            Ok(count)
        })
        .await
    };
    interleave("verify-hashes: against BLAKE3 alone", "events/s", ours, blake3).await?;
    let sha256 = async |turn: Duration| {
        rate(turn, async || {
            for bytes in &bytes {
                black_box(merkle::leaf(bytes));
            }
            Ok(count)
        })
        .await
    };
    interleave("verify-hashes: against SHA-256 alone", "events/s", ours, sha256).await
}
