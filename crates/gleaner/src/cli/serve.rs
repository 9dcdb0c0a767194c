//! `gleaner serve`: API, worker and scheduler in one process.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use store::{Access, PUBLISH_EVENTS};

use super::output::{Exit, json_line, line, note};
use super::service_args::ServeArgs;
use super::stop::{self, Asked};
use super::worker::take_work;
use crate::api::{self, Api, Bound, Events};
use crate::app::App;
use crate::memory::{self, GiveBack};
use crate::process;
use crate::publishing;
use crate::scheduler::Scheduler;
use crate::searching::Searching;
use crate::services::Services;
use crate::tasks::{self, Worker};

/// How often Ctrl-C is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often it is looked whether a source has become due, besides the
/// scheduler's own checks: one read of an index.
const DUE_EVERY: Duration = Duration::from_secs(1);

/// `gleaner serve`
pub fn run(app: &App, args: &ServeArgs) -> Result<Exit> {
    memory::use_small_pages();
    process::open_more_files();
    let mut app = app.clone();
    let allowed = args.allow_private.iter().cloned();
    app.config.fetch.allow_private.extend(allowed);
    let claims = take_work(&mut app, &args.work)?;
    let listen = args.listen.unwrap_or(app.config.api.listen);
    let (stop, asked) = stop::on_signal()?;
    let bound = Bound::to(listen)?;
    let store = app.open_store(Access::Write)?;
    tasks::rechunk_if_needed(&app, &store)?;
    if !args.no_workers && claims.contains(&PUBLISH_EVENTS) {
        publishing::start_if_configured(&app, &store)?;
    }
    let services = Arc::new(Services::start(&app, store, Arc::default())?);
    let searching = Arc::new(Searching::new(services.clone()));
    let streams_max = app.config.api.streams_max;
    let events = Events::start(&services.store, streams_max, app.poll_every())?;
    let events = Arc::new(events);
    let api = Api::new(
        services.clone(),
        searching.clone(),
        events.clone(),
        bound.address(),
    )?;
    let metrics = args
        .metrics_listen
        .map(|listen| api::metrics::serve(listen, &services, Some(api.answers.clone())))
        .transpose()?;
    let grace = Duration::from_secs(app.config.api.grace_s);
    let server = bound.serve(api::router(api), grace)?;
    let roles = if args.no_workers {
        None
    } else {
        Some(Roles::start(&app, &services, &claims)?)
    };
    warm_up(searching);
    let url = format!("http://{}", server.address());
    if app.json {
        json_line(&serde_json::json!({
            "listening": url,
            "instance": services.store.instance(),
            "workers": !args.no_workers,
            "queues": services.queues(),
            "metrics": metrics.as_ref().map(|server| server.address().to_string()),
        }))?;
    } else {
        line(format!("Gleaner answers at {url} (API: {url}/docs)"))?;
        line(format!(
            "  data in {}; Ctrl-C stops",
            app.data_dir().display()
        ))?;
    }
    if !server.address().ip().is_loopback() {
        note("this address is reachable from outside: every request needs an API key");
    }
    let mut memory = GiveBack::default();
    while !*stop.borrow() {
        std::thread::park_timeout(LOOK_EVERY);
        memory.tick();
    }
    services.leave();
    if let Some(roles) = &roles {
        // Tasks end or go back while requests are still answered.
        roles.worker.stop();
    }
    if asked.get() == Some(&Asked::Terminate) {
        drain(Duration::from_secs(app.config.api.drain_s));
    }
    // Whoever watches something goes on elsewhere where it stopped.
    events.close();
    drop(server);
    if let Some(roles) = roles {
        roles.end()?;
    }
    drop(metrics);
    if let Ok(services) = Arc::try_unwrap(services) {
        services.close()?;
    }
    if !app.json {
        line("Stopped; what was running went back into the queue.")?;
    }
    Ok(Exit::Ok)
}

/// Leaves those who share requests out the time to see that this server is no
/// longer ready. A second signal ends the process.
fn drain(time: Duration) {
    let until = Instant::now() + time;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(left);
    }
}

/// `gleaner openapi`
pub fn openapi() -> Result<Exit> {
    line(api::document_json()?.trim_end())?;
    Ok(Exit::Ok)
}

/// The first search should not wait for the index, and a model that cannot be
/// used should be known before it.
fn warm_up(searching: Arc<Searching>) {
    let warmed = std::thread::Builder::new()
        .name("warm-up".into())
        .spawn(move || {
            if let Err(error) = searching.warm_up() {
                tracing::warn!(error = %format!("{error:#}"), "could not open the model or the index yet");
            }
        });
    if let Err(error) = warmed {
        tracing::warn!(%error, "could not start the warm-up thread");
    }
}

/// What runs unattended beside the API.
struct Roles {
    worker: Worker,
    stop: Sender<()>,
    scheduler: JoinHandle<()>,
}

impl Roles {
    fn start(app: &App, services: &Arc<Services>, claims: &[&'static str]) -> Result<Roles> {
        let worker = Worker::start(services, tasks::options(app, claims))?;
        let scheduler = Scheduler::new(app, &services.store);
        let (stop, stopped) = bounded(0);
        let scheduler = std::thread::Builder::new()
            .name("scheduler".into())
            .spawn(move || schedule(scheduler, &stopped))
            .context("start the scheduler thread")?;
        Ok(Roles {
            worker,
            stop,
            scheduler,
        })
    }

    fn end(self) -> Result<()> {
        drop(self.stop);
        if self.scheduler.join().is_err() {
            tracing::error!("the scheduler thread panicked");
        }
        self.worker.join()
    }
}

/// Ends when the other end of `stopped` is dropped.
fn schedule(mut scheduler: Scheduler, stopped: &Receiver<()>) {
    let mut checked: Option<Instant> = None;
    loop {
        let pause = scheduler.pause();
        let due = checked.is_none_or(|at| at.elapsed() >= pause) || scheduler.something_is_due();
        if due {
            checked = Some(Instant::now());
            if let Err(error) = scheduler.check() {
                tracing::error!(error = %format!("{error:#}"), "could not look for due sources");
            }
        }
        if stopped.recv_timeout(DUE_EVERY) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
    }
}
