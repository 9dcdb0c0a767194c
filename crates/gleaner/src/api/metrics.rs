//! `GET /metrics` in Prometheus's text format.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};

use super::cached::Answers;
use super::caller::Caller;
use super::error::ApiError;
use super::routes::monitoring::{Ready, health, look};
use super::server::Server;
use super::state::Api;
use crate::services::Services;
use crate::tasks::{self, ScalingPolicy};

/// For what is still being answered when the process ends.
const GRACE: Duration = Duration::from_secs(5);

/// What is measured here.
#[derive(Clone)]
struct Measured {
    services: Arc<Services>,
    /// Of a process that answers the API.
    answers: Option<Arc<Answers>>,
}

/// For those who look after the process, of any role: `/metrics`, which know
/// nothing of tenants, `/health` and `/ready`.
pub fn serve(
    listen: SocketAddr,
    services: &Arc<Services>,
    answers: Option<Arc<Answers>>,
) -> Result<Server> {
    let metrics = |State(measured): State<Measured>| async move {
        let read = move || text(&measured.services, measured.answers.as_deref());
        on_thread(read).await.map(as_text)
    };
    let ready = |State(measured): State<Measured>| async move {
        let look = on_thread(move || Ok(look(&measured.services))).await?;
        Ok::<(StatusCode, Json<Ready>), ApiError>(look)
    };
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/health", get(health))
        .route("/ready", get(ready))
        .with_state(Measured {
            services: services.clone(),
            answers,
        });
    Server::start(listen, router, GRACE)
}

async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T, ApiError> {
    let worked = tokio::task::spawn_blocking(work).await;
    let worked = worked.map_err(anyhow::Error::from).and_then(|done| done);
    worked.map_err(ApiError::from)
}

/// For the operator of a server.
pub async fn of_all(State(api): State<Api>, caller: Caller) -> Result<Response, ApiError> {
    caller.must_run_the_service()?;
    let text = api
        .run(|api| Ok(text(&api.services, Some(&api.answers))?))
        .await?;
    Ok(as_text(text))
}

fn text(services: &Services, answers: Option<&Answers>) -> Result<String> {
    let (clock, metrics) = (services.app.clock.as_ref(), &services.metrics);
    if let Some(answers) = answers {
        metrics.http.answers(&answers.stats());
    }
    metrics.sampled.refresh(&services.store, clock)?;
    let policy = ScalingPolicy::new(&services.app.config.worker);
    let scale = tasks::suggest_scale(services, &policy, |_| true)?;
    metrics.sampled.scale(&scale);
    metrics.sampled.breakers(&services.breakers());
    if let Some(redis) = &services.redis {
        metrics.sampled.redis(&redis.status());
    }
    if let Some(stats) = services.relay_stats() {
        metrics.sampled.relay(stats);
    }
    metrics.text()
}

fn as_text(text: String) -> Response {
    ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response()
}
