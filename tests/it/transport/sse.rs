//! Server-Sent Events, event by event.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use convoledger::api::graphql::gate::Timers;
use reqwest::header::{ACCEPT, CONTENT_TYPE, ORIGIN, VARY};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::toy::{TOKEN, Toy};
use crate::support::sse::{Event, Events};

const STREAM: &str = "text/event-stream";
const LAST_EVENT_ID: &str = "last-event-id";
const EVENTS: &str = "subscription ($after: Cursor, $to: Int, $size: Int, $ms: Int) { \
                      events(after: $after, to: $to, size: $size, everyMs: $ms) { position padding } }";

#[tokio::test]
async fn a_subscription_streams_to_its_end_and_resumes_after_its_cursor() {
    let toy = Toy::start().await;
    let response = toy.subscribe(EVENTS, &json!({"to": 3})).send().await.unwrap();
    assert_eq!(response.headers()[CONTENT_TYPE], STREAM);
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert!(response.headers().get_all(VARY).iter().any(|vary| vary == "accept"));
    let mut events = Events::of(response);
    for position in 1..=3 {
        let event = events.next().await.unwrap();
        assert_eq!((event.event.as_str(), event.id.as_deref()), ("next", Some(&*format!("c{position}"))));
        let answer: Value = serde_json::from_str(&event.data).unwrap();
        assert_eq!(answer["data"]["events"]["position"], position);
        assert_eq!(answer["extensions"]["cursor"], format!("c{position}"), "though it was not selected");
    }
    assert_eq!(events.next().await.unwrap().event, "complete");
    assert_eq!(events.next().await, None);

    for (variables, id) in [
        (json!({"after": "c2", "to": 3}), None),
        (json!({"to": 3}), Some("c2")),
        (json!({"after": "c1", "to": 3}), Some("c2")),
        (json!({"after": "c2", "to": 3}), Some("")),
    ] {
        let request = toy.subscribe(EVENTS, &variables);
        let request = id.map_or(request.try_clone().unwrap(), |id| request.header(LAST_EVENT_ID, id));
        let (event, _) = answers(request).await.swap_remove(0);
        assert_eq!(event.id.as_deref(), Some("c3"));
    }
}

#[tokio::test]
async fn whatever_comes_of_a_document_is_streamed() {
    let toy = Toy::start().await;
    let whole = answers(toy.subscribe("mutation { bump }", &json!({}))).await;
    assert_eq!(whole[0].1, json!({"data": {"bump": 1}}));
    assert_eq!((whole.len(), whole[1].0.event.as_str()), (2, "complete"));
    let deep = format!("{}viewer{}", "{ query ".repeat(12) + "{", "}".repeat(13));
    let dear = "{ queries(first: 201) { queries(first: 100) { viewer } } }".to_owned();
    let wide: Vec<_> = (0..101).map(|nth| format!("a{nth}: position")).collect();
    for (query, code) in [
        ("{ nothing }".to_owned(), "GRAPHQL_VALIDATION_FAILED"),
        ("{".to_owned(), "GRAPHQL_PARSE_FAILED"),
        (deep, "TOO_LARGE"),
        (dear, "GRAPHQL_VALIDATION_FAILED"),
        (format!("subscription {{ events {{ {} }} }}", wide.join(" ")), "TOO_LARGE"),
        ("subscription { a: events { position } b: events { position } }".to_owned(), "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { nothing }".to_owned(), "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { refused }".to_owned(), "CURSOR"),
        ("{ panics }".to_owned(), "INTERNAL"),
    ] {
        let whole = answers(toy.subscribe(&query, &json!({}))).await;
        assert_eq!((whole.len(), whole[1].0.event.as_str()), (2, "complete"), "{query}");
        assert_eq!(whole[0].1["errors"][0]["extensions"]["code"], code, "{query}: {}", whole[0].1);
        assert!(!whole[0].1.to_string().contains("hunter2"));
    }
}

