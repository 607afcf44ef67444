//! Group commit: what all callers of this process append goes through one gatherer, which writes what is waiting in one
//! call of the lane. A commit's flush to disk is shared by everyone who waited for the one before.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::append::{Answer, Append, AppendError};
use super::bell::Bell;
use super::lane::Call;
use crate::clock::Clock;
use crate::database::within;
use crate::event::{CommandId, OwnerId, StreamId};

/// How much one process gathers and holds.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Commands in one call of the lane.
    pub batch_commands_max: usize,
    /// Events in one call, unless a single command has more.
    pub batch_events_max: usize,
    /// Bytes in one call, unless a single command has more.
    pub batch_bytes_max: usize,
    /// Commands that wait; one more is answered [`AppendError::Full`].
    pub queue_commands_max: usize,
    /// Bytes that wait; what does not fit is answered [`AppendError::Full`].
    pub queue_bytes_max: usize,
    /// Events in one command.
    pub command_events_max: usize,
    /// Calls under way at once: one holds the lane while the next is sent, parsed and waits for the lock.
    pub flights: usize,
    /// Events with which a call takes off though another is under way. With fewer, it would wait for the lane and take
    /// nobody aboard who comes meanwhile, and a call costs the lane as much as ten events do.
    pub flight_events_min: usize,
    /// How long an unanswered call is repeated before its callers are told that its outcome is unknown.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            batch_commands_max: 256,
            batch_events_max: 4_096,
            batch_bytes_max: 4 << 20,
            queue_commands_max: 4_096,
            queue_bytes_max: 64 << 20,
            command_events_max: 4_096,
            flights: 2,
            flight_events_min: 32,
            patience: Duration::from_secs(15),
        }
    }
}

/// How long one try may take; then its way to the database counts as cut. Longer than a call waits for the lane (the 3 s
/// of its `lock_timeout`), so that whoever only stands in line is told so by Postgres; and short enough that a second
/// try fits into the patience.
const TRY_WITHIN: Duration = Duration::from_secs(8);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a batch waits for those who were answered just now, and mostly come back with more: a call of the lane takes longer
/// than they do, and hardly longer with all of them in it.
const RETURN_WITHIN: Duration = Duration::from_micros(200);

#[derive(Clone)]
pub(super) struct Appender {
    limits: Limits,
    queue: mpsc::Sender<Job>,
    bytes: Arc<Semaphore>,
    closing: Arc<Mutex<Option<JoinHandle<()>>>>,
    closed: CancellationToken,
}

struct Job {
    owner: OwnerId,
    command: CommandId,
    streams: Vec<StreamId>,
    events: usize,
    bytes: usize,
    call: Call,
    answer: oneshot::Sender<Result<Answer, AppendError>>,
    room: OwnedSemaphorePermit,
}

impl Appender {
    pub(super) fn start(lane: PgPool, limits: Limits, bell: Bell) -> Self {
        let (queue, waiting) = mpsc::channel(limits.queue_commands_max);
        let closed = CancellationToken::new();
        let gatherer = Gatherer {
            lane: Lane { pool: lane, idle: Arc::default() },
            limits,
            bell,
            waiting,
            held: Vec::new(),
            air: JoinSet::new(),
            landed: Landed { at: Clock::instant(), answered: 0 },
            closed: closed.clone(),
        };
        let closing = Arc::new(Mutex::new(Some(tokio::spawn(gatherer.run()))));
        Self { limits, queue, bytes: Arc::new(Semaphore::new(limits.queue_bytes_max)), closing, closed }
    }

    pub(super) async fn append(&self, append: Append) -> Result<Answer, AppendError> {
        append.admissible()?;
        let (events, bytes) = (append.events(), append.weight());
        if events > self.limits.command_events_max {
            return Err(AppendError::TooLarge { what: "events", given: events, max: self.limits.command_events_max });
        }
        let full = || AppendError::Full { retry_after_s: 1 };
        let weight = u32::try_from(bytes.min(self.limits.queue_bytes_max)).map_err(|_| full())?;
        let room = Arc::clone(&self.bytes).try_acquire_many_owned(weight).map_err(|_| full())?;
        let (answer, answered) = oneshot::channel();
        let job = Job {
            owner: append.owner,
            command: append.command,
            streams: append.targets.iter().map(|target| target.stream).collect(),
            events,
            bytes,
            call: Call::of(append),
            answer,
            room,
        };
        self.queue.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => full(),
            mpsc::error::TrySendError::Closed(_) => AppendError::Closed,
        })?;
        answered.await.unwrap_or(Err(AppendError::Closed))
    }

    pub(super) async fn close(&self) {
        self.closed.cancel();
        if let Some(gatherer) = self.closing.lock().await.take() {
            let _ = gatherer.await;
        }
    }
}

