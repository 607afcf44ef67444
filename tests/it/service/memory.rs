//! What a server keeps in memory of what it read: it never shows what has gone, nor anything but what the database says.

use std::sync::Arc;
use std::time::Duration;

use convoledger::event::{
    BranchNumber, ConversationId, Event, MessageId, Place, Position, Private, Rating, Role, Version,
};
use convoledger::ledger::{Act, AppendMessage, Below, EditMessage};
use convoledger::random;
use convoledger::service::{Actor, AsOf, CONVERSATION, Opened, Outcome, Service};
use convoledger::view::branch::BranchRow;
use convoledger::view::conversation::ConversationRow;
use convoledger::view::event::EventFilter;
use convoledger::view::{Cut, Slice};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::support::service::{Stand, done, order, say, started};

/// A read of the past asks no more often than this what others took away.
const LATELY: Duration = Duration::from_millis(25);

#[derive(Debug, Clone)]
enum Deed {
    Say,
    Edit(prop::sample::Index),
    Reply(prop::sample::Index),
    Hide(prop::sample::Index),
    Rate(prop::sample::Index, Option<Rating>),
    Title,
    Forget(prop::sample::Index),
    ForgetAll,
    Restore(prop::sample::Index),
    Look(Option<prop::sample::Index>),
}

fn deed() -> impl Strategy<Value = Deed> {
    let any_one = || any::<prop::sample::Index>();
    prop_oneof![
        4 => Just(Deed::Say),
        1 => any_one().prop_map(Deed::Edit),
        1 => any_one().prop_map(Deed::Reply),
        1 => any_one().prop_map(Deed::Hide),
        1 => (any_one(), prop::option::of(prop_oneof![Just(Rating::Up), Just(Rating::Down)]))
            .prop_map(|(of, rating)| Deed::Rate(of, rating)),
        1 => Just(Deed::Title),
        2 => any_one().prop_map(Deed::Forget),
        1 => Just(Deed::ForgetAll),
        1 => any_one().prop_map(Deed::Restore),
        5 => prop::option::of(any_one()).prop_map(Deed::Look),
    ]
}

/// A message: what it says, whether that is gone, where it stands and below what, whether it is hidden, and how it was rated.
type Said = (Event, bool, Place, Option<Place>, bool, Option<Rating>, Option<Position>);

/// An event, and whether what it said is gone.
type Told = (Position, Event, bool);

/// All that is shown of a conversation as of a moment.
#[derive(Debug, PartialEq)]
struct Shown {
    rows: Vec<ConversationRow>,
    branches: Vec<BranchRow>,
    messages: Vec<Said>,
    events: Vec<Told>,
    history: Vec<Told>,
    titles: Vec<(Event, bool)>,
}

async fn shown(service: &Service, actor: Actor, id: ConversationId, at: Position) -> Shown {
    let rows = service.conversations(actor, &[id], at).await.expect("read");
    let mut of = service.branches_of(actor, &[id], at).await.expect("read");
    let branches = of.remove(&id).unwrap_or_default();
    let mut messages = Vec::new();
    for branch in &branches {
        let single = service.branches(actor, &[(id, branch.number)], at).await.expect("read");
        assert_eq!(single, std::slice::from_ref(branch));
        let slice = Slice { after: None, before: None, cut: Cut::Last(30) };
        let page = service.page(actor, id, branch.number, &slice, at).await.expect("read").expect("it is there");
        messages.extend(page.rows.into_iter().map(|said| {
            let (mut event, forgotten) = (said.opened.event.clone(), said.opened.forgotten);
            // Of a message its content is read, and what else was said only where it is at hand.
            if let Event::MessageAppended(said) = &mut event {
                said.verbatim = Private::Forgotten;
            }
            (event, forgotten, said.place, said.parent, said.hidden, said.rating, said.comment_at)
        }));
    }
    let filter = EventFilter { stream: Some(id.into()), last: Some(at), ..EventFilter::default() };
    let events = service.events(actor, &filter, Position(0), 500).await.expect("read");
    let history = service.events_of(actor, id, Position(0), 500, at).await.expect("read");
    let told = |one: &Arc<Opened>| (one.recorded.position, one.event.clone(), one.forgotten);
    let titled: Vec<_> = rows.iter().filter_map(|row| row.title_at).collect();
    let titles = service.events_at(actor, &titled).await.expect("read");
    Shown {
        rows,
        branches,
        messages,
        events: events.iter().map(told).collect(),
        history: history.iter().map(told).collect(),
        titles: titles.iter().map(|one| (one.event.clone(), one.forgotten)).collect(),
    }
}

