//! Views folded from the log, in the small ranges of a live fold. Each against one bare upsert a range that writes the same
//! rows.

use std::time::Duration;

use convoledger::event::Position;
use convoledger::projection::{BUILT_IN, Folded, Projection, Range};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::ledgers::Cluster;
use crate::rounds::{Turn, interleave};
use crate::text::Prose;

const CONVERSATIONS: usize = 64;
const MESSAGES: usize = 150;
/// Events in one fold, as many as were appended while the one before ran.
const RANGE: i64 = 64;

/// The least that does what the fold of a view does here: what makes its tables, and what folds a range.
pub fn limit_of(view: &str) -> anyhow::Result<(&'static str, &'static str)> {
    Ok(match view {
        "conversation" => {
            (include_str!("limit/sql/create_conversation.sql"), include_str!("limit/sql/upsert_conversation.sql"))
        }
        "usage" => (include_str!("limit/sql/create_usage.sql"), include_str!("limit/sql/upsert_usage.sql")),
        "audit" => (include_str!("limit/sql/create_audit.sql"), include_str!("limit/sql/upsert_audit.sql")),
        _ => anyhow::bail!("nothing to compare `{view}` with"),
    })
}

pub async fn measure(cluster: &Cluster) -> anyhow::Result<()> {
    for projection in BUILT_IN.iter().filter(|projection| !projection.opened) {
        measure_one(cluster, projection).await?;
    }
    Ok(())
}

async fn measure_one(cluster: &Cluster, projection: &Projection) -> anyhow::Result<()> {
    let view = &projection.name;
    let (create, upsert) = limit_of(view)?;
    let ledger = cluster.ledger(&[]).await?;
    let conversations = ledger.start_conversations(CONVERSATIONS).await?;
    let mut prose = Prose::new(4)?;
    for nth in 0..MESSAGES {
        // Everyone speaks in turn, so that a range is of many conversations. Only to what is used answers make a difference.
        if *view == "usage" && nth % 2 == 1 {
            let said = conversations.iter().map(|conversation| ledger.answer(*conversation, prose.next(), None));
            futures::future::try_join_all(said).await?;
        } else {
            let said = conversations.iter().map(|conversation| ledger.say(*conversation, vec![prose.next()]));
            futures::future::try_join_all(said).await?;
        }
    }
    let (pool, head) = (&ledger.pool, ledger.log.head().await?.0);
    let anew = async || -> anyhow::Result<()> {
        let drop = AssertSqlSafe(format!("DROP SCHEMA IF EXISTS {view} CASCADE"));
        sqlx::query(drop).execute(pool).await?;
        Ok(projection.create(pool).await?)
    };
    let fold = async |by: &mut PgConnection, after: i64| -> anyhow::Result<()> {
        let range = Range::of_facts(Position(after), Position(after + RANGE));
        let folded = projection.fold_by(by, &range).await?;
        anyhow::ensure!(matches!(folded, Folded::Done), "nobody else folds");
        Ok(())
    };
    let bare = async || -> anyhow::Result<()> { Ok(sqlx::raw_sql(create).execute(pool).await.map(drop)?) };
    let upsert = async |by: &mut PgConnection, after: i64| -> anyhow::Result<()> {
        Ok(sqlx::query(upsert).bind(after).bind(after + RANGE).execute(by).await.map(drop)?)
    };
    // Both by a connection of their own, as a view that goes on is folded.
    let (mut by, mut bare_by) = (pool.acquire().await?, pool.acquire().await?);
    let ours = async |turn| folds(turn, head, &mut by, &anew, &fold).await;
    let against = async |turn| folds(turn, head, &mut bare_by, &bare, &upsert).await;
    interleave(&format!("fold: {view}, 64 events a time"), "events/s", ours, against).await
}

/// Events folded a second, range by range, over and over. The clock stands while the tables are made anew, and while the first
/// range is folded: plans are made with it.
async fn folds(
    turn: Duration,
    head: i64,
    by: &mut PgConnection,
    anew: impl AsyncFn() -> anyhow::Result<()>,
    fold: impl AsyncFn(&mut PgConnection, i64) -> anyhow::Result<()>,
) -> anyhow::Result<f64> {
    let (mut turn, mut after, mut done) = (Turn::begin(turn), head, 0);
    while turn.goes_on() {
        if after + RANGE > head {
            turn.aside(async {
                anew().await?;
                fold(by, 0).await
            })
            .await?;
            after = RANGE;
        }
        fold(by, after).await?;
        after += RANGE;
        done += u32::try_from(RANGE)?;
    }
    Ok(turn.rate(done))
}
