//! The read side of a socket: what the client says, and what the clocks say.

use std::collections::HashMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::parser::types::OperationType;
use async_graphql::{Executor, Request};
use axum::extract::ws::{Message, WebSocket, close_code};
use futures::StreamExt as _;
use futures::stream::SplitStream;
use serde_json::{Map, Value};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};

use super::close::Close;
use super::message::{FromClient, FromServer};
use super::operation::{Operation, Subscriptions};
use super::writer::Sender;
use crate::api::graphql::answer::{Answer, code};
use crate::api::graphql::gate::{Denied, Gate, Viewer, bearer_token};
use crate::api::graphql::limits::{self, MESSAGE_BYTES_MAX};
use crate::api::graphql::question::Question;
use crate::api::graphql::seats::SEATS_MAX;

/// Operations that one socket runs at once.
const OPERATIONS_MAX: usize = 32;

pub(super) struct Session<E, V> {
    gate: Arc<Gate<E, V>>,
    sender: Sender,
    operations: HashMap<String, Running>,
    /// Dropped with the session: what a socket asked for ends with it.
    tasks: JoinSet<()>,
    subscriptions: Subscriptions,
    /// The server shuts down: what runs is answered, nothing new begins.
    leaving: bool,
}

struct Running {
    operation: Arc<Operation>,
    kind: OperationType,
    task: AbortHandle,
}

/// A client that has introduced itself.
struct Client<V> {
    viewer: V,
    token: String,
}

/// Why reading ends: the peer is gone (`None`), or we close.
type End = Option<Close>;

impl<E: Executor, V: Viewer> Session<E, V> {
    pub fn new(gate: Arc<Gate<E, V>>, sender: Sender, subscriptions: Subscriptions) -> Self {
        let operations = HashMap::new();
        Self { gate, sender, operations, tasks: JoinSet::new(), subscriptions, leaving: false }
    }

    /// Talks with the client until one of the two wants to end it.
    pub async fn run(&mut self, incoming: &mut SplitStream<WebSocket>, token: Option<String>) -> End {
        let introduction = timeout(self.gate.timers.init, self.greet(incoming, token));
        let shutdown = self.gate.shutdown.clone();
        let client = tokio::select! {
            biased;
            () = shutdown.cancelled() => return Some(Close::going_away()),
            client = introduction => match client {
                Ok(Ok(client)) => client,
                Ok(Err(end)) => return end,
                Err(_) => return Some(Close::new(4408, "connection_init did not come in time")),
            },
        };
        let Some(_seat) = self.gate.seats.take(&client.viewer) else {
            return Some(Close::new(4429, format!("you have {SEATS_MAX} sockets and streams open already")));
        };
        self.sender.control(FromServer::ConnectionAck {}.to_json()).await;
        let gate = self.gate.clone();
        tokio::select! {
            end = self.converse(incoming, &client.viewer) => end,
            () = gate.revoked(&client.viewer, &client.token) => Some(refusal(Denied::Unknown)),
        }
    }

    /// Waits for `connection_init` and for its token to open.
    async fn greet(&self, incoming: &mut SplitStream<WebSocket>, token: Option<String>) -> Result<Client<V>, End> {
        let payload = loop {
            match read(incoming).await? {
                FromClient::ConnectionInit { payload } => break payload.unwrap_or_default(),
                FromClient::Ping { payload } => self.pong(payload).await,
                FromClient::Subscribe { .. } => return Err(Some(Close::new(4401, "send connection_init first"))),
                FromClient::Pong { .. } | FromClient::Complete { .. } => {}
            }
        };
        let token = token_in(&payload).or(token);
        match self.gate.authenticate(token.clone()).await {
            Ok(viewer) => Ok(Client { viewer, token: token.unwrap_or_default() }),
            Err(denied) => Err(Some(refusal(denied))),
        }
    }

    async fn converse(&mut self, incoming: &mut SplitStream<WebSocket>, viewer: &V) -> End {
        let timers = self.gate.timers;
        let shutdown = self.gate.shutdown.clone();
        let mut ping = interval_at(Instant::now() + timers.ping_every, timers.ping_every);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut pong_due = None;
        loop {
            tokio::select! {
                message = read(incoming) => match message {
                    Ok(FromClient::Pong { .. }) => pong_due = None,
                    Ok(message) => {
                        if let Err(end) = self.hear(message, viewer).await {
                            return end;
                        }
                    }
                    Err(end) => return end,
                },
                _ = ping.tick() => {
                    self.sender.control(FromServer::Ping {}.to_json()).await;
                    pong_due = pong_due.or(Some(Instant::now() + timers.pong));
                }
                () = reached(pong_due) => return Some(Close::new(4408, "no pong came")),
                () = shutdown.cancelled(), if !self.leaving => self.leave(),
                Some(_) = self.tasks.join_next() => {}
            }
            if self.leaving && self.tasks.is_empty() {
                self.sender.close(Close::going_away()).await;
                // The writer ends the session when it comes to that.
                pending::<()>().await;
            }
        }
    }

