//! Sources: added, changed, found, crawled now.

use anyhow::{Context, Result};
use store::{
    Enqueued, NewSource, NewSourceSpec, SourceEdit, SourcePlan, SourceRow, SourceSchedule, Store,
};
use types::{CanonicalUrl, Priority, SourceId, TenantId};

use crate::app::{App, UsageError, parse_seed};
use crate::pipeline::settings::SourceSettings;
use crate::pipeline::start;
use crate::tasks::{self, CrawlPayload};

/// Start pages of one source, and single pages of one recrawl.
const URLS_MAX: usize = 1_000;
const NAME_CHARS_MAX: usize = 200;

/// There is nothing of this id for this tenant.
#[derive(Debug)]
pub struct NotFound(pub String);

impl std::fmt::Display for NotFound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotFound {}

pub fn find(store: &Store, tenant: TenantId, id: SourceId) -> Result<SourceRow> {
    store
        .source_of_tenant(tenant, id)?
        .filter(|source| source.removed_at.is_none())
        .ok_or_else(|| NotFound(format!("there is no source {id}")).into())
}

/// A source to be added.
#[derive(Clone, Debug, Default)]
pub struct AddSource {
    /// The first host unless given.
    pub name: Option<String>,
    pub urls: Vec<String>,
    pub schedule: SourceSchedule,
    pub settings: SourceSettings,
    /// The caller queues its first crawl, so that it is not due at once.
    pub crawl_now: bool,
}

pub fn add(app: &App, store: &Store, tenant: TenantId, add: AddSource) -> Result<SourceRow> {
    let seeds = seeds(&add.urls)?;
    let name = add.name.unwrap_or_else(|| seeds[0].host().to_owned());
    check_name(&name)?;
    check_schedule(&add.schedule)?;
    add.settings.check().map_err(UsageError)?;
    let crawl = add.settings.over(&app.config.crawl);
    // Says now what a crawl would say later.
    start::scope_of(&seeds, &crawl).map_err(wrong_settings)?;
    let now = app.clock.now();
    // Due at once: the first crawl should not wait a whole interval.
    let next_due_at = tasks::next_due(&add.schedule, None, now)?.map(|due| {
        if add.schedule.cron.is_some() || add.crawl_now {
            due
        } else {
            now
        }
    });
    let id = store.add_source(NewSourceSpec {
        source: NewSource {
            tenant,
            name,
            seeds: seeds.iter().map(ToString::to_string).collect(),
            policy: start::policy_json(&crawl),
        },
        kind: "web".to_owned(),
        active: true,
        schedule: add.schedule,
        settings: add.settings.to_json()?,
        next_due_at,
    })?;
    find(store, tenant, id)
}

/// What of a source is to be another; `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct EditSource {
    /// Where its crawls begin: what the source is known by.
    pub urls: Option<Vec<String>>,
    pub name: Option<String>,
    pub active: Option<bool>,
    pub schedule: Option<SourceSchedule>,
    pub settings: Option<SourceSettings>,
}

pub fn edit(
    app: &App,
    store: &Store,
    tenant: TenantId,
    id: SourceId,
    edit: EditSource,
) -> Result<SourceRow> {
    let old = find(store, tenant, id)?;
    if let Some(name) = &edit.name {
        check_name(name)?;
    }
    if let Some(schedule) = &edit.schedule {
        check_schedule(schedule)?;
    }
    let urls = edit.urls.as_deref().map(seeds).transpose()?;
    if urls.is_some() && !old.seeds.iter().all(|seed| parse_seed(seed).is_ok()) {
        let problem = "pages that were scraped one by one have no start URLs to change";
        return Err(UsageError(problem.to_owned()).into());
    }
    if let Some(settings) = &edit.settings {
        settings.check().map_err(UsageError)?;
    }
    if urls.is_some() || edit.settings.is_some() {
        let settings = match &edit.settings {
            Some(settings) => settings.clone(),
            None => SourceSettings::from_json(&old.settings)?,
        };
        let seeds = match &urls {
            Some(urls) => urls.clone(),
            None => seeds(&old.seeds)?,
        };
        let crawl = settings.over(&app.config.crawl);
        start::scope_of(&seeds, &crawl).map_err(wrong_settings)?;
    }
    let settings = edit
        .settings
        .map(|settings| settings.to_json())
        .transpose()?;
    store.edit_source(
        old.id,
        SourceEdit {
            seeds: urls.map(|urls| urls.iter().map(ToString::to_string).collect()),
            name: edit.name,
            active: edit.active,
            settings: settings.filter(|settings| *settings != old.settings),
            schedule: edit.schedule.clone(),
            ..SourceEdit::default()
        },
    )?;
    if let Some(schedule) = &edit.schedule {
        let due = tasks::next_due(schedule, None, app.clock.now())?;
        store.set_next_due(old.id, due)?;
    }
    find(store, tenant, old.id)
}

