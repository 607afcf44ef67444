//! Searching what was said: the view finds, the words of what it found are opened here, and what is forgotten is not shown.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::read::{CONVERSATION, WAIT_MAX};
use super::{Actor, Opened, Service, Trouble};
use crate::event::{ConversationId, Event, Position, Private};
use crate::view::conversation::{Filter, Status};
use crate::view::search::{self, Found, HitRow, Key, Order, Query, Run, Spelled, Window};

const VIEW: &str = "search";
/// Fewer hits than this are few: words that look like typos are taken for others, too.
const FEW: u32 = 3;
/// Hits that are counted, and that a list of conversations is filtered by, at most.
const COUNTED_MAX: u32 = 10_000;

/// What is looked for, and which part of what is found is asked for.
#[derive(Debug, Clone)]
pub struct Search {
    pub query: Query,
    /// Of the conversations.
    pub filter: Filter,
    pub include_hidden: bool,
    pub order: Order,
    pub first: u32,
    pub after: Option<After>,
    /// Whether to count what there is.
    pub counted: bool,
    /// As of when.
    pub at: Position,
}

/// The hit that a page begins behind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct After {
    /// What was said later is not in this list.
    pub until: Position,
    pub widened: bool,
    pub key: Key,
}

#[derive(Debug, Clone)]
pub struct Hits {
    pub hits: Vec<Hit>,
    pub has_next: bool,
    /// Up to ten thousand; none when it was not asked for.
    pub total: Option<u64>,
    pub until: Position,
    pub indexed: Indexed,
}

/// How much of the log can be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Indexed {
    pub position: Position,
    pub head: Position,
}

#[derive(Debug, Clone)]
pub struct Hit {
    /// The event that says it.
    pub opened: Arc<Opened>,
    pub conversation: ConversationId,
    pub found: Found,
    pub key: Key,
    pub score: f64,
    /// Whether a word of the query was taken for another.
    pub widened: bool,
    /// Whether it is not on the path of the conversation's preferred branch.
    pub abandoned: bool,
    pub snippet: Vec<Run>,
}

impl Service {
    /// Waits a little until what was last acknowledged to the actor can be found; then searches what can.
    ///
    /// # Errors
    /// If the conversations, which say what counts, are further behind.
    pub async fn search(&self, actor: Actor, at_least: Option<Position>, search: &Search) -> Result<Hits, Trouble> {
        self.caught_up(actor, CONVERSATION, at_least).await?;
        let indexed = self.indexed(actor, at_least).await;
        let until = search.after.map_or(indexed.position, |after| after.until).min(search.at);
        let mut found = Hits { hits: Vec::new(), has_next: false, total: Some(0), until, indexed };
        // A view that was never folded may have no tables.
        if indexed.position == Position(0) {
            return Ok(found);
        }
        let pieces = search::pieces(&self.pool, actor.owner(), &search.query.terms()).await?;
        let Some(exact) = search.query.spell(&pieces, &HashMap::new()) else { return Ok(found) };
        let first = search.first as usize;
        let window = |after: Option<After>, limit: u32| Window { until, after: after.map(|after| after.key), limit };

        let (behind_exact, behind_widened) = match search.after {
            Some(after) if after.widened => (None, Some(after)),
            after => (after, None),
        };
        let mut hits = Vec::new();
        if behind_widened.is_none() {
            let rows = self.found(actor, search, &exact, None, &window(behind_exact, search.first + 1)).await?;
            hits.extend(rows.into_iter().map(|row| (row, &exact, false)));
        }
        // Whichever page it is: where the exact hits end, those that a typo may mean follow, if there were few.
        let follow = behind_widened.is_some()
            || hits.len() <= first && self.count(actor, search, &exact, until, FEW).await? < u64::from(FEW);
        let widened = if follow {
            let near = search::near(&self.pool, actor.owner(), &search.query.doubtful(&pieces)).await?;
            if near.is_empty() { None } else { search.query.spell(&pieces, &near) }
        } else {
            None
        };
        if let Some(widened) = &widened {
            let limit = search.first + 1 - u32::try_from(hits.len()).unwrap_or_default();
            let rows = self.found(actor, search, widened, Some(&exact), &window(behind_widened, limit)).await?;
            hits.extend(rows.into_iter().map(|row| (row, widened, true)));
        }
        found.has_next = hits.len() > first;
        hits.truncate(first);
        found.hits = self.shown(actor, hits, search.at).await?;
        found.total =
            if search.counted { Some(self.count(actor, search, &exact, until, COUNTED_MAX).await?) } else { None };
        Ok(found)
    }

