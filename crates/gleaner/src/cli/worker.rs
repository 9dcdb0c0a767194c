//! `gleaner worker` and `gleaner scheduler`: the roles that run unattended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use store::{Access, PUBLISH_EVENTS};

use super::output::{Exit, json_line, line};
use super::service_args::{SchedulerArgs, WorkerArgs};
use super::stop;
use crate::api::{self, Server};
use crate::app::{App, UsageError};
use crate::memory::{self, GiveBack};
use crate::process;
use crate::publishing;
use crate::scheduler::Scheduler;
use crate::services::Services;
use crate::tasks::{self, KINDS, Worker};

/// How often Ctrl-C is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// `gleaner worker`
pub fn run(app: &App, args: &WorkerArgs) -> Result<Exit> {
    memory::use_small_pages();
    process::open_more_files();
    let claims = claims(&args.kind)?;
    let publishes = publishing::is_configured(&app.config.events);
    if args.kind.iter().any(|kind| kind == PUBLISH_EVENTS) && !publishes {
        let why = format!("tasks of kind `{PUBLISH_EVENTS}` need events.nats_url");
        return Err(UsageError(why).into());
    }
    let mut app = app.clone();
    let allowed = args.allow_private.iter().cloned();
    app.config.fetch.allow_private.extend(allowed);
    let stop = stop::on_ctrl_c()?;
    let store = app.open_store(Access::Write)?;
    tasks::rechunk_if_needed(&app, &store)?;
    if claims.contains(&PUBLISH_EVENTS) {
        publishing::start_if_configured(&app, &store)?;
    }
    let services = Arc::new(Services::start(&app, store, Arc::default())?);
    let worker = Worker::start(&services, tasks::options(&app, &claims))?;
    let server = args
        .metrics_listen
        .map(|listen| Server::start(listen, api::metrics::router(services.clone())))
        .transpose()?;
    let instance = services.store.instance().to_owned();
    if app.json {
        let metrics = server.as_ref().map(|server| server.address().to_string());
        json_line(&serde_json::json!({"worker": instance, "kinds": claims, "metrics": metrics}))?;
    } else {
        line(format!(
            "Worker {instance} on {}: {}, {} to {} at once. Ctrl-C lets running tasks end.",
            app.data_dir().display(),
            claims.join(", "),
            app.config.worker.slots_min,
            app.config.worker.slots_max,
        ))?;
        if let Some(server) = &server {
            line(format!("Metrics: http://{}/metrics", server.address()))?;
        }
    }
    let mut memory = GiveBack::default();
    while !*stop.borrow() {
        std::thread::park_timeout(LOOK_EVERY);
        memory.tick();
    }
    let left = worker.running();
    worker.join()?;
    drop(server);
    if let Ok(services) = Arc::try_unwrap(services) {
        services.close()?;
    }
    if !app.json {
        line(format!(
            "Stopped; {left} running tasks ended or went back into the queue."
        ))?;
    }
    Ok(Exit::Ok)
}

/// All kinds, unless some are named.
fn claims(named: &[String]) -> Result<Vec<&'static str>> {
    if named.is_empty() {
        return Ok(KINDS.to_vec());
    }
    named
        .iter()
        .map(|name| {
            KINDS.into_iter().find(|kind| kind == name).ok_or_else(|| {
                let known = KINDS.join(", ");
                UsageError(format!("there is no task kind `{name}`; there are {known}")).into()
            })
        })
        .collect()
}

/// `gleaner scheduler`
pub fn schedule(app: &App, args: &SchedulerArgs) -> Result<Exit> {
    let stop = stop::on_ctrl_c()?;
    let store = app.open_store(Access::Write)?;
    let mut scheduler = Scheduler::new(app, &store);
    loop {
        let checked = scheduler.check()?;
        if app.json {
            json_line(&checked)?;
        } else if args.once || checked.enqueued > 0 {
            line(format!(
                "{} crawls enqueued, {} waiting already",
                checked.enqueued, checked.waiting
            ))?;
        }
        let next = Instant::now() + scheduler.pause();
        while !args.once && !*stop.borrow() && Instant::now() < next {
            std::thread::park_timeout(LOOK_EVERY);
        }
        if args.once || *stop.borrow() {
            break;
        }
    }
    drop(scheduler);
    store.close()?;
    Ok(Exit::Ok)
}
