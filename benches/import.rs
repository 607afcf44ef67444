//! The corpus's sample into an empty ledger, many conversations at once, as the command does it. Against the same messages
//! in the limit's table, one `unnest` a conversation, by eight clients.

use std::path::Path;
use std::time::Duration;

use convoledger::clock::Clock;
use convoledger::format::{self, Transcript};

use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::ledgers::Cluster;
use crate::limit::{Limit, Place};
use crate::rounds::interleave;
use crate::text::text_of;

/// Conversations that are being written at once, as the command has it.
const IN_FLIGHT: usize = 64;
const CLIENTS: usize = 8;

pub async fn measure(cluster: &Cluster) -> anyhow::Result<()> {
    let transcripts = corpus()?;
    // Each turn imports everything, into a ledger of its own.
    let ours = async |_: Duration| {
        let ledger = cluster.ledger(&[]).await?;
        let began = Clock::instant();
        let taken = stream::iter(transcripts.clone()).map(async |transcript| {
            let messages = transcript.messages.len();
            ledger.service.import(ledger.actor, transcript).await.map(|_| messages)
        });
        let taken: Vec<usize> = taken.buffer_unordered(IN_FLIGHT).try_collect().await?;
        Ok(f64::from(u32::try_from(taken.iter().sum::<usize>())?) / began.elapsed().as_secs_f64())
    };
    let limit = async |_: Duration| {
        let limit = Limit::create(cluster.empty().await?, CLIENTS).await?;
        let (began, limit, transcripts) = (Clock::instant(), &limit, &transcripts);
        let shares = (0..CLIENTS).map(async |nth| {
            let (mut client, mut messages) = (limit.client(nth).await, 0);
            for transcript in transcripts.iter().skip(nth).step_by(CLIENTS) {
                let texts: Vec<_> = transcript.messages.iter().map(text_of).collect();
                messages += limit.insert_many(&mut client, Place::first(), &texts).await?;
            }
            anyhow::Ok(messages)
        });
        let messages: u32 = futures::future::try_join_all(shares).await?.into_iter().sum();
        Ok(f64::from(messages) / began.elapsed().as_secs_f64())
    };
    interleave("import: the corpus", "messages/s", ours, limit).await
}

/// The conversations of the sample that `CORPUS` names, or else of the fixtures.
pub fn corpus() -> anyhow::Result<Vec<Transcript>> {
    let fixtures = || Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/corpus/linear.jsonl");
    #[allow(clippy::disallowed_methods)] // which corpus a run is of
    let path = std::env::var_os("CORPUS").map_or_else(fixtures, Into::into);
    Ok(format::open(&path)?.filter_map(Result::ok).collect())
}