async fn carry_out(
    service: &Service,
    actor: Actor,
    id: ConversationId,
    said: &mut Vec<MessageId>,
    deed: &Deed,
) -> Option<Position> {
    let new = MessageId(random::id());
    let text = AppendMessage { verbatim: Some("raw".into()), ..AppendMessage::text(new, Role::User, "words") };
    let one = |of: &prop::sample::Index| (!said.is_empty()).then(|| said[of.index(said.len())]);
    let act = match deed {
        Deed::Say => Act::Append(text),
        Deed::Reply(to) => Act::Append(text.below(Below::Message(one(to)?))),
        Deed::Edit(of) => Act::Edit(EditMessage { id: new, message: one(of)?, parts: vec![] }),
        Deed::Hide(of) => Act::Hide { message: one(of)? },
        Deed::Rate(of, rating) => Act::Rate { message: one(of)?, rating: *rating, comment: Some("why".into()) },
        Deed::Title => Act::SetTitle { title: new.0.to_string() },
        Deed::Forget(of) => Act::ForgetMessage { message: one(of)? },
        Deed::ForgetAll => Act::ForgetConversation,
        Deed::Restore(to) => {
            let head = service.conversations(actor, &[id], Position::LATEST).await.expect("read");
            let version = head.first().map_or(1, |row| row.version.0);
            let to = Version(1 + i32::try_from(to.index(version.unsigned_abs() as usize)).expect("few"));
            service.restore(actor, id, to, None, None).await.expect("an answer");
            return None;
        }
        Deed::Look(None) => return Some(Position::LATEST),
        Deed::Look(Some(version)) => {
            let events = service.log().read_stream(actor.owner(), id.into(), Version(0), 1_000).await.expect("read");
            let version = Version(1 + i32::try_from(version.index(events.len())).expect("few"));
            return Some(service.moment(actor, Some(id), AsOf::Version(version)).await.expect("it was"));
        }
    };
    if let Outcome::Done(done) = service.execute(actor, order(id, [act])).await.expect("an answer") {
        said.extend(done.messages);
    }
    None
}

/// Two servers do and look; whatever they looked at, they show in the end as one does that has read nothing yet.
#[test]
fn a_server_that_has_read_shows_what_one_shows_that_has_not() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (stand, other) = runtime.block_on(async {
        let stand = Stand::new().await;
        let other = stand.beside().await;
        (stand, other)
    });
    let ann = runtime.block_on(stand.actor("ann@example.org"));
    // Who looks at once must find the view made.
    runtime.block_on(stand.folded(ann));
    let deeds = prop::collection::vec((any::<bool>(), deed()), 10..60);
    let config = ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(&deeds, |deeds| {
        runtime.block_on(async {
            let id = started(&stand.service, ann).await;
            let (mut said, mut looked) = (Vec::new(), vec![Position::LATEST]);
            for (first, deed) in &deeds {
                let service = if *first { &stand.service } else { &other };
                if let Some(at) = carry_out(service, ann, id, &mut said, deed).await {
                    stand.folded(ann).await;
                    shown(service, ann, id, at).await;
                    looked.push(at);
                }
            }
            stand.folded(ann).await;
            tokio::time::sleep(LATELY).await;
            let new = stand.unread();
            for at in looked {
                let expected = shown(&new, ann, id, at).await;
                for service in [&stand.service, &other] {
                    prop_assert_eq!(&shown(service, ann, id, at).await, &expected, "as of {}", at);
                }
            }
            Ok(())
        })
    });
    outcome.expect("whatever was read");
}

