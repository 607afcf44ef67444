//! graphql-transport-ws, message by message.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use convoledger::api::graphql::gate::Timers;
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message, handshake::client::Request};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::toy::{TOKEN, Toy};

const EVENTS: &str = "subscription ($after: Cursor, $to: Int, $size: Int, $ms: Int) { \
                      events(after: $after, to: $to, size: $size, everyMs: $ms) { position padding } }";

#[tokio::test]
async fn a_subscription_runs_to_its_end_and_resumes_after_its_cursor() {
    let toy = Toy::start().await;
    let mut client = toy.client().await;
    client.subscribe("a", EVENTS, json!({"to": 3})).await;
    for position in 1..=3 {
        let next = client.hear().await;
        assert_eq!(next["payload"]["data"]["events"]["position"], position);
        assert_eq!(next["payload"]["extensions"]["cursor"], format!("c{position}"), "though it was not selected");
    }
    assert_eq!(client.hear().await, json!({"type": "complete", "id": "a"}));
    client.subscribe("a", EVENTS, json!({"after": "c2", "to": 3})).await;
    assert_eq!(client.hear().await["payload"]["data"]["events"]["position"], 3, "an id is free once it is done");
}

#[tokio::test]
async fn queries_and_mutations_run_too() {
    let toy = Toy::start().await;
    let mut client = toy.client().await;
    client.subscribe("q", "{ viewer }", json!({})).await;
    assert_eq!(client.hear().await, json!({"type": "next", "id": "q", "payload": {"data": {"viewer": "ann"}}}));
    assert_eq!(client.hear().await, json!({"type": "complete", "id": "q"}));
    client.subscribe("m", "mutation { bump }", json!({})).await;
    assert_eq!(client.hear().await["payload"]["data"]["bump"], 1);
    assert_eq!(client.hear().await["type"], "complete");
    for (query, code) in [
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { refused }", "CURSOR"),
        ("{ panics }", "INTERNAL"),
        ("subscription { a: events { position } b: events { position } }", "GRAPHQL_VALIDATION_FAILED"),
    ] {
        client.subscribe("e", query, json!({})).await;
        let error = client.hear().await;
        assert_eq!((&error["type"], &error["payload"][0]["extensions"]["code"]), (&json!("error"), &json!(code)));
    }
}

#[tokio::test]
async fn a_completed_subscription_says_no_more_under_its_id() {
    let toy = Toy::start().await;
    let mut client = toy.client().await;
    client.subscribe("a", EVENTS, json!({"size": 10_000, "ms": 0})).await;
    client.hear().await;
    client.say(&json!({"type": "complete", "id": "a"})).await;
    client.say(&json!({"type": "complete", "id": "unknown"})).await;
    client.subscribe("a", "{ viewer }", json!({})).await;
    loop {
        let message = client.hear().await;
        if message["payload"]["data"]["viewer"] == "ann" {
            break;
        }
        assert!(message["payload"]["data"]["events"].is_object(), "{message}");
    }
    assert_eq!(client.hear().await["type"], "complete");
    client.silent().await;
}

