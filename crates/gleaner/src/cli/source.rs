//! `gleaner source list|show|log|add|edit|remove|crawl`

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use store::{Access, IntervalBounds, SourceRow, SourceSchedule, Store};
use types::{CrawlId, SourceId};

use super::args::{
    CrawlSettingsArgs, SourceAddArgs, SourceCommand, SourceEditArgs, SourceScheduleArgs,
};
use super::crawl_log;
use super::data_args::FieldsArg;
use super::output::{Exit, Paint, data_dir_flag, json_line, line, note, rfc3339, thousands};
use super::record_rules;
use crate::app::{App, UsageError};
use crate::operations::sources::{self, AddSource, EditSource};
use crate::pipeline::settings::SourceSettings;
use crate::services::Services;
use crate::view::{CrawlView, Fields, SourceView};

const CRAWLS_SHOWN: usize = 20;

pub fn run(app: &App, command: &SourceCommand) -> Result<Exit> {
    match command {
        SourceCommand::List(args) => list(app, args),
        SourceCommand::Show { id } => show(app, SourceId(*id)),
        SourceCommand::Log { id, crawl } => {
            let store = app.open_store(Access::Read)?;
            let source = find(app, &store, SourceId(*id))?;
            crawl_log::show(app, &store, source.id, crawl.map(CrawlId))
        }
        SourceCommand::Add(args) => add(app, args),
        SourceCommand::Edit(args) => edit(app, args),
        SourceCommand::Remove { id, keep_pages } => remove(app, SourceId(*id), *keep_pages),
        SourceCommand::Crawl { id, priority, url } => {
            let store = app.open_store(Access::Write)?;
            let queued = sources::crawl(&store, app.tenant, SourceId(*id), url, *priority)?;
            super::task::enqueued(app, &store, queued)
        }
    }
}

fn find(app: &App, store: &Store, id: SourceId) -> Result<SourceRow> {
    sources::find(store, app.tenant, id).context("see `gleaner source list`")
}

fn list(app: &App, args: &FieldsArg) -> Result<Exit> {
    let fields = Fields::read(args.fields.as_deref())?;
    let store = app.open_store(Access::Read)?;
    let sources = store.sources(app.tenant)?;
    if app.json {
        for source in &sources {
            json_line(&fields.of(SourceView::new(source)))?;
        }
        return Ok(Exit::Ok);
    }
    if sources.is_empty() {
        line("No sources yet. Start with: gleaner crawl https://…")?;
    }
    let paint = Paint::stdout();
    for source in &sources {
        let last = source.last_crawl.as_ref().map_or_else(
            || "never crawled".to_owned(),
            |crawl| format!("{} {}", crawl.status.code(), rfc3339(crawl.started_at)),
        );
        line(format!(
            "{:>4}  {}  {} pages  {}{}",
            source.id,
            paint.bold(&if source.seeds.is_empty() {
                source.name.clone()
            } else {
                source.seeds.join(" ")
            }),
            thousands(source.page_count),
            paint.dim(&last),
            source
                .trouble
                .as_ref()
                .map_or_else(String::new, |_| paint.red("  in trouble")),
        ))?;
    }
    Ok(Exit::Ok)
}

fn show(app: &App, id: SourceId) -> Result<Exit> {
    let store = app.open_store(Access::Read)?;
    let source = find(app, &store, id)?;
    let crawls = store.crawls(source.id, CRAWLS_SHOWN)?;
    if app.json {
        let crawls: Vec<CrawlView> = crawls.iter().map(CrawlView::new).collect();
        json_line(&serde_json::json!({
            "source": SourceView::new(&source),
            "policy": serde_json::from_str::<serde_json::Value>(&source.policy)?,
            "crawls": crawls,
        }))?;
        return Ok(Exit::Ok);
    }
    let paint = Paint::stdout();
    line(paint.bold(&format!("Source {}: {}", source.id, source.name)))?;
    for seed in &source.seeds {
        line(format!("  start     {seed}"))?;
    }
    line(format!("  pages     {}", thousands(source.page_count)))?;
    line(format!("  settings  {}", source.settings))?;
    line(format!("  schedule  {}", schedule_text(&source)))?;
    line(format!("  summaries {}", summaries_text(app, &source)?))?;
    if source.failures_in_a_row > 0 {
        line(format!("  failures  {} in a row", source.failures_in_a_row))?;
    }
    if let Some(trouble) = &source.trouble {
        line(format!("  {}   {trouble}", paint.red("trouble")))?;
    }
    line("  crawls")?;
    for crawl in &crawls {
        line(format!("  {}", crawl_log::text(&CrawlView::new(crawl))))?;
    }
    Ok(Exit::Ok)
}

