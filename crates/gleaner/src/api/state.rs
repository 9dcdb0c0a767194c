//! What every handler reaches: the process's services, and how to call them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use guard::SharedRateLimiter;
use store::noting_absent;
use tokio::sync::Semaphore;
use types::TenantId;

use super::cached::Answers;
use super::error::{ApiError, Code};
use super::events::Events;
use super::history::History;
use super::known_keys::KnownKeys;
use super::known_quotas::KnownQuotas;
use super::recent::Recent;
use super::request_log::RequestLog;
use super::turns::{NOBODY, Turns};
use crate::app::threads;
use crate::searching::Searching;
use crate::services::Services;

/// Keys and addresses that are counted at a time.
const LIMITED_KEYS_MAX: usize = 100_000;
/// Refusals held back at a time; more are given at once.
const HELD_MAX: usize = 64;
/// Questions under way at a time: each may wait for a model for minutes.
const ASKING_MAX: usize = 64;
/// Longest time that a request waits for a thread.
const WAIT_MAX: Duration = Duration::from_secs(10);

tokio::task_local! {
    /// The tenant of the request that is being handled.
    pub static ASKING: TenantId;
    /// Databases that the answer to this request had to do without.
    pub static ABSENT: Arc<Mutex<BTreeSet<String>>>;
}

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
    pub limiter: Arc<SharedRateLimiter>,
    pub quotas: Arc<KnownQuotas>,
    pub answers: Arc<Answers>,
    /// Where it is listening.
    pub listen: SocketAddr,
    pub started: Instant,
    /// Requests that may be under way at a time.
    pub places: Arc<Semaphore>,
    /// Refusals that are held back for a moment.
    pub held: Arc<Semaphore>,
    /// Questions that may be under way at a time.
    pub asking: Arc<Semaphore>,
    /// The store and the index are asked on threads, in turns.
    turns: Arc<Turns>,
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
        let redis = services.redis.as_ref();
        let answers = Arc::new(Answers::open(&services.app, &services.store, redis));
        let recent: Arc<Recent> = Arc::default();
        let history = History::start(
            &services.store,
            recent.clone(),
            answers.clone(),
            clock.clone(),
        )?;
        let limits = &services.app.config.api;
        Ok(Api {
            recent,
            history: Arc::new(history),
            log: start_log(&services),
            keys: Arc::default(),
            limiter: Arc::new(SharedRateLimiter::new(
                LIMITED_KEYS_MAX,
                services.redis.clone(),
            )),
            quotas: Arc::default(),
            answers,
            started: Instant::now(),
            places: Arc::new(Semaphore::new(limits.requests_max.max(1))),
            held: Arc::new(Semaphore::new(HELD_MAX)),
            asking: Arc::new(Semaphore::new(ASKING_MAX)),
            turns: Turns::new(limits.threads, threads(0)),
            services,
            searching,
            events,
            listen,
        })
    }

    /// Runs work that blocks, away from the threads that serve connections, in
    /// a turn of the tenant that the request is of.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Api) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        // Who asks without a name, such as for health, is nobody's tenant.
        let tenant = ASKING
            .try_with(|tenant| *tenant)
            .unwrap_or(TenantId(NOBODY));
        self.run_for(tenant, work).await
    }

    /// [`Api::run`] for what goes on after the request was handled.
    pub async fn run_for<T: Send + 'static>(
        &self,
        tenant: TenantId,
        work: impl FnOnce(&Api) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let overloaded = || {
            let message = "too many requests are waiting for the database";
            ApiError::new(Code::Overloaded, message).after(1)
        };
        let turn = self.turns.take(tenant.0, WAIT_MAX).await;
        let turn = turn.ok_or_else(overloaded)?;
        let api = self.clone();
        let worked = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            noting_absent(|| work(&api))
        });
        let noted = worked.await.map(|(answer, absent)| {
            // What goes on after a request has nobody to tell.
            let _ = ABSENT.try_with(|known| {
                let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
                known.extend(absent);
            });
            answer
        });
        noted.unwrap_or_else(|error| {
            tracing::error!(%error, "a request's thread panicked");
            Err(ApiError::new(
                Code::Internal,
                "the server failed to answer; its log says why",
            ))
        })
    }
}
