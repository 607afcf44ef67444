//! A key renewed after one message was forgotten: until no copy of before opens it, with all else opening as before. Against a
//! plain INSERT of as many rows of 32 bytes; and what opening everything costs before and after. `MESSAGES` says how many
//! messages the account has.

use convoledger::clock::Clock;
use convoledger::event::{MessageId, Position};
use convoledger::ledger::Act;
use convoledger::service::{Order, Service};
use futures::TryStreamExt as _;

use crate::archive::{converse, messages};
use crate::ledgers::Cluster;
use crate::rounds::median;
use crate::text::Prose;

const ROUNDS: usize = 3;
/// Messages of a conversation.
const LENGTH: usize = 200;

pub async fn measure(cluster: &Cluster) -> anyhow::Result<()> {
    let messages = messages()?;
    let ledger = cluster.ledger(&[]).await?;
    let mut prose = Prose::new(8)?;
    for _ in 0..messages / LENGTH {
        converse(&ledger, &prose.many(LENGTH)).await?;
    }
    let service = &ledger.service;
    let said: Vec<(uuid::Uuid, uuid::Uuid)> = sqlx::query_as(include_str!("sql/some_messages.sql"))
        .bind(i32::try_from(ROUNDS)?)
        .fetch_all(&ledger.pool)
        .await?;
    let before = opened(service).await?;
    let (mut renewed, mut limits, mut ratios) = (vec![], vec![], vec![]);
    for (conversation, message) in said {
        let forget = Act::ForgetMessage { message: MessageId(message) }.into();
        let order = Order { conversation: conversation.into(), commands: vec![forget], named: None, expected: None };
        service.execute(ledger.actor, order).await?;
        let began = Clock::instant();
        service.retire_epoch().await?;
        renewed.push(began.elapsed().as_secs_f64());
        let mut connection = ledger.pool.acquire().await?;
        let began = Clock::instant();
        sqlx::raw_sql(include_str!("limit/sql/insert_openings.sql")).execute(&mut *connection).await?;
        limits.push(began.elapsed().as_secs_f64());
        ratios.push(renewed[renewed.len() - 1] / limits[limits.len() - 1]);
    }
    let after = opened(service).await?;
    let bytes: i64 = sqlx::query_scalar(include_str!("sql/size_of_openings.sql")).fetch_one(&ledger.pool).await?;
    println!(
        "renew: {messages} messages: in {:.2} s, against {:.2} s for as many rows, {:.1} times as long; {bytes} bytes a \
         part; all opened in {before:.2} s before and in {after:.2} s after",
        median(renewed),
        median(limits),
        median(ratios),
    );
    Ok(())
}

/// How long it takes to open all there is.
async fn opened(service: &Service) -> anyhow::Result<f64> {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let began = Clock::instant();
        service.scan(Position(0)).try_for_each(async |_| Ok(())).await?;
        times.push(began.elapsed().as_secs_f64());
    }
    Ok(median(times))
}
