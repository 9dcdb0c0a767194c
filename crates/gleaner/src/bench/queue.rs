//! `gleaner bench queue`: what the queue itself costs, with tasks that do nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use store::{Access, Claim, KindLimit, NewTask, Store};
use types::Priority;

use super::crawl::fresh_folder;
use crate::app::App;
use crate::cli::BenchQueueArgs;
use crate::cli::output::{Exit, json_line, line, thousands};
use crate::services::Services;
use crate::tasks::{
    self, Outcome, SlotPolicy, TaskContext, TaskFailure, TaskKind, Worker, WorkerOptions,
};

const NOOP: &str = "noop";
const LOW: &str = "low";
/// Tasks of low priority that a high one overtakes, and how long each takes.
const LOW_QUEUED: usize = 10_000;
const LOW_TAKES: Duration = Duration::from_millis(5);
/// Tasks enqueued per transaction.
const BATCH: usize = 100;
/// Tasks enqueued one by one on an idle worker, for the pick-up time.
const PICK_UPS: usize = 200;
const PATIENCE: Duration = Duration::from_secs(600);

#[derive(Debug, Serialize)]
struct Figures {
    tasks: usize,
    synchronous: &'static str,
    /// In transactions of 100, and one by one.
    enqueue_per_s: f64,
    enqueue_single_per_s: f64,
    /// With one slot, and with as many as configured.
    process_one_per_s: f64,
    process_per_s: f64,
    slots: usize,
    /// From before the enqueue to the start of the run, on an idle worker.
    pick_up_p50_ms: f64,
    pick_up_p99_ms: f64,
    /// The same with 10,000 tasks of low priority queued, of 5 ms each, that
    /// keep all slots busy.
    overtake_p50_ms: f64,
    overtake_p99_ms: f64,
    claim: Vec<ClaimFigure>,
}

/// A claim of 64 tasks from a queue of this length.
#[derive(Debug, Serialize)]
struct ClaimFigure {
    queued: usize,
    p50_ms: f64,
}

/// Counts its runs and notes when the last one began.
#[derive(Debug)]
struct Noop {
    runs: AtomicU64,
    begun_ns: AtomicU64,
    since: Instant,
}

impl TaskKind for Noop {
    fn name(&self) -> &'static str {
        NOOP
    }

    fn run(&self, _: &TaskContext) -> Result<Outcome, TaskFailure> {
        let begun = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.begun_ns.store(begun, Ordering::SeqCst);
        self.runs.fetch_add(1, Ordering::SeqCst);
        Ok(Outcome::Done {
            result: None,
            follow_ups: Vec::new(),
        })
    }
}

/// Keeps a slot busy without using the CPU.
#[derive(Debug)]
struct Low;

impl TaskKind for Low {
    fn name(&self) -> &'static str {
        LOW
    }

    fn run(&self, _: &TaskContext) -> Result<Outcome, TaskFailure> {
        std::thread::park_timeout(LOW_TAKES);
        Ok(Outcome::Done {
            result: None,
            follow_ups: Vec::new(),
        })
    }
}

pub fn run(app: &App, args: &BenchQueueArgs) -> Result<Exit> {
    if args.tasks < BATCH {
        bail!("--tasks must be at least {BATCH}");
    }
    let folder = fresh_folder(app)?;
    let mut app = app.clone();
    app.stay_embedded();
    app.config.data_dir = folder.path().to_owned();
    let slots = app.config.worker.slots_max.max(1);

    let store = app.open_store(Access::Write)?;
    let start = Instant::now();
    enqueue(&app, &store, args.tasks, BATCH)?;
    let enqueue_per_s = per_s(args.tasks, start);
    let process_per_s = process(&app, &store, slots, args.tasks)?;

    let few = (args.tasks / 4).max(BATCH);
    let start = Instant::now();
    enqueue(&app, &store, few, 1)?;
    let enqueue_single_per_s = per_s(few, start);
    let process_one_per_s = process(&app, &store, 1, few)?;

    let mut picked_up = pick_ups(&app, &store, Priority::DEFAULT)?;
    let low = NewTask {
        kind: LOW.to_owned(),
        priority: Priority::LOW,
        ..noop_task(&app)
    };
    store.enqueue_tasks(vec![low; LOW_QUEUED])?;
    let mut overtaken = pick_ups(&app, &store, Priority::HIGH)?;
    let mut claim = Vec::new();
    let mut queued = 0;
    for length in [1_000, 100_000, 1_000_000] {
        if length > args.queued_max {
            break;
        }
        enqueue(&app, &store, length - queued, 1_000)?;
        queued = length;
        claim.push(ClaimFigure {
            queued,
            p50_ms: claim_ms(&app, &store)?,
        });
    }
    let figures = Figures {
        tasks: args.tasks,
        synchronous: match app.config.store.synchronous {
            crate::config::Durability::Full => "full",
            crate::config::Durability::Normal => "normal",
        },
        enqueue_per_s,
        enqueue_single_per_s,
        process_one_per_s,
        process_per_s,
        slots,
        pick_up_p50_ms: quantile(&mut picked_up, 0.5),
        pick_up_p99_ms: quantile(&mut picked_up, 0.99),
        overtake_p50_ms: quantile(&mut overtaken, 0.5),
        overtake_p99_ms: quantile(&mut overtaken, 0.99),
        claim,
    };
    store.close()?;
    if app.json {
        json_line(&figures)?;
    } else {
        print(&figures)?;
    }
    Ok(Exit::Ok)
}