#[tokio::test]
async fn what_is_no_request_has_its_status() {
    let toy = Toy::start().await;
    let bare = |accept: &'static str| Client::new().post(toy.url()).header(ACCEPT, accept);
    let question = json!({"query": "subscription { events { position } }"});
    for (request, status) in [
        (bare(STREAM).json(&question), 401),
        (bare(STREAM).bearer_auth("wrong").json(&question), 401),
        (bare(STREAM).bearer_auth("busy").json(&question), 503),
        (bare(STREAM).bearer_auth(TOKEN).header(ORIGIN, "https://evil.example").json(&question), 403),
        (bare(STREAM).bearer_auth(TOKEN).header(CONTENT_TYPE, "text/plain").body(question.to_string()), 415),
        (bare(STREAM).bearer_auth(TOKEN).json(&json!([question])), 400),
        (bare(STREAM).bearer_auth(TOKEN).json(&json!({"query": "{ viewer }", "x": "x".repeat(256 << 10)})), 413),
        (bare("text/html").bearer_auth(TOKEN).json(&question), 406),
    ] {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
        assert_eq!(answer.headers()[CONTENT_TYPE], "application/json; charset=utf-8");
    }
    let get = Client::new().get(format!("{}?query=subscription+%7B+events+%7B+position+%7D+%7D", toy.url()));
    let get = get.header(ACCEPT, STREAM).bearer_auth(TOKEN).send().await.unwrap();
    assert_eq!(get.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn who_takes_both_forms_is_streamed_subscriptions_alone() {
    let toy = Toy::start().await;
    let both = "application/graphql-response+json, application/json, text/event-stream, multipart/mixed";
    for (query, accept, content) in [
        ("{ viewer }", both, "application/graphql-response+json; charset=utf-8"),
        ("subscription { events(to: 1) { position } }", both, STREAM),
        ("subscription { events(to: 1) { position } }", "*/*", "application/json; charset=utf-8"),
    ] {
        let request = Client::new().post(toy.url()).bearer_auth(TOKEN).header(ACCEPT, accept);
        let answer = request.json(&json!({"query": query})).send().await.unwrap();
        assert_eq!(answer.headers()[CONTENT_TYPE], content, "{query} as {accept}");
    }
}

#[tokio::test]
async fn silence_is_filled_with_comments() {
    let toy = Toy::patient(Timers { ping_every: Duration::from_millis(50), ..Timers::default() }).await;
    let mut events = toy.stream(&json!({"ms": 60_000})).await;
    for _ in 0..3 {
        let heard = timeout(Duration::from_secs(1), events.hear()).await.expect("a comment").unwrap();
        assert_eq!((heard.comment, heard.event.as_str()), (true, ""));
    }
}

#[tokio::test]
async fn a_revoked_token_ends_its_streams() {
    let toy = Toy::patient(Timers { recheck_every: Duration::from_millis(50), ..Timers::default() }).await;
    let mut events = toy.stream(&json!({"ms": 60_000})).await;
    assert!(timeout(Duration::from_millis(200), events.next()).await.is_err(), "while it opens, the stream stays");
    toy.revoke(TOKEN);
    let end = timeout(Duration::from_secs(1), events.next()).await.expect("an end");
    assert_eq!(end, None, "and nothing says that it is complete");
}

#[tokio::test]
async fn streams_and_sockets_share_their_places() {
    let toy = Toy::start().await;
    let socket = toy.client().await;
    let mut streams = Vec::new();
    for _ in 1..16 {
        streams.push(toy.stream(&json!({"ms": 60_000})).await);
    }
    let beyond = toy.subscribe(EVENTS, &json!({})).send().await.unwrap();
    assert_eq!(beyond.status(), StatusCode::TOO_MANY_REQUESTS);
    let refused: Value = beyond.json().await.unwrap();
    assert_eq!(refused["errors"][0]["extensions"]["code"], "TOO_MANY_SUBSCRIPTIONS");
    assert_eq!(answers(toy.subscribe("{ viewer }", &json!({}))).await.len(), 2, "what ends at once needs no place");
    let mut late = toy.connect().await;
    late.init().await;
    assert_eq!(late.closed().await.0, 4429);
    streams.pop();
    sleep(Duration::from_millis(100)).await;
    drop(socket);
    sleep(Duration::from_millis(100)).await;
    toy.client().await;
    toy.stream(&json!({"ms": 60_000})).await;
}

#[tokio::test]
async fn who_does_not_read_is_cut_and_resumes_after_what_he_read() {
    let toy = Toy::patient(Timers { write: Duration::from_secs(1), ..Timers::default() }).await;
    let mut others = Vec::new();
    for _ in 1..16 {
        others.push(toy.stream(&json!({"ms": 60_000})).await);
    }
    let body = json!({"query": EVENTS, "variables": {"size": 20_000, "ms": 0}}).to_string();
    let mut lazy = TcpStream::connect(toy.address).await.unwrap();
    let head = format!(
        "POST /graphql HTTP/1.1\r\nHost: toy\r\nAuthorization: Bearer {TOKEN}\r\nAccept: {STREAM}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    lazy.write_all(head.as_bytes()).await.unwrap();
    let produced = toy.stalled().await;
    assert_eq!(toy.subscribe(EVENTS, &json!({})).send().await.unwrap().status(), StatusCode::TOO_MANY_REQUESTS);
    sleep(Duration::from_millis(2_500)).await;
    assert_eq!(toy.produced.load(SeqCst), produced, "nothing is made that nobody takes");
    others.push(toy.stream(&json!({"ms": 60_000})).await); // its place is free

    let mut read = Vec::new();
    let _ = lazy.read_to_end(&mut read).await; // what had left, and then an end
    let read = String::from_utf8_lossy(&read);
    assert!(!read.contains("event: complete"));
    let ids: Vec<i64> = read.lines().filter_map(|line| line.strip_prefix("id: c")?.parse().ok()).collect();
    assert!(ids.iter().copied().eq(1..=i64::try_from(ids.len()).unwrap()) && ids.len() <= produced, "{}", ids.len());
    others.pop();
    sleep(Duration::from_millis(100)).await;
    let last = ids.len();
    let request = toy.subscribe(EVENTS, &json!({"to": last + 1})).header(LAST_EVENT_ID, format!("c{last}"));
    assert_eq!(answers(request).await[0].1["data"]["events"]["position"], last + 1);
}

#[tokio::test]
async fn a_shutdown_ends_streams_and_lets_answers_go() {
    let toy = Toy::start().await;
    let mut events = toy.stream(&json!({"ms": 60_000})).await;
    let bump = tokio::spawn(answers(toy.subscribe("mutation { bump(afterMs: 300) }", &json!({}))));
    sleep(Duration::from_millis(100)).await;
    toy.shutdown.cancel();
    let end = timeout(Duration::from_millis(150), events.next()).await.expect("an end");
    assert_eq!(end, None, "and nothing says that it is complete");
    let late = toy.subscribe(EVENTS, &json!({})).send().await.unwrap();
    assert_eq!(late.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(bump.await.unwrap()[0].1["data"]["bump"], 1);
}

impl Toy {
    /// An operation, to be answered by a stream.
    fn subscribe(&self, query: &str, variables: &Value) -> RequestBuilder {
        let request = Client::new().post(self.url()).bearer_auth(TOKEN).header(ACCEPT, STREAM);
        request.json(&json!({"query": query, "variables": variables}))
    }

    /// A stream of the toy's events that has begun.
    async fn stream(&self, variables: &Value) -> Events {
        let response = self.subscribe(EVENTS, variables).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        Events::of(response)
    }
}

/// All events of an answer that ends, and what they say.
async fn answers(request: RequestBuilder) -> Vec<(Event, Value)> {
    let response = request.send().await.unwrap();
    assert_eq!((response.status(), response.headers()[CONTENT_TYPE].to_str().unwrap()), (StatusCode::OK, STREAM));
    let (mut events, mut heard) = (Events::of(response), Vec::new());
    while let Some(event) = events.next().await {
        let said = serde_json::from_str(&event.data).unwrap_or_default();
        heard.push((event, said));
    }
    heard
}
