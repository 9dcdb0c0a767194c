//! `gleaner worker` and `gleaner scheduler`: the roles that run unattended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use store::{Access, PUBLISH_EVENTS};

use super::output::{Exit, json_line, line};
use super::service_args::{SchedulerArgs, WorkArgs, WorkerArgs};
use super::stop;
use crate::api;
use crate::app::{App, UsageError};
use crate::memory::{self, GiveBack};
use crate::process;
use crate::publishing;
use crate::relay::Relay;
use crate::scheduler::Scheduler;
use crate::services::Services;
use crate::tasks::{self, Worker};

/// How often Ctrl-C is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// `gleaner worker`
pub fn run(app: &App, args: &WorkerArgs) -> Result<Exit> {
    memory::use_small_pages();
    process::open_more_files();
    let mut app = app.clone();
    let claims = take_work(&mut app, &args.work)?;
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
        .map(|listen| api::metrics::serve(listen, &services, None))
        .transpose()?;
    let instance = services.store.instance().to_owned();
    if app.json {
        let metrics = server.as_ref().map(|server| server.address().to_string());
        json_line(&serde_json::json!({"worker": instance, "queues": claims, "metrics": metrics}))?;
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

/// The kinds of tasks to take, by what was typed or else configured; sets the
/// slots that were typed.
pub fn take_work(app: &mut App, args: &WorkArgs) -> Result<Vec<&'static str>> {
    let typed = !args.queues.is_empty();
    let named = if typed {
        &args.queues
    } else {
        &app.config.worker.queues
    };
    let claims = tasks::queues(named).map_err(|error| {
        let place = if typed { "--queues" } else { "worker.queues" };
        UsageError(format!("{place}: {error}"))
    })?;
    let publishes = publishing::is_configured(&app.config.events);
    if named.iter().any(|kind| kind == PUBLISH_EVENTS) && !publishes {
        let why = format!("tasks of kind `{PUBLISH_EVENTS}` need events.nats_url");
        return Err(UsageError(why).into());
    }
    if let Some(slots) = args.slots {
        let worker = &mut app.config.worker;
        worker.slots_max = usize::from(slots);
        worker.slots_min = worker.slots_min.min(worker.slots_max);
    }
    Ok(claims)
}

/// `gleaner scheduler`
pub fn schedule(app: &App, args: &SchedulerArgs) -> Result<Exit> {
    let stop = stop::on_ctrl_c()?;
    let store = app.open_store(Access::Write)?;
    // Workers hear of what is queued here.
    let redis = app.redis()?;
    let relay = redis
        .map(|redis| Relay::start(&store, &redis))
        .transpose()?;
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
    drop((scheduler, relay));
    store.close()?;
    Ok(Exit::Ok)
}
