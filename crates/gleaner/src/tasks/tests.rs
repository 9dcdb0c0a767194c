//! The worker with tasks made for the purpose.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use store::{
    EnqueueRunning, Finish, Finished, NewSource, NewTask, SourceEdit, Store, TaskEnd, TaskFilter,
    TaskRow,
};
use testkit::{FakeWeb, Reply};
use types::{
    CanonicalUrl, Clock, ManualClock, Priority, SourceId, SystemClock, TaskId, TaskState, TenantId,
    Timestamp,
};

use super::crawl::{CrawlPayload, crawl_task};
use super::kind::{Outcome, RetryDelay, TaskContext, TaskFailure, TaskKind};
use super::new::SUMMARIZE;
use super::shared::{LEASE_FOR, WorkerOptions, lock};
use super::slots::SlotPolicy;
use super::summarize::{Summarize, SummarizePayload, summarize_task};
use super::worker::Worker;
use crate::app::App;
use crate::pipeline::settings::SourceSettings;
use crate::services::Services;

/// Notes the priority of each of its runs.
#[derive(Default)]
struct Notes {
    runs: Mutex<Vec<Priority>>,
}

impl TaskKind for Notes {
    fn name(&self) -> &'static str {
        "notes"
    }

    fn run(&self, context: &TaskContext) -> Result<Outcome, TaskFailure> {
        lock(&self.runs).push(context.task.priority);
        Outcome::done(())
    }
}

/// [`Notes`] that run beside the slots.
struct Light(Arc<Notes>);

impl TaskKind for Light {
    fn name(&self) -> &'static str {
        "light"
    }

    fn is_light(&self) -> bool {
        true
    }

    fn run(&self, context: &TaskContext) -> Result<Outcome, TaskFailure> {
        self.0.run(context)
    }
}

struct Panics;

impl TaskKind for Panics {
    fn name(&self) -> &'static str {
        "panics"
    }

    fn run(&self, _: &TaskContext) -> Result<Outcome, TaskFailure> {
        panic!("as it was told to")
    }
}

/// Heeds nothing until the test lets it go.
struct Deaf {
    begun: AtomicU64,
    let_go: Receiver<()>,
}

impl TaskKind for Deaf {
    fn name(&self) -> &'static str {
        "deaf"
    }

    fn retry(&self) -> RetryDelay {
        RetryDelay::Crawl
    }

    fn run(&self, _: &TaskContext) -> Result<Outcome, TaskFailure> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        // Fails once the test is over, which is as good.
        let _ = self.let_go.recv();
        Outcome::done("too late")
    }
}

fn services() -> Arc<Services> {
    services_at(Arc::new(SystemClock))
}

fn services_at(clock: Arc<dyn Clock>) -> Arc<Services> {
    services_for(clock, Vec::new())
}

/// `seeds` may be asked for although they are on this machine.
fn services_for(clock: Arc<dyn Clock>, seeds: Vec<CanonicalUrl>) -> Arc<Services> {
    let loaded = crate::config::load(None, std::iter::empty(), &[]).expect("defaults");
    let mut app = App::new(loaded.config, false, false);
    app.clock = clock.clone();
    let store = Store::open_memory(clock).expect("store");
    let services = Services::without_index(&app, store, Arc::default()).expect("services");
    Arc::new(services.with_typed_seeds(seeds))
}

fn options(kinds: Vec<Arc<dyn TaskKind>>, slots: usize) -> WorkerOptions {
    WorkerOptions {
        claims: kinds.iter().map(|kind| kind.name()).collect(),
        kinds,
        slots: SlotPolicy {
            min: slots,
            max: slots,
            cpu_max: 1.0,
            memory_bytes_max: 0,
        },
        grace: Duration::from_millis(1),
    }
}

