//! What a year of answers cost, by day and model. Against a bare GROUP BY of a table that has a row a message.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use convoledger::event::Position;
use convoledger::projection::{CONVERSATION, USAGE};
use convoledger::view::usage::{Dimension, Span};

use crate::ledgers::Cluster;
use crate::rounds::{interleave, rate};

const CONVERSATIONS: usize = 500;
/// In a conversation: one a minute.
const MESSAGES: usize = 40;
const YEAR: TimeDelta = TimeDelta::days(365);

pub async fn measure(cluster: &Cluster) -> anyhow::Result<()> {
    let ledger = cluster.ledger(&[CONVERSATION, USAGE]).await?;
    let from = DateTime::<Utc>::from_timestamp(1_704_067_200, 0).unwrap_or_default();
    let apart = YEAR / i32::try_from(CONVERSATIONS)?;
    for nth in 0..CONVERSATIONS {
        let (conversation, began) = (ledger.start_conversation().await?, from + apart * i32::try_from(nth)?);
        let minutes = (0..MESSAGES).map(|minute| began + TimeDelta::minutes(i64::try_from(minute).unwrap_or_default()));
        ledger.answers(conversation, minutes.map(|at| (String::from("Yes."), Some(at)))).await?;
    }
    ledger.caught_up().await?;
    let (pool, owner) = (&ledger.pool, ledger.actor.owner());
    sqlx::raw_sql(include_str!("limit/sql/create_costs.sql")).execute(pool).await?;
    // Both ends cut a quarter of an hour.
    let (from, to) = (from + TimeDelta::minutes(5), from + YEAR - TimeDelta::minutes(5));
    let range = Span { from: Some(from), to: Some(to), zone: Tz::Europe__Berlin };
    let ours = async |turn: Duration| {
        rate(turn, async || {
            let costs = ledger
                .service
                .costs(ledger.actor, range, &[Dimension::Day, Dimension::Model], None, Position::LATEST)
                .await?;
            anyhow::ensure!(costs.is_some_and(|costs| costs.total.messages > 0), "they are all there");
            Ok(1)
        })
        .await
    };
    let against = async |turn: Duration| {
        rate(turn, async || {
            let query = sqlx::query(include_str!("limit/sql/costs.sql")).bind(owner.0).bind(from).bind(to);
            anyhow::ensure!(!query.fetch_all(pool).await?.is_empty(), "they are all there");
            Ok(1)
        })
        .await
    };
    interleave("costs: a year by day and model", "answers/s", ours, against).await
}
