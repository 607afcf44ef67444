//! One message of a kilobyte at a time, by many callers at once, each in its own conversation whose state is warm:
//! decided, sealed, hashed and committed. Against single-row INSERTs of the same messages by as many clients.

use std::sync::Arc;
use std::time::Duration;

use crate::ledgers::{Cluster, Ledger, both};
use crate::limit::{Limit, Place};
use crate::rounds::{Turn, interleave, rate_of_all};
use crate::text::Prose;

pub async fn measure(cluster: &Cluster, callers: usize) -> anyhow::Result<()> {
    let (ledger, limit) = both(cluster, callers).await?;
    let name = format!("append-{callers}: one message of 1 KB");
    let ours = async |turn| ours(&ledger, callers, turn).await;
    interleave(&name, "messages/s", ours, async |turn| against(&limit, callers, turn).await).await
}

/// Messages a second, by all callers together.
pub async fn ours(ledger: &Ledger, callers: usize, turn: Duration) -> anyhow::Result<f64> {
    let conversations = ledger.start_conversations(callers).await?;
    let callers = conversations.into_iter().enumerate().map(|(caller, conversation)| {
        let ledger = ledger.clone();
        async move {
            let mut prose = Prose::new(caller)?;
            let (turn, mut done) = (Turn::begin(turn), 0);
            while turn.goes_on() {
                done += ledger.say(conversation, vec![prose.next()]).await?;
            }
            Ok(turn.rate(done))
        }
    });
    rate_of_all(callers).await
}

async fn against(limit: &Arc<Limit>, clients: usize, turn: Duration) -> anyhow::Result<f64> {
    let clients = (0..clients).map(|nth| {
        let limit = Arc::clone(limit);
        async move {
            let (mut prose, mut place) = (Prose::new(nth)?, Place::first());
            let mut client = limit.client(nth).await;
            let (turn, mut done) = (Turn::begin(turn), 0);
            while turn.goes_on() {
                done += limit.insert(&mut client, place.step(1), &prose.next()).await?;
            }
            Ok(turn.rate(done))
        }
    });
    rate_of_all(clients).await
}
