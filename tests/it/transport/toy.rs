//! A server with a schema of nothing but misbehaviour.

#![allow(clippy::unused_async)] // resolvers are async, also those that wait for nothing

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_graphql::{
    Context, EmptyMutation, EmptySubscription, Error, ErrorExtensions as _, Object, Scalar, ScalarType, Schema,
    SimpleObject, Subscription,
};
use convoledger::api::graphql::gate::{Denied, Gate, Timers};
use convoledger::api::graphql::items::LastCursor;
use convoledger::api::graphql::{http, limits};
use convoledger::api::patient::Patient;
use futures::Stream;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub const TOKEN: &str = "toy";

pub struct Toy {
    pub address: SocketAddr,
    pub gate: Arc<Gate<ToySchema, Viewer>>,
    pub shutdown: CancellationToken,
    /// How often a mutation ran.
    pub bumps: Arc<AtomicUsize>,
    /// How many items subscriptions have made.
    pub produced: Arc<AtomicUsize>,
    tokens: Arc<Mutex<HashMap<String, Viewer>>>,
}

pub type ToySchema = Schema<Query, Mutation, Events>;

#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Viewer(pub String);

impl Toy {
    pub async fn start() -> Self {
        Self::patient(Timers::default()).await
    }

    pub async fn patient(timers: Timers) -> Self {
        let (bumps, produced) = (Arc::default(), Arc::default());
        let schema = Schema::build(Query, Mutation(Arc::clone(&bumps)), Events(Arc::clone(&produced)));
        let tokens = Arc::new(Mutex::new(HashMap::from([(TOKEN.to_owned(), Viewer("ann".to_owned()))])));
        let known = tokens.clone();
        let authenticate = move |token: String| {
            let known = known.clone();
            async move {
                if token == "busy" {
                    return Err(Denied::Unavailable { retry_after: Duration::from_secs(7) });
                }
                known.lock().unwrap().get(&token).cloned().ok_or(Denied::Unknown)
            }
        };
        let shutdown = CancellationToken::new();
        let gate = Gate::new(limits::apply(schema).finish(), authenticate, shutdown.clone())
            .allow_origins(["https://friend.example".parse().unwrap()])
            .timers(timers);
        let gate = Arc::new(gate);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (listener, router) = (Patient::new(listener, gate.patience()), http::router(gate.clone()));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, gate, shutdown, bumps, produced, tokens }
    }

    pub fn url(&self) -> String {
        format!("http://{}/graphql", self.address)
    }

    pub fn revoke(&self, token: &str) {
        self.tokens.lock().unwrap().remove(token);
    }

    pub fn bumps(&self) -> usize {
        self.bumps.load(SeqCst)
    }
}

pub struct Query;

#[Object]
impl Query {
    async fn viewer(&self, context: &Context<'_>) -> String {
        context.data_unchecked::<Viewer>().0.clone()
    }

    async fn query(&self) -> Query {
        Query
    }

    async fn maybe(&self) -> Option<Query> {
        Some(Query)
    }

    #[graphql(complexity = "first * child_complexity")]
    async fn queries(&self, first: usize) -> Vec<Query> {
        (0..first).map(|_| Query).collect()
    }

    async fn double(&self, n: i32) -> i32 {
        n * 2
    }

    async fn expected(&self) -> Option<Result<i32, Error>> {
        Some(Err(Error::new("no such thing").extend_with(|_, extensions| extensions.set("code", "NOT_FOUND"))))
    }

    async fn broken(&self) -> Result<i32, Error> {
        Err(std::io::Error::other("password is hunter2").into())
    }

    async fn panics(&self) -> i32 {
        std::hint::black_box(None).expect("password is hunter2")
    }

    async fn busy(&self) -> Result<i32, Error> {
        Err(Error::new("queue is full").extend_with(|_, extensions| {
            extensions.set("code", "UNAVAILABLE");
            extensions.set("retryAfter", 3);
        }))
    }

    async fn slow(&self, ms: u64) -> bool {
        tokio::time::sleep(Duration::from_millis(ms)).await;
        true
    }
}

pub struct Mutation(Arc<AtomicUsize>);

#[Object]
impl Mutation {
    async fn bump(&self, after_ms: Option<u64>) -> usize {
        tokio::time::sleep(Duration::from_millis(after_ms.unwrap_or_default())).await;
        self.0.fetch_add(1, SeqCst) + 1
    }
}

pub struct Events(Arc<AtomicUsize>);

#[derive(SimpleObject)]
pub struct Event {
    position: i64,
    cursor: Cursor,
    padding: String,
}

#[derive(Clone)]
pub struct Cursor(i64);

#[Scalar]
impl ScalarType for Cursor {
    fn parse(value: async_graphql::Value) -> async_graphql::InputValueResult<Self> {
        match &value {
            async_graphql::Value::String(text) => Ok(Self(text.trim_start_matches('c').parse()?)),
            _ => Err(async_graphql::InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> async_graphql::Value {
        format!("c{}", self.0).into()
    }
}

#[Subscription]
impl Events {
    /// One event each `every_ms` milliseconds, `size` bytes large, up to the position `to`.
    async fn events(
        &self,
        context: &Context<'_>,
        after: Option<Cursor>,
        to: Option<i64>,
        size: Option<usize>,
        every_ms: Option<u64>,
    ) -> impl Stream<Item = Event> + use<> {
        let (to, size, every_ms) = (to.unwrap_or(i64::MAX), size.unwrap_or_default(), every_ms.unwrap_or(1));
        let last = context.data_unchecked::<LastCursor>().clone();
        let produced = self.0.clone();
        let after = last.seen().map(|cursor| Cursor(cursor[1..].parse().unwrap())).or(after);
        futures::stream::unfold(after.map_or(0, |cursor| cursor.0) + 1, move |position| {
            let (last, produced) = (last.clone(), produced.clone());
            async move {
                if every_ms > 0 {
                    tokio::time::sleep(Duration::from_millis(every_ms)).await;
                }
                produced.fetch_add(1, SeqCst);
                last.set(format!("c{position}"));
                let event = Event { position, cursor: Cursor(position), padding: "x".repeat(size) };
                (position <= to).then_some((event, position + 1))
            }
        })
    }

    async fn refused(&self) -> Result<futures::stream::Empty<i32>, Error> {
        Err(Error::new("cursor of another history").extend_with(|_, extensions| extensions.set("code", "CURSOR")))
    }
}

/// A schema without limits is what the library gives: the tests' yardstick.
pub fn unlimited() -> Schema<Query, EmptyMutation, EmptySubscription> {
    Schema::new(Query, EmptyMutation, EmptySubscription)
}
