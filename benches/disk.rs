//! Bytes on disk for each message, by table and index: of messages of a kilobyte, and of the corpus, whose messages are
//! short. Against the limit's table with the same messages, and against their bare text.

use convoledger::projection::CONVERSATION;
use sqlx::{PgPool, Row as _};

use crate::import;
use crate::ledgers::{Cluster, Ledger};
use crate::limit::{Limit, Place};
use crate::text::{KILOBYTE, Prose, text_of};

const CONVERSATIONS: usize = 200;
const MESSAGES: usize = 50;

pub async fn measure(cluster: &Cluster) -> anyhow::Result<()> {
    kilobytes(cluster).await?;
    corpus(cluster).await
}

async fn kilobytes(cluster: &Cluster) -> anyhow::Result<()> {
    let ledger = cluster.ledger(&[CONVERSATION]).await?;
    let limit = Limit::create(cluster.empty().await?, 1).await?;
    let (mut prose, mut client) = (Prose::new(1)?, limit.client(0).await);
    for _ in 0..CONVERSATIONS {
        let (conversation, mut place) = (ledger.start_conversation().await?, Place::first());
        // One at a time, as people talk.
        for text in prose.many(MESSAGES) {
            limit.insert(&mut client, place.step(1), &text).await?;
            ledger.say(conversation, vec![text]).await?;
        }
    }
    report("1 KB", &ledger, &limit, CONVERSATIONS * MESSAGES, CONVERSATIONS * MESSAGES * KILOBYTE).await
}

async fn corpus(cluster: &Cluster) -> anyhow::Result<()> {
    let ledger = cluster.ledger(&[CONVERSATION]).await?;
    let limit = Limit::create(cluster.empty().await?, 1).await?;
    let mut client = limit.client(0).await;
    let (mut messages, mut bytes) = (0, 0);
    for transcript in import::corpus()? {
        let mut place = Place::first();
        for text in transcript.messages.iter().map(text_of) {
            limit.insert(&mut client, place.step(1), &text).await?;
            messages += 1;
            bytes += text.len();
        }
        ledger.service.import(ledger.actor, transcript).await?;
    }
    report("corpus", &ledger, &limit, messages, bytes).await
}

/// Prints what a message takes of each relation, and the whole against the limit and the text.
async fn report(what: &str, ledger: &Ledger, limit: &Limit, messages: usize, text: usize) -> anyhow::Result<()> {
    ledger.caught_up().await?;
    #[allow(clippy::cast_precision_loss)] // a report
    let per = |bytes: i64| bytes as f64 / messages as f64;
    let (ours, limit) = (sizes(&ledger.pool).await?, sizes(&limit.pool).await?);
    let [total, against] = [&ours, &limit].map(|sizes| sizes.iter().map(|(_, bytes)| bytes).sum::<i64>());
    let text = i64::try_from(text)?;
    println!(
        "disk: {what}, {messages} messages: {:.0} bytes each; limit {:.0}, text {:.0}; ratio {:.2} to the limit, {:.2} to the text",
        per(total),
        per(against),
        per(text),
        per(total) / per(against),
        per(total) / per(text),
    );
    for (relation, bytes) in ours.iter().filter(|(_, bytes)| per(*bytes) >= 0.5) {
        println!("    {relation:<40} {:>8.0}", per(*bytes));
    }
    for (relation, bytes) in &limit {
        println!("    limit: {relation:<33} {:>8.0}", per(*bytes));
    }
    Ok(())
}

/// Every table (with what is stored beside it) and index of a database, and its bytes.
async fn sizes(pool: &PgPool) -> anyhow::Result<Vec<(String, i64)>> {
    let rows = sqlx::query(include_str!("sql/sizes.sql")).fetch_all(pool).await?;
    Ok(rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<_, sqlx::Error>>()?)
}
