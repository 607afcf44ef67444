//! Time travel: what reading the past costs beside reading the present, and beside a checkpointer that copies.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use convoledger::event::{BranchNumber, ConversationId, MessageId, Position, Role, Version};
use convoledger::ledger::{Act, AppendMessage, Below};
use convoledger::projection::CONVERSATION;
use convoledger::random;
use convoledger::service::{AsOf, Outcome};
use convoledger::view::Slice;
use sqlx::Row as _;
use sqlx::postgres::PgConnectOptions;

use crate::ledgers::{Cluster, Ledger};
use crate::limit::{Limit, Place};
use crate::rounds::{Turn, interleave, rate, rate_of_all};
use crate::text::Prose;

/// The long conversation.
const MESSAGES: usize = 10_000;
const BRANCHES: usize = 200;
const PAGE: u32 = 50;
/// The short ones, as a checkpointer has them.
const THREADS: u32 = 100;
const LENGTH: usize = 50;
/// Who forks at once, beside one alone.
const CLIENTS: usize = 8;

/// A conversation of ten thousand messages with two hundred branches.
pub async fn long(cluster: &Cluster) -> anyhow::Result<()> {
    let ledger = cluster.ledger(&[CONVERSATION]).await?;
    let limit = Limit::create(cluster.empty().await?, 1).await?;
    let (mut place, mut prose) = (Place::first(), Prose::new(5)?);
    let conversation = ledger.start_conversation().await?;
    let ids = grow(&ledger, conversation, &mut prose).await?;
    for _ in 0..MESSAGES / 500 {
        limit.insert_many(&mut *limit.client(0).await, place.step(500), &prose.many(500)).await?;
    }
    ledger.caught_up().await?;
    let head = ledger.log.head().await?;
    let first = head.0 - i64::try_from(MESSAGES)?;
    let mut turned = 0;
    let mut past = move || {
        turned += 1;
        Position(first + 100 + turned * 7_919 % (head.0 - first - 100))
    };

    let bare = async |turn: Duration| {
        rate(turn, async || {
            let after = i32::try_from(MESSAGES)? - i32::try_from(PAGE)?;
            let select = sqlx::query(include_str!("limit/sql/transcript.sql"));
            let rows = select.bind(place.stream).bind(after).bind(i64::from(PAGE)).fetch_all(&limit.pool).await?;
            for row in &rows {
                let _data: serde_json::Value = row.try_get("data")?;
            }
            anyhow::ensure!(rows.len() == PAGE as usize, "a page is whole");
            Ok(1)
        })
        .await
    };
    let at_head = async |turn| rate(turn, async || page(&ledger, conversation, Position::LATEST).await).await;
    interleave("travel: the last 50 at the head", "pages/s", at_head, bare).await?;
    let as_of = async |turn| rate(turn, async || page(&ledger, conversation, past()).await).await;
    let at_head = async |turn| rate(turn, async || page(&ledger, conversation, Position::LATEST).await).await;
    interleave("travel: the last 50 as of any version", "pages/s", as_of, at_head).await?;
    let as_of = async |turn| rate(turn, async || page(&ledger.unread(), conversation, past()).await).await;
    let at_head = async |turn| rate(turn, async || page(&ledger.unread(), conversation, Position::LATEST).await).await;
    interleave("travel: the same, first look at either", "pages/s", as_of, at_head).await?;
    let as_of = async |turn| rate(turn, async || state(&ledger, conversation, past()).await).await;
    let at_head = async |turn| rate(turn, async || state(&ledger, conversation, Position::LATEST).await).await;
    interleave("travel: the whole state as of any version", "states/s", as_of, at_head).await?;

    let forks = async |depth: usize, turn| {
        let from = ids[depth - 1];
        rate(turn, async || {
            let message = AppendMessage::text(MessageId(random::id()), Role::User, "and if not?");
            ledger.order(conversation, vec![Act::Append(message.below(Below::Message(from))).into()]).await?;
            Ok(1)
        })
        .await
    };
    println!("travel: forks a second at depth 10, 1,000 and 10,000 of the log");
    for depth in [10, 1_000, MESSAGES, 10, 1_000, MESSAGES] {
        println!("  {depth:>6} {:>8.0} forks/s", forks(depth, Duration::from_secs(2)).await?);
    }
    let mut version = 5_000;
    let restores = async |turn| {
        rate(turn, async || {
            version = if version == 5_000 { 7_500 } else { 5_000 };
            match ledger.service.restore(ledger.actor, conversation, Version(version), None, None).await? {
                Outcome::Done(_) => Ok(1),
                outcome => anyhow::bail!("not restored: {outcome:?}"),
            }
        })
        .await
    };
    println!("travel: restores a second of the long conversation {:>8.1}", { restores }(Duration::from_secs(5)).await?);
    Ok(())
}