fn add(app: &App, args: &SourceAddArgs) -> Result<Exit> {
    let store = app.open_store(Access::Write)?;
    let before = SourceSettings {
        summarize: args.summarize.then_some(true),
        ..SourceSettings::default()
    };
    let settings = typed_over(&before, &args.settings)?;
    let source = sources::add(
        app,
        &store,
        app.tenant,
        AddSource {
            name: args.name.clone(),
            urls: args.urls.clone(),
            schedule: parse_schedule(&args.schedule)?.unwrap_or_default(),
            settings,
            crawl_now: false,
        },
    )?;
    let id = source.id;
    if app.json {
        json_line(&SourceView::new(&source))?;
        return Ok(Exit::Ok);
    }
    line(format!("Source {id} is added."))?;
    let flag = data_dir_flag(app);
    match source.next_due_at {
        Some(due) => line(format!(
            "  due {}, as soon as `gleaner scheduler{flag}` and `gleaner worker{flag}` run",
            rfc3339(due)
        ))?,
        None => line(format!("  crawl it: gleaner source crawl{flag} {id}"))?,
    }
    if summarizes(app, &source)? {
        line("  its pages are summarised after each crawl")?;
    }
    Ok(Exit::Ok)
}

fn edit(app: &App, args: &SourceEditArgs) -> Result<Exit> {
    let store = app.open_store(Access::Write)?;
    let old = find(app, &store, SourceId(args.id))?;
    let schedule = if args.no_schedule {
        Some(SourceSchedule::default())
    } else {
        parse_schedule(&args.schedule)?
    };
    let mut before = SourceSettings::from_json(&old.settings)?;
    if args.no_record_rules {
        before.record = None;
    }
    before.summarize = args.summarize.or(before.summarize);
    let settings = typed_over(&before, &args.settings)?;
    let edit = EditSource {
        urls: (!args.urls.is_empty()).then(|| args.urls.clone()),
        name: args.name.clone(),
        active: args.active,
        schedule,
        settings: Some(settings),
    };
    let row = sources::edit(app, &store, app.tenant, old.id, edit)?;
    if app.json {
        json_line(&SourceView::new(&row))?;
    } else {
        let summaries = summaries_text(app, &row)?;
        line(format!(
            "Source {}: {}; summaries {summaries}",
            row.id,
            schedule_text(&row)
        ))?;
    }
    Ok(Exit::Ok)
}

fn remove(app: &App, id: SourceId, keep_pages: bool) -> Result<Exit> {
    let store = app.open_store(Access::Write)?;
    let source = find(app, &store, id)?;
    let pages = store.remove_source(source.id, keep_pages)?;
    let services = Services::start(app, store, Arc::default())?;
    services.flush_index()?;
    if let Some(raw) = &services.raw {
        let (_go_on, stop) = tokio::sync::watch::channel(false);
        if let Err(error) = raw.clean_up(&services.store, &stop) {
            note(format!("{error:#}; housekeeping removes them later"));
        }
    }
    services.close()?;
    if app.json {
        json_line(&serde_json::json!({
            "id": id.0, "status": "removed", "pages_deleted": pages,
        }))?;
    } else if keep_pages {
        line(format!("Source {id} is removed; its pages stay."))?;
    } else {
        line(format!(
            "Source {id} is removed, with {} pages.",
            thousands(pages)
        ))?;
    }
    Ok(Exit::Ok)
}