fn new(kind: &str, priority: Priority) -> NewTask {
    NewTask {
        tenant: TenantId::DEFAULT,
        kind: kind.to_owned(),
        payload: "{}".to_owned(),
        priority,
        run_at: None,
        attempts_max: 1,
        timeout: Duration::from_secs(3600),
        dedupe: None,
        parent: None,
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "never {what}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

fn row(services: &Services, id: TaskId) -> TaskRow {
    services
        .store
        .task(TenantId::DEFAULT, id)
        .expect("the task is there")
}

#[test]
fn an_urgent_task_overtakes_ten_thousand_others() {
    let services = services();
    let store = &services.store;
    for _ in 0..10 {
        let low = vec![new("notes", Priority::LOW); 1000];
        store.enqueue_tasks(low).expect("enqueued");
    }
    let notes = Arc::new(Notes::default());
    let worker = Worker::start(&services, options(vec![notes.clone()], 1)).expect("starts");
    until("begun", || lock(&notes.runs).len() > 100);
    store
        .enqueue_tasks(vec![new("notes", Priority::HIGH)])
        .expect("enqueued");
    let before = lock(&notes.runs).len();
    until("run", || lock(&notes.runs).contains(&Priority::HIGH));
    worker.join().expect("ends");
    let runs = lock(&notes.runs);
    let place = runs.iter().position(|priority| *priority == Priority::HIGH);
    let waited = place.expect("it ran").saturating_sub(before);
    // At most two batches were claimed ahead of it.
    assert!(waited <= 2 * 257, "{waited} tasks went before it");
}

#[test]
fn a_panic_fails_its_task_only() {
    let services = services();
    let notes = Arc::new(Notes::default());
    let kinds: Vec<Arc<dyn TaskKind>> = vec![Arc::new(Panics), notes.clone()];
    let worker = Worker::start(&services, options(kinds, 1)).expect("starts");
    let tasks = vec![
        new("panics", Priority::HIGH),
        new("notes", Priority::LOW),
        new("panics", Priority::HIGH),
    ];
    let enqueued = services.store.enqueue_tasks(tasks).expect("enqueued");
    until("ended", || {
        enqueued
            .iter()
            .all(|task| row(&services, task.id).state.is_finished())
    });
    // Stopping twice is as good as once.
    worker.stop();
    worker.stop();
    worker.join().expect("ends");
    let panicked = row(&services, enqueued[0].id);
    assert_eq!(panicked.state, TaskState::Dead);
    let error = panicked.error.expect("error");
    assert_eq!(error, "the task panicked: as it was told to");
    assert_eq!(row(&services, enqueued[1].id).state, TaskState::Succeeded);
}

#[test]
fn a_task_that_never_yields_is_given_up_and_its_slot_filled_anew() {
    let services = services();
    let (hold, let_go): (Sender<()>, Receiver<()>) = bounded(0);
    let deaf = Arc::new(Deaf {
        begun: AtomicU64::new(0),
        let_go,
    });
    let notes = Arc::new(Notes::default());
    let kinds: Vec<Arc<dyn TaskKind>> = vec![deaf.clone(), notes.clone()];
    let worker = Worker::start(&services, options(kinds, 1)).expect("starts");
    let mut stubborn = new("deaf", Priority::HIGH);
    stubborn.timeout = Duration::from_millis(1);
    stubborn.attempts_max = 2;
    let tasks = vec![stubborn, new("notes", Priority::LOW)];
    let enqueued = services.store.enqueue_tasks(tasks).expect("enqueued");
    until("the other task ran", || {
        row(&services, enqueued[1].id).state == TaskState::Succeeded
    });
    assert_eq!(deaf.begun.load(Ordering::SeqCst), 1);
    let given_up = row(&services, enqueued[0].id);
    assert_eq!(given_up.state, TaskState::Scheduled, "{given_up:?}");
    let error = given_up.error.expect("error");
    assert!(error.starts_with("timed out after"), "{error}");

    // What it returns in the end changes nothing.
    drop(hold);
    worker.join().expect("ends");
    assert_eq!(row(&services, enqueued[0].id).state, TaskState::Scheduled);
}

#[test]
fn a_clock_that_jumps_loses_and_doubles_nothing() {
    let noon = Timestamp(1_700_000_000_000);
    let clock = Arc::new(ManualClock::at(noon));
    let services = services_at(clock.clone());
    let (hold, let_go): (Sender<()>, Receiver<()>) = bounded(0);
    let long = Arc::new(Deaf {
        begun: AtomicU64::new(0),
        let_go,
    });
    let notes = Arc::new(Notes::default());
    let kinds: Vec<Arc<dyn TaskKind>> = vec![long.clone(), notes.clone()];
    let worker = Worker::start(&services, options(kinds, 2)).expect("starts");
    let mut tomorrow = new("notes", Priority::DEFAULT);
    tomorrow.run_at = Some(noon.plus(Duration::from_secs(24 * 3600)));
    let tasks = vec![new("deaf", Priority::DEFAULT), tomorrow];
    let enqueued = services.store.enqueue_tasks(tasks).expect("enqueued");
    until("begun", || long.begun.load(Ordering::SeqCst) == 1);

    // Back: the lease now ends far in the future, and nobody else has it.
    clock.set(Timestamp(noon.0 - 7 * 24 * 3_600_000));
    worker.rescue().expect("looks for lost tasks");
    assert_eq!(row(&services, enqueued[0].id).state, TaskState::Running);

    // Forward: the lease is over by the clock, but its worker is alive; what
    // is due by now runs, although nothing was committed meanwhile.
    clock.set(noon.plus(Duration::from_secs(48 * 3600)));
    worker.rescue().expect("looks for lost tasks");
    until("ran when it was due", || {
        row(&services, enqueued[1].id).state == TaskState::Succeeded
    });
    assert_eq!(row(&services, enqueued[0].id).state, TaskState::Running);
    drop(hold);
    until("ended", || {
        row(&services, enqueued[0].id).state.is_finished()
    });
    worker.join().expect("ends");
    assert_eq!(long.begun.load(Ordering::SeqCst), 1);
    assert_eq!(lock(&notes.runs).len(), 1);
}

#[test]
fn a_light_task_does_not_wait_for_a_slot() {
    let services = services();
    let (hold, let_go): (Sender<()>, Receiver<()>) = bounded(0);
    let long = Arc::new(Deaf {
        begun: AtomicU64::new(0),
        let_go,
    });
    let notes = Arc::new(Notes::default());
    let kinds: Vec<Arc<dyn TaskKind>> =
        vec![long.clone(), notes.clone(), Arc::new(Light(notes.clone()))];
    let worker = Worker::start(&services, options(kinds, 1)).expect("starts");
    let enqueue = |kind: &str| {
        let task = new(kind, Priority::DEFAULT);
        services.store.enqueue_tasks(vec![task]).expect("enqueued")[0].id
    };
    enqueue("deaf");
    until("begun", || long.begun.load(Ordering::SeqCst) == 1);
    let waits = enqueue("notes");
    for _ in 0..3 {
        let light = enqueue("light");
        until("ran", || {
            row(&services, light).state == TaskState::Succeeded
        });
    }
    assert_eq!(row(&services, waits).state, TaskState::Queued);
    drop(hold);
    until("ran in its slot", || {
        row(&services, waits).state == TaskState::Succeeded
    });
    worker.join().expect("ends");
}

/// A site of one page that is a source, and who may crawl it.
fn rain(settings: &SourceSettings) -> (FakeWeb, Arc<Services>, SourceId) {
    let web = FakeWeb::start_blocking();
    web.route("/", Reply::html(rain_text("river")));
    let start = CanonicalUrl::parse(&web.url("/")).expect("a URL");
    let services = services_for(Arc::new(SystemClock), vec![start.clone()]);
    let source = services.store.ensure_source(NewSource {
        tenant: TenantId::DEFAULT,
        name: "rain".to_owned(),
        seeds: vec![start.to_string()],
        policy: "{}".to_owned(),
    });
    let source = source.expect("a source");
    let settings = Some(settings.to_json().expect("JSON"));
    let edit = SourceEdit {
        settings,
        ..SourceEdit::default()
    };
    services.store.edit_source(source, edit).expect("edited");
    (web, services, source)
}

fn rain_text(what: &str) -> String {
    let words =
        format!("Rain fell on the hills all night, and by the morning the {what} had risen. ");
    format!("<title>Rain</title><h1>Rain</h1><p>{}</p>", words.repeat(5))
}

/// The task, claimed here; no worker runs it.
fn claimed(services: &Arc<Services>, task: NewTask) -> TaskContext {
    let store = &services.store;
    let until = services.app.clock.now().plus(LEASE_FOR);
    let claimed = store.enqueue_running(task, store.instance(), until);
    let EnqueueRunning::Claimed(claimed) = claimed.expect("enqueued") else {
        panic!("nobody else has it");
    };
    TaskContext::new(*claimed, services.clone(), None)
}

fn crawl_of(source: SourceId) -> NewTask {
    let payload = CrawlPayload {
        source: source.0,
        embed: false,
        urls: Vec::new(),
    };
    crawl_task(TenantId::DEFAULT, &payload).expect("a task")
}

/// Runs the crawl and gives what it asks the store to end it with.
fn crawled(context: &TaskContext) -> (serde_json::Value, Finish) {
    match super::crawl::CrawlSource.run(context) {
        Ok(Outcome::Done { result, follow_ups }) => {
            let finish = Finish {
                task: context.task.task_ref(),
                end: TaskEnd::Succeeded { result: None },
                follow_ups,
            };
            (result.expect("a result"), finish)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn q1_a_crawl_that_ended_before_its_task_was_told_is_not_run_again() {
    let (web, services, source) = rain(&SourceSettings::default());
    let context = claimed(&services, crawl_of(source));
    let (first, finish) = crawled(&context);
    assert_eq!(finish.follow_ups, [], "nothing was asked for");
    let requests = web.log().len();
    // Its worker dies here: the store hears nothing of the end, and the task is
    // run by another one.
    let (second, _) = crawled(&context);
    assert_eq!(web.log().len(), requests, "nothing is asked for again");
    assert_eq!(second["crawl_id"], first["crawl_id"]);
    assert_eq!(second["pages"], first["pages"]);
    assert_eq!(second["pages"]["added"], 1, "{second}");
    let crawls = services.store.crawls(source, 10);
    assert_eq!(crawls.expect("crawls").len(), 1);
}

#[test]
fn q1_a_crawl_is_followed_by_summaries_once_whenever_it_is_killed() {
    let summarize = SourceSettings {
        summarize: Some(true),
        ..SourceSettings::default()
    };
    let (web, services, source) = rain(&summarize);
    let store = &services.store;
    let waiting = || {
        let tasks = TaskFilter {
            kind: Some(SUMMARIZE.to_owned()),
            states: vec![TaskState::Queued],
            ..TaskFilter::default()
        };
        store.tasks(TenantId::DEFAULT, &tasks).expect("tasks")
    };
    let crawl = claimed(&services, crawl_of(source));
    crawled(&crawl);
    assert_eq!(waiting().len(), 0, "its worker dies before it is told");
    let (_, finish) = crawled(&crawl);
    let ended = store.finish_tasks(vec![finish.clone()]).expect("told");
    assert!(matches!(ended[..], [Finished::Now { .. }]), "{ended:?}");
    assert_eq!(waiting().len(), 1);
    let ended = store.finish_tasks(vec![finish]).expect("told again");
    assert!(matches!(ended[..], [Finished::Lost]), "{ended:?}");
    // A second crawl while it waits, a third while it runs.
    let next = |what: &str| {
        web.route("/", Reply::html(rain_text(what)));
        let context = claimed(&services, crawl_of(source));
        let (result, finish) = crawled(&context);
        assert_eq!(result["pages"]["updated"], 1, "{result}");
        store.finish_tasks(vec![finish]).expect("told");
        waiting()
    };
    let before = next("lake");
    let [task] = &before[..] else {
        panic!("one waits: {before:?}");
    };
    let payload: SummarizePayload = serde_json::from_str(&task.payload).expect("a payload");
    assert_eq!(payload.source, Some(source.0));
    let again = summarize_task(TenantId::DEFAULT, &payload).expect("a task");
    let running = claimed(&services, again.clone());
    assert_eq!((running.id(), waiting().len()), (task.id, 0));
    let after = next("sea");
    assert_eq!(after.len(), 1, "{after:?}");

    // Two of them would pay for each page twice: the second waits for the first.
    let keyless = NewTask {
        dedupe: None,
        ..again
    };
    let second = claimed(&services, keyless);
    match Summarize.run(&second) {
        Ok(Outcome::Later { why, .. }) => {
            assert_eq!(why, format!("task {} summarises these pages", running.id()));
        }
        other => panic!("{other:?}"),
    }
    match Summarize.run(&running) {
        Ok(Outcome::Done { result, .. }) => {
            let result = result.expect("a result");
            assert_eq!(result["pages"], 1, "{result}");
        }
        other => panic!("{other:?}"),
    }
}
