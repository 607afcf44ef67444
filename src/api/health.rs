//! What those who run the server ask: is it alive, is it ready, and how is it doing. None of it needs a token, and none
//! of it says anything about anyone.

use std::sync::OnceLock;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::service::Service;

/// How long the database may take to answer before the server counts as not ready.
const READY_WITHIN: Duration = Duration::from_secs(2);

/// `/healthz`, `/readyz` and `/metrics`.
pub fn router(service: Service) -> Router {
    recorder();
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(service)
}

async fn ready(State(service): State<Service>) -> Response {
    match tokio::time::timeout(READY_WITHIN, service.log().head()).await {
        Ok(Ok(head)) => format!("ready at position {head}\n").into_response(),
        Ok(Err(error)) => {
            tracing::warn!(%error, "not ready: the database does not answer");
            (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n").into_response()
        }
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer in time\n").into_response(),
    }
}

async fn metrics() -> Response {
    match recorder() {
        Some(recorder) => recorder.render().into_response(),
        None => (StatusCode::NOT_FOUND, "this process records its metrics elsewhere\n").into_response(),
    }
}

/// The recorder of this process; none when another was installed first.
pub(super) fn recorder() -> Option<&'static PrometheusHandle> {
    static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    RECORDER.get_or_init(|| PrometheusBuilder::new().install_recorder().ok()).as_ref()
}
