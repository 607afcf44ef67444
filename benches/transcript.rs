//! A page of fifty messages of a long branch, opened: read again and again, and for the first time. Against a bare SELECT of as
//! many of the limit's rows by their index.

use std::time::Duration;

use convoledger::event::{BranchNumber, ConversationId, Depth, Position};
use convoledger::projection::CONVERSATION;
use convoledger::view::Slice;
use sqlx::Row as _;

use crate::ledgers::{Cluster, Ledger};
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
            page(&ledger, conversation, turned % pages).await
        })
        .await
    };
    let mut looked = 0;
    let mut against = async |turn: Duration| {
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
    interleave("transcript: a page of 50", "pages/s", ours, &mut against).await?;
    let (mut unread, mut turned) = (ledger.unread(), 0);
    let first = async |turn: Duration| {
        rate(turn, async || {
            turned += 1;
            // Every page once; then all by one who read none of them.
            if turned % pages == 0 {
                unread = ledger.unread();
            }
            page(&unread, conversation, turned % pages).await
        })
        .await
    };
    interleave("transcript: a page read for the first time", "pages/s", first, against).await
}

async fn page(ledger: &Ledger, conversation: ConversationId, nth: i32) -> anyhow::Result<u32> {
    let slice = Slice::first(PAGE).after(Depth(nth * i32::try_from(PAGE)?));
    let page = ledger.service.page(ledger.actor, conversation, BranchNumber(1), &slice, Position::LATEST).await?;
    anyhow::ensure!(page.is_some_and(|page| page.rows.len() == PAGE as usize), "a page is whole");
    Ok(1)
}
