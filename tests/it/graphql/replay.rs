//! Replaying over a subscription.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Caller, Served};
use crate::support::sse::Events;

async fn replay(served: &Served, caller: &Caller<'_>, variables: Value) -> Events {
    let query = "subscription ($id: ID!, $after: Cursor, $speed: Float) { \
                 replay(id: $id, after: $after, speed: $speed) { version kind words cursor } }";
    let request = served.client.post(&served.url).bearer_auth(&caller.token).header("accept", "text/event-stream");
    Events::of(request.json(&json!({"query": query, "variables": variables})).send().await.expect("a stream"))
}

async fn next(events: &mut Events) -> Value {
    let event = events.next().await.expect("an event");
    let mut answer: Value = serde_json::from_str(&event.data).expect("JSON");
    assert_eq!(answer["errors"], Value::Null, "{answer}");
    answer["data"]["replay"].take()
}

#[tokio::test]
async fn a_conversation_is_replayed_from_any_cursor_and_then_goes_on() {
    let served = Served::start().await;
    let ann = served.caller("ann@example.org").await;
    let id = ann.conversation(json!({"title": "t"})).await;
    ann.conversation(json!({"title": "of something else"})).await;
    for nth in 0..4 {
        ann.say(json!({"conversationId": id, "role": "USER", "text": format!("m{nth}")})).await;
    }
    let mut events = replay(&served, &ann, json!({"id": id})).await;
    let mut seen = Vec::new();
    for version in 1..=6 {
        let event = next(&mut events).await;
        assert_eq!(event["version"], version);
        seen.push(event);
    }
    ann.conversation(json!({"title": "of something else"})).await;
    ann.say(json!({"conversationId": id, "role": "USER", "text": "live"})).await;
    let live = next(&mut events).await;
    assert_eq!((&live["version"], &live["words"]["0"]), (&json!(7), &json!("live")));

    let mut later = replay(&served, &ann, json!({"id": id, "after": seen[3]["cursor"], "speed": 1e9})).await;
    for expected in [&seen[4], &seen[5], &live] {
        assert_eq!(next(&mut later).await, *expected);
    }
}

#[tokio::test]
async fn the_pace_is_that_of_the_conversation() {
    let served = Served::start().await;
    let ann = served.caller("ann@example.org").await;
    let id = ann.conversation(json!({"occurredAt": "2025-01-01T00:00:00Z"})).await;
    for (second, text) in [(20, "a"), (40, "b"), (35, "c")] {
        let at = format!("2025-01-01T00:00:{second}Z");
        ann.say(json!({"conversationId": id, "role": "USER", "text": text, "occurredAt": at})).await;
    }
    let mut events = replay(&served, &ann, json!({"id": id, "speed": 20.0})).await;
    assert_eq!(next(&mut events).await["version"], 1);
    let began = Instant::now();
    for (version, second) in [(2, 1), (3, 2), (4, 2)] {
        assert_eq!(next(&mut events).await["version"], version);
        let late = began.elapsed();
        assert!(late > Duration::from_millis(second * 1_000 - 300), "{late:?} for {version}");
        assert!(late < Duration::from_millis(second * 1_000 + 900), "{late:?} for {version}");
    }
}

#[tokio::test]
async fn a_speed_is_positive_and_a_stranger_hears_nothing() {
    let served = Served::start().await;
    let (ann, bob) = (served.caller("ann@example.org").await, served.caller("bob@example.org").await);
    let id = ann.conversation(json!({})).await;
    for speed in [0.0, -1.0] {
        let mut events = replay(&served, &ann, json!({"id": id, "speed": speed})).await;
        let said = events.next().await.expect("an answer").data;
        assert!(said.contains("a positive, finite number") && said.contains("BAD_USER_INPUT"), "{said}");
    }
    let mut events = replay(&served, &bob, json!({"id": id})).await;
    assert!(tokio::time::timeout(Duration::from_millis(500), events.next()).await.is_err());
}
