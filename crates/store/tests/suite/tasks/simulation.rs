//! Workers that die at any of their writes. Invariant Q1: whatever is killed,
//! every task ends once in effect, and none stays running.
//!
//! A worker's write counts, whichever it is; at the n-th it dies, either before
//! its commit (the store never hears of it) or after (it never hears of the
//! store). n grows until a run has fewer writes than that.

use std::collections::BTreeMap;
use std::time::Duration;

use store::{Claim, ClaimedTask, Finish, Finished, KindLimit, NewTask, TaskEnd, TaskFilter};
use types::{Priority, Progress, TaskId, TaskState, TenantId};

use super::{Engine, LEASE, keyed, task};

const WORKERS: usize = 3;
const TASKS: usize = 12;
/// More steps than any run takes: a queue that stands still fails, not hangs.
const STEPS_MAX: usize = 5_000;

/// SplitMix64.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }
}

#[derive(Default)]
struct Worker {
    name: String,
    running: Vec<ClaimedTask>,
}

/// Where a worker dies.
#[derive(Clone, Copy, Debug)]
struct Crash {
    /// Counts the writes of all workers from 1; each further crash is as many later.
    write: usize,
    after_commit: bool,
}

struct Simulation {
    engine: Engine,
    chance: Chance,
    workers: Vec<Worker>,
    names: usize,
    writes: usize,
    crash: Crash,
    crashes: usize,
    crashes_max: usize,
    /// Ends that the store confirmed or that a worker died over.
    told: BTreeMap<TaskId, usize>,
    /// Ends that burned an attempt, as committed, whether or not the worker learned of it.
    burned: BTreeMap<TaskId, u32>,
}

impl Simulation {
    fn new(seed: u64, crash: Crash, crashes_max: usize) -> Simulation {
        let mut simulation = Simulation {
            engine: Engine::new(),
            chance: Chance(seed),
            workers: Vec::new(),
            names: 0,
            writes: 0,
            crash,
            crashes: 0,
            crashes_max,
            told: BTreeMap::new(),
            burned: BTreeMap::new(),
        };
        for _ in 0..WORKERS {
            let worker = simulation.new_worker();
            simulation.workers.push(worker);
        }
        simulation
    }

    fn new_worker(&mut self) -> Worker {
        self.names += 1;
        Worker {
            name: format!("worker {}", self.names),
            running: Vec::new(),
        }
    }

    /// One write of a worker; `None` when it dies over it.
    fn write<T>(&mut self, commit: impl FnOnce(&Engine) -> T) -> Option<T> {
        self.writes += 1;
        let dies =
            self.crashes < self.crashes_max && self.writes == self.crash.write * (self.crashes + 1);
        if !dies {
            return Some(commit(&self.engine));
        }
        self.crashes += 1;
        if self.crash.after_commit {
            commit(&self.engine);
        }
        None
    }

    fn enqueue(&mut self) {
        for n in 0..TASKS {
            let delay_s = self.chance.below(40);
            let new = NewTask {
                priority: Priority::from_rank(self.chance.below(30) as u8).unwrap(),
                run_at: Some(self.engine.later(delay_s)),
                ..if n % 3 == 0 {
                    keyed("a", &format!("key {n}"))
                } else {
                    task("a")
                }
            };
            self.engine.enqueue(new);
        }
    }

    /// True while the worker lives.
    fn step(&mut self, worker: &mut Worker) -> bool {
        let owner = worker.name.clone();
        let until = self.engine.now().plus(LEASE);
        match self.chance.below(8) {
            0 | 1 => {
                let claim = Claim {
                    owner,
                    lease_until: until,
                    limit: 1 + self.chance.below(3) as usize,
                    kinds: ["a", "follow"].map(limit).to_vec(),
                    only: None,
                };
                let claimed = self.write(|e| e.store.claim_tasks(&claim).unwrap());
                let Some(claimed) = claimed else {
                    return false;
                };
                worker.running.extend(claimed);
                true
            }
            2 => {
                let beat = self.write(|e| e.store.heartbeat(&owner, until).unwrap());
                beat.is_some()
            }
            3 => self.progress(worker),
            _ => self.finish(worker),
        }
    }

    fn progress(&mut self, worker: &mut Worker) -> bool {
        let Some(run) = worker.running.first_mut() else {
            return true;
        };
        run.progress.completed += 1;
        let progress = Progress {
            completed: run.progress.completed,
            ..Progress::default()
        };
        let update = vec![(run.task_ref(), progress)];
        let signals = self.write(|e| e.store.update_progress(update).unwrap());
        let Some(signals) = signals else {
            return false;
        };
        for (lost, _) in signals {
            worker.running.retain(|run| run.id != lost);
        }
        true
    }

