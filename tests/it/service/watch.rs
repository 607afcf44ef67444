//! A watcher sees each event once and in order, however often it is cut off and however slow it is.

use std::time::Duration;

use convoledger::event::{Position, Version};
use convoledger::service::{Actor, Service, Watched};
use futures::{StreamExt as _, stream};
use tokio::task::JoinHandle;

use crate::support::service::{Stand, done, order, say, started};

/// Says `count` things, in pieces, and is heard by nobody but the log.
fn chatter(service: &Service, actor: Actor, count: usize) -> JoinHandle<()> {
    let service = service.clone();
    tokio::spawn(async move {
        let conversation = started(&service, actor).await;
        for number in 0..count {
            done(&service, actor, order(conversation, [say(format!("{number}"))])).await;
        }
    })
}

/// The positions of the actor's own events, as a plain reading of the log finds them.
async fn there(service: &Service, actor: Actor) -> Vec<i64> {
    let page = service.log().read_owner(actor.owner(), Position(0), 100_000).await.expect("a page");
    page.events.iter().map(|event| event.position.0).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cut_and_resumed_a_hundred_times_under_load_it_sees_each_event_once_in_order() {
    let stand = Stand::new().await;
    let (actor, stranger) = (stand.actor("a@example.org").await, stand.actor("b@example.org").await);
    let servers = [stand.service.clone(), stand.beside().await];
    let load: Vec<_> =
        (0..8).map(|writer| chatter(&servers[writer % 2], if writer < 6 { actor } else { stranger }, 100)).collect();
    let (mut seen, mut cuts) = (Vec::new(), 0);
    let total = 2 + 6 * 101;
    while seen.len() < total {
        let after = Position(seen.last().copied().unwrap_or_default());
        let watch = servers[cuts % 2].watch(actor, after, Watched::default());
        // Cut after a few events, or in the middle of waiting for the next one.
        let piece = watch.take(1 + cuts * 7 % 11).map(|event| event.expect("an event").recorded.position.0);
        let deadline = tokio::time::sleep(Duration::from_millis(50 + 13 * (cuts as u64 % 5)));
        seen.extend(piece.take_until(deadline).collect::<Vec<_>>().await);
        cuts += 1;
    }
    assert!(cuts >= 100, "{cuts} cuts");
    for writer in load {
        writer.await.expect("no panic");
    }
    assert_eq!(seen, there(&stand.service, actor).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_that_is_too_slow_for_the_tail_loses_nothing() {
    let stand = Stand::new().await;
    let actor = stand.actor("a@example.org").await;
    let mut slow = Box::pin(stand.service.watch(actor, Position(0), Watched::default()));
    let first = slow.next().await.expect("an event").expect("an event").recorded.position.0;
    let load: Vec<_> = (0..4).map(|_| chatter(&stand.service, actor, 300)).collect();
    for writer in load {
        writer.await.expect("no panic");
    }
    // More batches went by than the tail keeps for anyone.
    let mut seen = vec![first];
    while seen.len() < 2 + 4 * 301 {
        seen.push(slow.next().await.expect("an event").expect("an event").recorded.position.0);
    }
    assert_eq!(seen, there(&stand.service, actor).await);
}

#[tokio::test]
async fn only_what_is_watched_is_seen() {
    let stand = Stand::new().await;
    let actor = stand.actor("a@example.org").await;
    let (watched, other) = (started(&stand.service, actor).await, started(&stand.service, actor).await);
    let one = Watched { stream: Some(watched.into()), kinds: Vec::new() };
    let said = Watched { stream: None, kinds: vec!["message.appended".into()] };
    let both = [one, said].map(|filter| stand.service.watch(actor, Position(0), filter));
    for conversation in [other, watched, other, watched] {
        done(&stand.service, actor, order(conversation, [say("hello")])).await;
    }
    let [one, said] = both;
    let versions = one.take(3).map(|event| event.expect("an event").recorded.version).collect::<Vec<_>>().await;
    assert_eq!(versions, [Version(1), Version(2), Version(3)]);
    let streams = said.take(4).map(|event| event.expect("an event").recorded.fact.stream).collect::<Vec<_>>().await;
    assert_eq!(streams, [other.into(), watched.into(), other.into(), watched.into()]);
}

#[tokio::test]
async fn a_stranger_watches_in_vain() {
    let stand = Stand::new().await;
    let (actor, stranger) = (stand.actor("a@example.org").await, stand.actor("b@example.org").await);
    let theirs = there(&stand.service, stranger).await;
    let conversation = started(&stand.service, actor).await;
    let named = Watched { stream: Some(conversation.into()), kinds: Vec::new() };
    let mut watches = stream::select(
        Box::pin(stand.service.watch(stranger, Position(0), Watched::default())),
        Box::pin(stand.service.watch(stranger, Position(0), named)),
    );
    for _ in 0..5 {
        done(&stand.service, actor, order(conversation, [say("hello")])).await;
    }
    let mut seen = Vec::new();
    while let Ok(Some(event)) = tokio::time::timeout(Duration::from_millis(300), watches.next()).await {
        seen.push(event.expect("an event").recorded.position.0);
    }
    assert_eq!(seen, theirs);
}
