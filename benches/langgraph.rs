//! Threads as a checkpointer has them, beside `LangGraph`'s Postgres checkpointer, which writes the state anew with each message.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use convoledger::event::{BranchNumber, ConversationId, MessageId, Position, Role, Version};
use convoledger::ledger::{Act, AppendMessage, Below};
use convoledger::projection::CONVERSATION;
use convoledger::random;
use convoledger::service::AsOf;
use convoledger::view::Slice;
use sqlx::postgres::PgConnectOptions;

use crate::ledgers::{Cluster, Ledger};
use crate::rounds::{Turn, interleave, rate, rate_of_all};
use crate::text::Prose;

const THREADS: u32 = 100;
const LENGTH: usize = 50;
/// Who forks at once, beside one alone.
const CLIENTS: usize = 8;
/// Who asks the checkpointer: a script that has it do the least that it takes, and `LangGraph`, as its users have it.
const WAYS: [(&str, &str); 2] = [("hand", "the checkpointer alone"), ("graph", "LangGraph")];

/// Ledger and checkpointer with the same threads. Its Python is named by `CHECKPOINTER_PYTHON`, with `langgraph`,
/// `langgraph-checkpoint-postgres` and `psycopg[binary]` installed.
#[allow(clippy::disallowed_methods)] // a bench's own setting
pub async fn measure(cluster: &Cluster) -> anyhow::Result<()> {
    let Ok(python) = std::env::var("CHECKPOINTER_PYTHON") else {
        println!("langgraph: without CHECKPOINTER_PYTHON nothing is compared with a checkpointer");
        return Ok(());
    };
    let ledger = cluster.ledger(&[CONVERSATION]).await?;
    let mut prose = Prose::new(6)?;
    let texts: Vec<Vec<String>> = (0..THREADS).map(|_| prose.many(LENGTH)).collect();
    let before = size(&ledger.pool).await?;
    let threads = write(&ledger, &texts).await?;
    sqlx::raw_sql("VACUUM ANALYZE").execute(&mut ledger.pool.acquire().await?.detach()).await.ok();
    #[allow(clippy::cast_precision_loss)] // sizes of megabytes
    let ours = (size(&ledger.pool).await? - before) as f64;
    let mut theirs = Theirs::start(&python, &cluster.empty().await?, &texts)?;
    for (way, whom) in WAYS {
        let copied = theirs.ask(way, "size", 1, Duration::ZERO)?;
        println!(
            "langgraph: a thread of {LENGTH} takes {:.0} bytes against {:.0} of {whom}, {:.3} of it",
            ours / f64::from(THREADS),
            copied / f64::from(THREADS),
            ours / copied
        );
        read(&ledger, &threads, &mut theirs, (way, whom)).await?;
    }
    // Behind all reads: threads are longer for it.
    for (way, whom) in WAYS {
        for clients in [1, CLIENTS] {
            let mut turned = 0_usize;
            let fork = async |turn| {
                turned += 1;
                let begin = (0..clients).map(|nth| turned + nth * threads.len() / clients);
                rate_of_all(begin.map(|turned| forks(&ledger, &threads, turned, turn))).await
            };
            let name = format!("langgraph: forks by {clients}, against {whom}");
            interleave(&name, "forks/s", fork, async |turn| theirs.ask(way, "fork", clients, turn)).await?;
        }
    }
    Ok(())
}

type Thread = (ConversationId, Vec<MessageId>);

/// Says all texts, one by one, as they come in life.
async fn write(ledger: &Ledger, texts: &[Vec<String>]) -> anyhow::Result<Vec<Thread>> {
    let mut threads = Vec::new();
    for texts in texts {
        let conversation = ledger.start_conversation().await?;
        let said = texts.iter().map(|text| AppendMessage::text(MessageId(random::id()), Role::User, text));
        let said: Vec<_> = said.collect();
        let ids = said.iter().map(|message| message.id).collect();
        for message in said {
            ledger.order(conversation, vec![Act::Append(message).into()]).await?;
        }
        threads.push((conversation, ids));
    }
    ledger.caught_up().await?;
    Ok(threads)
}