/// Settings with what was typed now.
pub fn typed_over(old: &SourceSettings, args: &CrawlSettingsArgs) -> Result<SourceSettings> {
    let list = |typed: &[String]| (!typed.is_empty()).then(|| typed.to_vec());
    let old = old.clone();
    let record = args
        .record_rules
        .as_deref()
        .map(record_rules::read)
        .transpose()?;
    Ok(SourceSettings {
        scope: args.scope.clone().or(old.scope),
        include: list(&args.include).or(old.include),
        exclude: list(&args.exclude).or(old.exclude),
        depth_max: args.max_depth.or(old.depth_max),
        pages_max: args.max_pages.or(old.pages_max),
        concurrency: args.concurrency.or(old.concurrency),
        delay_ms: args.delay_ms.or(old.delay_ms),
        record: record.or(old.record),
        summarize: old.summarize,
    })
}

/// `None` when nothing was typed about it.
fn parse_schedule(args: &SourceScheduleArgs) -> Result<Option<SourceSchedule>> {
    if args.every.is_none() && args.cron.is_none() && args.adaptive.is_none() {
        return Ok(None);
    }
    if let Some(cron) = &args.cron {
        frontier::Cron::parse(cron).map_err(|error| UsageError(error.to_string()))?;
    }
    let adaptive = args
        .adaptive
        .as_deref()
        .map(|text| {
            let (min, max) = text
                .split_once("..")
                .ok_or_else(|| UsageError(format!("`{text}` is no range; write 1h..30d")))?;
            let bounds = IntervalBounds {
                min: parse_time(min)?,
                max: parse_time(max)?,
            };
            if bounds.min > bounds.max {
                bail!(UsageError(format!(
                    "`{text}`: the first time is the longer one"
                )));
            }
            Ok(bounds)
        })
        .transpose()?;
    Ok(Some(SourceSchedule {
        every: args.every.as_deref().map(parse_time).transpose()?,
        cron: args.cron.clone(),
        adaptive,
    }))
}

/// `90m`, `6h`, `2d`; a bare number is hours, as the systems we replace had it.
pub fn parse_time(text: &str) -> Result<Duration> {
    let text = text.trim();
    let (number, unit) = match text.char_indices().last() {
        Some((at, unit @ ('s' | 'm' | 'h' | 'd'))) => (&text[..at], unit),
        _ => (text, 'h'),
    };
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'd' => 24 * 3600,
        _ => 3600,
    };
    number
        .parse::<u64>()
        .ok()
        .filter(|number| *number > 0)
        .and_then(|number| number.checked_mul(seconds))
        .map(Duration::from_secs)
        .ok_or_else(|| {
            UsageError(format!(
                "`{text}` is no time; write for example 90m, 6h or 2d"
            ))
            .into()
        })
}

fn schedule_text(source: &SourceRow) -> String {
    let schedule = &source.schedule;
    let mut text = match (&schedule.cron, source.interval.or(schedule.every)) {
        (Some(cron), _) => format!("at {cron} (UTC)"),
        (None, Some(every)) => format!("every {}", time_text(every)),
        (None, None) => "only when asked".to_owned(),
    };
    if let Some(bounds) = schedule.adaptive {
        text.push_str(&format!(
            ", adapting between {} and {}",
            time_text(bounds.min),
            time_text(bounds.max)
        ));
    }
    if !source.active {
        text.push_str(", not active");
    } else if let Some(due) = source.next_due_at {
        text.push_str(&format!(", due {}", rfc3339(due)));
    }
    text
}

fn summarizes(app: &App, source: &SourceRow) -> Result<bool> {
    let settings = SourceSettings::from_json(&source.settings)?;
    Ok(settings.over(&app.config.crawl).summarize)
}

fn summaries_text(app: &App, source: &SourceRow) -> Result<&'static str> {
    Ok(if summarizes(app, source)? {
        "after each crawl"
    } else {
        "only when asked"
    })
}

fn time_text(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        s if s > 0 && s.is_multiple_of(24 * 3600) => format!("{} d", s / (24 * 3600)),
        s if s > 0 && s.is_multiple_of(3600) => format!("{} h", s / 3600),
        s if s >= 7200 => format!("{:.1} h", s as f64 / 3600.0),
        s if s >= 60 => format!("{:.0} min", s as f64 / 60.0),
        s => format!("{s} s"),
    }
}
