//! Times the task queue on no-op tasks.
//! `cargo run --release -p gleaner-store --example queue_bench -- [QUEUED] [DIR]`
//! fills the queue up to QUEUED tasks (a million unless given) in DIR.

#![expect(clippy::print_stdout, reason = "it reports to a person")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use store::{
    Access, Claim, Finish, KindLimit, NewTask, Retention, Store, StoreOptions, Synchronous, TaskEnd,
};
use types::{Clock, Priority, SystemClock, TenantId};

const ENQUEUE_BATCH: usize = 100;
const CLAIM_BATCH: usize = 64;
const TASKS: usize = 50_000;
/// Claims timed at each length of the queue.
const CLAIMS: usize = 200;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let mut arguments = std::env::args().skip(1);
    let queued = arguments.next().unwrap_or_else(|| "1000000".to_owned());
    let queued: usize = queued.parse()?;
    let dir = arguments.next();
    let dir = dir.map_or_else(|| std::env::temp_dir().join("queue_bench"), PathBuf::from);
    for synchronous in [Synchronous::Full, Synchronous::Normal] {
        let store = fresh(&dir, synchronous)?;
        let time = |what, work: &dyn Fn() -> Outcome<usize>| -> Outcome {
            let (started, cpu_before) = (Instant::now(), cpu());
            let count = work()?;
            let spent = cpu().saturating_sub(cpu_before);
            let rate = rate(count, started.elapsed(), spent);
            println!("{synchronous:?}: {what} {rate}");
            Ok(())
        };
        time("enqueue", &|| enqueue(&store, TASKS, ENQUEUE_BATCH))?;
        time("claim + finish", &|| process(&store))?;
        time("clear away", &|| housekeep(&store))?;
    }
    let store = fresh(&dir, Synchronous::Normal)?;
    let mut length = 0;
    for wanted in [1_000, 100_000, 1_000_000] {
        if wanted > queued {
            break;
        }
        enqueue(&store, wanted - length, 1_000)?;
        length = wanted;
        let (median, worst) = claims(&store)?;
        println!("{length} queued: claim of {CLAIM_BATCH}: median {median:?}, worst {worst:?}");
        let started = Instant::now();
        store.queue_status(None)?;
        println!("{length} queued: status {:?}", started.elapsed());
    }
    store.close()?;
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

fn fresh(dir: &Path, synchronous: Synchronous) -> Outcome<Store> {
    if dir.exists() {
        std::fs::remove_dir_all(dir)?;
    }
    let options = StoreOptions {
        synchronous,
        ..StoreOptions::default()
    };
    let clock = Arc::new(SystemClock);
    Ok(Store::open(dir, Access::Write, &options, clock)?)
}

fn enqueue(store: &Store, count: usize, batch: usize) -> Outcome<usize> {
    let task = NewTask {
        tenant: TenantId::DEFAULT,
        kind: "noop".to_owned(),
        payload: "{\"url\":\"https://bench.example/some/page.html\"}".to_owned(),
        priority: Priority::DEFAULT,
        run_at: None,
        attempts_max: 3,
        timeout: Duration::from_secs(1800),
        dedupe: None,
        parent: None,
    };
    let mut left = count;
    while left > 0 {
        let tasks = vec![task.clone(); batch.min(left)];
        left -= store.enqueue_tasks(tasks)?.len();
    }
    Ok(count)
}

fn claim() -> Claim {
    let lease = Duration::from_secs(600);
    Claim {
        owner: "bench".to_owned(),
        lease_until: SystemClock.now().plus(lease),
        limit: CLAIM_BATCH,
        kinds: vec![KindLimit {
            kind: "noop".to_owned(),
            running_max: 0,
        }],
        only: None,
    }
}

/// Everything that is queued, one worker, a claim and a commit of ends in turns.
fn process(store: &Store) -> Outcome<usize> {
    let claim = claim();
    let mut count = 0;
    loop {
        let claimed = store.claim_tasks(&claim)?;
        if claimed.is_empty() {
            return Ok(count);
        }
        let finishes = claimed.iter().map(|task| Finish {
            task: task.task_ref(),
            end: TaskEnd::Succeeded { result: None },
            follow_ups: Vec::new(),
        });
        count += store.finish_tasks(finishes.collect())?.len();
    }
}

fn housekeep(store: &Store) -> Outcome<usize> {
    let at_once = Retention {
        results: Duration::ZERO,
        ..Retention::default()
    };
    let mut cleared = 0;
    loop {
        let report = store.housekeep_tasks(&at_once, 500)?;
        cleared += usize::try_from(report.succeeded)?;
        if !report.more {
            return Ok(cleared);
        }
    }
}

/// Median and worst time of a claim; what was claimed is put back in between.
fn claims(store: &Store) -> Outcome<(Duration, Duration)> {
    let claim = claim();
    let mut times = Vec::new();
    for _ in 0..CLAIMS {
        let started = Instant::now();
        let claimed = store.claim_tasks(&claim)?;
        times.push(started.elapsed());
        if claimed.len() != CLAIM_BATCH {
            return Err("the queue ran dry".into());
        }
        store.release_tasks(&claim.owner)?;
    }
    times.sort();
    let worst = times.last().copied().unwrap_or_default();
    Ok((times[times.len() / 2], worst))
}

fn rate(count: usize, took: Duration, cpu: Duration) -> String {
    let each_us = |spent: Duration| spent.as_secs_f64() * 1e6 / count as f64;
    let per_s = count as f64 / took.as_secs_f64();
    let (wall, cpu) = (each_us(took), each_us(cpu));
    format!("{count} tasks: {per_s:.0}/s, {wall:.1} µs wall, {cpu:.1} µs CPU each")
}

/// Processor time of all threads so far, which unlike the wall clock means the
/// same on a busy machine. Zero where the system does not tell.
fn cpu() -> Duration {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else {
        return Duration::ZERO;
    };
    let nanoseconds = |task: std::fs::DirEntry| -> Option<u64> {
        let line = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        line.split(' ').next()?.parse().ok()
    };
    Duration::from_nanos(tasks.flatten().filter_map(nanoseconds).sum())
}
