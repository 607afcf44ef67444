//! Orders of many messages of a kilobyte by eight callers, against as many rows in one `unnest` by eight clients.

use std::sync::Arc;
use std::time::Duration;

use crate::ledgers::{Cluster, Ledger, both};
use crate::limit::{Limit, Place};
use crate::rounds::{Turn, interleave, rate_of_all};
use crate::text::Prose;

const CALLERS: usize = 8;
/// Rows of the limit's statements, whatever the size of ours.
const UNNESTED: [usize; 2] = [100, 1_000];

pub async fn measure(cluster: &Cluster, size: usize) -> anyhow::Result<()> {
    for rows in UNNESTED {
        let (ledger, limit) = both(cluster, CALLERS).await?;
        let name = format!("batch-{size}: by 8, against unnest of {rows}");
        let ours = async |turn| ours(&ledger, size, turn).await;
        interleave(&name, "messages/s", ours, async |turn| against(&limit, rows, turn).await).await?;
    }
    Ok(())
}

async fn ours(ledger: &Ledger, size: usize, turn: Duration) -> anyhow::Result<f64> {
    let conversations = ledger.start_conversations(CALLERS).await?;
    let callers = conversations.into_iter().enumerate().map(|(caller, conversation)| {
        let ledger = ledger.clone();
        async move {
            let mut prose = Prose::new(caller)?;
            let (turn, mut done) = (Turn::begin(turn), 0);
            while turn.goes_on() {
                done += ledger.say(conversation, prose.many(size)).await?;
            }
            Ok(turn.rate(done))
        }
    });
    rate_of_all(callers).await
}

async fn against(limit: &Arc<Limit>, rows: usize, turn: Duration) -> anyhow::Result<f64> {
    let clients = (0..CALLERS).map(|nth| {
        let limit = Arc::clone(limit);
        async move {
            let (mut prose, mut place) = (Prose::new(nth)?, Place::first());
            let mut client = limit.client(nth).await;
            let (turn, mut done) = (Turn::begin(turn), 0);
            while turn.goes_on() {
                done += limit.insert_many(&mut client, place.step(rows), &prose.many(rows)).await?;
            }
            Ok(turn.rate(done))
        }
    });
    rate_of_all(clients).await
}
