//! A page of fifty messages of a long branch, opened. Against a bare SELECT of as many of the limit's rows by their index.

use std::time::Duration;

use convoledger::event::{BranchNumber, Depth, Position};
use convoledger::projection::CONVERSATION;
use convoledger::view::Slice;
use sqlx::Row as _;

use crate::ledgers::Cluster;
use crate::limit::{Limit, Place};
use crate::rounds::{interleave, rate};
use crate::text::Prose;

const MESSAGES: usize = 10_000;
const ORDER: usize = 500;
const PAGE: u32 = 50;

pub async fn measure(cluster: &Cluster) -> anyhow::Result<()> {
    let ledger = cluster.ledger(&[CONVERSATION]).await?;
    let limit = Limit::create(cluster.empty().await?, 1).await?;
    let (mut prose, mut place, conversation) = (Prose::new(3)?, Place::first(), ledger.start_conversation().await?);
    let stream = place.stream;
    for _ in 0..MESSAGES / ORDER {
        let texts = prose.many(ORDER);
        limit.insert_many(&mut *limit.client(0).await, place.step(ORDER), &texts).await?;
        ledger.say(conversation, texts).await?;
    }
    ledger.caught_up().await?;
    let pages = i32::try_from(MESSAGES)? / i32::try_from(PAGE)?;
    let mut turned = 0;
    let ours = async |turn: Duration| {
        rate(turn, async || {
            turned += 1;
            let slice = Slice::first(PAGE).after(Depth(turned % pages * i32::try_from(PAGE)?));
            let page =
                ledger.service.page(ledger.actor, conversation, BranchNumber(1), &slice, Position::LATEST).await?;
            anyhow::ensure!(page.is_some_and(|page| page.rows.len() == PAGE as usize), "a page is whole");
            Ok(1)
        })
        .await
    };
    let mut looked = 0;
    let against = async |turn: Duration| {
        rate(turn, async || {
            looked += 1;
            let after = looked % pages * i32::try_from(PAGE)?;
            let select =
                sqlx::query(include_str!("limit/sql/transcript.sql")).bind(stream).bind(after).bind(i64::from(PAGE));
            let rows = select.fetch_all(&limit.pool).await?;
            for row in &rows {
                let _data: serde_json::Value = row.try_get("data")?;
            }
            anyhow::ensure!(rows.len() == PAGE as usize, "a page is whole");
            Ok(1)
        })
        .await
    };
    interleave("transcript: a page of 50", "pages/s", ours, against).await
}