/// Says ten thousand messages, half of them on whatever branch; their ids, in order.
async fn grow(ledger: &Ledger, conversation: ConversationId, prose: &mut Prose) -> anyhow::Result<Vec<MessageId>> {
    let mut ids: Vec<MessageId> = Vec::with_capacity(MESSAGES);
    let each = MESSAGES / BRANCHES;
    for nth in 0..BRANCHES {
        let mut commands = Vec::with_capacity(each);
        for (at, text) in prose.many(each).into_iter().enumerate() {
            let id = MessageId(random::id());
            let below = match at {
                0 if nth > 0 => Below::Message(ids[nth * 7_919 % (ids.len() - 1)]),
                at if at % 2 == 0 && nth > 1 => {
                    Below::Branch(BranchNumber(i32::try_from(1 + (nth * at * 31) % (nth - 1))?))
                }
                _ => Below::Preferred,
            };
            commands.push(Act::Append(AppendMessage::text(id, Role::User, text).below(below)).into());
            ids.push(id);
        }
        ledger.order(conversation, commands).await?;
    }
    Ok(ids)
}

async fn page(ledger: &Ledger, conversation: ConversationId, at: Position) -> anyhow::Result<u32> {
    let slice = Slice::last(PAGE);
    let page = ledger.service.page(ledger.actor, conversation, BranchNumber::MAIN, &slice, at).await?;
    anyhow::ensure!(page.is_some_and(|page| page.rows.len() == PAGE as usize), "a page is whole");
    Ok(1)
}

/// The conversation, all its branches, and the end of the one in view.
async fn state(ledger: &Ledger, conversation: ConversationId, at: Position) -> anyhow::Result<u32> {
    let rows = ledger.service.conversations(ledger.actor, &[conversation], at).await?;
    let branches = ledger.service.branches_of(ledger.actor, &[conversation], at).await?;
    anyhow::ensure!(rows.len() == 1 && !branches.is_empty(), "it was there");
    page(ledger, conversation, at).await
}

