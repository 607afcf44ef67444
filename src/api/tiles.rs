//! The tree as C2SP tlog-tiles serves it: `/checkpoint` and `/tile/…`, so that foreign tools can monitor the log and make
//! proofs themselves.
//!
//! No token is asked for. All there is to see are hashes, over records that hold random bits, and how many events the
//! log has: who must not know that puts a door before these paths. Entry bundles (`/tile/entries/…`) are not served: a
//! leaf record names owner, stream and time, which are for their owner, by `inclusionProof`.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::proof::tile::Tile;
use crate::service::{Service, Trouble};

/// `/checkpoint` and `/tile/…`.
pub fn router(service: Service) -> Router {
    Router::new().route("/checkpoint", get(checkpoint)).route("/tile/{*path}", get(tile)).with_state(service)
}

async fn checkpoint(State(service): State<Service>) -> Response {
    match service.newest_checkpoint().await {
        Ok(Some(kept)) => render(kept.note, "text/plain; charset=utf-8", "public, max-age=1"),
        Ok(None) => (StatusCode::NOT_FOUND, "no checkpoint was signed yet\n").into_response(),
        Err(trouble) => unavailable(&trouble),
    }
}

async fn tile(State(service): State<Service>, Path(path): Path<String>) -> Response {
    let Some(tile) = Tile::parse(&format!("tile/{path}")) else {
        return (StatusCode::NOT_FOUND, "no tile has this path\n").into_response();
    };
    match service.tile(tile).await {
        Ok(Some(hashes)) => render(hashes.concat(), "application/octet-stream", "public, max-age=31536000, immutable"),
        Ok(None) => (StatusCode::NOT_FOUND, "the newest checkpoint has no such tile\n").into_response(),
        Err(trouble) => unavailable(&trouble),
    }
}

fn render(body: impl IntoResponse, kind: &'static str, cache: &'static str) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

fn unavailable(trouble: &Trouble) -> Response {
    tracing::warn!("the tree cannot be read: {trouble}");
    (StatusCode::SERVICE_UNAVAILABLE, "the tree cannot be read right now\n").into_response()
}
