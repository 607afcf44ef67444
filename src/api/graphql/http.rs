//! GraphQL over HTTP: `POST /graphql` executes, and nothing else does. What is subscribed to, and whatever else the client
//! wants so, is answered as a stream of events ([`sse`](super::sse)).
//!
//! `GET /graphql` is the door of sockets and, for a browser, the `GraphiQL` page. It never executes: a query in an
//! address would lie in histories and access logs, words and all. Refusals are GraphQL answers too:
//!
//! | status | when |
//! |---|---|
//! | 400 | the body is not one GraphQL request (a batch is not); the document fails and `graphql-response+json` is wanted |
//! | 401 | no token, or none that opens |
//! | 403 | the page that asks is of a foreign origin |
//! | 405 | anything but POST, and GET for a page or a socket |
//! | 406 | no form of answer is wanted that we have |
//! | 408 | the body does not arrive |
//! | 413 | the body is over 256 KiB |
//! | 415 | the body is not `application/json` in UTF-8 |
//! | 429 | this account asks for more than it may in a minute, or has 16 sockets and streams open |
//! | 503 | overloaded, or going away; `Retry-After` says for how long |
//! | 504 | not answered in time |

use std::sync::Arc;
use std::time::Duration;

use async_graphql::parser::types::OperationType;
use async_graphql::{Executor, Request};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Request as HttpRequest, State};
use axum::http::header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use axum::http::header::{UPGRADE, VARY, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::time::timeout;
use tower_http::compression::CompressionLayer;
use tower_http::cors::CorsLayer;

use crate::api::graphql::answer::{Answer, code};
use crate::api::graphql::gate::{Denied, Gate, Viewer, bearer};
use crate::api::graphql::limits::{self, BODY_BYTES_MAX};
use crate::api::graphql::media::{Media, Streamed, sends_json, wants_page};
use crate::api::graphql::question::Question;
use crate::api::graphql::seats::SEATS_MAX;
use crate::api::graphql::sse::{LAST_EVENT_ID, Subscriber, last_event_id};
use crate::api::graphql::{graphiql, socket, sse};

/// `/graphql` and `/graphiql/…`.
pub fn router<E: Executor, V: Viewer>(gate: Arc<Gate<E, V>>) -> Router {
    let pages = CorsLayer::new()
        .allow_origin(gate.foreign_origins().to_vec())
        .allow_methods([Method::POST])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE, LAST_EVENT_ID]);
    Router::new()
        .route("/graphql", get(open::<E, V>).post(execute::<E, V>).fallback(other))
        .route("/graphiql/{*path}", get(graphiql::file))
        .layer((pages, CompressionLayer::new()))
        .with_state(gate)
}

async fn execute<E: Executor, V: Viewer>(State(gate): State<Arc<Gate<E, V>>>, request: HttpRequest) -> Response {
    let (media, streamed) = (Media::wanted(request.headers()), Streamed::wanted(request.headers()));
    let reply = match (media, streamed) {
        (None, Streamed::Nothing) => {
            let message = "take application/json or text/event-stream";
            Err(Refusal::new(StatusCode::NOT_ACCEPTABLE, code::BAD_REQUEST, message))
        }
        _ => reply(&gate, request, streamed).await,
    };
    // A refusal has its status, which a client understands that takes nothing but streams.
    let media = media.unwrap_or(Media::Json);
    match reply {
        Ok(Reply::Stream(stream)) => stream,
        Ok(Reply::Once(answer)) if streamed == Streamed::Everything => sse::once(&gate, &answer),
        Ok(Reply::Once(answer)) => render(&answer, status(&answer, media), media),
        Err(refusal) => refusal.render(media),
    }
}

/// What a GraphQL request comes to.
enum Reply {
    Once(Answer),
    Stream(Response),
}

async fn reply<E: Executor, V: Viewer>(
    gate: &Arc<Gate<E, V>>,
    request: HttpRequest,
    streamed: Streamed,
) -> Result<Reply, Refusal> {
    if !gate.admits_origin(request.headers()) {
        return Err(Refusal::foreign());
    }
    if !sends_json(request.headers()) {
        let message = "send the request as application/json in UTF-8";
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, code::BAD_REQUEST, message));
    }
    let token = bearer(request.headers());
    let viewer = gate.authenticate(token.clone()).await.map_err(Refusal::denied)?;
    let seen = last_event_id(request.headers());
    let mut request = Request::from(read(gate, request).await?);
    let answer = match limits::admit(&mut request) {
        Err(refused) => Answer::from_error(refused),
        Ok(OperationType::Subscription) if streamed != Streamed::Nothing => {
            if gate.shutdown.is_cancelled() {
                return Err(Refusal::going_away());
            }
            let seat = gate.seats.take(&viewer).ok_or_else(Refusal::crowded)?;
            let subscriber = Subscriber { viewer, token: token.unwrap_or_default(), seat, seen };
            return Ok(Reply::Stream(subscriber.follow(gate.clone(), request)));
        }
        Ok(OperationType::Subscription) => {
            let message = "subscribe with Accept: text/event-stream, or over a WebSocket by graphql-transport-ws";
            Answer::refused(code::BAD_REQUEST, message)
        }
        Ok(OperationType::Query | OperationType::Mutation) => gate.execute(&viewer, request).await,
    };
    answer.count();
    Ok(Reply::Once(answer))
}