/// States at a point and histories, of the threads in turn: once by a service that has looked before, once by one that has not.
async fn read(
    ledger: &Ledger,
    threads: &[Thread],
    theirs: &mut Theirs,
    (way, whom): (&str, &str),
) -> anyhow::Result<()> {
    for first in [false, true] {
        let look = if first { ", first look" } else { "" };
        let mut reader = Reader { ledger, now: ledger.clone(), first, turned: 0 };
        let state = async |turn| {
            rate(turn, async || {
                let thread = reader.turn();
                let version = Version(2 + i32::try_from(reader.turned / threads.len() * 7 % LENGTH)?);
                thread_at(&reader.now, threads[thread].0, version).await
            })
            .await
        };
        let name = format!("langgraph: a thread at a point{look}, against {whom}");
        interleave(&name, "states/s", state, async |turn| theirs.ask(way, "state", 1, turn)).await?;
        let mut reader = Reader { ledger, now: ledger.clone(), first, turned: 0 };
        let history = async |turn| {
            rate(turn, async || {
                let thread = reader.turn();
                events(&reader.now, threads[thread].0).await
            })
            .await
        };
        let name = format!("langgraph: its history{look}, against {whom}");
        interleave(&name, "threads/s", history, async |turn| theirs.ask(way, "history", 1, turn)).await?;
    }
    Ok(())
}

/// Who reads one thread after the other; on a first look, by a service that has read none of them.
struct Reader<'l> {
    ledger: &'l Ledger,
    now: Ledger,
    first: bool,
    turned: usize,
}

impl Reader<'_> {
    /// The number of the next thread.
    fn turn(&mut self) -> usize {
        self.turned += 1;
        let thread = self.turned % THREADS as usize;
        if self.first && thread == 0 {
            self.now = self.ledger.unread();
        }
        thread
    }
}

/// Forks one thread after the other, each at another message.
fn forks(
    ledger: &Ledger,
    threads: &[Thread],
    mut turned: usize,
    turn: Duration,
) -> impl Future<Output = anyhow::Result<f64>> + Send + 'static {
    let (ledger, threads) = (ledger.clone(), threads.to_vec());
    async move {
        let (turn, mut done) = (Turn::begin(turn), 0);
        while turn.goes_on() {
            turned += 1;
            let (conversation, ids) = &threads[turned % threads.len()];
            let message = AppendMessage::text(MessageId(random::id()), Role::User, "and if not?");
            let below = Below::Message(ids[turned * 7 % (LENGTH - 1)]);
            ledger.order(*conversation, vec![Act::Append(message.below(below)).into()]).await?;
            done += 1;
        }
        Ok(turn.rate(done))
    }
}

/// A thread as it was: the conversation and what had been said.
async fn thread_at(ledger: &Ledger, conversation: ConversationId, version: Version) -> anyhow::Result<u32> {
    let (service, actor) = (&ledger.service, ledger.actor);
    let at = service.moment(actor, Some(conversation), AsOf::Version(version)).await?;
    let rows = service.conversations(actor, &[conversation], at).await?;
    let page = service.page(actor, conversation, BranchNumber::MAIN, &Slice::first(100), at).await?;
    anyhow::ensure!(rows.len() == 1 && page.is_some_and(|page| !page.rows.is_empty()), "it was there");
    Ok(1)
}

/// What a thread went through.
async fn events(ledger: &Ledger, conversation: ConversationId) -> anyhow::Result<u32> {
    let events = ledger.service.events_of(ledger.actor, conversation, Position(0), 100, Position::LATEST).await?;
    anyhow::ensure!(events.len() > LENGTH, "all of it");
    Ok(1)
}

async fn size(pool: &sqlx::PgPool) -> anyhow::Result<i64> {
    let size = "SELECT sum(pg_total_relation_size(c.oid))::bigint FROM pg_class AS c \
                JOIN pg_namespace AS n ON n.oid = c.relnamespace \
                WHERE c.relkind = 'r' AND n.nspname IN ('public', 'conversation')";
    Ok(sqlx::query_scalar(size).fetch_one(pool).await?)
}

/// The checkpointer's process, which answers line by line.
struct Theirs {
    process: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Theirs {
    fn start(python: &str, options: &PgConnectOptions, texts: &[Vec<String>]) -> anyhow::Result<Self> {
        let host = options.get_socket().context("the cluster has a socket")?.display().to_string();
        let database = options.get_database().context("a database")?;
        let dsn = format!("host={host} port={} dbname={database} user={}", options.get_port(), options.get_username());
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/python/checkpointer.py");
        let mut command = Command::new(python);
        let mut process = command.args([script, &dsn]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut asks = process.stdin.take().context("its stdin")?;
        let answers = BufReader::new(process.stdout.take().context("its stdout")?);
        writeln!(asks, "{}", serde_json::to_string(texts)?)?;
        Ok(Self { process, asks, answers })
    }

    /// What it answers: how many `clients` did a second together, until `turn` was over, or a size.
    fn ask(&mut self, way: &str, what: &str, clients: usize, turn: Duration) -> anyhow::Result<f64> {
        writeln!(self.asks, "{way} {what} {clients} {}", turn.as_secs_f64())?;
        self.asks.flush()?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        answer.trim().parse().with_context(|| format!("the checkpointer answered {answer:?}"))
    }
}

impl Drop for Theirs {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
