//! One who watches through all of it: cut off, it goes on behind the last event that it saw, by a socket and by a stream
//! in turn.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::wire::{Caller, Shown, Transport};

pub struct Subscriber {
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    /// Position and id of each event, as it came.
    events: Vec<(i64, Uuid)>,
    /// How often it left, to go on another way.
    departures: usize,
}

impl Subscriber {
    /// Watches the caller's events from the first. With choices it is restless: it leaves after a few events, without a
    /// word and whatever else is on its way.
    pub fn start(caller: Caller, address: watch::Receiver<SocketAddr>, choices: Option<StdRng>) -> Self {
        let seen = Arc::<Mutex<Seen>>::default();
        let task = tokio::spawn(run(caller, address, choices, Arc::clone(&seen)));
        Self { seen, task }
    }

    pub fn departures(&self) -> usize {
        self.seen().departures
    }

    /// What it has seen when it has come to `last`, or did not come there within half a minute.
    pub async fn end(self, last: i64) -> Vec<(i64, Uuid)> {
        self.come_to(last).await;
        self.task.abort();
        self.seen().events.clone()
    }

    /// Waits until it has come to `last`, or did not within half a minute: the checker says what is missing.
    pub async fn come_to(&self, last: i64) {
        let reached = async {
            while self.seen().events.last().is_none_or(|seen| seen.0 < last) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        let _ = timeout(Duration::from_secs(30), reached).await;
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no panic")
    }
}

async fn run(
    caller: Caller,
    address: watch::Receiver<SocketAddr>,
    mut choices: Option<StdRng>,
    seen: Arc<Mutex<Seen>>,
) {
    let mut last: Option<String> = None;
    // A cursor is the same whichever way it came.
    for by in [Transport::Socket, Transport::Stream].into_iter().cycle() {
        let at = *address.borrow();
        let Some(mut watch) = caller.watch(at, by, last.as_deref()).await else {
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let mut patience = choices.as_mut().map_or(usize::MAX, |choices| choices.random_range(1..=10));
        while let Some(Shown { position, event, cursor }) = watch.next().await {
            let mut seen = seen.lock().expect("no panic");
            seen.events.push((position, event));
            last = Some(cursor);
            patience -= 1;
            if patience == 0 {
                seen.departures += 1;
                break;
            }
        }
    }
}
