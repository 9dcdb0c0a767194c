//! What the language model was asked, and what that came to.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use store::{Day, LlmUseRow, Scopes, TaskFilter};
use types::TaskState;
use utoipa::{IntoParams, ToSchema};

use crate::api::caller::Caller;
use crate::api::error::{ApiError, ErrorBody};
use crate::api::extract::Query;
use crate::api::state::Api;
use crate::summaries::{Figures, LlmFigures};
use crate::tasks::{SUMMARIZE, SummarizeOutcome};
use crate::view::rfc3339;

const DAYS_DEFAULT: i64 = 30;
const DAYS_MAX: i64 = 367;

#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct LlmMetricsParams {
    /// So many days up to today (UTC), 1 to 367; 30 unless given.
    #[param(minimum = 1, maximum = 367)]
    pub days: Option<i64>,
}

/// Of one tenant, over all processes.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LlmMetricsView {
    #[serde(flatten)]
    pub total: LlmFigures,
    /// Beginning of the first day that is counted.
    #[schema(format = DateTime)]
    pub since: String,
    /// As configured; nothing: none is.
    pub model: Option<String>,
    /// What the tokens cost, each model's by its configured price; what models
    /// without one used is not in it. Nothing: none has one.
    pub cost: Option<f64>,
    pub currency: Option<String>,
    /// `closed`: asked as usual; `open`: left alone; `half_open`: being tried.
    pub breaker: Option<&'static str>,
    pub today: TokensToday,
    /// By model and purpose.
    pub by: Vec<LlmUseView>,
    /// The figures of the last batch of summaries alone, while its task is kept.
    pub last_batch: Option<LlmBatchView>,
}

#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct TokensToday {
    pub used: u64,
    /// Set aside by calls under way.
    pub reserved: u64,
    /// The tenant's quota `tokens_per_day`; nothing: no limit.
    pub max: Option<u64>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LlmUseView {
    pub model: String,
    /// `summary` or `answer`.
    pub purpose: String,
    /// Nothing: the model has no configured price.
    pub cost: Option<f64>,
    #[serde(flatten)]
    pub figures: LlmFigures,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LlmBatchView {
    pub task_id: i64,
    #[schema(format = DateTime)]
    pub finished_at: Option<String>,
    #[serde(flatten)]
    pub figures: LlmFigures,
}

/// Show what the language model was asked
#[utoipa::path(get, path = "/api/v2/metrics/llm", tag = "monitoring", params(LlmMetricsParams),
    responses((status = 200, body = LlmMetricsView), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn metrics(
    State(api): State<Api>,
    caller: Caller,
    Query(params): Query<LlmMetricsParams>,
) -> Result<Json<LlmMetricsView>, ApiError> {
    let caller = caller.must(Scopes::READ)?;
    let days = params.days.unwrap_or(DAYS_DEFAULT);
    if !(1..=DAYS_MAX).contains(&days) {
        let message = format!("days is 1 to {DAYS_MAX}, not {days}");
        return Err(ApiError::invalid(message));
    }
    api.run(move |api| {
        let services = &api.services;
        let store = &services.store;
        let today = Day::of(services.app.clock.now());
        let from = Day(today.0 - days + 1);
        let mut total = Figures::default();
        let mut by: BTreeMap<(String, String), Figures> = BTreeMap::new();
        for row in store.llm_use(Some(caller.tenant), from, today)? {
            let figures = figures(&row);
            total.add(&figures);
            by.entry((row.model, row.purpose))
                .or_default()
                .add(&figures);
        }
        let budget = store.llm_budget(caller.tenant)?;
        let last = store.tasks(
            caller.tenant,
            &TaskFilter {
                kind: Some(SUMMARIZE.to_owned()),
                states: vec![TaskState::Succeeded],
                limit: 1,
                ..TaskFilter::default()
            },
        )?;
        let last_batch = last.first().and_then(|task| {
            let result: SummarizeOutcome = serde_json::from_str(task.result.as_deref()?).ok()?;
            Some(LlmBatchView {
                task_id: task.id.0,
                finished_at: task.finished_at.map(rfc3339),
                figures: result.llm.into(),
            })
        });
        let model = services.language_model();
        let settings = &services.app.config.llm;
        let by: Vec<LlmUseView> = by
            .into_iter()
            .map(|((model, purpose), figures)| LlmUseView {
                cost: (settings.prices).cost(&model, figures.tokens_in, figures.tokens_out),
                model,
                purpose,
                figures: figures.into(),
            })
            .collect();
        let costs = by.iter().filter_map(|one| one.cost);
        let cost = costs.fold(None, |sum, cost| Some(sum.unwrap_or(0.0) + cost));
        Ok(Json(LlmMetricsView {
            total: total.into(),
            since: rfc3339(from.start()),
            model: model.map(|model| model.name().to_owned()),
            currency: cost.map(|_| settings.currency.clone()),
            cost,
            breaker: model.map(|model| super::monitoring::breaker_state(model.breaker().state)),
            today: TokensToday {
                used: budget.used,
                reserved: budget.reserved,
                max: budget.max,
            },
            by,
            last_batch,
        }))
    })
    .await
}

fn figures(row: &LlmUseRow) -> Figures {
    Figures {
        calls_succeeded: row.succeeded,
        calls_failed: row.failed,
        fallbacks: row.fallback,
        attempts: row.requests,
        tokens_in: row.tokens_in,
        tokens_out: row.tokens_out,
        took_ms: row.took_ms,
    }
}
