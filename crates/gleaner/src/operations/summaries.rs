//! Summaries: which pages are meant, what that will take, and queueing it.

use anyhow::Result;
use store::{Store, SummaryState, SummaryWanted};
use types::{PageId, SourceId, TenantId, Timestamp};

use crate::app::{UsageError, parse_seed};
use crate::services::Services;
use crate::summaries::estimate::{Estimate, estimate};
use crate::tasks::{self, SummarizePayload};

/// Pages that can be asked for one by one, and the most that `limit` can say.
pub const PAGES_MAX: usize = 10_000;

/// Pages of a tenant. Nothing given: all.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    pub urls: Vec<String>,
    pub pages: Vec<i64>,
    pub source: Option<i64>,
    /// Pages that a search finds, best first.
    pub query: Option<String>,
    /// At most so many of them.
    pub limit: Option<usize>,
    /// Also pages whose summary is in one of these states.
    pub again: Vec<SummaryState>,
    /// Without the language model.
    pub extractive: bool,
}

/// What there is to do: a payload for each database that has any of it.
#[derive(Debug)]
pub struct Plan {
    pub parts: Vec<(Store, SummarizePayload)>,
    pub pages: u64,
    /// Pages that were named and have a summary of their present text.
    pub known: u64,
    /// Those pages, or those that a query found.
    pub named: Vec<PageId>,
}

/// A state that summaries can be made anew from.
pub fn again(codes: &[String]) -> Result<Vec<SummaryState>, UsageError> {
    let mut states = Vec::new();
    for code in codes {
        let state = SummaryState::from_code(code).filter(|state| *state != SummaryState::Done);
        let state = state
            .ok_or_else(|| UsageError(format!("again is `failed` or `fallback`, not `{code}`")))?;
        if !states.contains(&state) {
            states.push(state);
        }
    }
    Ok(states)
}

/// Finds out which pages are meant. `search` answers a query with page ids,
/// best first.
pub fn plan(
    store: &Store,
    tenant: TenantId,
    selection: &Selection,
    now: Timestamp,
    search: impl FnOnce(&str, usize) -> Result<Vec<PageId>>,
) -> Result<Plan> {
    check(selection)?;
    let again_before = (!selection.again.is_empty()).then_some(now);
    let wanted = SummaryWanted {
        tenant,
        source: selection.source.map(SourceId),
        pages: named(store, tenant, selection, search)?,
        again: selection.again.clone(),
        again_before,
    };
    if let Some(source) = wanted.source {
        super::sources::find(store, tenant, source)?;
    }
    let mut plan = Plan {
        parts: Vec::new(),
        pages: 0,
        known: 0,
        named: wanted.pages.clone().unwrap_or_default(),
    };
    let mut room = selection.limit.map(|limit| limit as u64);
    for shard in store.shards() {
        if room == Some(0) {
            break;
        }
        let count = shard.count_to_summarize(&wanted)?.pages;
        if count == 0 {
            continue;
        }
        let taken = room.map_or(count, |room| room.min(count));
        // A number of pages is fixed now, so that a task that is run again after
        // a crash means the same ones.
        let pages = if wanted.pages.is_some() || taken < count {
            let limit = usize::try_from(taken).unwrap_or(PAGES_MAX);
            let work = shard.pages_to_summarize(&wanted, None, limit)?;
            Some(work.iter().map(|work| work.page.0).collect())
        } else {
            None
        };
        room = room.map(|room| room - taken);
        plan.pages += taken;
        let payload = SummarizePayload {
            source: selection.source,
            pages,
            again: wanted.again.iter().map(|s| s.code().to_owned()).collect(),
            again_before_ms: again_before.map(|at| at.0),
            extractive: selection.extractive,
        };
        plan.parts.push((shard, payload));
    }
    plan.known = (plan.named.len() as u64).saturating_sub(plan.pages);
    Ok(plan)
}

fn check(selection: &Selection) -> Result<(), UsageError> {
    let ways = [
        !selection.urls.is_empty() || !selection.pages.is_empty(),
        selection.source.is_some(),
        selection.query.is_some(),
    ];
    if ways.iter().filter(|given| **given).count() > 1 {
        let problem = "choose pages by URL or id, by source, or by a query: one of the three";
        return Err(UsageError(problem.to_owned()));
    }
    if selection.urls.len() + selection.pages.len() > PAGES_MAX {
        return Err(UsageError(format!("at most {PAGES_MAX} pages at a time")));
    }
    match selection.limit {
        Some(limit) if !(1..=PAGES_MAX).contains(&limit) => Err(UsageError(format!(
            "limit is 1 to {PAGES_MAX}, not {limit}; without one all pages are summarised"
        ))),
        _ => Ok(()),
    }
}

/// The pages that were named or found; `None`: all.
fn named(
    store: &Store,
    tenant: TenantId,
    selection: &Selection,
    search: impl FnOnce(&str, usize) -> Result<Vec<PageId>>,
) -> Result<Option<Vec<PageId>>> {
    if let Some(query) = &selection.query {
        if query.trim().is_empty() {
            return Err(UsageError("the query is empty".to_owned()).into());
        }
        let limit = selection.limit.unwrap_or(10).min(search::RESULTS_MAX);
        return Ok(Some(search(query, limit)?));
    }
    if selection.urls.is_empty() && selection.pages.is_empty() {
        return Ok(None);
    }
    let mut pages = Vec::new();
    for id in &selection.pages {
        let id = PageId(*id);
        let page = store.page_of_tenant(tenant, id)?;
        let page = page.ok_or_else(|| UsageError(format!("there is no page {id}")))?;
        pages.push(page.id);
    }
    for url in &selection.urls {
        let canonical = parse_seed(url)?;
        let page = store.page_by_url(tenant, canonical.as_str())?;
        let page = page.ok_or_else(|| {
            UsageError(format!(
                "no page is stored of {url}; crawl or scrape it first"
            ))
        })?;
        pages.push(page.id);
    }
    pages.sort_unstable();
    pages.dedup();
    Ok(Some(pages))
}

/// What the plan will take. Nothing is asked, nothing is written.
pub fn preview(services: &Services, tenant: TenantId, plan: &Plan) -> Result<Estimate> {
    let mut stores = Vec::new();
    for (store, payload) in &plan.parts {
        let wanted = payload
            .wanted(tenant)
            .map_err(|failure| anyhow::anyhow!("bug: {failure:?}"))?;
        stores.push((store.clone(), wanted));
    }
    let asks_model = plan.parts.iter().any(|(_, payload)| !payload.extractive);
    let model = services.language_model().filter(|_| asks_model);
    estimate(&stores, model, &services.app.config.llm)
}

/// A task for each database; their ids.
pub fn enqueue(tenant: TenantId, plan: Plan) -> Result<Vec<types::TaskId>> {
    let mut ids = Vec::new();
    for (store, payload) in plan.parts {
        let task = tasks::summarize_task(tenant, &payload)?;
        let enqueued = store.enqueue_tasks(vec![task])?;
        ids.extend(enqueued.iter().map(|task| task.id));
    }
    Ok(ids)
}