    async fn hear(&mut self, message: FromClient, viewer: &V) -> Result<(), End> {
        match message {
            FromClient::Subscribe { id, payload } => self.subscribe(id, payload, viewer).await,
            FromClient::Complete { id } => {
                if let Some(running) = self.operations.remove(&id) {
                    running.operation.stop();
                    running.task.abort();
                }
                Ok(())
            }
            FromClient::Ping { payload } => {
                self.pong(payload).await;
                Ok(())
            }
            FromClient::Pong { .. } => Ok(()),
            FromClient::ConnectionInit { .. } => Err(Some(Close::new(4429, "a second connection_init"))),
        }
    }

    async fn subscribe(&mut self, id: String, question: Question, viewer: &V) -> Result<(), End> {
        self.operations.retain(|_, running| running.operation.is_running());
        if self.operations.contains_key(&id) {
            return Err(Some(Close::new(4409, format!("Subscriber for {id} already exists"))));
        }
        let operation = Arc::new(Operation::new(id.clone()));
        let mut request = Request::from(question);
        let kind = match self.admit(&mut request) {
            Ok(kind) => kind,
            Err(refused) => {
                refused.count();
                operation.fail(&refused, &self.sender).await;
                return Ok(());
            }
        };
        let (gate, viewer, sender) = (self.gate.clone(), viewer.clone(), self.sender.clone());
        let task = match kind {
            OperationType::Subscription => {
                let subscribed = self.subscriptions.enter();
                self.tasks.spawn(operation.clone().follow(gate, viewer, request, sender, subscribed))
            }
            OperationType::Query | OperationType::Mutation => {
                self.tasks.spawn(operation.clone().execute(gate, viewer, request, sender))
            }
        };
        self.operations.insert(id, Running { operation, kind, task });
        Ok(())
    }

    fn admit(&self, request: &mut Request) -> Result<OperationType, Answer> {
        if self.leaving {
            return Err(Answer::unavailable("the server goes away: connect again", Duration::from_secs(1)));
        }
        if self.operations.len() >= OPERATIONS_MAX {
            let message = format!("a socket runs {OPERATIONS_MAX} operations at once: complete one, or open another");
            return Err(Answer::refused(code::TOO_MANY_SUBSCRIPTIONS, message));
        }
        limits::admit(request).map_err(Answer::from_error)
    }

    /// Ends the subscriptions, whose clients resume elsewhere, and lets queries and mutations come to their answers.
    fn leave(&mut self) {
        self.leaving = true;
        let subscriptions = self.operations.values().filter(|running| running.kind == OperationType::Subscription);
        subscriptions.for_each(|running| running.task.abort());
    }

    async fn pong(&self, payload: Option<Map<String, Value>>) {
        self.sender.control(FromServer::Pong { payload }.to_json()).await;
    }
}

/// The next message, if it is one of the protocol.
async fn read(incoming: &mut SplitStream<WebSocket>) -> Result<FromClient, End> {
    loop {
        let text = match incoming.next().await {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
            Some(Ok(Message::Binary(_))) => return Err(Some(Close::new(4400, "messages are JSON text"))),
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(None),
        };
        if text.len() > MESSAGE_BYTES_MAX {
            return Err(Some(Close::new(close_code::SIZE, format!("a message is over {MESSAGE_BYTES_MAX} bytes"))));
        }
        return serde_json::from_str(&text)
            .map_err(|error| Some(Close::new(4400, format!("invalid message: {error}"))));
    }
}

fn refusal(denied: Denied) -> Close {
    match denied {
        Denied::Unknown => Close::new(4403, "the token opens nothing"),
        Denied::Unavailable { .. } => Close::new(4503, "the token cannot be checked right now: connect again"),
    }
}

fn token_in(payload: &Map<String, Value>) -> Option<String> {
    let text = |name: &str| payload.get(name).and_then(Value::as_str);
    let authorization = text("authorization").or_else(|| text("Authorization"));
    authorization.and_then(bearer_token).or_else(|| text("token").map(str::to_owned))
}

async fn reached(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => pending().await,
    }
}
