//! What every handler reaches: the process's services, and how to call them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use guard::{Cache, RateLimiter};
use tokio::sync::Semaphore;

use super::error::{ApiError, Code};
use super::events::Events;
use super::history::History;
use super::known_keys::KnownKeys;
use super::known_quotas::KnownQuotas;
use super::recent::Recent;
use super::request_log::RequestLog;
use crate::searching::Searching;
use crate::services::Services;

/// Keys and addresses that are counted at a time.
const LIMITED_KEYS_MAX: usize = 100_000;
/// Longest time that a request waits for a thread.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Cloned for each request.
#[derive(Clone)]
pub struct Api {
    pub services: Arc<Services>,
    pub searching: Arc<Searching>,
    pub events: Arc<Events>,
    pub recent: Arc<Recent>,
    pub history: Arc<History>,
    pub log: Option<Arc<RequestLog>>,
    pub keys: Arc<KnownKeys>,
    pub limiter: Arc<RateLimiter>,
    pub quotas: Arc<KnownQuotas>,
    pub cache: Arc<Cache>,
    /// Where it is listening.
    pub listen: SocketAddr,
    pub started: Instant,
    /// Requests that may be under way at a time.
    pub places: Arc<Semaphore>,
    /// The store and the index are asked on threads; so many at once.
    threads: Arc<Semaphore>,
}

/// A log that cannot be kept is no reason not to serve.
fn start_log(services: &Services) -> Option<Arc<RequestLog>> {
    let app = &services.app;
    let bytes_max = app.config.api.request_log_mb * 1024 * 1024;
    if bytes_max == 0 {
        return None;
    }
    match RequestLog::start(&app.data_dir().join("metrics"), bytes_max) {
        Ok(log) => Some(Arc::new(log)),
        Err(error) => {
            tracing::warn!(error = %format!("{error:#}"), "requests are not logged");
            None
        }
    }
}

impl Api {
    pub fn new(
        services: Arc<Services>,
        searching: Arc<Searching>,
        events: Arc<Events>,
        listen: SocketAddr,
    ) -> Result<Api> {
        let clock = &services.app.clock;
        let cache = Arc::new(Cache::open(&services.app.cache_options(), clock.clone()));
        let recent: Arc<Recent> = Arc::default();
        let history = History::start(
            &services.store,
            recent.clone(),
            cache.clone(),
            clock.clone(),
        )?;
        let limits = &services.app.config.api;
        Ok(Api {
            recent,
            history: Arc::new(history),
            log: start_log(&services),
            keys: Arc::default(),
            limiter: Arc::new(RateLimiter::new(LIMITED_KEYS_MAX)),
            quotas: Arc::default(),
            cache,
            started: Instant::now(),
            places: Arc::new(Semaphore::new(limits.requests_max.max(1))),
            threads: Arc::new(Semaphore::new(limits.threads.max(1))),
            services,
            searching,
            events,
            listen,
        })
    }

    /// Runs work that blocks, away from the threads that serve connections.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Api) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let overloaded = || {
            let message = "too many requests are waiting for the database";
            ApiError::new(Code::Overloaded, message).after(1)
        };
        let turn = tokio::time::timeout(WAIT_MAX, self.threads.clone().acquire_owned());
        let Ok(Ok(permit)) = turn.await else {
            return Err(overloaded());
        };
        let api = self.clone();
        let worked = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work(&api)
        });
        worked.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a request's thread panicked");
            Err(ApiError::new(
                Code::Internal,
                "the server failed to answer; its log says why",
            ))
        })
    }
}
