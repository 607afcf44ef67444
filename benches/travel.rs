//! Time travel in a long conversation: what reading the past costs beside reading the present.

use std::time::Duration;

use convoledger::event::{BranchNumber, ConversationId, MessageId, Position, Role, Version};
use convoledger::ledger::{Act, AppendMessage, Below};
use convoledger::projection::CONVERSATION;
use convoledger::random;
use convoledger::service::Outcome;
use convoledger::view::Slice;
use sqlx::Row as _;

use crate::ledgers::{Cluster, Ledger};
use crate::limit::{Limit, Place};
use crate::rounds::{interleave, rate};
use crate::text::Prose;

const MESSAGES: usize = 10_000;
const BRANCHES: usize = 200;
const PAGE: u32 = 50;

/// A conversation of ten thousand messages with two hundred branches.
pub async fn measure(cluster: &Cluster) -> anyhow::Result<()> {
    let ledger = cluster.ledger(&[CONVERSATION]).await?;
    let limit = Limit::create(cluster.empty().await?, 1).await?;
    let (mut place, mut prose) = (Place::first(), Prose::new(5)?);
    let conversation = ledger.start_conversation().await?;
    let ids = grow(&ledger, conversation, &mut prose).await?;
    for _ in 0..MESSAGES / 500 {
        limit.insert_many(&mut *limit.client(0).await, place.step(500), &prose.many(500)).await?;
    }
    ledger.caught_up().await?;
    let head = ledger.log.head().await?;
    let first = head.0 - i64::try_from(MESSAGES)?;
    let mut turned = 0;
    let mut past = move || {
        turned += 1;
        Position(first + 100 + turned * 7_919 % (head.0 - first - 100))
    };

    let bare = async |turn: Duration| {
        rate(turn, async || {
            let after = i32::try_from(MESSAGES)? - i32::try_from(PAGE)?;
            let select = sqlx::query(include_str!("limit/sql/transcript.sql"));
            let rows = select.bind(place.stream).bind(after).bind(i64::from(PAGE)).fetch_all(&limit.pool).await?;
            for row in &rows {
                let _data: serde_json::Value = row.try_get("data")?;
            }
            anyhow::ensure!(rows.len() == PAGE as usize, "a page is whole");
            Ok(1)
        })
        .await
    };
    let at_head = async |turn| rate(turn, async || page(&ledger, conversation, Position::LATEST).await).await;
    interleave("travel: the last 50 at the head", "pages/s", at_head, bare).await?;
    let as_of = async |turn| rate(turn, async || page(&ledger, conversation, past()).await).await;
    let at_head = async |turn| rate(turn, async || page(&ledger, conversation, Position::LATEST).await).await;
    interleave("travel: the last 50 as of any version", "pages/s", as_of, at_head).await?;
    let as_of = async |turn| rate(turn, async || page(&ledger.unread(), conversation, past()).await).await;
    let at_head = async |turn| rate(turn, async || page(&ledger.unread(), conversation, Position::LATEST).await).await;
    interleave("travel: the same, first look at either", "pages/s", as_of, at_head).await?;
    let as_of = async |turn| rate(turn, async || state(&ledger, conversation, past()).await).await;
    let at_head = async |turn| rate(turn, async || state(&ledger, conversation, Position::LATEST).await).await;
    interleave("travel: the whole state as of any version", "states/s", as_of, at_head).await?;

    let forks = async |depth: usize, turn| {
        let from = ids[depth - 1];
        rate(turn, async || {
            let message = AppendMessage::text(MessageId(random::id()), Role::User, "and if not?");
            ledger.order(conversation, vec![Act::Append(message.below(Below::Message(from))).into()]).await?;
            Ok(1)
        })
        .await
    };
    println!("travel: forks a second at depth 10, 1,000 and 10,000 of the log");
    for depth in [10, 1_000, MESSAGES, 10, 1_000, MESSAGES] {
        println!("  {depth:>6} {:>8.0} forks/s", forks(depth, Duration::from_secs(2)).await?);
    }
    let mut version = 5_000;
    let restores = async |turn| {
        rate(turn, async || {
            version = if version == 5_000 { 7_500 } else { 5_000 };
            match ledger.service.restore(ledger.actor, conversation, Version(version), None, None).await? {
                Outcome::Done(_) => Ok(1),
                outcome => anyhow::bail!("not restored: {outcome:?}"),
            }
        })
        .await
    };
    println!("travel: restores a second of the long conversation {:>8.1}", { restores }(Duration::from_secs(5)).await?);
    Ok(())
}

/// Says ten thousand messages, half of them on whatever branch; their ids, in order.
async fn grow(ledger: &Ledger, conversation: ConversationId, prose: &mut Prose) -> anyhow::Result<Vec<MessageId>> {
    let mut ids: Vec<MessageId> = Vec::with_capacity(MESSAGES);
    let each = MESSAGES / BRANCHES;
    for nth in 0..BRANCHES {
        let mut commands = Vec::with_capacity(each);
        for (at, text) in prose.many(each).into_iter().enumerate() {
            let id = MessageId(random::id());
            let below = match at {
                0 if nth > 0 => Below::Message(ids[nth * 7_919 % (ids.len() - 1)]),
                at if at % 2 == 0 && nth > 1 => {
                    Below::Branch(BranchNumber(i32::try_from(1 + (nth * at * 31) % (nth - 1))?))
                }
                _ => Below::Preferred,
            };
            commands.push(Act::Append(AppendMessage::text(id, Role::User, text).below(below)).into());
            ids.push(id);
        }
        ledger.order(conversation, commands).await?;
    }
    Ok(ids)
}

async fn page(ledger: &Ledger, conversation: ConversationId, at: Position) -> anyhow::Result<u32> {
    let slice = Slice::last(PAGE);
    let page = ledger.service.page(ledger.actor, conversation, BranchNumber::MAIN, &slice, at).await?;
    anyhow::ensure!(page.is_some_and(|page| page.rows.len() == PAGE as usize), "a page is whole");
    Ok(1)
}

/// The conversation, all its branches, and the end of the one in view.
async fn state(ledger: &Ledger, conversation: ConversationId, at: Position) -> anyhow::Result<u32> {
    let rows = ledger.service.conversations(ledger.actor, &[conversation], at).await?;
    let branches = ledger.service.branches_of(ledger.actor, &[conversation], at).await?;
    anyhow::ensure!(rows.len() == 1 && !branches.is_empty(), "it was there");
    page(ledger, conversation, at).await
}
