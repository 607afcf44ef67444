//! Search: messages, titles and tags that say what somebody looks for.

use async_graphql::{Context, Enum, Object, Result, SimpleObject};

use super::as_of;
use super::asker::{Asker, bad_input, problem, trouble};
use super::conversation::{self, Conversation, ConversationFilter};
use super::cursor::{At, Cursor, Mark, NoCursor};
use super::message::{self, Message};
use super::page::{PageInfo, Window};
use super::scalar::{BigInt, Decimal};
use crate::event::Position;
use crate::service::{After, CONVERSATION, Hit, Indexed, Search};
use crate::view::Cut;
use crate::view::search::{Found, Key, NoQuery, Order, Query};

#[derive(Enum, Clone, Copy, PartialEq, Eq)]
pub enum SearchMode {
    /// By the words that were said.
    Text,
    /// By what was meant. Refused as yet.
    Semantic,
    /// By both. Refused as yet.
    Hybrid,
}

#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Order")]
pub enum SearchOrder {
    /// The thousand newest that meet the query, best first.
    Relevance,
    /// By when it was said.
    Newest,
    Oldest,
    /// What each message cost; those of unknown cost, titles and tags come last.
    MostExpensive,
    /// Tokens in and out.
    MostTokens,
    /// Bytes that were said.
    Largest,
}

#[derive(Enum, Clone, Copy, PartialEq, Eq)]
pub enum SearchHitKind {
    Message,
    Title,
    Tag,
}

/// A piece of a snippet: put together in order they are what was said, as it was said, to be escaped like any other text.
#[derive(SimpleObject, Clone)]
pub struct SnippetRun {
    pub text: String,
    /// Whether this was looked for.
    pub matched: bool,
}

#[derive(Clone)]
pub struct SearchHit {
    hit: Hit,
    at: Position,
}

#[Object]
impl SearchHit {
    async fn kind(&self) -> SearchHitKind {
        match self.hit.found {
            Found::Message(_) => SearchHitKind::Message,
            Found::Title => SearchHitKind::Title,
            Found::Tag(_) => SearchHitKind::Tag,
        }
    }

    /// The message that was found; null when a title or a tag was.
    async fn message(&self, context: &Context<'_>) -> Result<Option<Message>> {
        match self.hit.found {
            Found::Message(_) => {
                message::one(&Asker::of(context), self.hit.opened.recorded.fact.id.into(), self.at).await
            }
            _ => Ok(None),
        }
    }

    async fn conversation(&self, context: &Context<'_>) -> Result<Option<Conversation>> {
        conversation::one(&Asker::of(context), self.hit.conversation, self.at).await
    }

    /// How well it meets the query; to be compared within one list alone.
    async fn score(&self) -> Option<Decimal> {
        rust_decimal::Decimal::from_f64_retain(self.hit.score).map(|score| Decimal(score.round_dp(9)))
    }

    /// Where it says what was looked for.
    async fn snippet(&self) -> Vec<SnippetRun> {
        let runs = self.hit.snippet.iter();
        runs.map(|run| SnippetRun { text: run.text.clone(), matched: run.matched }).collect()
    }

    /// Whether the message is not on the path of its conversation's preferred branch; `message { branch }` says where it is.
    async fn abandoned(&self) -> bool {
        self.hit.abandoned
    }

    /// Whether little was found, and a word of the query was taken for one that is spelled almost alike.
    async fn widened(&self) -> bool {
        self.hit.widened
    }
}

/// How much of what was said can be found already. After a crash of Postgres the index is empty, and fills by itself.
#[derive(SimpleObject)]
pub struct SearchIndexed {
    /// Everything up to here can be found.
    pub position: BigInt,
    pub head: BigInt,
    pub complete: bool,
}

impl From<Indexed> for SearchIndexed {
    fn from(Indexed { position, head }: Indexed) -> Self {
        Self { position: position.into(), head: head.into(), complete: position >= head }
    }
}

