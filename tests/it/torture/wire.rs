//! GraphQL as a client speaks it, over HTTP, over a socket and by a stream of events.

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::{SinkExt as _, StreamExt as _};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use uuid::Uuid;

use crate::support::sse::Events;

const APPEND: &str = "mutation ($input: AppendMessageInput!) { appendMessage(input: $input) { __typename \
     ... on MessageDone { position message { id } } ... on MessageAlreadyDone { position message { id } } \
     ... on Refused { reason message } } }";
const START: &str = "mutation ($input: StartConversationInput!) { startConversation(input: $input) { \
     ... on ConversationDone { conversation { id } } } }";
const EVENTS: &str = "query ($after: Cursor) { events(first: 100, after: $after) { \
     edges { node { position words } } pageInfo { hasNextPage endCursor } } }";
const LIST: &str = "{ conversations(first: 1) { edges { node { id } } } }";
const WATCH: &str = "subscription ($after: Cursor) { events(after: $after) { position id } }";

/// What an append was told. What is not among these is unknown: it may have gone in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    Done { position: i64, message: Uuid, repeated: bool },
    Refused { reason: String },
}

/// Whoever holds this token.
#[derive(Clone)]
pub struct Caller {
    http: Client,
    token: String,
}

impl Caller {
    pub fn new(token: String) -> Self {
        let http = Client::builder().timeout(Duration::from_secs(15)).build().expect("a client");
        Self { http, token }
    }

    /// Appends a message; none when it is unknown what became of it.
    pub async fn append(&self, to: SocketAddr, conversation: &str, command: &str, text: &str) -> Option<Told> {
        let input =
            json!({ "conversationId": conversation, "role": "USER", "text": text, "clientMutationId": command });
        let data = self.ask(to, APPEND, json!({ "input": input })).await?;
        let payload = &data["appendMessage"];
        match payload["__typename"].as_str()? {
            kind @ ("MessageDone" | "MessageAlreadyDone") => Some(Told::Done {
                position: number(&payload["position"])?,
                message: named(payload["message"]["id"].as_str()?)?,
                repeated: kind == "MessageAlreadyDone",
            }),
            "Refused" => Some(Told::Refused { reason: payload["reason"].as_str()?.to_owned() }),
            other => panic!("an append without an expected version was told {other}"),
        }
    }

    /// The id of a new conversation.
    pub async fn start(&self, to: SocketAddr) -> String {
        let data = self.ask(to, START, json!({ "input": {} })).await.expect("a conversation");
        data["startConversation"]["conversation"]["id"].as_str().expect("an id").to_owned()
    }

    /// The caller's account.
    pub async fn viewer(&self, to: SocketAddr) -> Uuid {
        let data = self.ask(to, "{ viewer { id } }", json!({})).await.expect("an answer");
        owner(data["viewer"]["id"].as_str().expect("an id")).expect("an account")
    }

    /// A list of the caller's conversations, read from the view that shows all that the caller was told; none when it
    /// was not answered.
    pub async fn list(&self, to: SocketAddr) -> Option<Value> {
        self.ask(to, LIST, json!({})).await
    }

    /// Every event of the caller's, with its words.
    pub async fn events(&self, to: SocketAddr) -> Vec<(i64, Value)> {
        let (mut events, mut after) = (Vec::new(), Value::Null);
        loop {
            let data = self.ask(to, EVENTS, json!({ "after": after })).await.expect("a page");
            for edge in data["events"]["edges"].as_array().expect("edges") {
                events.push((number(&edge["node"]["position"]).expect("a position"), edge["node"]["words"].clone()));
            }
            if data["events"]["pageInfo"]["hasNextPage"] != true {
                return events;
            }
            after = data["events"]["pageInfo"]["endCursor"].clone();
        }
    }

    /// The data of an answer without errors.
    async fn ask(&self, to: SocketAddr, query: &str, variables: Value) -> Option<Value> {
        let request = self.http.post(format!("http://{to}/graphql")).bearer_auth(&self.token);
        let response = request.json(&json!({ "query": query, "variables": variables })).send().await.ok()?;
        let status = response.status();
        let mut answer: Value = response.json().await.ok()?;
        assert!(!status.is_client_error(), "{status}: {answer}");
        if answer.get("errors").is_some() {
            let unavailable = ["UNAVAILABLE", "TIMEOUT", "INTERNAL"].map(Value::from);
            assert!(unavailable.contains(&answer["errors"][0]["extensions"]["code"]), "{answer}");
            return None;
        }
        Some(answer["data"].take())
    }

