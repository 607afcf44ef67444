//! Many at once on one conversation.

use std::collections::{BTreeSet, HashSet};

use convoledger::event::{ConversationId, Event, MessageId, Private, Version};
use convoledger::ledger::{Act, Start};
use convoledger::random;
use convoledger::service::{Done, Order, Outcome, Reason};
use futures::future::join_all;

use crate::support::service::{Stand, done, named, order, say, started};

const WRITERS: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_hundred_writers_who_expect_a_version_one_wins_it_and_the_others_get_what_they_missed() {
    let stand = Stand::new().await;
    let actor = stand.actor("a@example.org").await;
    let conversation = started(&stand.service, actor).await;
    let services = [stand.service.clone(), stand.beside().await];
    let mut version = Version(1);
    for round in 0..4 {
        let race = (0..WRITERS).map(|writer| {
            let service = services[writer % 2].clone();
            let order = Order { expected: Some(version), ..order(conversation, [say(format!("{round}/{writer}"))]) };
            tokio::spawn(async move { (writer, service.execute(actor, order).await.expect("an answer")) })
        });
        let mut winners = Vec::new();
        for raced in join_all(race).await {
            let (writer, outcome) = raced.expect("no panic");
            match outcome {
                Outcome::Done(done) => winners.push((writer, done)),
                Outcome::Stale { expected, version: now } => {
                    assert_eq!((expected, now), (version, version.next()));
                }
                outcome => panic!("{outcome:?}"),
            }
        }
        assert_eq!(winners.len(), 1, "round {round}: {winners:?}");
        let (_, won) = winners.remove(0);
        assert_eq!(won.version, version.next());
        let missed = stand.service.missed(actor, conversation, version, 10).await.expect("an answer");
        assert_eq!(missed.len(), 1);
        assert_eq!(Some(MessageId::from(missed[0].recorded.fact.id)), won.message);
        assert!(matches!(&missed[0].event, Event::MessageAppended(said) if !said.parts.is_forgotten()));
        version = version.next();
    }
    assert_eq!(stand.holds().await.0, 2 + 1 + 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_hundred_writers_who_expect_nothing_none_is_lost() {
    let stand = Stand::new().await;
    let actor = stand.actor("a@example.org").await;
    let conversation = started(&stand.service, actor).await;
    let services = [stand.service.clone(), stand.beside().await];
    let race = (0..WRITERS).map(|writer| {
        let service = services[writer % 2].clone();
        tokio::spawn(async move { done(&service, actor, order(conversation, [say(format!("{writer}"))])).await })
    });
    let told: Vec<Done> = join_all(race).await.into_iter().map(|raced| raced.expect("no panic")).collect();
    let versions: BTreeSet<i32> = told.iter().map(|done| done.version.0).collect();
    assert!(versions.into_iter().eq(2..=101), "each has a version of its own");

    let events = stand.service.missed(actor, conversation, Version(1), 1_000).await.expect("an answer");
    let told: HashSet<_> = told.iter().map(|done| (done.message, done.position, done.version)).collect();
    let there: HashSet<_> = events
        .iter()
        .map(|event| (Some(event.recorded.fact.id.into()), event.recorded.position, event.recorded.version))
        .collect();
    assert_eq!((events.len(), there), (WRITERS, told), "each is there once, where its writer was told");
    stand.holds().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_named_command_that_is_sent_five_times_at_once_is_done_once_and_told_alike() {
    let stand = Stand::new().await;
    let actor = stand.actor("a@example.org").await;
    let services = [stand.service.clone(), stand.beside().await];
    let conversation = started(&stand.service, actor).await;
    for round in 0..20 {
        let send = (0..5).map(|time: usize| {
            let service = services[time % 2].clone();
            // What an edge chooses anew on every try: a message's id, and a conversation's when it is being started.
            let (conversation, acts) = if round % 2 == 0 {
                (conversation, vec![say("hello")])
            } else {
                (ConversationId(random::id()), vec![Act::Start(Start::default()), say("hello")])
            };
            let order = named(order(conversation, acts), &format!("name {round}"), "say hello");
            tokio::spawn(async move { service.execute(actor, order).await.expect("an answer") })
        });
        let (mut first, mut again) = (Vec::new(), Vec::new());
        for sent in join_all(send).await {
            match sent.expect("no panic") {
                Outcome::Done(done) => first.push(done),
                Outcome::AlreadyDone(done) => again.push(done),
                outcome => panic!("round {round}: {outcome:?}"),
            }
        }
        assert_eq!((first.len(), again.len()), (1, 4), "round {round}");
        assert!(again.iter().all(|done| *done == first[0]), "round {round}: {first:?} {again:?}");
    }
    let other = named(order(conversation, [say("goodbye")]), "name 0", "say goodbye");
    let outcome = stand.service.execute(actor, other).await.expect("an answer");
    assert!(matches!(outcome, Outcome::Refused(Reason::NameReused)), "{outcome:?}");
    // Names are an actor's own.
    let stranger = stand.actor("b@example.org").await;
    let theirs = started(&stand.service, stranger).await;
    done(&stand.service, stranger, named(order(theirs, [say("hello")]), "name 0", "say hello")).await;
    stand.holds().await;
}

#[tokio::test]
async fn a_named_command_is_told_its_first_answer_even_when_it_would_be_refused_or_stale_by_now() {
    let stand = Stand::new().await;
    let actor = stand.actor("a@example.org").await;
    let conversation = started(&stand.service, actor).await;
    let once = || Order {
        expected: Some(Version(1)),
        ..named(order(conversation, [say("hello")]), "hello", "say hello at version 1")
    };
    let first = done(&stand.service, actor, once()).await;
    done(&stand.service, actor, order(conversation, [Act::Delete])).await;
    for service in [&stand.service, &stand.beside().await] {
        let outcome = service.execute(actor, once()).await.expect("an answer");
        assert!(matches!(&outcome, Outcome::AlreadyDone(done) if *done == first), "{outcome:?}");
        let outcome = service.execute(actor, order(conversation, [say("more")])).await.expect("an answer");
        assert!(matches!(outcome, Outcome::Refused(Reason::Rule(_))), "{outcome:?}");
    }
    let words = stand.service.missed(actor, conversation, Version(1), 1).await.expect("an answer").remove(0);
    let Event::MessageAppended(said) = words.event else { panic!("a message") };
    assert!(matches!(said.parts, Private::Known(_)));
}