#[derive(SimpleObject)]
pub struct SearchEdge {
    pub cursor: Cursor,
    pub node: SearchHit,
}

#[derive(SimpleObject)]
pub struct SearchConnection {
    pub edges: Vec<SearchEdge>,
    pub nodes: Vec<SearchHit>,
    pub page_info: PageInfo,
    /// Counted up to 10000, without those that were only found by taking a word for another.
    pub total_count: i32,
    pub indexed: SearchIndexed,
}

/// What is asked for beside the query.
pub struct Asked {
    pub filter: ConversationFilter,
    pub mode: Option<SearchMode>,
    pub order: Option<SearchOrder>,
    pub include_hidden: bool,
    pub window: Window,
    pub at_least: Option<Position>,
    pub counted: bool,
    pub at: Position,
}

pub async fn list(asker: &Asker<'_>, query: &str, asked: Asked) -> Result<SearchConnection> {
    if !matches!(asked.mode, None | Some(SearchMode::Text)) {
        return Err(bad_input("search by meaning is not there yet: leave `mode` out, or give TEXT"));
    }
    let query = Query::parse(query).map_err(problem)?;
    let at = as_of::of_page(asker, CONVERSATION, &asked.window, asked.at).await?;
    let order = asked.order.map_or(Order::Relevance, Order::from);
    let slice = asked.window.slice(|cursor| after(order, &asker.take(cursor)?))?;
    let (Cut::First(first) | Cut::Last(first)) = slice.cut;
    let Some(filter) = asked.filter.resolve(asker, asked.at_least, at).await? else {
        return Ok(nothing());
    };
    let has_previous_page = slice.after.is_some();
    let search = Search {
        query,
        filter,
        include_hidden: asked.include_hidden,
        order,
        first,
        after: slice.after,
        counted: asked.counted,
        at,
    };
    let found = asker.service.search(asker.actor, asked.at_least, &search).await.map_err(|error| trouble(&error))?;
    let edge = |hit: Hit| SearchEdge {
        cursor: asker.give(&place(found.until, order, &hit).of(at)),
        node: SearchHit { hit, at },
    };
    let edges: Vec<_> = found.hits.into_iter().map(edge).collect();
    Ok(SearchConnection {
        nodes: edges.iter().map(|edge| edge.node.clone()).collect(),
        page_info: PageInfo {
            has_next_page: found.has_next,
            has_previous_page,
            start_cursor: edges.first().map(|edge| edge.cursor.clone()),
            end_cursor: edges.last().map(|edge| edge.cursor.clone()),
        },
        edges,
        total_count: found.total.and_then(|total| i32::try_from(total).ok()).unwrap_or(i32::MAX),
        indexed: found.indexed.into(),
    })
}

/// What a filter lets through that nothing can meet.
fn nothing() -> SearchConnection {
    SearchConnection {
        edges: Vec::new(),
        nodes: Vec::new(),
        page_info: PageInfo { has_next_page: false, has_previous_page: false, start_cursor: None, end_cursor: None },
        total_count: 0,
        indexed: SearchIndexed { position: BigInt(0), head: BigInt(0), complete: true },
    }
}

impl super::asker::Problem for NoQuery {}

fn place(until: Position, order: Order, hit: &Hit) -> Mark {
    let Key { value, position, nth } = hit.key;
    let at = At::Found { order: order as u8, widened: hit.widened, value: value.to_bits(), said: position, nth };
    Mark::new(until, at)
}

fn after(order: Order, mark: &Mark) -> Result<After> {
    match mark.at {
        At::Found { order: sorted, widened, value, said, nth } if sorted == order as u8 => {
            Ok(After { until: mark.position, widened, key: Key { value: f64::from_bits(value), position: said, nth } })
        }
        _ => Err(problem(NoCursor::OtherConnection)),
    }
}
