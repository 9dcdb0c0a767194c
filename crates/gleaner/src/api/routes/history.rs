//! How the service was doing for the last hour.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::api::caller::Caller;
use crate::api::error::{ApiError, ErrorBody};
use crate::api::extract::Query;
use crate::api::history::{EVERY, SAMPLES_MAX, Sample};
use crate::api::state::Api;
use crate::operations::moment;
use crate::view::rfc3339;

#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct HistoryParams {
    /// Only what was sampled after this moment (RFC 3339).
    #[param(format = DateTime)]
    pub since: Option<String>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MetricsHistory {
    /// Between two samples.
    pub every_s: u64,
    /// Older ones are dropped.
    pub samples_max: usize,
    /// Oldest first, from the start of this process on.
    pub samples: Vec<SampleView>,
}

/// Of the time since the sample before.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SampleView {
    #[schema(format = DateTime)]
    pub at: String,
    /// URLs that crawls had answered, in all processes.
    pub pages_per_s: f64,
    pub tasks_waiting: u64,
    pub tasks_running: u64,
    /// Requests to this process.
    pub requests_per_s: f64,
    /// Those answered with 4xx or 5xx.
    pub errors_per_s: f64,
    /// Of the answers that the cache was asked for; null when there were none.
    pub cache_hit_rate: Option<f64>,
}

impl From<&Sample> for SampleView {
    fn from(sample: &Sample) -> SampleView {
        SampleView {
            at: rfc3339(sample.at),
            pages_per_s: sample.pages_per_s,
            tasks_waiting: sample.tasks_waiting,
            tasks_running: sample.tasks_running,
            requests_per_s: sample.requests_per_s,
            errors_per_s: sample.errors_per_s,
            cache_hit_rate: sample.cache_hit_rate,
        }
    }
}

/// Show how the last hour went
///
/// Of all tenants together: for an admin of the default one.
#[utoipa::path(get, path = "/api/v2/metrics/history", tag = "monitoring", params(HistoryParams),
    responses((status = 200, body = MetricsHistory), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn history(
    State(api): State<Api>,
    caller: Caller,
    Query(params): Query<HistoryParams>,
) -> Result<Json<MetricsHistory>, ApiError> {
    caller.must_run_the_service()?;
    let since = moment("since", params.since.as_deref())?;
    let samples = api.history.samples(since);
    Ok(Json(MetricsHistory {
        every_s: EVERY.as_secs(),
        samples_max: SAMPLES_MAX,
        samples: samples.iter().map(SampleView::from).collect(),
    }))
}
