//! The view of conversations folded from the log, in the small ranges of a live fold. Against one bare upsert a range that
//! counts the same events by conversation.

use std::time::Duration;

use convoledger::event::Position;
use convoledger::projection::{CONVERSATION, Folded, Range};

use crate::ledgers::Cluster;
use crate::rounds::{interleave, rate};
use crate::text::Prose;

const CONVERSATIONS: usize = 64;
const MESSAGES: usize = 150;
/// Events in one fold, as many as were appended while the one before ran.
const RANGE: i64 = 64;

pub async fn measure(cluster: &Cluster) -> anyhow::Result<()> {
    let ledger = cluster.ledger(&[]).await?;
    let conversations = ledger.start_conversations(CONVERSATIONS).await?;
    let mut prose = Prose::new(4)?;
    for _ in 0..MESSAGES {
        // Everyone speaks in turn, so that a range is of many conversations.
        let said = conversations.iter().map(|conversation| ledger.say(*conversation, vec![prose.next()]));
        futures::future::try_join_all(said).await?;
    }
    let (pool, head) = (&ledger.pool, ledger.log.head().await?.0);
    let ours = async |turn: Duration| {
        sqlx::query("DROP SCHEMA IF EXISTS conversation CASCADE").execute(pool).await?;
        CONVERSATION.create(pool).await?;
        let mut after = 0;
        rate(turn, async || {
            if after + RANGE > head {
                sqlx::query("DROP SCHEMA conversation CASCADE").execute(pool).await?;
                CONVERSATION.create(pool).await?;
                after = 0;
            }
            let folded = CONVERSATION.fold(pool, &Range::of_facts(Position(after), Position(after + RANGE))).await?;
            anyhow::ensure!(matches!(folded, Folded::Done), "nobody else folds");
            after += RANGE;
            Ok(u32::try_from(RANGE)?)
        })
        .await
    };
    let against = async |turn: Duration| {
        sqlx::raw_sql(include_str!("limit/sql/create_view.sql")).execute(pool).await?;
        let mut after = 0;
        rate(turn, async || {
            if after + RANGE > head {
                sqlx::raw_sql(include_str!("limit/sql/create_view.sql")).execute(pool).await?;
                after = 0;
            }
            sqlx::query(include_str!("limit/sql/upsert.sql")).bind(after).bind(after + RANGE).execute(pool).await?;
            after += RANGE;
            Ok(u32::try_from(RANGE)?)
        })
        .await
    };
    interleave("fold: conversations, 64 events a time", "events/s", ours, against).await
}
