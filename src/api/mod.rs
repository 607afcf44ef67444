//! The edge that speaks HTTP: it parses, authorises and renders, and decides nothing.

mod exports;
pub mod graphql;
mod health;
pub mod patient;
mod tiles;

use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::patient::Patient;
use crate::service::Service;

/// How long a stopping server waits for what is in flight.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// Has this process keep what `/metrics` shows. What happens before is not counted.
pub fn keep_metrics() {
    health::recorder();
}

/// Serves `service` on `listener` until `shutdown`; then it takes no more and finishes what it took.
pub async fn serve(service: Service, listener: TcpListener, shutdown: CancellationToken) -> std::io::Result<()> {
    let gate = graphql::schema::gate(service.clone(), shutdown.clone());
    let app = graphql::http::router(gate.clone())
        .merge(tiles::router(service.clone()))
        .merge(exports::router(service.clone()))
        .merge(health::router(service));
    let stopped = shutdown.clone();
    let listener = Patient::new(listener, gate.patience());
    let serving = axum::serve(listener, app).with_graceful_shutdown(async move { stopped.cancelled().await });
    tokio::select! {
        served = serving.into_future() => served?,
        () = async {
            shutdown.cancelled().await;
            tokio::time::sleep(DRAIN_MAX).await;
        } => tracing::warn!("some requests did not end within {} s; they are cut", DRAIN_MAX.as_secs()),
    }
    let _ = tokio::time::timeout(DRAIN_MAX, gate.drained()).await;
    Ok(())
}
