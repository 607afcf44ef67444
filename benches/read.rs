//! The whole log back in order, facts and words, opened. Against keyset pages of the limit's rows, their JSON read.

use std::pin::pin;
use std::time::Duration;

use convoledger::event::Position;
use futures::StreamExt as _;
use sqlx::Row as _;

use crate::ledgers::{Cluster, Ledger};
use crate::limit::{Limit, Place};
use crate::rounds::{Turn, interleave, rate};
use crate::text::Prose;

/// Unless `EVENTS` says otherwise.
const MESSAGES: usize = 20_000;
const ORDER: usize = 500;
/// Rows in a page of the limit's.
const PAGE: i64 = 1_000;

pub async fn measure(cluster: &Cluster) -> anyhow::Result<()> {
    let (ledger, limit) = filled(cluster).await?;
    let ours = async |turn: Duration| {
        let (turn, mut done) = (Turn::begin(turn), 0);
        while turn.goes_on() {
            let mut pages = pin!(ledger.service.scan(Position(0)));
            while let Some(page) = pages.next().await.filter(|_| turn.goes_on()) {
                done += u32::try_from(page?.len())?;
            }
        }
        Ok(turn.rate(done))
    };
    let against = async |turn: Duration| pages(&limit, turn).await;
    interleave("read: the log in order, opened", "events/s", ours, against).await
}

/// Both with the same messages of a kilobyte.
pub async fn filled(cluster: &Cluster) -> anyhow::Result<(Ledger, Limit)> {
    let ledger = cluster.ledger(&[]).await?;
    let limit = Limit::create(cluster.empty().await?, 1).await?;
    let mut prose = Prose::new(2)?;
    #[allow(clippy::disallowed_methods)] // how long a run is
    let messages = std::env::var("EVENTS").map_or(Ok(MESSAGES), |events| events.parse())?;
    for _ in 0..messages / ORDER {
        let texts = prose.many(ORDER);
        limit.insert_many(&mut *limit.client(0).await, Place::first(), &texts).await?;
        ledger.say(ledger.start_conversation().await?, texts).await?;
    }
    Ok((ledger, limit))
}

/// How many rows of the limit's are read a second, page after page, from the start again at the end.
pub async fn pages(limit: &Limit, turn: Duration) -> anyhow::Result<f64> {
    let mut after = 0_i64;
    rate(turn, async || {
        let page = sqlx::query(include_str!("limit/sql/page.sql")).bind(after).bind(PAGE);
        let rows = page.fetch_all(&limit.pool).await?;
        for row in &rows {
            let _data: serde_json::Value = row.try_get("data")?;
            let _meta: serde_json::Value = row.try_get("meta")?;
        }
        after = rows.last().map_or(Ok(0), |row| row.try_get("position"))?;
        Ok(u32::try_from(rows.len())?)
    })
    .await
}