/// The connections of the flights. They are kept rather than given back: what a pool does around every loan is two more
/// round trips, and a call of the lane takes little longer than one. One whose call was dropped midway is not kept, so
/// what is kept is in no transaction.
#[derive(Clone)]
struct Lane {
    pool: PgPool,
    idle: Arc<std::sync::Mutex<Vec<PoolConnection<Postgres>>>>,
}

impl Lane {
    /// One try of a call, over before `end`.
    async fn ask(&self, call: &Call, look: bool, tried: bool, end: Instant) -> Result<Vec<Answer>, sqlx::Error> {
        let left = || end.saturating_duration_since(Clock::instant());
        // In a box, for mostly one is at hand, and making one is of 4 KB.
        let mut connection = within(left(), Box::pin(self.take())).await?;
        let begun = Clock::instant();
        let answered = within(left().min(TRY_WITHIN), call.make(look, tried, &mut connection)).await;
        metrics::histogram!("append_call_seconds").record(begun.elapsed().as_secs_f64());
        self.put(connection, answered.is_ok());
        answered
    }

    async fn take(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        let idle = self.idle().pop();
        match idle {
            Some(connection) => Ok(connection),
            None => self.pool.acquire().await,
        }
    }

    /// After a failure, none that was made before is trusted: the server may have gone and come again.
    fn put(&self, connection: PoolConnection<Postgres>, answered: bool) {
        let mut idle = self.idle();
        if answered {
            idle.push(connection);
        } else {
            drop(connection.detach());
            idle.drain(..).for_each(|stale| drop(stale.detach()));
        }
    }

