//! Search: how long somebody waits who owns a tenth of all messages (or all of them), and the fold against a bare INSERT of
//! the same texts as tsvectors. `MESSAGES` says how many messages there are, the owners speak in equal parts.

use std::time::Duration;

use convoledger::clock::Clock;
use convoledger::event::Position;
use convoledger::projection::{CONVERSATION, Folded, Range, SEARCH, Said};
use convoledger::service::Search;
use convoledger::view::conversation::{Filter, Status};
use convoledger::view::search::{Order, Query};

use crate::ledgers::{Cluster, Ledger};
use crate::rounds::{Turn, interleave, rate};
use crate::text::Prose;

const MESSAGES: usize = 20_000;
/// Messages of one conversation, said in one order.
const ORDER: usize = 100;
/// Every so many messages say a word that nobody else says.
const RARE_EVERY: usize = 5_000;
const RARE: &str = "zyzzyva";
const SEARCHES: usize = 200;
/// Events in one fold.
const RANGE: i64 = 1_000;

pub async fn measure(cluster: &Cluster, owners: usize) -> anyhow::Result<()> {
    let ledger = cluster.ledger(&[CONVERSATION, SEARCH]).await?;
    let messages = messages()?;
    let own = if owners == 1 { messages } else { messages / 10 };
    let mut prose = Prose::new(5)?;
    say(&ledger, &mut prose, own).await?;
    for nth in 1..owners {
        let actor = ledger.service.register(&format!("{nth}@example.org")).await?;
        say(&Ledger { actor, ..ledger.clone() }, &mut prose, (messages - own) / (owners - 1)).await?;
    }
    caught_up(&ledger).await?;
    let archived = Filter { status: vec![Status::Archived], ..Filter::default() };
    for (figure, query, filter) in [
        ("rare word", RARE, Filter::default()),
        ("common word", "people", Filter::default()),
        ("phrase", "\"as well as\"", Filter::default()),
        ("prefix", "restaur*", Filter::default()),
        ("typo", "zyzyva", Filter::default()),
        ("common word, nothing meets the filter", "people", archived),
    ] {
        let search = asked(query, filter)?;
        let mut took = Vec::with_capacity(SEARCHES);
        for _ in 0..SEARCHES {
            let began = Clock::instant();
            ledger.service.search(ledger.actor, None, &search).await?;
            took.push(began.elapsed());
        }
        took.sort_unstable();
        let at = |percent: usize| took[(SEARCHES - 1) * percent / 100].as_secs_f64() * 1000.0;
        println!(
            "search: {owners} owners, {figure:<40} p50 {:>7.1} p95 {:>7.1} p99 {:>7.1} ms",
            at(50),
            at(95),
            at(99)
        );
    }
    Ok(())
}

pub async fn fold(cluster: &Cluster) -> anyhow::Result<()> {
    let ledger = cluster.ledger(&[]).await?;
    say(&ledger, &mut Prose::new(6)?, messages()?).await?;
    let (pool, head) = (&ledger.pool, ledger.log.head().await?.0);
    let mut ranges = Vec::new();
    for after in (0..head - RANGE).step_by(usize::try_from(RANGE)?) {
        ranges.push(opened(&ledger, Position(after), Position(after + RANGE)).await?);
    }
    let mut by = pool.acquire().await?;
    let ours = async |turn: Duration| {
        let (mut turn, mut left, mut folded) = (Turn::begin(turn), [].iter(), 0);
        while turn.goes_on() {
            let Some(range) = left.next() else {
                turn.aside(async {
                    sqlx::query("DROP SCHEMA IF EXISTS search CASCADE").execute(pool).await?;
                    anyhow::Ok(SEARCH.create(pool).await?)
                })
                .await?;
                left = ranges.iter();
                continue;
            };
            anyhow::ensure!(matches!(SEARCH.fold_by(&mut by, range).await?, Folded::Done), "nobody else folds");
            folded += u32::try_from(range.said.texts.len())?;
        }
        Ok(turn.rate(folded))
    };
    let against = async |turn: Duration| {
        sqlx::raw_sql("CREATE SCHEMA IF NOT EXISTS bare; DROP TABLE IF EXISTS bare.bare").execute(pool).await?;
        sqlx::raw_sql("CREATE UNLOGGED TABLE bare.bare (document tsvector)").execute(pool).await?;
        let mut inserted = 0;
        rate(turn, async || {
            let texts = &ranges[inserted % ranges.len()].said.texts;
            sqlx::query(include_str!("limit/sql/vectors.sql")).bind(texts).execute(pool).await?;
            inserted += 1;
            Ok(u32::try_from(texts.len())?)
        })
        .await
    };
    interleave("fold: search, 1000 events a time", "messages/s", ours, against).await
}

async fn opened(ledger: &Ledger, after: Position, last: Position) -> anyhow::Result<Range> {
    let mut said = Said::default();
    let filter = convoledger::view::event::EventFilter::default();
    let many = u32::try_from(last.0 - after.0)?;
    for opened in ledger.service.events(ledger.actor, &filter, after, many).await? {
        if let Some(text) = opened.event.text().filter(|_| opened.recorded.position <= last) {
            said.push(opened.recorded.position, 0, &text);
        }
    }
    Ok(Range { after, last, said, skipped: false })
}

async fn say(ledger: &Ledger, prose: &mut Prose, messages: usize) -> anyhow::Result<()> {
    let mut said = 0;
    while said < messages {
        let many = ORDER.min(messages - said);
        let mut texts = prose.many(many);
        if said % RARE_EVERY == 0
            && let Some(text) = texts.first_mut()
        {
            text.push(' ');
            text.push_str(RARE);
        }
        let conversation = ledger.start_conversation().await?;
        ledger.say(conversation, texts).await?;
        said += many;
    }
    Ok(())
}

async fn caught_up(ledger: &Ledger) -> anyhow::Result<()> {
    let (head, search) = (ledger.log.head().await?, asked(RARE, Filter::default())?);
    loop {
        let indexed = ledger.service.search(ledger.actor, None, &search).await?.indexed;
        if indexed.position >= head {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn asked(query: &str, filter: Filter) -> anyhow::Result<Search> {
    Ok(Search {
        query: Query::parse(query)?,
        filter,
        include_hidden: false,
        order: Order::Relevance,
        first: 20,
        after: None,
        counted: false,
        at: Position::LATEST,
    })
}

#[allow(clippy::disallowed_methods)] // a bench's own size
fn messages() -> anyhow::Result<usize> {
    Ok(std::env::var("MESSAGES").map_or(Ok(MESSAGES), |messages| messages.parse())?)
}
