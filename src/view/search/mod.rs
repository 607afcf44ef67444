//! What an owner finds: messages, titles and tags that say what a query looks for.

pub mod marks;
pub mod query;

use std::collections::{HashMap, HashSet};

use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row as _};
use uuid::Uuid;

pub use marks::{Marks, Run};
pub use query::{NoQuery, Piece, Query, Spelled};

use super::conversation::{Filter, some, statuses};
use super::{place, unexpected};
use crate::event::{ConversationId, OwnerId, Place, Position, Token};

#[derive(Debug, Clone, PartialEq)]
pub struct HitRow {
    pub key: Key,
    /// The event that says it.
    pub position: Position,
    pub conversation: ConversationId,
    pub found: Found,
    /// How well it meets the query; to be compared with others of one list alone.
    pub score: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    Message(Place),
    Title,
    /// The event's tag of this number, from 1.
    Tag(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// The thousand newest that meet the query, best first.
    #[default]
    Relevance,
    /// By when it was said.
    Newest,
    Oldest,
    /// Those of unknown cost come last.
    MostExpensive,
    /// Tokens in and out.
    MostTokens,
    Largest,
}

/// Where a hit stands in an order, which always descends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Key {
    pub value: f64,
    pub position: Position,
    pub nth: i16,
}

/// What is asked for: of what was said up to `until`, what comes after `after`.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    pub until: Position,
    pub after: Option<Key>,
    pub limit: u32,
}

/// What each term of a query is made of, for this owner.
pub async fn pieces(pool: &PgPool, owner: OwnerId, terms: &[String]) -> Result<Vec<Vec<Piece>>, sqlx::Error> {
    let mut pieces = vec![Vec::new(); terms.len()];
    let query = sqlx::query(include_str!("../../../projections/search/words.sql")).bind(owner.0).bind(terms);
    for row in query.fetch_all(pool).await? {
        let term = usize::try_from(row.try_get::<i64, _>("term")? - 1).ok().and_then(|term| pieces.get_mut(term));
        let piece = Piece { word: row.try_get("word")?, stop: row.try_get("stop")?, akin: row.try_get("akin")? };
        term.ok_or_else(|| unexpected("a word of no term".to_owned()))?.push(piece);
    }
    Ok(pieces)
}

/// Words that each of `words` may be a typo of, in all their inflections.
pub async fn near(
    pool: &PgPool,
    owner: OwnerId,
    words: &[String],
) -> Result<HashMap<String, Vec<String>>, sqlx::Error> {
    if words.is_empty() {
        return Ok(HashMap::new());
    }
    let mut candidates: HashMap<String, Vec<String>> = HashMap::new();
    let query = sqlx::query(include_str!("../../../projections/search/near.sql")).bind(owner.0).bind(words);
    for row in query.fetch_all(pool).await? {
        candidates.entry(row.try_get("meant")?).or_default().push(row.try_get("word")?);
    }
    let mut near = HashMap::new();
    for (word, candidates) in candidates {
        let nearest = query::nearest(&word, candidates);
        let meant = pieces(pool, owner, &nearest).await?.into_iter().flatten();
        let meant: Vec<String> = meant.flat_map(|piece| [vec![piece.word], piece.akin].concat()).collect();
        if !meant.is_empty() {
            near.insert(word, meant);
        }
    }
    Ok(near)
}

/// What an owner finds with `query` in things as they were at `at`, in order, but what `shown` finds too.
#[allow(clippy::too_many_arguments)] // a search has as many sides
pub async fn list(
    pool: &PgPool,
    owner: OwnerId,
    query: &Spelled,
    shown: Option<&Spelled>,
    filter: &Filter,
    include_hidden: bool,
    order: Order,
    window: &Window,
    at: Position,
) -> Result<Vec<HitRow>, sqlx::Error> {
    let whole = |spelled: &Spelled| spelled.fine.clone().unwrap_or_else(|| spelled.coarse.clone());
    let rows = sqlx::query(as_of!("../../../projections/search/search.sql", at))
        .bind(owner.0)
        .bind(&query.coarse)
        .bind(&query.fine)
        .bind(&query.rank)
        .bind(shown.map(whole))
        .bind(window.until.0)
        .bind(filter.favorites_only)
        .bind(filter.tags.iter().map(Token::to_string).collect::<Vec<_>>())
        .bind(statuses(filter))
        .bind(some(&filter.model))
        .bind(some(&filter.provider))
        .bind(filter.from)
        .bind(filter.to)
        .bind(filter.min_cost_usd)
        .bind(filter.max_cost_usd)
        .bind(include_hidden)
        .bind(walk(order))
        .bind(window.after.map(|after| after.value))
        .bind(window.after.map(|after| after.position.0))
        .bind(window.after.map(|after| after.nth))
        .bind(i64::from(window.limit))
        .bind(filter.among())
        .bind(at.0)
        .fetch_all(pool)
        .await?;
    rows.iter().map(hit).collect()
}

/// Which of these messages were not on the path of their conversation's preferred branch at `at`.
pub async fn abandoned(
    pool: &PgPool,
    owner: OwnerId,
    places: &[(ConversationId, Place)],
    at: Position,
) -> Result<HashSet<(ConversationId, Place)>, sqlx::Error> {
    let column = |of: fn(&Place) -> i32| places.iter().map(|(_, place)| of(place)).collect::<Vec<_>>();
    let rows = sqlx::query(as_of!("../../../projections/search/abandoned.sql", at))
        .bind(owner.0)
        .bind(places.iter().map(|(conversation, _)| conversation.0).collect::<Vec<_>>())
        .bind(column(|place| place.segment.0))
        .bind(column(|place| place.depth.0))
        .bind(at.0)
        .fetch_all(pool)
        .await?;
    let mut abandoned = HashSet::with_capacity(rows.len());
    for row in &rows {
        let place = place(row, "segment", "depth")?;
        abandoned.extend(place.map(|place| Ok::<_, sqlx::Error>((conversation(row)?, place))).transpose()?);
    }
    Ok(abandoned)
}

const fn walk(order: Order) -> &'static str {
    match order {
        Order::Relevance => "relevance",
        Order::Newest => "newest",
        Order::Oldest => "oldest",
        Order::MostExpensive => "cost",
        Order::MostTokens => "tokens",
        Order::Largest => "size",
    }
}

fn hit(row: &PgRow) -> Result<HitRow, sqlx::Error> {
    let (position, nth) = (Position(row.try_get("position")?), row.try_get("nth")?);
    let found = match (row.try_get("kind")?, place(row, "segment", "depth")?) {
        ("message", Some(place)) => Found::Message(place),
        ("title", _) => Found::Title,
        ("tag", _) => Found::Tag(usize::try_from(nth).unwrap_or_default()),
        (other, _) => return Err(unexpected(format!("a {other} at {position}"))),
    };
    Ok(HitRow {
        key: Key { value: row.try_get("place")?, position, nth },
        position,
        conversation: conversation(row)?,
        found,
        score: row.try_get("rank")?,
    })
}

fn conversation(row: &PgRow) -> Result<ConversationId, sqlx::Error> {
    row.try_get::<Uuid, _>("conversation_id").map(ConversationId)
}