#[tokio::test]
async fn what_goes_is_shown_nowhere_from_then_on() {
    let stand = Stand::new().await;
    let (here, there) = (&stand.service, stand.beside().await);
    let ann = stand.actor("ann@example.org").await;
    let id = started(here, ann).await;
    let said = done(here, ann, order(id, ["a", "b"].map(say))).await.messages;
    let then = stand.service.log().head().await.expect("a head");
    done(here, ann, order(id, [say("c")])).await;
    let gone = async |service: &Service, at: Position| {
        let page = service.page(ann, id, BranchNumber::MAIN, &Slice::first(10), at).await.expect("read");
        let gone: Vec<bool> = page.expect("it is there").rows.iter().map(|said| said.opened.forgotten).collect();
        gone
    };
    stand.folded(ann).await;
    for service in [here, &there] {
        service.caught_up(ann, CONVERSATION, Some(then.next())).await.expect("it catches up");
        assert_eq!(gone(service, Position::LATEST).await, [false; 3]);
        assert_eq!(gone(service, then).await, [false; 2]);
    }
    done(here, ann, order(id, [Act::ForgetMessage { message: said[0] }])).await;
    assert_eq!(gone(here, then).await, [true, false], "at once");
    assert_eq!(gone(here, Position::LATEST).await, [true, false, false]);
    assert_eq!(gone(&there, Position::LATEST).await, [true, false, false], "also where another server did it");
    tokio::time::sleep(LATELY).await;
    assert_eq!(gone(&there, then).await, [true, false]);
    done(&there, ann, order(id, [Act::ForgetConversation])).await;
    assert_eq!(gone(&there, then).await, [true; 2]);
    assert_eq!(gone(here, Position::LATEST).await, [true; 3]);
    let events = EventFilter { stream: Some(id.into()), ..EventFilter::default() };
    let events = here.events(ann, &events, Position(0), 10).await.expect("read");
    let known = events.iter().filter(|one| match &one.event {
        Event::MessageAppended(said) => matches!(said.parts, Private::Known(_)),
        _ => false,
    });
    assert_eq!(known.count(), 0);
}

#[tokio::test]
async fn a_history_misses_nothing_that_its_reader_knows_of() {
    let stand = Stand::new().await;
    let (here, there) = (&stand.service, stand.beside().await);
    let ann = stand.actor("ann@example.org").await;
    let id = started(here, ann).await;
    let listed = async |service: &Service, at| {
        let events = service.events_of(ann, id, Position(0), 100, at).await.expect("read");
        events.iter().map(|one| one.recorded.position).collect::<Vec<_>>()
    };
    let mut known = listed(here, Position::LATEST).await;
    let first = known.clone();
    for (service, other) in [(here, &there), (&there, here)].into_iter().cycle().take(20) {
        // At once where it was done, …
        let Outcome::Done(done) = service.execute(ann, order(id, [say("words")])).await.expect("an answer") else {
            panic!("nothing stands against it");
        };
        known.push(done.position);
        assert_eq!(listed(service, Position::LATEST).await, known);
        // … where the view shows it, …
        other.caught_up(ann, CONVERSATION, Some(done.position)).await.expect("it catches up");
        assert_eq!(listed(other, Position::LATEST).await, known);
        // … and never more than had been said by then.
        assert_eq!(listed(other, first[0]).await, first);
        let after = service.events_of(ann, id, first[0], 2, done.position).await.expect("read");
        assert_eq!(after.iter().map(|one| one.recorded.position).collect::<Vec<_>>(), known[1..known.len().min(3)]);
    }
}
