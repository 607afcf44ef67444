//! Search: what a query means, that what is found is what a plain look at everything finds, and where words never get to.

mod canary;
mod model;
mod query;

use convoledger::event::Position;
use convoledger::projection::SEARCH;
use convoledger::service::{Actor, Hits, Search, Service};
use convoledger::view::conversation::Filter;
use convoledger::view::search::{Order, Query};

pub fn asked(query: &str) -> Search {
    Search {
        query: Query::parse(query).expect("a query"),
        filter: Filter::default(),
        include_hidden: false,
        order: Order::Relevance,
        first: 50,
        after: None,
        counted: true,
        at: Position::LATEST,
    }
}

pub async fn searched(service: &Service, actor: Actor, search: &Search) -> Hits {
    let head = service.log().head().await.expect("a head");
    loop {
        let hits = service.search(actor, Some(head), search).await.expect("an answer");
        if hits.indexed.position >= head {
            return hits;
        }
    }
}

/// The snippets of what is found, what was looked for in brackets, in alphabetical order; a widened one begins with `~`.
pub async fn found(service: &Service, actor: Actor, query: &str) -> Vec<String> {
    let hits = searched(service, actor, &asked(query)).await;
    let shown = |hit: &convoledger::service::Hit| {
        let mark = |run: &convoledger::view::search::Run| {
            if run.matched { format!("[{}]", run.text) } else { run.text.clone() }
        };
        let text: String = hit.snippet.iter().map(mark).collect();
        if hit.widened { format!("~{text}") } else { text }
    };
    let mut found: Vec<String> = hits.hits.iter().map(shown).collect();
    found.sort_unstable();
    found
}

#[tokio::test]
async fn it_is_a_projection_that_is_built_in() {
    assert!(convoledger::projection::BUILT_IN.contains(&SEARCH) && SEARCH.opened);
}