async fn read<E: Executor, V: Viewer>(gate: &Gate<E, V>, request: HttpRequest) -> Result<Question, Refusal> {
    let too_large = || {
        let message = format!("the body is over {BODY_BYTES_MAX} bytes");
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, code::TOO_LARGE, message)
    };
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > BODY_BYTES_MAX) {
        return Err(too_large());
    }
    // A body without a length ends in an error here too; one that breaks off has no reader left for the answer.
    let body = timeout(gate.timers.body, to_bytes(request.into_body(), BODY_BYTES_MAX))
        .await
        .map_err(|_| Refusal::new(StatusCode::REQUEST_TIMEOUT, code::TIMEOUT, "the body does not arrive"))?
        .map_err(|_| too_large())?;
    serde_json::from_slice(&body).map_err(|error| {
        let message = format!("the body is not one GraphQL request as a JSON object: {error}");
        Refusal::new(StatusCode::BAD_REQUEST, code::BAD_REQUEST, message)
    })
}

async fn open<E: Executor, V: Viewer>(
    State(gate): State<Arc<Gate<E, V>>>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    match upgrade {
        Ok(_) if !gate.admits_origin(&headers) => Refusal::foreign().render(Media::Json),
        Ok(upgrade) => match bearer(&headers) {
            None => socket::open(gate, upgrade, None),
            // A token that comes with the upgrade is judged there, where the status can still say it.
            Some(token) => match gate.authenticate(Some(token.clone())).await {
                Ok(_) => socket::open(gate, upgrade, Some(token)),
                Err(denied) => Refusal::denied(denied).render(Media::Json),
            },
        },
        Err(rejection) if headers.contains_key(UPGRADE) => rejection.into_response(),
        Err(_) if wants_page(&headers) => graphiql::page(&headers),
        Err(_) => other().await,
    }
}

async fn other() -> Response {
    let message = "send queries and mutations by POST; GET opens GraphiQL in a browser, and WebSockets";
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, code::BAD_REQUEST, message).render(Media::Json)
}

/// A request that does not come to be a GraphQL one.
struct Refusal {
    status: StatusCode,
    answer: Answer,
}

impl Refusal {
    fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self { status, answer: Answer::refused(code, message) }
    }

    fn foreign() -> Self {
        Self::new(StatusCode::FORBIDDEN, code::FORBIDDEN, "pages of this origin may not call")
    }

    fn crowded() -> Self {
        let message = format!("you have {SEATS_MAX} sockets and streams open already");
        Self::new(StatusCode::TOO_MANY_REQUESTS, code::TOO_MANY_SUBSCRIPTIONS, message)
    }

    fn going_away() -> Self {
        let answer = Answer::unavailable("the server goes away: connect again", Duration::from_secs(1));
        Self { status: StatusCode::SERVICE_UNAVAILABLE, answer }
    }

    fn denied(denied: Denied) -> Self {
        match denied {
            Denied::Unknown => {
                let message = "send a valid token: Authorization: Bearer TOKEN";
                Self::new(StatusCode::UNAUTHORIZED, code::UNAUTHENTICATED, message)
            }
            Denied::Unavailable { retry_after } => Self {
                status: StatusCode::SERVICE_UNAVAILABLE,
                answer: Answer::unavailable("tokens cannot be checked right now", retry_after),
            },
        }
    }

    fn render(self, media: Media) -> Response {
        let mut response = render(&self.answer, self.status, media);
        let headers = response.headers_mut();
        match self.status {
            StatusCode::METHOD_NOT_ALLOWED => headers.insert(ALLOW, HeaderValue::from_static("GET, POST")),
            StatusCode::UNAUTHORIZED => headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            _ => None,
        };
        response
    }
}

/// The status by which each form tells how it went.
fn status(answer: &Answer, media: Media) -> StatusCode {
    match media {
        _ if answer.says(code::RATE_LIMITED) => StatusCode::TOO_MANY_REQUESTS,
        _ if answer.retry_after().is_some() => StatusCode::SERVICE_UNAVAILABLE,
        _ if answer.says(code::TIMEOUT) => StatusCode::GATEWAY_TIMEOUT,
        Media::Graphql if answer.is_refusal() && answer.says(code::INTERNAL) => StatusCode::INTERNAL_SERVER_ERROR,
        Media::Graphql if answer.is_refusal() => StatusCode::BAD_REQUEST,
        Media::Graphql | Media::Json => StatusCode::OK,
    }
}

fn render(answer: &Answer, status: StatusCode, media: Media) -> Response {
    let mut response = Response::new(Body::from(answer.to_json()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, media.content_type());
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static("accept"));
    if let Some(seconds) = answer.retry_after() {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    response
}
