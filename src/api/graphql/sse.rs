//! Subscriptions, and any other operation, as Server-Sent Events: graphql-sse's protocol in its "distinct connections"
//! mode, one stream an operation.
//!
//! The request is the POST that `http` describes, with `Accept: text/event-stream`. Who also takes one of the forms of
//! a single answer, and no less gladly, is streamed subscriptions alone.
//!
//! | event | data | id |
//! |---|---|---|
//! | `next` | one GraphQL answer | the item's cursor, if it has one: what `extensions.cursor` says too |
//! | `complete` | nothing | |
//!
//! What keeps a request from being a GraphQL one has its status, as always. From the document on (limits, complexity,
//! budget, a cursor that is none) the reason is a `next` with errors, and `complete` follows.
//!
//! A client that was cut subscribes again `after` the last cursor that it saw, or sends it as `Last-Event-ID`. That
//! header goes before an `after` in the document: who sends it repeats a request that was made before.
//!
//! A stream that ends without `complete` asks the client to come again: the server goes away, or the token no longer
//! opens (it is looked at again every 60 s). A peer that takes nothing for 20 s is cut off.

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::{Executor, Request};
use axum::http::header::{CACHE_CONTROL, VARY};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures::{FutureExt as _, Stream, StreamExt as _, stream};

use super::answer::Answer;
use super::gate::{Gate, Viewer};
use super::items::Item;
use super::seats::Seat;

pub(super) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Asks proxies that know it to hand on each event as it comes.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Who subscribes, and by what right.
pub(super) struct Subscriber<V: Viewer> {
    pub viewer: V,
    pub token: String,
    pub seat: Seat<V>,
    /// The cursor that it saw last, when it was cut.
    pub seen: Option<String>,
}

impl<V: Viewer> Subscriber<V> {
    /// Streams a subscription at the speed at which the peer takes it: an item is made when it is written.
    pub fn follow<E: Executor>(self, gate: Arc<Gate<E, V>>, request: Request) -> Response {
        let Self { viewer, token, seat, seen } = self;
        let quiet = gate.timers.ping_every;
        let items = gate.subscribe(&viewer, request, seen);
        let ended = async move {
            let _seat = seat;
            tokio::select! { () = gate.shutdown.cancelled() => {}, () = gate.revoked(&viewer, &token) => {} }
        };
        let events = items.map(|item| match item {
            Item::Shown { answer, cursor } => next(&answer, cursor),
            Item::Failed(answer) => next(&answer, None),
        });
        respond(events.chain(stream::once(ready(complete()))).take_until(ended.boxed()), quiet)
    }
}

/// The one answer of a query or mutation, or the reason why there is none.
pub(super) fn once<E: Executor, V: Viewer>(gate: &Gate<E, V>, answer: &Answer) -> Response {
    respond(stream::iter([next(answer, None), complete()]), gate.timers.ping_every)
}

pub(super) fn last_event_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(LAST_EVENT_ID)?.to_str().ok()?;
    (!id.is_empty()).then(|| id.to_owned())
}

/// When nothing was said for `quiet`, a comment keeps proxies from taking the stream for dead.
fn respond(events: impl Stream<Item = Event> + Send + 'static, quiet: Duration) -> Response {
    let events = Sse::new(events.map(Ok::<_, Infallible>)).keep_alive(KeepAlive::new().interval(quiet));
    let mut response = events.into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static("accept"));
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

fn next(answer: &Answer, cursor: Option<String>) -> Event {
    let event = Event::default().event("next").data(answer.to_json());
    match cursor {
        Some(cursor) => event.id(cursor),
        None => event,
    }
}

/// Browsers drop an event without data.
fn complete() -> Event {
    Event::default().event("complete").data("")
}