/// Queues a crawl of the source, or of single pages of it.
pub fn crawl(
    store: &Store,
    tenant: TenantId,
    id: SourceId,
    urls: &[String],
    priority: Priority,
) -> Result<Enqueued> {
    let source = find(store, tenant, id)?;
    if urls.is_empty() && source.seeds.is_empty() {
        let problem = format!("source {id} has no start page: its pages were imported");
        return Err(UsageError(problem).into());
    }
    let urls = if urls.is_empty() {
        Vec::new()
    } else {
        seeds(urls)?.iter().map(ToString::to_string).collect()
    };
    let mut task = tasks::crawl_task(
        tenant,
        &CrawlPayload {
            source: source.id.0,
            embed: true,
            urls,
        },
    )?;
    task.priority = priority;
    enqueue(&store.shard_of_source(source.id)?, task)
}

/// Queues a crawl of the website at `url`, which becomes a source where it is
/// none. `pages_max` goes into its settings; all others stay as they are.
pub fn create_and_crawl(
    app: &App,
    store: &Store,
    tenant: TenantId,
    seed: &CanonicalUrl,
    pages_max: Option<u64>,
) -> Result<(SourceId, Enqueued)> {
    let wanted = SourceSettings {
        pages_max,
        ..SourceSettings::default()
    };
    let source = NewSource {
        tenant,
        name: seed.host().to_owned(),
        seeds: vec![seed.to_string()],
        policy: start::policy_json(&wanted.over(&app.config.crawl)),
    };
    let plan = move |source: &SourceRow| {
        let settings = match pages_max {
            None => None,
            Some(_) => {
                let settings = SourceSettings {
                    pages_max,
                    ..SourceSettings::from_json(&source.settings).map_err(|e| format!("{e:#}"))?
                };
                Some(settings.to_json().map_err(|e| format!("{e:#}"))?)
            }
        };
        let payload = CrawlPayload {
            source: source.id.0,
            embed: true,
            urls: Vec::new(),
        };
        let task = tasks::crawl_task(tenant, &payload).map_err(|e| format!("{e:#}"))?;
        Ok(SourcePlan { settings, task })
    };
    Ok(store.ensure_source_with_task(source, plan)?)
}

/// Queues a task where what it is about lies.
pub(super) fn enqueue(store: &Store, task: store::NewTask) -> Result<Enqueued> {
    let enqueued = store.enqueue_tasks(vec![task])?;
    enqueued
        .into_iter()
        .next()
        .context("bug: the task was not queued")
}

/// URLs as people type them.
pub fn seeds(urls: &[String]) -> Result<Vec<CanonicalUrl>> {
    if urls.is_empty() {
        return Err(UsageError("at least one URL is needed".to_owned()).into());
    }
    if urls.len() > URLS_MAX {
        let problem = format!("{} URLs are too many; {URLS_MAX} at most", urls.len());
        return Err(UsageError(problem).into());
    }
    urls.iter().map(|url| parse_seed(url)).collect()
}

fn check_name(name: &str) -> Result<()> {
    let long = name.chars().count() > NAME_CHARS_MAX;
    if long || name.trim().is_empty() || name.chars().any(char::is_control) {
        let problem = format!("a name has 1 to {NAME_CHARS_MAX} characters, none of them control");
        return Err(UsageError(problem).into());
    }
    Ok(())
}

fn check_schedule(schedule: &SourceSchedule) -> Result<()> {
    if let Some(cron) = &schedule.cron {
        frontier::Cron::parse(cron).map_err(|error| UsageError(error.to_string()))?;
    }
    if let Some(bounds) = schedule.adaptive
        && bounds.min > bounds.max
    {
        let problem = "the first bound of an adaptive interval is the shorter one";
        return Err(UsageError(problem.to_owned()).into());
    }
    Ok(())
}

fn wrong_settings(error: anyhow::Error) -> anyhow::Error {
    UsageError(format!("{error:#}")).into()
}
