//! Each account reaches its own part of the ledger and nothing else, whatever it asks for by name.

use convoledger::event::{BranchNumber, Position, Version};
use convoledger::ledger::{Act, Start};
use convoledger::service::{Outcome, Reason};
use convoledger::view::Slice;
use convoledger::view::audit::EntryFilter;
use convoledger::view::conversation::{Filter, Order};
use convoledger::view::event::EventFilter;
use convoledger::view::usage::{Dimension, Span};

use crate::support::service::{Stand, done, named, order, say, started};

#[tokio::test]
async fn another_account_reads_nothing() {
    let stand = Stand::new().await;
    let (actor, stranger) = (stand.actor("a@example.org").await, stand.actor("b@example.org").await);
    let service = &stand.service;
    let conversation = started(service, actor).await;
    let acts = [say("one"), say("two"), Act::SetTitle { title: "a title".into() }, Act::Favorite];
    let message = done(service, actor, order(conversation, acts)).await.message.expect("a message");
    stand.folded(actor).await;
    let whole = service.missed(actor, conversation, Version(0), 100).await.expect("an answer");
    let positions: Vec<Position> = whole.iter().map(|event| event.recorded.position).collect();
    let ids: Vec<_> = whole.iter().map(|event| event.recorded.fact.id).collect();
    let place = service.messages(actor, &[message], Position::LATEST).await.expect("an answer")[0].place;
    let main = (conversation, BranchNumber::MAIN);
    let of_stream = EventFilter { stream: Some(conversation.into()), ..EventFilter::default() };
    // What each sees of it, question by question.
    let sees = async |actor| {
        let filter = Filter::default();
        let list = service
            .list(actor, &filter, Order::default(), &Slice::first(10), true, Position::LATEST)
            .await
            .expect("a page");
        let page = service
            .page(actor, conversation, BranchNumber::MAIN, &Slice::first(10), Position::LATEST)
            .await
            .expect("an answer");
        let parents = [(conversation, None), (conversation, Some(place))];
        let children = service.children(actor, &parents, Position::LATEST).await.expect("children");
        let branches = service.branches_of(actor, &[conversation], Position::LATEST).await.expect("branches");
        let range = Span { from: None, to: None, zone: chrono_tz::Tz::UTC };
        let costs = service
            .costs(actor, range, &[Dimension::Conversation], None, Position::LATEST)
            .await
            .expect("costs")
            .expect("few");
        let entries = EntryFilter { stream: Some(conversation.into()), ..EntryFilter::default() };
        [
            list.rows.len(),
            usize::try_from(list.total.expect("a total")).expect("few"),
            service.conversations(actor, &[conversation], Position::LATEST).await.expect("conversations").len(),
            page.map_or(0, |page| page.rows.len()),
            children.values().map(Vec::len).sum(),
            branches.values().map(Vec::len).sum(),
            service.branches(actor, &[main], Position::LATEST).await.expect("branches").len(),
            service.messages(actor, &[message], Position::LATEST).await.expect("messages").len(),
            service.messages_at(actor, &[(conversation, place)], Position::LATEST).await.expect("messages").len(),
            usize::from(service.conversation_of(actor, message).await.expect("an answer").is_some()),
            service.events(actor, &of_stream, Position(0), 100).await.expect("events").len(),
            usize::try_from(service.count_events(actor, &of_stream).await.expect("a count")).expect("few"),
            service.events_by_id(actor, &ids).await.expect("events").len(),
            service.events_at(actor, &positions).await.expect("events").len(),
            service.missed(actor, conversation, Version(0), 100).await.expect("events").len(),
            service.path_costs(actor, &[main], Position::LATEST).await.expect("costs").len(),
            usize::try_from(costs.total.messages).expect("few"),
            service.audit(actor, &entries, None, 10, true).await.expect("entries").rows.len(),
        ]
    };
    assert_eq!(sees(actor).await, [1, 1, 1, 2, 1, 1, 1, 1, 1, 1, 5, 5, 5, 5, 5, 0, 2, 4]);
    assert_eq!(sees(stranger).await, [0; 18]);
}

#[tokio::test]
async fn another_account_changes_nothing() {
    let stand = Stand::new().await;
    let (actor, stranger) = (stand.actor("a@example.org").await, stand.actor("b@example.org").await);
    let service = &stand.service;
    let conversation = started(service, actor).await;
    let once = || named(order(conversation, [say("hello")]), "hello", "hello");
    let first = done(service, actor, once()).await;
    for act in [say("mine"), Act::Delete, Act::Hide { message: first.message.expect("a message") }] {
        let outcome = service.execute(stranger, order(conversation, [act])).await.expect("an answer");
        assert!(matches!(outcome, Outcome::Refused(Reason::Rule(_))), "{outcome:?}");
    }
    // Not even by a name that the other used; and an id that another has is free.
    let outcome = service.execute(stranger, once()).await.expect("an answer");
    assert!(matches!(outcome, Outcome::Refused(Reason::Rule(_))), "{outcome:?}");
    done(service, stranger, order(conversation, [Act::Start(Start::default()), say("mine")])).await;
    let theirs = service.missed(actor, conversation, Version(0), 100).await.expect("an answer");
    assert_eq!(theirs.len(), 2);
    stand.holds().await;
}
