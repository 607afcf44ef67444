//! `GET /exports/ID`: an export that was made, for whoever asked for it, and `GET /exports/ID/legend`, what its placeholders
//! stand for. Ranges are answered (RFC 9110 § 14), so that a fetch
//! that broke off goes on.

use std::io::{self, Read as _, Seek as _, SeekFrom};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, RANGE,
    WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::stream;
use http_range_header::parse_range_header;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::api::graphql::gate::bearer;
use crate::event::EventId;
use crate::service::{Actor, ExportError, Fetched, Service};

/// What is sent at once, how many of these are read ahead, and after how many it is asked again whether the account is open.
const PIECE: usize = 64 * 1024;
const AHEAD: usize = 4;
const ASKED_EVERY: usize = 64;

pub fn router(service: Service) -> Router {
    Router::new().route("/exports/{id}", get(fetch)).route("/exports/{id}/legend", get(legend)).with_state(service)
}

async fn fetch(State(service): State<Service>, Path(id): Path<Uuid>, headers: HeaderMap) -> Response {
    let actor = match actor(&service, &headers).await {
        Ok(actor) => actor,
        Err(refused) => return refused,
    };
    let range = headers.get(RANGE).and_then(|range| range.to_str().ok());
    // A fetch that goes on was told already.
    let begins = range.is_none_or(|range| range.starts_with("bytes=0-"));
    match service.fetch_export(actor, EventId(id), begins).await {
        Ok(Some(fetched)) => send(service, actor, fetched, range),
        Ok(None) => no_such(),
        Err(error) => failed(&error),
    }
}

async fn legend(State(service): State<Service>, Path(id): Path<Uuid>, headers: HeaderMap) -> Response {
    let actor = match actor(&service, &headers).await {
        Ok(actor) => actor,
        Err(refused) => return refused,
    };
    match service.fetch_legend(actor, EventId(id)).await {
        Ok(Some(legend)) => ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")], legend).into_response(),
        Ok(None) => no_such(),
        Err(error) => failed(&error),
    }
}

/// Whose token it is.
async fn actor(service: &Service, headers: &HeaderMap) -> Result<Actor, Response> {
    let authenticated = match bearer(headers) {
        Some(token) => service.authenticate(&token).await,
        None => Ok(None),
    };
    match authenticated {
        Ok(Some(actor)) => Ok(actor),
        Ok(None) => {
            let needed = "a token is needed\n";
            Err((StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Bearer")], needed).into_response())
        }
        Err(error) => {
            tracing::warn!(%error, "whose token it is cannot be told");
            Err(StatusCode::SERVICE_UNAVAILABLE.into_response())
        }
    }
}

fn failed(error: &ExportError) -> Response {
    if matches!(error, ExportError::Closed) {
        return StatusCode::GONE.into_response();
    }
    tracing::warn!(%error, "an export cannot be read");
    StatusCode::SERVICE_UNAVAILABLE.into_response()
}

fn no_such() -> Response {
    (StatusCode::NOT_FOUND, "there is no such export of yours on this server, or its time was over\n").into_response()
}

fn send(service: Service, actor: Actor, fetched: Fetched, range: Option<&str>) -> Response {
    let Fetched { content, made } = fetched;
    let length = content.length();
    let asked = range.and_then(|range| parse_range_header(range).ok()).map(|ranges| ranges.validate(length));
    let (status, from, to) = match asked {
        // Several ranges at once are answered with the whole, as the RFC allows.
        None => (StatusCode::OK, 0, length),
        Some(Ok(ranges)) => match ranges.as_slice() {
            [range] => (StatusCode::PARTIAL_CONTENT, *range.start(), range.end() + 1),
            _ => (StatusCode::OK, 0, length),
        },
        Some(Err(_)) => {
            return (StatusCode::RANGE_NOT_SATISFIABLE, [(CONTENT_RANGE, format!("bytes */{length}"))]).into_response();
        }
    };
    let headers = [
        (CONTENT_TYPE, "application/zip".to_owned()),
        (CONTENT_LENGTH, (to - from).to_string()),
        (CONTENT_DISPOSITION, "attachment; filename=\"convoledger-export.zip\"".to_owned()),
        (ETAG, format!("\"{}\"", made.sha256)),
        (ACCEPT_RANGES, "bytes".to_owned()),
        (CACHE_CONTROL, "no-store".to_owned()),
    ];
    let body = Body::from_stream(pieces(service, actor, content, from, to));
    let mut response = (status, headers, body).into_response();
    if status == StatusCode::PARTIAL_CONTENT
        && let Ok(range) = format!("bytes {from}-{}/{length}", to - 1).parse()
    {
        response.headers_mut().insert(CONTENT_RANGE, range);
    }
    response
}

/// What lies between two places, opened piece by piece. It ends where the account is closed.
fn pieces(
    service: Service,
    actor: Actor,
    mut content: crate::vault::file::Opener<std::fs::File>,
    from: u64,
    to: u64,
) -> impl stream::Stream<Item = io::Result<Bytes>> + Send {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || {
        let mut read = || {
            content.seek(SeekFrom::Start(from))?;
            let mut left = to - from;
            for nth in 1.. {
                let mut piece = vec![0; PIECE.min(usize::try_from(left).unwrap_or(PIECE))];
                if piece.is_empty()
                    || nth % ASKED_EVERY == 0 && runtime.block_on(service.is_closed(actor)).unwrap_or(true)
                {
                    break;
                }
                content.read_exact(&mut piece)?;
                left -= piece.len() as u64;
                if sender.blocking_send(Ok(Bytes::from(piece))).is_err() {
                    break; // nobody listens any more
                }
            }
            Ok(())
        };
        if let Err(error) = read() {
            let _ = sender.blocking_send(Err(error)); // nobody listens any more
        }
    });
    stream::unfold(receiver, |mut receiver| async move { receiver.recv().await.map(|piece| (piece, receiver)) })
}