/// Threads of fifty messages beside the Postgres checkpointer of `LangGraph`, which writes the state anew with each of them. Its
/// Python is named by `CHECKPOINTER_PYTHON`, with `langgraph-checkpoint-postgres` and `psycopg[binary]` installed.
#[allow(clippy::disallowed_methods)] // a bench's own setting
pub async fn checkpointer(cluster: &Cluster) -> anyhow::Result<()> {
    let Ok(python) = std::env::var("CHECKPOINTER_PYTHON") else {
        println!("travel: without CHECKPOINTER_PYTHON nothing is compared with a checkpointer");
        return Ok(());
    };
    let ledger = cluster.ledger(&[CONVERSATION]).await?;
    let mut prose = Prose::new(6)?;
    let texts: Vec<Vec<String>> = (0..THREADS).map(|_| prose.many(LENGTH)).collect();
    let before = size(&ledger.pool).await?;
    let mut threads = Vec::new();
    for texts in &texts {
        let conversation = ledger.start_conversation().await?;
        let said = texts.iter().map(|text| AppendMessage::text(MessageId(random::id()), Role::User, text));
        let said: Vec<_> = said.collect();
        let ids: Vec<MessageId> = said.iter().map(|message| message.id).collect();
        // One by one, as they come in life.
        for message in said {
            ledger.order(conversation, vec![Act::Append(message).into()]).await?;
        }
        threads.push((conversation, ids));
    }
    ledger.caught_up().await?;
    sqlx::raw_sql("VACUUM ANALYZE").execute(&mut ledger.pool.acquire().await?.detach()).await.ok();
    let ours = size(&ledger.pool).await? - before;
    let mut theirs = Theirs::start(&python, &cluster.empty().await?, &texts)?;
    let copied = theirs.ask("size 0 0")?;
    #[allow(clippy::cast_precision_loss)] // sizes of megabytes
    let ours = ours as f64;
    println!(
        "travel: a thread of {LENGTH} takes {:.0} bytes against {:.0}, {:.3} of it",
        ours / f64::from(THREADS),
        copied / f64::from(THREADS),
        ours / copied
    );

    // Each thread in turn, at one version after the other.
    let (mut turned, count) = (0_usize, threads.len());
    let mut point = move || {
        turned += 1;
        (turned % count, Version(2 + i32::try_from(turned / count * 7 % LENGTH).unwrap_or_default()))
    };
    let state = async |turn| {
        rate(turn, async || {
            let (thread, version) = point();
            thread_at(&ledger, threads[thread].0, version).await
        })
        .await
    };
    interleave("travel: a thread at a point", "states/s", state, async |turn| theirs.rate("state", 1, turn)).await?;
    let mut unread = ledger.unread();
    let state = async |turn| {
        rate(turn, async || {
            let (thread, version) = point();
            if thread == 0 {
                unread = ledger.unread();
            }
            thread_at(&unread, threads[thread].0, version).await
        })
        .await
    };
    let first = "travel: a thread at a point, first look";
    interleave(first, "states/s", state, async |turn| theirs.rate("state", 1, turn)).await?;
    let mut turned = 0_usize;
    let history = async |turn| {
        rate(turn, async || {
            turned += 1;
            events(&ledger, threads[turned % threads.len()].0).await
        })
        .await
    };
    interleave("travel: a thread's history", "threads/s", history, async |turn| theirs.rate("history", 1, turn))
        .await?;
    let (mut turned, mut unread) = (0_usize, ledger.unread());
    let history = async |turn| {
        rate(turn, async || {
            turned += 1;
            if turned % threads.len() == 0 {
                unread = ledger.unread();
            }
            events(&unread, threads[turned % threads.len()].0).await
        })
        .await
    };
    let first = "travel: a thread's history, first look";
    interleave(first, "threads/s", history, async |turn| theirs.rate("history", 1, turn)).await?;
    for clients in [1, CLIENTS] {
        let mut turned = 0_usize;
        let fork = async |turn| {
            turned += 1;
            let callers =
                (0..clients).map(|nth| forks(&ledger, &threads, turned + nth * threads.len() / clients, turn));
            rate_of_all(callers).await
        };
        let name = format!("travel: a thread forked at a point, by {clients}");
        interleave(&name, "forks/s", fork, async |turn| theirs.rate("fork", clients, turn)).await?;
    }
    Ok(())
}

/// Forks one thread after the other, each at another message.
fn forks(
    ledger: &Ledger,
    threads: &[(ConversationId, Vec<MessageId>)],
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

    fn rate(&mut self, what: &str, clients: usize, turn: Duration) -> anyhow::Result<f64> {
        self.ask(&format!("{what} {clients} {}", turn.as_secs_f64()))
    }

    fn ask(&mut self, line: &str) -> anyhow::Result<f64> {
        writeln!(self.asks, "{line}")?;
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