    fn give_back(&self) {
        self.idle().clear();
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<PoolConnection<Postgres>>> {
        self.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

struct Gatherer {
    lane: Lane,
    limits: Limits,
    bell: Bell,
    waiting: mpsc::Receiver<Job>,
    /// Jobs whose stream or command was in the batch before them already.
    held: Vec<Job>,
    /// The calls under way.
    air: JoinSet<Landed>,
    /// The last one that ended.
    landed: Landed,
    closed: CancellationToken,
}

/// The end of a call, and how many commands it answered.
#[derive(Clone, Copy)]
struct Landed {
    at: Instant,
    answered: usize,
}

impl Gatherer {
    async fn run(mut self) {
        while let Some(batch) = self.gather().await {
            self.air.spawn(fly(self.lane.clone(), batch, self.bell.clone(), self.limits.patience));
        }
        while self.air.join_next().await.is_some() {}
        self.lane.give_back();
    }

    /// The next batch that can fly, at most one command a stream; none once the queue was closed and is empty. What comes
    /// while others fly makes it larger.
    async fn gather(&mut self) -> Option<Vec<Job>> {
        let mut batch = Batch::default();
        for job in std::mem::take(&mut self.held) {
            self.take_or_hold(job, &mut batch);
        }
        if batch.jobs.is_empty() {
            let job = tokio::select! {
                job = self.waiting.recv() => job,
                () = self.closed.cancelled() => {
                    self.waiting.close();
                    self.waiting.recv().await
                }
            }?;
            self.take_or_hold(job, &mut batch);
        }
        self.take_waiting(&mut batch);
        while let Some(landed) = self.air.try_join_next() {
            self.landed = landed.unwrap_or(self.landed);
        }
        while !self.may_take_off(&batch) {
            let room = self.has_room(&batch);
            tokio::select! {
                Some(landed) = self.air.join_next() => self.landed = landed.unwrap_or(self.landed),
                Some(job) = self.waiting.recv(), if room => self.take_or_hold(job, &mut batch),
            }
            self.take_waiting(&mut batch);
        }
        if self.air.is_empty() {
            self.await_returning(&mut batch).await;
        }
        metrics::gauge!("append_queue_commands").set(u32::try_from(self.waiting.len()).unwrap_or(u32::MAX));
        Some(batch.jobs)
    }

    fn may_take_off(&self, batch: &Batch) -> bool {
        let worth_it = batch.events >= self.limits.flight_events_min || !self.has_room(batch);
        self.air.is_empty() || worth_it && self.air.len() < self.limits.flights
    }

    /// Those who were answered just now mostly come back with more. There is no timer so fine: they are tasks that run, and
    /// the queue is looked into between them.
    async fn await_returning(&mut self, batch: &mut Batch) {
        let Landed { at, answered } = self.landed;
        while batch.jobs.len() + self.held.len() < answered && self.has_room(batch) && at.elapsed() < RETURN_WITHIN {
            tokio::task::yield_now().await;
            self.take_waiting(batch);
        }
    }

    fn has_room(&self, batch: &Batch) -> bool {
        batch.has_room(&self.limits) && self.held.len() < self.limits.batch_commands_max
    }

    fn take_waiting(&mut self, batch: &mut Batch) {
        while self.has_room(batch) {
            let Ok(job) = self.waiting.try_recv() else { break };
            self.take_or_hold(job, batch);
        }
    }

    fn take_or_hold(&mut self, job: Job, batch: &mut Batch) {
        if batch.has_room(&self.limits) && !batch.clashes(&job) {
            batch.take(job);
        } else {
            self.held.push(job);
        }
    }
}

#[derive(Default)]
struct Batch {
    jobs: Vec<Job>,
    events: usize,
    bytes: usize,
    streams: HashSet<(OwnerId, StreamId)>,
    commands: HashSet<(OwnerId, CommandId)>,
}

impl Batch {
    const fn has_room(&self, limits: &Limits) -> bool {
        self.jobs.len() < limits.batch_commands_max
            && self.events < limits.batch_events_max
            && self.bytes < limits.batch_bytes_max
    }

    /// Whether `job` must not fly with what is in already.
    fn clashes(&self, job: &Job) -> bool {
        self.commands.contains(&(job.owner, job.command))
            || job.streams.iter().any(|stream| self.streams.contains(&(job.owner, *stream)))
    }

    fn take(&mut self, job: Job) {
        self.commands.insert((job.owner, job.command));
        self.streams.extend(job.streams.iter().map(|stream| (job.owner, *stream)));
        self.events += job.events;
        self.bytes += job.bytes;
        self.jobs.push(job);
    }
}

/// Writes a batch and answers each of its callers. If the whole call fails because of one command, each is tried alone.
async fn fly(lane: Lane, batch: Vec<Job>, bell: Bell, patience: Duration) -> Landed {
    let answered = batch.len();
    metrics::histogram!("append_batch_commands").record(u32::try_from(batch.len()).unwrap_or(u32::MAX));
    let (mut whole, mut answers, mut rooms) = (Call::default(), Vec::new(), Vec::new());
    for Job { call, answer, room, .. } in batch {
        whole.join(call);
        answers.push(answer);
        rooms.push(room);
    }
    match call(&lane, &whole, false, patience).await {
        Ok(answered) => land(answers, answered, &bell),
        Err(error) if is_one_commands_fault(&error) => {
            for (alone, answer) in whole.split().iter().zip(answers) {
                match call(&lane, alone, true, patience).await {
                    Ok(answered) => land(vec![answer], answered, &bell),
                    Err(error) => drop(answer.send(told(&error, patience))),
                }
            }
        }
        Err(error) => {
            tracing::error!(%error, commands = answers.len(), "appending failed");
            for answer in answers {
                let _ = answer.send(told(&error, patience));
            }
        }
    }
    Landed { at: Clock::instant(), answered }
}

fn land(answers: Vec<oneshot::Sender<Result<Answer, AppendError>>>, answered: Vec<Answer>, bell: &Bell) {
    let head =
        answered.iter().filter_map(|answer| if let Answer::Appended(done) = answer { Some(done.last) } else { None });
    if let Some(head) = head.max() {
        bell.ring(head);
    }
    for (answer, answered) in answers.into_iter().zip(answered) {
        metrics::counter!("append_commands_total", "answer" => answered.name()).increment(1);
        let _ = answer.send(Ok(answered));
    }
}

/// Calls the lane until it answers. A call whose connection broke may have been written: the command ids find out.
async fn call(lane: &Lane, call: &Call, look: bool, patience: Duration) -> Result<Vec<Answer>, sqlx::Error> {
    let end = Clock::instant() + patience;
    let mut tried = false;
    loop {
        match lane.ask(call, look, tried, end).await {
            Ok(answers) => return Ok(answers),
            Err(error) if passes(&error) && Clock::instant() + PAUSE < end => {
                metrics::counter!("append_unanswered_total").increment(1);
                tracing::warn!(%error, "the database did not answer an append; asking again under the same ids");
                tried = true;
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Whether the same call may be answered later: the connection broke, or the server was busy or starting.
fn passes(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            // Connection trouble, shutdown and start-up, resources, lock timeouts; disk full is among 53.
            ["08", "57", "53", "55P03"].iter().any(|class| code.starts_with(class))
        }),
        _ => false,
    }
}

/// Whether the call failed by what one command in it says, not by what all of them share.
fn is_one_commands_fault(error: &sqlx::Error) -> bool {
    // Integrity violations and data exceptions.
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| code.starts_with("23") || code.starts_with("22"))
}

fn told(error: &sqlx::Error, patience: Duration) -> Result<Answer, AppendError> {
    match error.as_database_error().map(|error| (error.constraint(), error.message())) {
        Some((Some("event_id"), _)) => Ok(Answer::IdTaken),
        Some((Some("source_whole"), _)) => Ok(Answer::SourceExpired),
        Some((Some("words_key"), _)) => Err(AppendError::Outdated),
        Some((_, message)) if !passes(error) => Err(AppendError::Refused(message.to_owned())),
        _ => Err(AppendError::Unknown { waited_s: patience.as_secs(), reason: error.to_string() }),
    }
}
