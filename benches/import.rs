//! The corpus's sample into an empty ledger, one conversation after the other, as the command does it. Against the same
//! messages in the limit's table, one `unnest` a conversation.

use std::path::Path;
use std::time::Duration;

use convoledger::clock::Clock;
use convoledger::format::{self, Transcript};

use crate::ledgers::Cluster;
use crate::limit::{Limit, Place};
use crate::rounds::interleave;
use crate::text::text_of;

pub async fn measure(cluster: &Cluster) -> anyhow::Result<()> {
    let transcripts = corpus()?;
    // Each turn imports everything, into a ledger of its own.
    let ours = async |_: Duration| {
        let ledger = cluster.ledger(&[]).await?;
        let began = Clock::instant();
        let mut messages = 0;
        for transcript in transcripts.clone() {
            messages += u32::try_from(transcript.messages.len())?;
            ledger.service.import(ledger.actor, transcript).await?;
        }
        Ok(f64::from(messages) / began.elapsed().as_secs_f64())
    };
    let limit = async |_: Duration| {
        let limit = Limit::create(cluster.empty().await?, 1).await?;
        let mut client = limit.client(0).await;
        let began = Clock::instant();
        let mut messages = 0;
        for transcript in &transcripts {
            let texts: Vec<_> = transcript.messages.iter().map(text_of).collect();
            messages += limit.insert_many(&mut client, Place::first(), &texts).await?;
        }
        Ok(f64::from(messages) / began.elapsed().as_secs_f64())
    };
    interleave("import: the corpus, one by one", "messages/s", ours, limit).await
}

/// The conversations of the sample that `CORPUS` names, or else of the fixtures.
pub fn corpus() -> anyhow::Result<Vec<Transcript>> {
    let fixtures = || Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/corpus/linear.jsonl");
    #[allow(clippy::disallowed_methods)] // which corpus a run is of
    let path = std::env::var_os("CORPUS").map_or_else(fixtures, Into::into);
    Ok(format::open(&path)?.filter_map(Result::ok).collect())
}
