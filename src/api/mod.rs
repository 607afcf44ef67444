//! The edge that speaks HTTP: it parses, authorises and renders, and decides nothing.

pub mod graphql;

use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::service::Service;

/// Answers on `listener` until `shutdown`, then lets what is under way end.
pub async fn serve(_service: Service, listener: TcpListener, shutdown: CancellationToken) -> std::io::Result<()> {
    let router = Router::new().route("/healthz", get(async || "ok"));
    axum::serve(listener, router).with_graceful_shutdown(async move { shutdown.cancelled().await }).await
}
