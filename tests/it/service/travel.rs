//! Going back, grafting and snapshots, as the log has them afterwards.

use chrono::TimeDelta;
use convoledger::event::{
    BranchNumber, ConversationId, Depth, Elsewhere, Event, EventId, MessageId, Place, Position, Role, Segment,
    SnapshotPolicy, Trigger, Usage, Version,
};
use convoledger::ledger::thinning::Thinning;
use convoledger::ledger::{Act, AppendMessage, Below, CreateBranch, Refusal, Start, TakeSnapshot};
use convoledger::random;
use convoledger::service::{Actor, Outcome, Reason, Run, Service};
use convoledger::view::Slice;

use crate::support::service::{Stand, done, order, say, started};

async fn events(service: &Service, actor: Actor, conversation: ConversationId) -> Vec<Event> {
    let read = service.log().read_stream(actor.owner(), conversation.into(), Version(0), 1_000).await;
    read.expect("the stream").iter().map(|recorded| recorded.event().expect("an event")).collect()
}

fn title(title: &str) -> Act {
    Act::SetTitle { title: title.into() }
}

/// Three messages in a conversation of their own.
async fn told(service: &Service, actor: Actor) -> (ConversationId, Vec<MessageId>) {
    let conversation = started(service, actor).await;
    (conversation, done(service, actor, order(conversation, ["a", "b", "c"].map(say))).await.messages)
}

#[tokio::test]
async fn what_was_is_again_and_is_so_once() {
    let stand = Stand::new().await;
    let (service, ann) = (&stand.service, stand.actor("ann@example.org").await);
    let conversation = started(service, ann).await;
    done(service, ann, order(conversation, [title("one")])).await;
    done(service, ann, order(conversation, [say("hello"), title("two"), Act::Favorite])).await;
    let restore = async |to: i32| service.restore(ann, conversation, Version(to), None, None).await.expect("an answer");
    assert!(matches!(restore(2).await, Outcome::Done(_)));
    assert!(matches!(restore(2).await, Outcome::AlreadyDone(_)));
    let Outcome::Refused(reason) = restore(99).await else { panic!("there is no such version") };
    assert_eq!(reason, Reason::Rule(Refusal::NoEarlierVersion { to: Version(99), version: Version(6) }));
    assert!(matches!(restore(5).await, Outcome::Done(_)));
    let all = events(service, ann, conversation).await;
    let titles: Vec<_> = all
        .iter()
        .filter_map(|event| if let Event::ConversationRestored(restored) = event { restored.title } else { None })
        .collect();
    assert_eq!(titles, [Version(2), Version(4)]);
    // Another's conversation is not there to be restored.
    let bob = stand.actor("bob@example.org").await;
    let theirs = service.restore(bob, conversation, Version(2), None, None).await.expect("an answer");
    assert!(matches!(theirs, Outcome::Refused(Reason::Rule(Refusal::NotStarted))));
    stand.holds().await;
}

#[tokio::test]
async fn a_graft_names_who_said_it_first() {
    let stand = Stand::new().await;
    let (service, ann) = (&stand.service, stand.actor("ann@example.org").await);
    let (source, said) = told(service, ann).await;
    let graft = async |actor: Actor, conversation: ConversationId, from: MessageId, to: MessageId| {
        service.graft(actor, conversation, Below::Preferred, Run { from, to }, None, None).await.expect("an answer")
    };
    let origins = async |conversation: ConversationId| {
        let all = events(service, ann, conversation).await;
        all.into_iter()
            .filter_map(|event| if let Event::MessageAppended(message) = event { message.origin } else { None })
            .collect::<Vec<_>>()
    };
    let first = started(service, ann).await;
    let Outcome::Done(grafted) = graft(ann, first, said[1], said[2]).await else { panic!("it is done") };
    let expected: Vec<_> =
        said[1..].iter().map(|message| Elsewhere { conversation: source, message: *message }).collect();
    assert_eq!(origins(first).await, expected);
    let second = started(service, ann).await;
    graft(ann, second, grafted.messages[0], grafted.messages[1]).await;
    assert_eq!(origins(second).await, expected, "a graft of a graft has the same origin");
    for (from, to) in [(said[2], said[1]), (grafted.messages[0], said[2])] {
        assert!(matches!(graft(ann, second, from, to).await, Outcome::Refused(Reason::NoRun)));
    }
    let bob = stand.actor("bob@example.org").await;
    let theirs = started(service, bob).await;
    let refused = graft(bob, theirs, said[1], said[2]).await;
    let Outcome::Refused(Reason::Rule(reason)) = refused else { panic!("nobody grafts what is another's") };
    assert_eq!(reason, Refusal::NoSuchMessage { message: said[2] });
    stand.holds().await;
}