    /// Ends up to two of the worker's runs in one write.
    fn finish(&mut self, worker: &mut Worker) -> bool {
        let count = worker.running.len().min(2);
        let runs: Vec<ClaimedTask> = worker.running.drain(..count).collect();
        if runs.is_empty() {
            return true;
        }
        let finishes: Vec<Finish> = runs.iter().map(|run| self.end(run)).collect();
        let mut finished = None;
        let answered = self.write(|e| {
            let ended = e.store.finish_tasks(finishes.clone()).unwrap();
            finished = Some(ended.clone());
            ended
        });
        // Committed, whether the worker learned of it or died before.
        for (finish, finished) in finishes.iter().zip(finished.into_iter().flatten()) {
            let Finished::Now { state, .. } = finished else {
                continue;
            };
            let id = finish.task.id;
            if state.is_finished() {
                *self.told.entry(id).or_default() += 1;
            }
            if !matches!(finish.end, TaskEnd::Snooze { .. } | TaskEnd::Released) {
                *self.burned.entry(id).or_default() += 1;
            }
        }
        answered.is_some()
    }

    fn end(&mut self, run: &ClaimedTask) -> Finish {
        let at = self.engine.later(self.chance.below(20));
        let error = "e".to_owned();
        let end = match self.chance.below(10) {
            0 => TaskEnd::Failed { error },
            1 | 2 => TaskEnd::Retry { error, at },
            3 => TaskEnd::Snooze {
                at,
                why: "w".to_owned(),
            },
            4 => TaskEnd::Released,
            _ => TaskEnd::Succeeded { result: None },
        };
        // What success gives rise to: exactly one task for each.
        let is_followed = matches!(end, TaskEnd::Succeeded { .. }) && run.kind == "a";
        let follow = NewTask {
            parent: Some(run.id),
            ..task("follow")
        };
        Finish {
            task: run.task_ref(),
            end,
            follow_ups: if is_followed {
                vec![follow]
            } else {
                Vec::new()
            },
        }
    }

    /// Every so often somebody looks for leases that ran out.
    fn rescue(&mut self) {
        self.engine.store.rescue_tasks(&[], true).unwrap();
        let now = self.engine.now();
        let running = TaskFilter {
            states: vec![TaskState::Running],
            ..TaskFilter::default()
        };
        let running = self.engine.store.tasks(TenantId::DEFAULT, &running);
        for task in running.unwrap() {
            assert!(task.lease_until > Some(now), "an orphan: {task:?}");
        }
    }

    fn is_done(&self) -> bool {
        let status = self.engine.store.queue_status(None).unwrap();
        status
            .iter()
            .all(|k| k.scheduled + k.queued + k.running == 0)
    }

    fn run(&mut self) {
        self.enqueue();
        for step in 0..STEPS_MAX {
            let number = self.chance.below(WORKERS as u64) as usize;
            let mut worker = std::mem::take(&mut self.workers[number]);
            // A dead worker takes all it knew with it; a new one starts.
            if !self.step(&mut worker) {
                worker = self.new_worker();
            }
            self.workers[number] = worker;
            self.engine.clock.advance(Duration::from_millis(500));
            if step % 10 == 0 {
                self.rescue();
                if self.is_done() {
                    return;
                }
            }
        }
        panic!("still at work after {STEPS_MAX} steps");
    }

    fn check(&self) {
        let tasks = self.engine.all(TenantId::DEFAULT);
        let mut follows: BTreeMap<TaskId, usize> = BTreeMap::new();
        for task in tasks.iter().filter(|task| task.kind == "follow") {
            *follows.entry(task.parent.unwrap()).or_default() += 1;
        }
        let originals: Vec<_> = tasks.iter().filter(|task| task.kind == "a").collect();
        assert_eq!(originals.len(), TASKS);
        for task in &tasks {
            // Dead by rescue is the one end that no worker told.
            let by_rescue = task.state == TaskState::Dead && task.rescues >= 5;
            let told = self.told.get(&task.id).copied().unwrap_or(0);
            assert_eq!(told, usize::from(!by_rescue), "{task:?}");
            let burned = self.burned.get(&task.id).copied().unwrap_or(0);
            let begun = burned + u32::from(by_rescue);
            assert_eq!(task.attempt, begun, "{task:?}");
            assert!(task.attempt <= task.attempts_max);
        }
        for task in originals {
            let followed = follows.get(&task.id).copied().unwrap_or(0);
            let expected = usize::from(task.state == TaskState::Succeeded);
            assert_eq!(followed, expected, "{task:?}");
        }
        self.engine.check_counts(&[TenantId::DEFAULT]);
    }
}

fn limit(kind: &str) -> KindLimit {
    KindLimit {
        kind: kind.to_owned(),
        running_max: 0,
    }
}

#[test]
fn q1_every_task_ends_once_when_a_worker_dies_at_the_nth_write() {
    for after_commit in [false, true] {
        let mut write = 1;
        loop {
            let crash = Crash {
                write,
                after_commit,
            };
            let mut simulation = Simulation::new(7, crash, 1);
            simulation.run();
            simulation.check();
            if simulation.crashes == 0 {
                break;
            }
            write += crate::engine::cases_apart();
        }
        assert!(write > TASKS, "the n-th write was never reached");
    }
}

#[test]
fn q1_every_task_ends_once_when_workers_keep_dying() {
    for seed in 0..u64::from(crate::engine::cases(24)) {
        let crash = Crash {
            write: 3 + (seed as usize % 7),
            after_commit: seed % 2 == 0,
        };
        let mut simulation = Simulation::new(seed, crash, 40);
        simulation.run();
        simulation.check();
        assert!(simulation.crashes > 3, "seed {seed}");
    }
}
