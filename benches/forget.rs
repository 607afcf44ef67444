//! An account forgotten, with all its messages and every view of them: from the request until its keys are destroyed, and
//! until the receipt is there. Against a bare DELETE and VACUUM of a copy of the same sealed words. As many messages of
//! another account stay. `MESSAGES` says how many the account has.

use chrono::TimeDelta;
use convoledger::clock::Clock;
use convoledger::event::Requester;
use convoledger::projection::BUILT_IN;
use convoledger::service::{Receipts, Step};

use crate::archive::{converse, messages};
use crate::ledgers::{Cluster, Ledger};
use crate::rounds::median;
use crate::text::Prose;

const ROUNDS: usize = 3;
/// Messages of a conversation.
const LENGTH: usize = 200;

pub async fn measure(cluster: &Cluster) -> anyhow::Result<()> {
    let messages = messages()?;
    let ledger = cluster.ledger(BUILT_IN).await?;
    let service = ledger.service.clone().with_receipts(Receipts::kept_in(cluster.root().join("receipts")));
    let ledger = Ledger { service, ..ledger };
    let mut leaving = Vec::new();
    for nth in 0..ROUNDS {
        leaving.push(ledger.of(&format!("{nth}@example.org")).await?);
    }
    let mut prose = Prose::new(7)?;
    for _ in 0..messages / LENGTH {
        let texts = prose.many(LENGTH);
        for account in leaving.iter().chain([&ledger]) {
            converse(account, &texts).await?;
        }
    }
    ledger.caught_up().await?;
    sqlx::raw_sql(include_str!("limit/sql/create_words.sql")).execute(&ledger.pool).await?;
    let (mut closed, mut unreadable, mut receipts, mut limits, mut ratios) = (vec![], vec![], vec![], vec![], vec![]);
    for Ledger { actor, service, .. } in leaving {
        let began = Clock::instant();
        let took = || began.elapsed().as_secs_f64();
        service.request_forgetting(actor.account, Requester::Subject, TimeDelta::zero()).await?;
        closed.push(took());
        for step in [Step::Start, Step::Retire] {
            service.forget_by(actor.account, step).await?;
        }
        unreadable.push(took());
        let forgotten = service.forget(actor.account).await?;
        let receipt = took();
        anyhow::ensure!(forgotten.file.is_some(), "a receipt is kept");
        let began = Clock::instant();
        sqlx::query(include_str!("limit/sql/delete_words.sql")).bind(actor.owner().0).execute(&ledger.pool).await?;
        sqlx::query(include_str!("limit/sql/vacuum_words.sql")).execute(&ledger.pool).await?;
        let limit = began.elapsed().as_secs_f64();
        receipts.push(receipt);
        limits.push(limit);
        ratios.push(receipt / limit);
    }
    println!(
        "forget: {messages} messages of {}: closed after {:.3} s, keys gone after {:.2} s, receipt after {:.2} s, against \
         {:.2} s, {:.1} times as long",
        (ROUNDS + 1) * messages,
        median(closed),
        median(unreadable),
        median(receipts),
        median(limits),
        median(ratios),
    );
    Ok(())
}