#[tokio::test]
async fn foreign_pages_and_wrong_tokens_are_refused_at_the_upgrade() {
    let toy = Toy::start().await;
    for (origin, token, status) in [
        ("https://evil.example", None, 403),
        ("null", Some(TOKEN), 403),
        ("https://friend.example", Some("wrong"), 401),
        ("https://friend.example", Some("busy"), 503),
    ] {
        let mut request = toy.upgrade();
        request.headers_mut().insert("origin", origin.parse().unwrap());
        if let Some(token) = token {
            request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        match connect_async(request).await {
            Err(Error::Http(response)) => assert_eq!(response.status().as_u16(), status),
            other => panic!("{origin} {token:?}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_token_may_come_with_the_upgrade_or_in_either_payload() {
    let toy = Toy::start().await;
    let mut request = toy.upgrade();
    request.headers_mut().insert("authorization", format!("Bearer {TOKEN}").parse().unwrap());
    let mut client = Client(connect_async(request).await.unwrap().0);
    client.say(&json!({"type": "connection_init"})).await;
    assert_eq!(client.hear().await["type"], "connection_ack");
    for payload in [json!({"token": TOKEN}), json!({"authorization": format!("Bearer {TOKEN}")})] {
        let mut client = toy.connect().await;
        client.say(&json!({"type": "connection_init", "payload": payload})).await;
        assert_eq!(client.hear().await["type"], "connection_ack");
    }
}

#[tokio::test]
async fn breaches_of_the_protocol_close_with_their_code() {
    let toy = Toy::start().await;
    let init = json!({"type": "connection_init", "payload": {"token": TOKEN}});
    let subscribe = json!({"type": "subscribe", "id": "a", "payload": {"query": EVENTS}});
    let text = |value: &Value| Message::text(value.to_string());
    let long = "x".repeat(1_000);
    for (messages, code) in [
        (vec![text(&subscribe)], 4401),
        (vec![text(&json!({"type": "connection_init"}))], 4403),
        (vec![text(&json!({"type": "connection_init", "payload": {"token": "wrong"}}))], 4403),
        (vec![text(&json!({"type": "connection_init", "payload": {"token": "busy"}}))], 4503),
        (vec![text(&init), text(&init)], 4429),
        (vec![text(&init), text(&subscribe), text(&subscribe)], 4409),
        (vec![text(&json!({"type": "nonsense"}))], 4400),
        (vec![text(&init), text(&json!({"type": "nonsense", "id": &long}))], 4400),
        (vec![text(&init), text(&json!({"type": &long}))], 4400),
        (vec![text(&init), text(&json!({"type": "subscribe", "id": "a"}))], 4400),
        (vec![text(&init), text(&json!({"type": "subscribe", "id": 1, "payload": {"query": EVENTS}}))], 4400),
        (vec![text(&init), text(&json!({"type": "subscribe", "id": "a", "payload": {"query": 1}}))], 4400),
        (vec![text(&init), text(&json!({"type": "complete"}))], 4400),
        (vec![text(&json!({"type": "ping", "payload": "x"}))], 4400),
        (vec![Message::text("{")], 4400),
        (vec![Message::text("[]")], 4400),
        (vec![Message::binary(init.to_string())], 4400),
        (vec![text(&init), text(&json!({"type": "ping", "payload": {"x": "x".repeat(70_000)}}))], 1009),
    ] {
        let mut client = toy.connect().await;
        for message in messages {
            client.0.send(message).await.unwrap();
        }
        let (closed, reason) = client.closed().await;
        assert_eq!(closed, code, "{reason}");
        assert!(reason.len() <= 123);
    }
    let mut request = toy.upgrade();
    request.headers_mut().remove("sec-websocket-protocol");
    let mut client = Client(connect_async(request).await.unwrap().0);
    assert_eq!(client.closed().await.0, 4406);
}

#[tokio::test]
async fn who_does_not_introduce_himself_is_not_waited_for() {
    let toy = Toy::patient(Timers { init: Duration::from_millis(100), ..Timers::default() }).await;
    let mut silent = toy.connect().await;
    assert_eq!(silent.closed().await.0, 4408);
    let mut chatty = toy.connect().await;
    chatty.say(&json!({"type": "ping"})).await;
    assert_eq!(chatty.hear().await, json!({"type": "pong"}));
    assert_eq!(chatty.closed().await.0, 4408);
}

#[tokio::test]
async fn both_sides_may_ping() {
    let timers =
        Timers { ping_every: Duration::from_millis(50), pong: Duration::from_millis(150), ..Timers::default() };
    let toy = Toy::patient(timers).await;
    let mut client = toy.client().await;
    client.say(&json!({"type": "ping", "payload": {"n": 1}})).await;
    assert_eq!(client.hear().await, json!({"type": "pong", "payload": {"n": 1}}));
    for _ in 0..6 {
        assert_eq!(client.hear().await, json!({"type": "ping"}));
        client.say(&json!({"type": "pong"})).await;
    }
    assert_eq!(client.closed().await.0, 4408, "without pongs");
}

#[tokio::test]
async fn a_revoked_token_closes_its_sockets() {
    let toy = Toy::patient(Timers { recheck_every: Duration::from_millis(50), ..Timers::default() }).await;
    let mut client = toy.client().await;
    client.subscribe("a", EVENTS, json!({"ms": 10_000})).await;
    client.silent().await;
    toy.revoke(TOKEN);
    assert_eq!(client.closed().await.0, 4403);
}

#[tokio::test]
async fn subscriptions_and_sockets_are_counted() {
    let toy = Toy::start().await;
    let mut client = toy.client().await;
    for n in 0..33 {
        client.subscribe(&n.to_string(), EVENTS, json!({"ms": 60_000})).await;
    }
    let error = client.hear().await;
    assert_eq!((&error["type"], &error["id"]), (&json!("error"), &json!("32")));
    assert_eq!(error["payload"][0]["extensions"]["code"], "TOO_MANY_SUBSCRIPTIONS");
    client.say(&json!({"type": "complete", "id": "0"})).await;
    client.subscribe("again", EVENTS, json!({"to": 1})).await;
    assert_eq!(client.hear().await["id"], "again", "a completed one makes room");

    let mut others = Vec::new();
    for _ in 1..16 {
        others.push(toy.client().await);
    }
    let mut beyond = toy.connect().await;
    beyond.init().await;
    assert_eq!(beyond.closed().await.0, 4429);
    drop(client);
    tokio::time::sleep(Duration::from_millis(100)).await;
    toy.client().await;
}

#[tokio::test]
async fn who_does_not_read_is_cut_with_his_cursor_and_costs_little() {
    let toy = Toy::patient(Timers { write: Duration::from_secs(2), ..Timers::default() }).await;
    let mut client = toy.client().await;
    client.subscribe("a", EVENTS, json!({"size": 20_000, "ms": 0})).await;
    let produced = toy.stalled().await;
    // Longer than a write may take, and shorter than a write and a farewell.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(toy.produced.load(SeqCst), produced, "nothing is made that nobody takes");
    let mut last = 0;
    let (code, reason) = loop {
        match client.0.next().await.unwrap().unwrap() {
            Message::Text(text) => {
                let message: Value = serde_json::from_str(&text).unwrap();
                let position = message["payload"]["data"]["events"]["position"].as_i64().unwrap();
                assert_eq!(position, last + 1);
                last = position;
            }
            Message::Close(Some(frame)) => break (u16::from(frame.code), frame.reason.to_string()),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((code, reason), (4410, json!({"cursor": format!("c{last}")}).to_string()));
    assert!(usize::try_from(last).unwrap() + 258 >= produced, "{produced} were made, {last} came through");

    let mut silent = toy.client().await;
    silent.subscribe("a", EVENTS, json!({"size": 20_000, "ms": 0})).await;
    tokio::time::timeout(Duration::from_secs(30), toy.gate.drained())
        .await
        .expect("who never reads does not stay for ever");
}

#[tokio::test]
async fn a_shutdown_lets_answers_go_and_then_closes() {
    let toy = Toy::start().await;
    let mut client = toy.client().await;
    client.subscribe("s", EVENTS, json!({"ms": 60_000})).await;
    client.subscribe("m", "mutation { bump(afterMs: 300) }", json!({})).await;
    client.silent().await;
    toy.shutdown.cancel();
    client.subscribe("late", "{ viewer }", json!({})).await;
    let refused = client.hear().await;
    assert_eq!((&refused["id"], &refused["payload"][0]["extensions"]["code"]), (&json!("late"), &json!("UNAVAILABLE")));
    assert_eq!(client.hear().await["payload"]["data"]["bump"], 1);
    assert_eq!(client.hear().await, json!({"type": "complete", "id": "m"}));
    assert_eq!(client.closed().await.0, 1001);
    drop(client);
    tokio::time::timeout(Duration::from_secs(1), toy.gate.drained()).await.expect("no socket is left");
    let mut late = toy.connect().await;
    assert_eq!(late.closed().await.0, 1001);
}

pub struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Toy {
    fn upgrade(&self) -> Request {
        let mut request = format!("ws://{}/graphql", self.address).into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().unwrap());
        request
    }

    pub async fn connect(&self) -> Client {
        Client(connect_async(self.upgrade()).await.unwrap().0)
    }

    /// How many items were made once no more are.
    pub async fn stalled(&self) -> usize {
        let mut before = 0;
        loop {
            tokio::time::sleep(Duration::from_millis(250)).await;
            match self.produced.load(SeqCst) {
                now if now > 0 && now == before => return now,
                now => before = now,
            }
        }
    }

    pub async fn client(&self) -> Client {
        let mut client = self.connect().await;
        client.init().await;
        assert_eq!(client.hear().await, json!({"type": "connection_ack"}));
        client
    }
}

impl Client {
    async fn say(&mut self, message: &Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    pub async fn init(&mut self) {
        self.say(&json!({"type": "connection_init", "payload": {"token": TOKEN}})).await;
    }

    async fn subscribe(&mut self, id: &str, query: &str, variables: Value) {
        let payload = json!({"query": query, "variables": variables});
        self.say(&json!({"type": "subscribe", "id": id, "payload": payload})).await;
    }

    async fn hear(&mut self) -> Value {
        match self.0.next().await.unwrap().unwrap() {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    async fn silent(&mut self) {
        let heard = tokio::time::timeout(Duration::from_millis(120), self.0.next()).await;
        assert!(heard.is_err(), "{heard:?}");
    }

    /// The code and reason of the close, whatever is said before.
    pub async fn closed(&mut self) -> (u16, String) {
        let closing = async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Close(Some(frame)))) => break (frame.code.into(), frame.reason.to_string()),
                    Some(Ok(_)) => {}
                    other => panic!("no close frame, but {other:?}"),
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(5), closing).await.expect("a close")
    }
}