#[tokio::test]
async fn a_conversation_goes_on_below_a_message_of_another() {
    let stand = Stand::new().await;
    let (service, ann) = (&stand.service, stand.actor("ann@example.org").await);
    let (_, said) = told(service, ann).await;
    let from = service.ancestor(ann, said[1]).await.expect("an answer");
    let conversation = ConversationId(random::id());
    done(service, ann, order(conversation, [Act::Start(Start { from, ..Start::default() }), say("d")])).await;
    let all = events(service, ann, conversation).await;
    let Event::MessageAppended(message) = &all[1] else { panic!("a message") };
    let above = Place { segment: Segment(0), depth: Depth(2) };
    assert_eq!((message.place.depth.0, message.fork), (3, Some(above)));
    let bob = stand.actor("bob@example.org").await;
    assert_eq!(service.ancestor(bob, said[1]).await.expect("an answer"), None);
}

#[tokio::test]
async fn an_account_settles_what_its_conversations_leave_open() {
    let stand = Stand::new().await;
    let (service, ann) = (&stand.service, stand.actor("ann@example.org").await);
    let policy = SnapshotPolicy { token_limit: Some(10), ..SnapshotPolicy::default() };
    let configured = async |policy| service.configure_snapshots(ann, policy).await.expect("it may");
    assert!(configured(policy).await.is_some());
    assert!(configured(policy).await.is_none(), "it is so already");
    let using = |tokens: u64| {
        let usage = Some(Usage { input: Some(tokens), ..Usage::default() });
        Act::Append(AppendMessage { usage, ..AppendMessage::text(MessageId(random::id()), Role::Assistant, "x") })
    };
    for server in [service, &stand.beside().await] {
        let conversation = started(server, ann).await;
        for act in [using(9), using(1), using(9)] {
            done(server, ann, order(conversation, [act])).await;
        }
        let all = events(server, ann, conversation).await;
        let kinds: Vec<_> = all.iter().map(Event::kind).collect();
        let said = "message.appended";
        assert_eq!(kinds, ["conversation.started", said, "snapshot.taken", said, said]);
        let Event::SnapshotTaken(taken) = &all[2] else { panic!("a snapshot") };
        assert_eq!((taken.version, taken.trigger), (Version(2), Trigger::TokenLimit));
    }
    stand.holds().await;
}

#[tokio::test]
async fn snapshots_are_found_and_thinned_out() {
    let stand = Stand::new().await;
    let (service, ann) = (&stand.service, stand.actor("ann@example.org").await);
    let conversation = started(service, ann).await;
    let take = |id| Act::TakeSnapshot(TakeSnapshot { id, label: Some("here".into()), files: Vec::new() });
    let ids = [EventId(random::id()), EventId(random::id())];
    for id in ids {
        assert_eq!(done(service, ann, order(conversation, [take(id)])).await.snapshot, Some(id));
    }
    let found = service.snapshot(ann, ids[1]).await.expect("an answer");
    assert_eq!(found, Some((conversation, Version(2))));
    let touched = async |thinning: &Thinning| {
        stand.folded(ann).await;
        let page = service.thinnable(thinning, Default::default()).await.expect("an answer");
        page.map(|(touched, _)| touched).unwrap_or_default()
    };
    assert_eq!(touched(&Thinning::default()).await, [], "what was taken by hand is kept");
    let zero = TimeDelta::zero();
    let none = Thinning { all: zero, hourly: zero, daily: zero, manual: false };
    let mut would = touched(&none).await;
    let gone = would.pop().expect("one conversation");
    assert_eq!((would.len(), gone.conversation, gone.kept, gone.gone.clone()), (0, conversation, 1, vec![ids[0]]));
    assert!(matches!(service.thin(gone).await.expect("an answer"), Outcome::Done(_)));
    let Some(Event::SnapshotThinned(thinned)) = events(service, ann, conversation).await.pop() else { panic!("gone") };
    assert_eq!(thinned.snapshots, [ids[0]], "the last of the week stays");
    assert_eq!(touched(&none).await, [], "what went does not go again");
    let left = service.snapshots(ann, conversation, Position::LATEST, 9, Position::LATEST).await.expect("a page");
    assert_eq!(left.rows.iter().map(|row| row.id).collect::<Vec<_>>(), [ids[1]]);
}

