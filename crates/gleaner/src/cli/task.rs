//! `gleaner task list|show|watch|status|cancel|retry|pause|resume`

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use store::{Access, Cancelled, CrawlControl, Enqueued, Store, TaskFilter, TaskRow};
use types::{TaskId, TaskState};

use super::args::{TaskCommand, TaskListArgs, TaskScrapeArgs};
use super::output::{
    Exit, Paint, data_dir_flag, json_line, line, note, rfc3339, shorten, thousands,
};
use super::stop;
use crate::app::{App, UsageError};
use crate::operations;
use crate::view::{Fields, QueueView, TaskView};

/// How often a watched task is read: its progress is written as often.
const LOOK_EVERY: Duration = Duration::from_millis(250);

pub fn run(app: &App, command: &TaskCommand) -> Result<Exit> {
    match command {
        TaskCommand::List(args) => list(app, &app.open_store(Access::Read)?, args),
        TaskCommand::Show { id } => show(app, &app.open_store(Access::Read)?, TaskId(*id)),
        TaskCommand::Watch { id } => watch(app, TaskId(*id)),
        TaskCommand::Status => status(app, &app.open_store(Access::Read)?),
        TaskCommand::Scrape(args) => scrape(app, args),
        TaskCommand::Cancel { id } => cancel(app, TaskId(*id)),
        TaskCommand::Retry { id } => {
            let store = app.open_store(Access::Write)?;
            store.retry_task(app.tenant, TaskId(*id))?;
            done(app, *id, "queued", "is queued again")
        }
        TaskCommand::Pause { id, kind } => pause(app, *id, kind.as_deref(), true),
        TaskCommand::Resume { id, kind } => pause(app, *id, kind.as_deref(), false),
    }
}

fn done(app: &App, id: i64, status: &str, text: &str) -> Result<Exit> {
    if app.json {
        json_line(&serde_json::json!({"id": id, "status": status}))?;
    } else {
        line(format!("Task {id} {text}."))?;
    }
    Ok(Exit::Ok)
}

fn scrape(app: &App, args: &TaskScrapeArgs) -> Result<Exit> {
    let store = app.open_store(Access::Write)?;
    let scrape = operations::tasks::Scrape {
        urls: args.urls.clone(),
        brand: args.brand.clone(),
        max_concurrent: args.max_concurrent,
        delay_ms: args.delay_ms,
        priority: args.priority,
    };
    let queued = operations::tasks::scrape(&store, app.tenant, scrape)?;
    enqueued(app, &store, queued)
}

/// Says that a task is queued and how to follow it.
pub fn enqueued(app: &App, store: &Store, enqueued: Enqueued) -> Result<Exit> {
    let id = enqueued.id;
    if app.json {
        json_line(&serde_json::json!({"task_id": id.0, "created": enqueued.created}))?;
        return Ok(Exit::Ok);
    }
    if enqueued.created {
        line(format!("Task {id} is queued."))?;
    } else {
        line(format!(
            "Task {id} is queued already and stands for this one."
        ))?;
    }
    let flag = data_dir_flag(app);
    line(format!("  follow it: gleaner task watch{flag} {id}"))?;
    if store.running_owners()?.is_empty() {
        line(format!(
            "  no worker is busy; `gleaner worker{flag}` runs one"
        ))?;
    }
    Ok(Exit::Ok)
}