    /// Watches the caller's events after a cursor.
    pub async fn watch(&self, at: SocketAddr, by: Transport, after: Option<&str>) -> Option<Watch> {
        match by {
            Transport::Socket => self.watch_by_socket(at, after).await,
            Transport::Stream => self.watch_by_stream(at, after).await,
        }
    }

    async fn watch_by_socket(&self, at: SocketAddr, after: Option<&str>) -> Option<Watch> {
        let mut request = format!("ws://{at}/graphql").into_client_request().ok()?;
        request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().ok()?);
        let mut socket = connect_async(request).await.ok()?.0;
        say(&mut socket, &json!({ "type": "connection_init", "payload": { "token": self.token } })).await?;
        let payload = json!({ "query": WATCH, "variables": { "after": after } });
        say(&mut socket, &json!({ "type": "subscribe", "id": "events", "payload": payload })).await?;
        Some(Watch::Socket(Box::new(socket)))
    }

    /// As a client does that knows nothing of cursors: the same request again, and the last id beside it.
    async fn watch_by_stream(&self, at: SocketAddr, after: Option<&str>) -> Option<Watch> {
        let request = self.http.post(format!("http://{at}/graphql")).bearer_auth(&self.token).timeout(Duration::MAX);
        let request = request.header("accept", "text/event-stream").json(&json!({ "query": WATCH }));
        let request = match after {
            Some(id) => request.header("last-event-id", id),
            None => request,
        };
        let response = request.send().await.ok()?;
        response.status().is_success().then(|| Watch::Stream(Events::of(response)))
    }
}

/// An event that a subscriber was shown, and where it goes on behind it.
pub struct Shown {
    pub position: i64,
    pub event: Uuid,
    pub cursor: String,
}

/// How events are watched.
#[derive(Debug, Clone, Copy)]
pub enum Transport {
    Socket,
    Stream,
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub enum Watch {
    Socket(Box<Socket>),
    Stream(Events),
}

impl Watch {
    /// The next event; none when the subscription or what carries it has ended.
    pub async fn next(&mut self) -> Option<Shown> {
        match self {
            Self::Socket(socket) => loop {
                let Message::Text(text) = socket.next().await?.ok()? else { continue };
                let message: Value = serde_json::from_str(&text).ok()?;
                match message["type"].as_str()? {
                    "next" => return Shown::in_answer(&message["payload"]),
                    "ping" => say(socket, &json!({ "type": "pong" })).await?,
                    "error" | "complete" => return None,
                    _ => {}
                }
            },
            Self::Stream(events) => {
                let event = events.next().await?;
                let shown = Shown::in_answer(&serde_json::from_str(&event.data).ok()?)?;
                assert_eq!(event.id.as_ref(), Some(&shown.cursor), "an event's id is its cursor");
                Some(shown)
            }
        }
    }
}

impl Shown {
    fn in_answer(answer: &Value) -> Option<Self> {
        let event = &answer["data"]["events"];
        Some(Self {
            position: number(&event["position"])?,
            event: named(event["id"].as_str()?)?,
            cursor: answer["extensions"]["cursor"].as_str()?.to_owned(),
        })
    }
}

async fn say(socket: &mut Socket, message: &Value) -> Option<()> {
    socket.send(Message::text(message.to_string())).await.ok()
}

/// The last of the ids that an id of the API carries: of what it names, behind that of whose it is.
pub fn named(id: &str) -> Option<Uuid> {
    Uuid::from_slice(ids(id)?.get(16..32)?).ok()
}

/// Whose it is that an id of the API names.
pub fn owner(id: &str) -> Option<Uuid> {
    Uuid::from_slice(ids(id)?.get(..16)?).ok()
}

fn ids(id: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(id.split_once(':')?.1).ok()
}

/// A `BigInt`, which travels as text.
fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}
