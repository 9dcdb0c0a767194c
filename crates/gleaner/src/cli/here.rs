//! A task that runs in the process of the command that asked for it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use store::{EnqueueRunning, NewTask, Store};
use tokio::sync::watch;

use super::live::LiveView;
use super::stop;
use crate::app::App;
use crate::services::Services;
use crate::tasks::{self, Ending, Foreground, Worker};

/// How often a wait looks at Ctrl-C.
pub const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Another process runs the task.
#[derive(Debug)]
pub struct Busy(String);

impl std::fmt::Display for Busy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Busy {}

/// A worker of this command's own, with a view and Ctrl-C.
pub struct Here {
    pub services: Arc<Services>,
    pub worker: Worker,
    pub view: LiveView,
    stop: watch::Receiver<bool>,
}

impl Here {
    /// `claims` are the kinds of tasks that it takes from the queue besides.
    pub fn start(
        app: &App,
        services: Services,
        claims: &[&'static str],
        show: bool,
    ) -> Result<Here> {
        let stop = stop::on_ctrl_c()?;
        let view = LiveView::start(services.progress.clone(), show);
        let services = Arc::new(services);
        let worker = Worker::start(&services, tasks::options(app, claims))?;
        Ok(Here {
            services,
            worker,
            view,
            stop,
        })
    }

    pub fn stopped(&self) -> bool {
        *self.stop.borrow()
    }

    /// Runs one task to its end, in the database of what it is about. Fails with
    /// [`Busy`] while another process runs it.
    pub fn run(
        &self,
        store: &Store,
        task: NewTask,
        foreground: Option<Arc<Foreground>>,
        busy: &dyn Fn(i64, &str) -> String,
    ) -> Result<Ending> {
        let until = self.services.app.clock.now().plus(tasks::LEASE_FOR);
        let id = match store.enqueue_running(task, store.instance(), until)? {
            EnqueueRunning::Claimed(claimed) => {
                let id = claimed.id;
                self.worker.adopt(*claimed, foreground);
                id
            }
            EnqueueRunning::AlreadyRunning { id, owner } => bail!(Busy(busy(id.0, &owner))),
        };
        loop {
            if let Some(ending) = self.worker.wait(id, LOOK_EVERY) {
                return Ok(ending);
            }
            if self.stopped() {
                self.worker.stop();
            }
        }
    }

    /// Ends the view and the worker, and closes the store.
    pub fn end(mut self) -> Result<()> {
        self.view.finish();
        self.worker.join()?;
        match Arc::try_unwrap(self.services) {
            Ok(services) => services.close(),
            // A thread that was given up still holds it.
            Err(_) => Ok(()),
        }
    }
}
