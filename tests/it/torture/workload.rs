//! Callers who append as fast as they are answered, and the history of what they asked and were told.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use convoledger::clock::Clock;
use futures::future::join_all;
use rand::RngExt as _;
use rand::rngs::StdRng;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Seed;
use super::house::House;
use super::wire::{Caller, Told};

pub const CALLERS: usize = 64;
/// Conversations that all callers of an account write to, besides one of each caller's own.
const SHARED: usize = 4;
/// How long a caller waits when it does not know what became of its append, before it asks again.
const PAUSE: Duration = Duration::from_millis(50);
/// How long the last of them may take to be told, once the faults are over.
const TOLD_WITHIN: Duration = Duration::from_secs(20);

/// One command: asked for until it was told.
#[derive(Debug)]
pub struct Asked {
    pub conversation: String,
    /// Its `clientMutationId`.
    pub command: String,
    pub text: String,
    /// When it was sent first, and when it was first told.
    pub invoked: Instant,
    pub completed: Instant,
    /// What each of its copies was told.
    pub told: Vec<Told>,
    /// What another text was told under the same `clientMutationId`.
    pub impostor: Option<Told>,
}

#[derive(Default)]
pub struct History {
    asked: Mutex<Vec<Asked>>,
    acknowledged: AtomicU64,
    unknown: AtomicU64,
}

impl History {
    pub fn asked(&self) -> MutexGuard<'_, Vec<Asked>> {
        self.asked.lock().expect("no panic")
    }

    /// How many appends were acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// How many tries ended without an answer.
    pub fn unknown(&self) -> u64 {
        self.unknown.load(Ordering::Relaxed)
    }
}

/// Someone who appends, wherever the ledger answers.
#[derive(Clone)]
pub struct Desk {
    pub caller: Caller,
    pub address: watch::Receiver<SocketAddr>,
    pub history: Arc<History>,
}

impl Desk {
    /// Appends; asks again under the same name until it is told what became of it.
    pub async fn append(&self, conversation: &str, command: &str, text: &str) -> (Told, Instant) {
        loop {
            let at = *self.address.borrow();
            if let Some(told) = self.caller.append(at, conversation, command, text).await {
                self.history.acknowledged.fetch_add(1, Ordering::Relaxed);
                return (told, Clock::instant());
            }
            self.history.unknown.fetch_add(1, Ordering::Relaxed);
            sleep(PAUSE).await;
        }
    }

    /// Appends what nobody else asks for, and puts it down in the history.
    pub async fn say(&self, conversation: &str, command: &str, text: &str) -> Told {
        let invoked = Clock::instant();
        let (told, completed) = self.append(conversation, command, text).await;
        self.history.asked().push(Asked {
            conversation: conversation.to_owned(),
            command: command.to_owned(),
            text: text.to_owned(),
            invoked,
            completed,
            told: vec![told.clone()],
            impostor: None,
        });
        told
    }
}

/// Callers at work, until they are healed.
pub struct Load {
    pub history: Arc<History>,
    callers: JoinSet<()>,
    halt: CancellationToken,
}

impl Load {
    /// [`CALLERS`] of them, dealt out to the accounts.
    pub async fn start(house: &House, seed: Seed, accounts: &[Caller]) -> Self {
        let (history, halt, mut callers) = (Arc::<History>::default(), CancellationToken::new(), JoinSet::new());
        let address = house.address();
        let at = *address.borrow();
        for (account, caller) in accounts.iter().enumerate() {
            let shared = join_all((0..SHARED).map(|_| caller.start(at))).await;
            let seats: Vec<_> = (account..CALLERS).step_by(accounts.len()).collect();
            let own = join_all(seats.iter().map(|_| caller.start(at))).await;
            for (seat, own) in seats.into_iter().zip(own) {
                let desk = Desk { caller: caller.clone(), address: address.clone(), history: Arc::clone(&history) };
                let conversations = [vec![own], shared.clone()].concat();
                callers.spawn(work(seat, desk, conversations, seed.choices(seat as u64 + 1), halt.clone()));
            }
        }
        Self { history, callers, halt }
    }

    /// Nobody begins anything more; what was begun is asked for until it was told.
    pub async fn heal(mut self) -> Arc<History> {
        self.halt.cancel();
        let all = async { while self.callers.join_next().await.transpose().expect("no caller fails").is_some() {} };
        timeout(TOLD_WITHIN, all).await.expect("every caller is told in time");
        self.history
    }
}

async fn work(caller: usize, desk: Desk, conversations: Vec<String>, mut choices: StdRng, halt: CancellationToken) {
    for nth in 1_u64.. {
        if halt.is_cancelled() {
            return;
        }
        let own = choices.random_ratio(3, 4);
        let conversation = &conversations[if own { 0 } else { choices.random_range(1..conversations.len()) }];
        let command = format!("{caller}-{nth}");
        let text = format!("{caller} says {:016x}", choices.random::<u64>());
        // Every fifth is asked for several times at once, and now and then another borrows its name.
        let copies = if nth % 5 == 0 { choices.random_range(2..=3) } else { 1 };
        let invoked = Clock::instant();
        let answers = join_all((0..copies).map(|_| desk.append(conversation, &command, &text))).await;
        let completed = answers.iter().map(|(_, at)| *at).min().expect("a copy");
        let told = answers.into_iter().map(|(told, _)| told).collect();
        let impostor = match nth % 10 {
            0 => Some(desk.append(conversation, &command, "something else").await.0),
            _ => None,
        };
        let conversation = conversation.clone();
        desk.history.asked().push(Asked { conversation, command, text, invoked, completed, told, impostor });
    }
}