#[tokio::test]
async fn branches_written_by_many_at_once_never_see_each_other() {
    const CALLERS: usize = 50;
    let stand = Stand::new().await;
    let (service, ann) = (&stand.service, stand.actor("ann@example.org").await);
    let (conversation, said) = told(service, ann).await;
    let name = service.tags(ann, &["idea".into()]).await.expect("a tag").remove(0);
    let create = Act::CreateBranch(CreateBranch { from: said[1], name });
    let idea = done(service, ann, order(conversation, [create])).await.branch.expect("a branch");
    let cost = |nth: usize| Some(rust_decimal::Decimal::new(i64::try_from(nth).expect("small"), 2));
    let callers = (0..2 * CALLERS).map(|nth| {
        let (service, branch) = (service.clone(), if nth % 2 == 0 { BranchNumber::MAIN } else { idea });
        tokio::spawn(async move {
            let message = AppendMessage::text(MessageId(random::id()), Role::User, format!("{branch}"));
            let message = AppendMessage { cost_usd: cost(1), ..message.below(Below::Branch(branch)) };
            done(&service, ann, order(conversation, [Act::Append(message)])).await
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.expect("an answer");
    }
    stand.folded(ann).await;
    for (branch, shared) in [(BranchNumber::MAIN, 3), (idea, 2)] {
        let page = service.page(ann, conversation, branch, &Slice::first(200), Position::LATEST).await;
        let rows = page.expect("a page").expect("a branch").rows;
        assert_eq!(rows.len(), shared + CALLERS);
        for message in &rows[shared..] {
            let Event::MessageAppended(said) = &message.opened.event else { panic!("a message") };
            let text = said.parts.as_ref().known().map(|parts| parts[0].clone());
            assert_eq!(text, Some(convoledger::event::Part::text(format!("{branch}"))));
        }
    }
    let numbers = [(conversation, BranchNumber::MAIN), (conversation, idea)];
    let paths = service.path_costs(ann, &numbers, Position::LATEST).await.expect("costs");
    let row = service.conversations(ann, &[conversation], Position::LATEST).await.expect("read").remove(0);
    assert_eq!(paths.values().sum::<rust_decimal::Decimal>(), row.cost_usd.expect("known"));
    assert_eq!(row.cost_usd, cost(2 * CALLERS));
    stand.holds().await;
}

#[tokio::test]
async fn a_limit_is_marked_once_however_many_cross_it() {
    let stand = Stand::new().await;
    let (service, ann) = (&stand.service, stand.actor("ann@example.org").await);
    let conversation = started(service, ann).await;
    let policy = SnapshotPolicy { token_limit: Some(100), ..SnapshotPolicy::default() };
    done(service, ann, order(conversation, [Act::ConfigureSnapshots(policy)])).await;
    let beside = stand.beside().await;
    let callers = (0..60).map(|nth| {
        let service = if nth % 2 == 0 { service.clone() } else { beside.clone() };
        tokio::spawn(async move {
            let usage = Some(Usage { input: Some(5), ..Usage::default() });
            let message = AppendMessage::text(MessageId(random::id()), Role::Assistant, "x");
            done(&service, ann, order(conversation, [Act::Append(AppendMessage { usage, ..message })])).await
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.expect("an answer");
    }
    let all = events(service, ann, conversation).await;
    let taken = all.iter().filter(|event| matches!(event, Event::SnapshotTaken(_))).count();
    assert_eq!((taken, all.len()), (1, 1 + 1 + 60 + 1));
    let before = all.iter().take_while(|event| !matches!(event, Event::SnapshotTaken(_)));
    assert_eq!(before.filter(|event| matches!(event, Event::MessageAppended(_))).count(), 19, "the twentieth crosses");
}
