//! How much work there is for workers, for whoever starts and stops them.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::api::caller::Caller;
use crate::api::error::{ApiError, ErrorBody};
use crate::api::extract::Query;
use crate::api::state::Api;
use crate::services::Services;
use crate::tasks::{self, KindScale, ScalingPolicy};

/// As `--slots` takes it.
const SLOTS_MAX: u64 = 1_024;

/// The worker in this process.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct WorkerStatus {
    /// Kinds of tasks that it takes.
    pub queues: Vec<&'static str>,
    /// Tasks that it would run at once, as fitted to the load.
    pub slots: u64,
    pub slots_max: u64,
    /// Tasks that it runs.
    pub busy: u64,
}

impl WorkerStatus {
    pub fn of(services: &Services) -> Option<WorkerStatus> {
        let metrics = &services.metrics.tasks;
        let count = |gauge: &prometheus::IntGauge| u64::try_from(gauge.get()).unwrap_or(0);
        Some(WorkerStatus {
            queues: services.queues()?.to_vec(),
            slots: count(&metrics.slots),
            slots_max: services.app.config.worker.slots_max.max(1) as u64,
            busy: count(&metrics.slots_busy),
        })
    }
}

#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ScalingParams {
    /// Kinds of tasks that the workers in question take, separated by commas; all unless given.
    #[param(max_length = 512)]
    pub queues: Option<String>,
    /// Slots that these workers have, 1 to 1024; as configured here unless given.
    #[param(minimum = 1, maximum = 1024)]
    pub slots_per_worker: Option<u64>,
}

/// What the queue asks for. See the metrics reference for how it is computed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Scaling {
    /// Workers that let what is ready end within `drain_s`, within the limits.
    pub suggested_workers: u64,
    /// The same in slots, without the limits.
    pub suggested_slots: u64,
    pub slots_per_worker: u64,
    pub drain_s: f64,
    pub workers_min: u64,
    pub workers_max: u64,
    /// How far back the rates go.
    pub observed_s: f64,
    pub queues: Vec<QueueScaling>,
}

/// One kind of task, in all processes.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct QueueScaling {
    pub queue: String,
    /// Due and not begun.
    pub ready: u64,
    pub running: u64,
    pub is_paused: bool,
    /// Runs beside the slots and takes none.
    pub is_light: bool,
    /// How many may run at a time; 0: no limit.
    pub running_max: u64,
    pub ended_per_s: f64,
    /// Mean time of a run, as far as seen.
    pub run_s: f64,
    pub suggested_slots: u64,
}

impl From<KindScale> for QueueScaling {
    fn from(kind: KindScale) -> QueueScaling {
        QueueScaling {
            queue: kind.kind,
            ready: kind.ready,
            running: kind.running,
            is_paused: kind.is_paused,
            is_light: kind.is_light,
            running_max: kind.running_max,
            ended_per_s: kind.ended_per_s,
            run_s: kind.run_s,
            suggested_slots: kind.slots,
        }
    }
}

/// Say how many workers there should be
///
/// Of all tenants together: for an admin of the default one. The first answer of a process
/// knows no rates yet; asked every half a minute or so, it does.
#[utoipa::path(get, path = "/api/v2/system/scaling", tag = "monitoring", params(ScalingParams),
    responses((status = 200, body = Scaling), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn scaling(
    State(api): State<Api>,
    caller: Caller,
    Query(params): Query<ScalingParams>,
) -> Result<Json<Scaling>, ApiError> {
    caller.must_run_the_service()?;
    let names = params.queues.as_deref().unwrap_or_default();
    let names: Vec<String> = names
        .split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    let queues = tasks::queues(&names).map_err(|error| ApiError::invalid(error.to_string()))?;
    let mut policy = ScalingPolicy::new(&api.services.app.config.worker);
    if let Some(slots) = params.slots_per_worker {
        if !(1..=SLOTS_MAX).contains(&slots) {
            let message = format!("slots_per_worker is 1 to {SLOTS_MAX}, not {slots}");
            return Err(ApiError::invalid(message));
        }
        policy.slots_per_worker = slots;
    }
    api.run(move |api| {
        let scale = tasks::suggest_scale(&api.services, &policy, |kind| queues.contains(&kind))?;
        Ok(Json(Scaling {
            suggested_workers: scale.workers,
            suggested_slots: scale.slots,
            slots_per_worker: policy.slots_per_worker,
            drain_s: policy.drain_s,
            workers_min: policy.workers_min,
            workers_max: policy.workers_max,
            observed_s: scale.observed_s,
            queues: scale.kinds.into_iter().map(QueueScaling::from).collect(),
        }))
    })
    .await
}