fn list(app: &App, store: &Store, args: &TaskListArgs) -> Result<Exit> {
    let states = args
        .state
        .iter()
        .map(|code| {
            TaskState::from_code(code).ok_or_else(|| {
                let known: Vec<&str> = TaskState::ALL.iter().map(|s| s.code()).collect();
                UsageError(format!(
                    "there is no task state `{code}`; there are {}",
                    known.join(", ")
                ))
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let fields = Fields::read(args.fields.fields.as_deref())?;
    let tasks = store.tasks(
        app.tenant,
        &TaskFilter {
            states,
            kind: args.kind.clone(),
            parent: None,
            before: args.before.map(TaskId),
            limit: args.limit,
        },
    )?;
    if app.json {
        for task in &tasks {
            json_line(&fields.of(TaskView::new(task)))?;
        }
        return Ok(Exit::Ok);
    }
    if tasks.is_empty() {
        line("No tasks. `gleaner source crawl ID` makes one.")?;
    }
    let paint = Paint::stdout();
    for task in &tasks {
        line(format!(
            "{:>6}  {}  {:<13} {:<9} {}",
            task.id,
            state(paint, task.state),
            task.kind,
            task.priority.to_string(),
            paint.dim(&summary(task))
        ))?;
    }
    Ok(Exit::Ok)
}

fn state(paint: Paint, state: TaskState) -> String {
    let text = format!("{:<9}", state.code());
    match state {
        TaskState::Succeeded => paint.green(&text),
        TaskState::Running => paint.cyan(&text),
        TaskState::Failed | TaskState::Dead => paint.red(&text),
        TaskState::Cancelled => paint.yellow(&text),
        TaskState::Scheduled | TaskState::Queued => text,
    }
}

/// The one thing to know about a task in its state.
fn summary(task: &TaskRow) -> String {
    let progress = &task.progress;
    match task.state {
        TaskState::Scheduled => {
            let why = task.waiting_for.as_deref().or(task.error.as_deref());
            let due = rfc3339(task.run_at);
            why.map_or_else(
                || format!("due {due}"),
                |why| format!("due {due}: {}", shorten(why, 80)),
            )
        }
        TaskState::Running => match progress.total {
            Some(total) => format!("{} of {}", thousands(progress.completed), thousands(total)),
            None => thousands(progress.completed),
        },
        TaskState::Failed | TaskState::Dead => shorten(task.error.as_deref().unwrap_or(""), 100),
        _ => shorten(&task.payload, 80),
    }
}

fn show(app: &App, store: &Store, id: TaskId) -> Result<Exit> {
    let task = store.task(app.tenant, id)?;
    if app.json {
        json_line(&TaskView::new(&task))?;
        return Ok(Exit::Ok);
    }
    let paint = Paint::stdout();
    line(format!(
        "{} {}",
        paint.bold(&format!("Task {id}: {}", task.kind)),
        state(paint, task.state)
    ))?;
    let row = |name: &str, value: Option<String>| match value {
        Some(value) => line(format!("  {name:<10} {value}")),
        None => Ok(()),
    };
    row("payload", Some(task.payload.clone()))?;
    row("priority", Some(task.priority.to_string()))?;
    row(
        "attempt",
        Some(format!("{} of {}", task.attempt, task.attempts_max)),
    )?;
    row("enqueued", Some(rfc3339(task.enqueued_at)))?;
    row("due", task.state.is_pending().then(|| rfc3339(task.run_at)))?;
    row("waits for", task.waiting_for.clone())?;
    row("started", task.started_at.map(rfc3339))?;
    row("finished", task.finished_at.map(rfc3339))?;
    row("worker", task.worker.clone())?;
    row("progress", Some(progress_text(&task)))?;
    row("error", task.error.clone())?;
    row("result", task.result.clone())?;
    Ok(Exit::Ok)
}

fn progress_text(task: &TaskRow) -> String {
    let progress = &task.progress;
    let total = progress
        .total
        .map_or_else(String::new, |total| format!(" of {}", thousands(total)));
    let errors = match progress.errors {
        0 => String::new(),
        errors => format!(", {} failed", thousands(errors)),
    };
    let current = progress
        .current
        .as_deref()
        .map_or_else(String::new, |current| format!(", at {current}"));
    format!("{}{total}{errors}{current}", thousands(progress.completed))
}

/// Follows a task until it ends or Ctrl-C; the task does not mind either.
fn watch(app: &App, id: TaskId) -> Result<Exit> {
    let store = app.open_store(Access::Read)?;
    let shown = !app.json && std::io::stderr().is_terminal();
    let bar = if shown {
        ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr())
    } else {
        ProgressBar::hidden()
    };
    let style = ProgressStyle::with_template("{prefix} {bar:24} {pos}/{len} {wide_msg}")
        .expect("bug: the progress template is constant");
    bar.set_style(style.progress_chars("━╸─"));
    let stop = stop::on_ctrl_c_quietly()?;
    let mut last = (TaskState::Scheduled, u64::MAX);
    let task = loop {
        let task = store.task(app.tenant, id)?;
        bar.set_prefix(format!("{} {}", task.kind, task.state.code()));
        bar.set_length(
            task.progress
                .total
                .unwrap_or(task.progress.completed)
                .max(1),
        );
        bar.set_position(task.progress.completed);
        bar.set_message(progress_text(&task));
        let now = (task.state, task.progress_seq);
        if app.json && last != now {
            json_line(&TaskView::new(&task))?;
        }
        last = now;
        if task.state.is_finished() {
            break Some(task);
        }
        if *stop.borrow() {
            break None;
        }
        std::thread::park_timeout(LOOK_EVERY);
    };
    bar.finish_and_clear();
    let Some(task) = task else {
        note("the task goes on; watch it again with the same command");
        return Ok(Exit::Partly);
    };
    if !app.json {
        show(app, &store, id)?;
    }
    Ok(if task.state == TaskState::Succeeded {
        Exit::Ok
    } else {
        Exit::Failed
    })
}

fn status(app: &App, store: &Store) -> Result<Exit> {
    let counts = store.queue_status(Some(app.tenant))?;
    let paused = store.paused_queues()?;
    let is_paused = |kind: &str| {
        paused
            .iter()
            .any(|queue| queue.kind.as_deref().is_none_or(|paused| paused == kind))
    };
    if app.json {
        for count in &counts {
            json_line(&QueueView::new(count, is_paused(&count.kind)))?;
        }
        return Ok(Exit::Ok);
    }
    if counts.is_empty() {
        line("The queue is empty.")?;
        return Ok(Exit::Ok);
    }
    let paint = Paint::stdout();
    line(paint.dim(&format!(
        "{:<14}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}",
        "kind", "scheduled", "queued", "running", "succeeded", "failed", "cancelled", "dead"
    )))?;
    for count in &counts {
        line(format!(
            "{:<14}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}{}",
            count.kind,
            thousands(count.scheduled),
            thousands(count.queued),
            thousands(count.running),
            thousands(count.ever.succeeded),
            thousands(count.ever.failed),
            thousands(count.ever.cancelled),
            thousands(count.dead),
            if is_paused(&count.kind) {
                paint.yellow("  paused")
            } else {
                String::new()
            }
        ))?;
    }
    line(paint.dim("succeeded, failed and cancelled: since the beginning"))?;
    Ok(Exit::Ok)
}

fn cancel(app: &App, id: TaskId) -> Result<Exit> {
    let store = app.open_store(Access::Write)?;
    let cancelled = operations::tasks::cancel(&store, app.tenant, id)?;
    // A crawl that rests has nobody to end it.
    match cancelled {
        Cancelled::Now => done(app, id.0, "cancelled", "is cancelled"),
        Cancelled::Requested => done(
            app,
            id.0,
            "cancelling",
            "is told to stop; what it stored is kept",
        ),
    }
}

/// Pauses a crawl, or a kind of task, or everything.
fn pause(app: &App, id: Option<i64>, kind: Option<&str>, pause: bool) -> Result<Exit> {
    let store = app.open_store(Access::Write)?;
    let Some(id) = id else {
        let changed = if pause {
            store.pause_queue(kind)?
        } else {
            store.resume_queue(kind)?
        };
        let what = kind.map_or_else(|| "all tasks".to_owned(), |kind| format!("{kind} tasks"));
        let state = if pause { "paused" } else { "resumed" };
        if app.json {
            json_line(&serde_json::json!({"kind": kind, "status": state, "changed": changed}))?;
        } else if changed {
            line(format!("New {what} are {state}; running ones go on."))?;
        } else {
            line(format!("Nothing changed: {what} were {state} already."))?;
        }
        return Ok(Exit::Ok);
    };
    let task = TaskId(id);
    let crawl = operations::tasks::crawl_of(&store, app.tenant, task)?;
    if pause {
        operations::crawls::control(&store, app.tenant, &crawl, CrawlControl::Pause)?;
        return done(
            app,
            id,
            "paused",
            "pauses its crawl; `gleaner task resume` goes on",
        );
    }
    operations::crawls::control(&store, app.tenant, &crawl, CrawlControl::Run)?;
    done(app, id, "resumed", "goes on as soon as a worker is free")
}