    /// Conversations that said at `at` what is looked for: those of the ten thousand newest hits.
    pub async fn conversations_saying(
        &self,
        actor: Actor,
        at_least: Option<Position>,
        query: &Query,
        at: Position,
    ) -> Result<Vec<ConversationId>, Trouble> {
        let indexed = self.indexed(actor, at_least).await;
        if indexed.position == Position(0) {
            return Ok(Vec::new());
        }
        // Which of them are listed, the list says.
        let filter = Filter { status: vec![Status::Active, Status::Archived, Status::Deleted], ..Filter::default() };
        let search = Search {
            query: query.clone(),
            filter,
            include_hidden: false,
            order: Order::Newest,
            first: COUNTED_MAX,
            after: None,
            counted: false,
            at,
        };
        let pieces = search::pieces(&self.pool, actor.owner(), &query.terms()).await?;
        let Some(exact) = query.spell(&pieces, &HashMap::new()) else { return Ok(Vec::new()) };
        let window = Window { until: indexed.position.min(at), after: None, limit: COUNTED_MAX };
        let mut rows = self.found(actor, &search, &exact, None, &window).await?;
        if rows.is_empty() {
            let near = search::near(&self.pool, actor.owner(), &query.doubtful(&pieces)).await?;
            if let Some(widened) = query.spell(&pieces, &near).filter(|_| !near.is_empty()) {
                rows = self.found(actor, &search, &widened, None, &window).await?;
            }
        }
        let conversations: HashSet<_> = rows.into_iter().map(|row| row.conversation).collect();
        Ok(conversations.into_iter().collect())
    }

    /// How much can be found, once what was last acknowledged to the actor can be, or it took too long.
    async fn indexed(&self, actor: Actor, at_least: Option<Position>) -> Indexed {
        let wanted = self.acknowledged.wanted(actor.account, at_least);
        // Behind is an answer: it is told with what there is.
        let _ = self.engine.wait(VIEW, wanted, WAIT_MAX).await;
        let position = self.engine.progress(VIEW).map(|progress| *progress.borrow()).unwrap_or_default();
        let head = wanted.max(*self.log.tail().head().borrow()).max(position);
        Indexed { position, head }
    }

    async fn found(
        &self,
        actor: Actor,
        search: &Search,
        query: &Spelled,
        shown: Option<&Spelled>,
        window: &Window,
    ) -> Result<Vec<HitRow>, Trouble> {
        let Search { filter, include_hidden, order, at, .. } = search;
        Ok(search::list(&self.pool, actor.owner(), query, shown, filter, *include_hidden, *order, window, *at).await?)
    }

    /// How many hits there are, at most `limit`.
    async fn count(
        &self,
        actor: Actor,
        search: &Search,
        query: &Spelled,
        until: Position,
        limit: u32,
    ) -> Result<u64, Trouble> {
        let search = Search { order: Order::Newest, ..search.clone() };
        let window = Window { until, after: None, limit };
        Ok(self.found(actor, &search, query, None, &window).await?.len() as u64)
    }

    /// Hits with the part of their words that says why.
    async fn shown(
        &self,
        actor: Actor,
        rows: Vec<(HitRow, &Spelled, bool)>,
        at: Position,
    ) -> Result<Vec<Hit>, Trouble> {
        let said_at: Vec<Position> = rows.iter().map(|(row, ..)| row.position).collect();
        let place =
            |row: &HitRow| if let Found::Message(place) = row.found { Some((row.conversation, place)) } else { None };
        let places: Vec<_> = rows.iter().filter_map(|(row, ..)| place(row)).collect();
        let abandoned = search::abandoned(&self.pool, actor.owner(), &places, at).await?;
        let opened = self.events_at(actor, &said_at).await?;
        let opened: HashMap<_, _> = opened.into_iter().map(|opened| (opened.recorded.position, opened)).collect();
        let hit = |(row, query, widened): (HitRow, &Spelled, bool)| {
            let opened = Arc::clone(opened.get(&row.position)?);
            let text = said(&opened.event, row.found)?;
            Some(Hit {
                abandoned: place(&row).is_some_and(|place| abandoned.contains(&place)),
                snippet: query.marks.snippet(&text),
                opened,
                conversation: row.conversation,
                found: row.found,
                key: row.key,
                score: row.score,
                widened,
            })
        };
        Ok(rows.into_iter().filter_map(hit).collect())
    }
}

/// What was found; none when it is forgotten.
fn said(event: &Event, found: Found) -> Option<String> {
    match (event, found) {
        (Event::ConversationTagged(tagged), Found::Tag(nth)) => match &tagged.tags {
            Private::Known(tags) => tags.get(nth.checked_sub(1)?).cloned(),
            Private::Forgotten => None,
        },
        (event, _) => event.text(),
    }
}
