//! `GET /metrics` in Prometheus's text format, and `GET /health`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};

use crate::services::Services;

/// For operators; knows nothing of tenants.
pub fn router(services: Arc<Services>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/health", get(health))
        .with_state(services)
}

async fn metrics(State(services): State<Arc<Services>>) -> Response {
    let text = tokio::task::spawn_blocking(move || {
        let clock = services.app.clock.as_ref();
        services.metrics.sampled.refresh(&services.store, clock)?;
        services.metrics.text()
    });
    match text.await {
        Ok(Ok(text)) => {
            let kind = [(CONTENT_TYPE, prometheus::TEXT_FORMAT)];
            (kind, text).into_response()
        }
        failed => {
            tracing::error!(?failed, "could not read the metrics");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// The process is alive.
async fn health() -> Json<serde_json::Value> {
    Json(serde_json::json!({"status": "ok"}))
}
