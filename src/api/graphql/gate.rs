//! The one way to the schema: nobody without a viewer, nothing without a bound, no answer without a mask.

use std::future::Future;
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use async_graphql::{Executor, Request};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::graphql::answer::{Answer, code};
use crate::api::graphql::items::{Item, LastCursor, items};
use crate::api::graphql::seats::Seats;
use crate::clock::Clock;

/// Who asks. The schema finds this value in its context; equal values are one viewer, with one count of connections.
pub trait Viewer: Clone + Eq + Hash + Send + Sync + 'static {}

impl<V: Clone + Eq + Hash + Send + Sync + 'static> Viewer for V {}

/// Why a token opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// No account has this token, or no longer: 401, on a socket 4403.
    Unknown,
    /// Nobody can tell right now, as when the database is away: 503, worth repeating after so long.
    Unavailable { retry_after: Duration },
}

/// How long each party is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Timers {
    /// For the body of a request to arrive.
    pub body: Duration,
    /// For a query or mutation to be answered.
    pub execution: Duration,
    /// For a new socket's `connection_init`.
    pub init: Duration,
    /// Between two pings that we send; for an event stream, how long nothing is said before a comment.
    pub ping_every: Duration,
    /// For the pong to each of them.
    pub pong: Duration,
    /// Between two looks at whether the token of a socket or a stream still opens.
    pub recheck_every: Duration,
    /// For a peer to take one message off our hands.
    pub write: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            body: seconds(10),
            execution: seconds(10),
            init: seconds(10),
            ping_every: seconds(25),
            pong: seconds(10),
            recheck_every: seconds(60),
            write: seconds(10),
        }
    }
}

/// What stands before the schema, for every transport alike.
pub struct Gate<E, V> {
    schema: E,
    authenticate: Authenticate<V>,
    furnish: Furnish<V>,
    origins: Vec<HeaderValue>,
    pub(super) timers: Timers,
    pub(super) shutdown: CancellationToken,
    pub(super) seats: Seats<V>,
    /// Every open socket, so that a shutdown can wait for the last: axum forgets a connection once it is upgraded.
    pub(super) sockets: TaskTracker,
}

type Authenticate<V> = Box<dyn Fn(String) -> BoxFuture<'static, Result<V, Denied>> + Send + Sync>;
type Furnish<V> = Box<dyn Fn(&V, Request) -> Request + Send + Sync>;

impl<E: Executor, V: Viewer> Gate<E, V> {
    /// A gate before `schema` (built through [`limits::apply`](crate::api::graphql::limits::apply)), which asks
    /// `authenticate` whose a bearer token is, and on `shutdown` closes its sockets once what is in flight is answered.
    pub fn new<F, A>(schema: E, authenticate: F, shutdown: CancellationToken) -> Self
    where
        F: Fn(String) -> A + Send + Sync + 'static,
        A: Future<Output = Result<V, Denied>> + Send + 'static,
    {
        Self {
            schema,
            authenticate: Box::new(move |token| authenticate(token).boxed()),
            furnish: Box::new(|_, request| request),
            origins: Vec::new(),
            timers: Timers::default(),
            shutdown,
            seats: Seats::default(),
            sockets: TaskTracker::new(),
        }
    }

    /// Lets `furnish` put into each operation what its resolvers need besides the viewer, such as loaders.
    #[must_use]
    pub fn furnish(mut self, furnish: impl Fn(&V, Request) -> Request + Send + Sync + 'static) -> Self {
        self.furnish = Box::new(furnish);
        self
    }

    /// Lets pages of these origins (`https://example.org`) call us, beside our own.
    #[must_use]
    pub fn allow_origins(mut self, origins: impl IntoIterator<Item = HeaderValue>) -> Self {
        self.origins.extend(origins);
        self
    }

    #[must_use]
    pub fn timers(mut self, timers: Timers) -> Self {
        self.timers = timers;
        self
    }

    /// How long a connection may take nothing of what is written, whatever is written: a socket's peer is noticed by
    /// half of it, and may come for its farewell in the other half.
    pub fn patience(&self) -> Duration {
        2 * self.timers.write
    }

    /// Returns when the last socket has closed; to be awaited after the shutdown was called.
    pub async fn drained(&self) {
        self.sockets.close();
        self.sockets.wait().await;
    }

    pub(super) fn foreign_origins(&self) -> &[HeaderValue] {
        &self.origins
    }

    /// Whether the page that sent these headers may. Programs send no `Origin` and browsers cannot leave it out, so
    /// this stops foreign pages and nobody else.
    pub(super) fn admits_origin(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(ORIGIN) else { return true };
        if self.origins.contains(origin) {
            return true;
        }
        let authority =
            origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, authority)| authority);
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        authority.zip(host).is_some_and(|(authority, host)| authority.eq_ignore_ascii_case(host))
    }

    pub(super) async fn authenticate(&self, token: Option<String>) -> Result<V, Denied> {
        match token {
            Some(token) => (self.authenticate)(token).await,
            None => Err(Denied::Unknown),
        }
    }

    /// The one answer of a query or mutation.
    pub(super) async fn execute(&self, viewer: &V, request: Request) -> Answer {
        let started = Clock::instant();
        let execution = AssertUnwindSafe(self.schema.execute(self.furnished(viewer, request))).catch_unwind();
        let answer = match timeout(self.timers.execution, execution).await {
            Ok(Ok(response)) => Answer::from(response),
            Ok(Err(panic)) => Answer::panicked(&*panic),
            Err(_) => Answer::refused(
                code::TIMEOUT,
                format!("not answered within {} s: ask for less", self.timers.execution.as_secs()),
            ),
        };
        metrics::histogram!("graphql_request_seconds").record(started.elapsed());
        answer
    }

    /// The items of a subscription, each made when it is asked for. `seen` is the last cursor of a client that was cut.
    pub(super) fn subscribe(&self, viewer: &V, request: Request, seen: Option<String>) -> BoxStream<'static, Item> {
        let last = LastCursor::behind(seen);
        let responses = self.schema.execute_stream(self.furnished(viewer, request.data(last.clone())), None);
        let responses = AssertUnwindSafe(responses).catch_unwind();
        items(responses.map(|response| response.map_or_else(|panic| Answer::panicked(&*panic), Answer::from)), last)
    }

    /// Returns once `token` no longer opens for `viewer`. Nothing is held against it while nobody can tell.
    pub(super) async fn revoked(&self, viewer: &V, token: &str) {
        loop {
            tokio::time::sleep(self.timers.recheck_every).await;
            match self.authenticate(Some(token.to_owned())).await {
                Ok(still) if still == *viewer => {}
                Err(Denied::Unavailable { .. }) => {}
                Ok(_) | Err(Denied::Unknown) => return,
            }
        }
    }

    fn furnished(&self, viewer: &V, request: Request) -> Request {
        (self.furnish)(viewer, request.data(viewer.clone()))
    }
}

/// The token of an `Authorization: Bearer …` header.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<String> {
    headers.get(AUTHORIZATION)?.to_str().ok().and_then(bearer_token)
}

/// The token in `Bearer …`.
pub(super) fn bearer_token(authorization: &str) -> Option<String> {
    let (scheme, token) = authorization.trim().split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty()).then(|| token.trim().to_owned())
}