fn print(figures: &Figures) -> Result<()> {
    let rate = |value: f64| thousands(value.round() as u64);
    line(format!(
        "{} tasks that do nothing, synchronous {}",
        thousands(figures.tasks as u64),
        figures.synchronous
    ))?;
    line(format!(
        "enqueue    {:>9}/s in batches of {BATCH}, {}/s one by one",
        rate(figures.enqueue_per_s),
        rate(figures.enqueue_single_per_s)
    ))?;
    line(format!(
        "process    {:>9}/s with {} slots, {}/s with one",
        rate(figures.process_per_s),
        figures.slots,
        rate(figures.process_one_per_s)
    ))?;
    line(format!(
        "pick-up    {:>9.2} ms p50, {:.2} ms p99, from before the enqueue to the run",
        figures.pick_up_p50_ms, figures.pick_up_p99_ms
    ))?;
    line(format!(
        "overtake   {:>9.2} ms p50, {:.2} ms p99, past {} queued tasks of {} ms on busy slots",
        figures.overtake_p50_ms,
        figures.overtake_p99_ms,
        thousands(LOW_QUEUED as u64),
        LOW_TAKES.as_millis()
    ))?;
    for claim in &figures.claim {
        line(format!(
            "claim 64   {:>9.2} ms p50 with {} queued",
            claim.p50_ms,
            thousands(claim.queued as u64)
        ))?;
    }
    Ok(())
}

fn noop_task(app: &App) -> NewTask {
    NewTask {
        tenant: app.tenant,
        kind: NOOP.to_owned(),
        payload: "{}".to_owned(),
        priority: Priority::DEFAULT,
        run_at: None,
        attempts_max: 1,
        timeout: tasks::TIMEOUT,
        dedupe: None,
        parent: None,
    }
}

fn enqueue(app: &App, store: &Store, count: usize, batch: usize) -> Result<()> {
    let mut left = count;
    while left > 0 {
        let size = left.min(batch);
        store.enqueue_tasks(vec![noop_task(app); size])?;
        left -= size;
    }
    Ok(())
}

fn worker(app: &App, store: &Store, slots: usize) -> Result<(Worker, Arc<Noop>, Arc<Services>)> {
    let noop = Arc::new(Noop {
        runs: AtomicU64::new(0),
        begun_ns: AtomicU64::new(0),
        since: Instant::now(),
    });
    let services = Arc::new(Services::without_index(app, store.clone(), Arc::default())?);
    let options = WorkerOptions {
        kinds: vec![noop.clone(), Arc::new(Low)],
        claims: vec![NOOP, LOW],
        slots: SlotPolicy {
            min: slots,
            max: slots,
            cpu_max: 1.0,
            memory_bytes_max: 0,
        },
        grace: Duration::from_secs(30),
    };
    let worker = Worker::start(&services, options)?;
    Ok((worker, noop, services))
}

/// Until all have ended in the store.
fn process(app: &App, store: &Store, slots: usize, count: usize) -> Result<f64> {
    let before = ended(store)?;
    let start = Instant::now();
    let (worker, noop, _services) = worker(app, store, slots)?;
    while ended(store)? - before < count as u64 {
        if start.elapsed() > PATIENCE {
            bail!("the tasks did not end within {} s", PATIENCE.as_secs());
        }
        std::thread::park_timeout(Duration::from_millis(2));
    }
    let rate = per_s(count, start);
    worker.join()?;
    let runs = noop.runs.load(Ordering::SeqCst);
    if runs != count as u64 {
        bail!("{count} tasks were run {runs} times");
    }
    Ok(rate)
}

fn ended(store: &Store) -> Result<u64> {
    let counts = store.queue_status(None)?;
    Ok(counts.iter().map(|count| count.ever.succeeded).sum())
}

/// In milliseconds. Low tasks that are queued run beside it.
fn pick_ups(app: &App, store: &Store, priority: Priority) -> Result<Vec<f64>> {
    let (worker, noop, _services) = worker(app, store, 4)?;
    let mut times = Vec::with_capacity(PICK_UPS);
    for number in 1..=PICK_UPS as u64 {
        let before = noop.since.elapsed();
        store.enqueue_tasks(vec![NewTask {
            priority,
            ..noop_task(app)
        }])?;
        while noop.runs.load(Ordering::SeqCst) < number {
            if noop.since.elapsed() > PATIENCE {
                bail!("a task was never picked up");
            }
            std::hint::spin_loop();
            std::thread::yield_now();
        }
        let begun = Duration::from_nanos(noop.begun_ns.load(Ordering::SeqCst));
        times.push(begun.saturating_sub(before).as_secs_f64() * 1000.0);
        // The run before has ended, too, so that the worker is idle again.
        let until = ended(store)?;
        while worker.running() > 0 && ended(store)? <= until {
            std::thread::yield_now();
        }
    }
    worker.join()?;
    Ok(times)
}

/// Median of some claims; what is claimed is given back.
fn claim_ms(app: &App, store: &Store) -> Result<f64> {
    let owner = store.instance().to_owned();
    let mut times = Vec::new();
    for _ in 0..20 {
        let claim = Claim {
            owner: owner.clone(),
            lease_until: app.clock.now().plus(tasks::LEASE_FOR),
            limit: 64,
            kinds: vec![KindLimit {
                kind: NOOP.to_owned(),
                running_max: 0,
            }],
            only: None,
        };
        let start = Instant::now();
        let claimed = store.claim_tasks(&claim)?;
        times.push(start.elapsed().as_secs_f64() * 1000.0);
        claimed.first().context("bug: nothing was claimed")?;
        store.release_tasks(&owner)?;
    }
    Ok(quantile(&mut times, 0.5))
}

fn per_s(count: usize, start: Instant) -> f64 {
    (count as f64 / start.elapsed().as_secs_f64()).round()
}

fn quantile(times: &mut [f64], share: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    let at = ((times.len() as f64 - 1.0) * share).round() as usize;
    times.get(at).copied().unwrap_or(0.0)
}
