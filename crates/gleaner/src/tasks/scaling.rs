//! How many workers there should be: what an autoscaler is told.
//!
//! For each kind of task, with `ready` tasks that could begin now and `running`
//! ones, both of all processes:
//!
//! ```text
//! run_s   = time that slots were busy with the kind / max(tasks that ended, 1)
//! slots   = max(running, min(ready + running, ceil((ready + running) * run_s / drain_s)))
//!           at least 1 while something is ready, at most what may run of the kind
//! workers = ceil(sum of slots / slots per worker), within the limits set
//! ```
//!
//! The first line is Little's law over what was seen in the window: the mean
//! number of running tasks by the rate at which they end. What has not ended
//! yet counts as one end, so that long tasks are known to be long before the
//! first of them ends, and a process that has just begun to look suggests what
//! is running rather than all there could be. Nothing is held back here from
//! one answer to the next: that is the autoscaler's cool-down.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use store::{KindLoad, QueueLoad};
use types::Timestamp;

use super::kind::TaskKind;
use crate::config::WorkerConfig;

/// Looks closer together than this are one.
const LOOK_EVERY_MS: i64 = 1_000;

/// What is aimed at. See `[worker]` of the configuration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScalingPolicy {
    pub slots_per_worker: u64,
    /// What is ready should have ended after so long.
    pub drain_s: f64,
    pub workers_min: u64,
    pub workers_max: u64,
    /// How far back is looked.
    pub window_s: f64,
}

impl ScalingPolicy {
    pub fn new(config: &WorkerConfig) -> ScalingPolicy {
        ScalingPolicy {
            slots_per_worker: config.slots_max.max(1) as u64,
            drain_s: config.autoscale_drain_s.max(1) as f64,
            workers_min: config.autoscale_min,
            workers_max: config.autoscale_max.max(config.autoscale_min),
            window_s: config.autoscale_window_s.max(1) as f64,
        }
    }
}

/// What one kind asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct KindScale {
    pub kind: String,
    pub ready: u64,
    pub running: u64,
    pub is_paused: bool,
    /// Runs beside the slots and takes none.
    pub is_light: bool,
    /// Of all processes together; 0: no limit.
    pub running_max: u64,
    pub ended_per_s: f64,
    pub run_s: f64,
    pub slots: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    pub kinds: Vec<KindScale>,
    /// Of all kinds, no more than tenants' caps let run.
    pub slots: u64,
    pub workers: u64,
    /// How much of the window has been seen.
    pub observed_s: f64,
}

/// The queue as it was at one time.
#[derive(Debug)]
struct Look {
    at: Timestamp,
    /// Running, and ends there ever were.
    kinds: HashMap<String, (u64, u64)>,
}

/// Remembers the last looks at the queue, at most one for each second of the window.
#[derive(Debug, Default)]
pub struct ScalingMeter {
    looks: Mutex<VecDeque<Look>>,
}

/// What was seen of one kind.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    busy_s: f64,
    ended: u64,
}

impl ScalingMeter {
    /// What the queue asks for now, of the kinds that `wanted` chooses.
    pub fn suggest(
        &self,
        load: &QueueLoad,
        known: &[Arc<dyn TaskKind>],
        policy: &ScalingPolicy,
        now: Timestamp,
        wanted: impl Fn(&str) -> bool,
    ) -> Scale {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        look(&mut looks, load, now, policy.window_s);
        let observed_s = match (looks.front(), looks.back()) {
            (Some(first), Some(last)) => seconds_between(first, last),
            _ => 0.0,
        };
        let chosen = load.kinds.iter().filter(|kind| wanted(&kind.kind));
        let kinds: Vec<KindScale> = chosen
            .map(|kind| {
                let traits = known.iter().find(|known| known.name() == kind.kind);
                let limit = traits.map_or(0, |kind| u64::from(kind.running_max()));
                let is_light = traits.is_some_and(|kind| kind.is_light());
                let seen = seen(&looks, &kind.kind);
                of_kind(kind, is_light, limit, seen, observed_s, policy)
            })
            .collect();
        drop(looks);
        let slots = kinds.iter().map(|kind| kind.slots).sum::<u64>();
        let slots = slots.min(load.runnable);
        let light = kinds.iter().filter(|kind| kind.is_light);
        let some_light = light.map(|kind| kind.ready + kind.running).any(|n| n > 0);
        let workers = slots
            .div_ceil(policy.slots_per_worker)
            .max(u64::from(some_light));
        Scale {
            kinds,
            slots,
            workers: workers.clamp(policy.workers_min, policy.workers_max),
            observed_s,
        }
    }
}

fn look(looks: &mut VecDeque<Look>, load: &QueueLoad, now: Timestamp, window_s: f64) {
    match looks.back() {
        // Somebody set the clock: nothing seen before can be timed.
        Some(last) if now < last.at => looks.clear(),
        Some(last) if now.0 - last.at.0 < LOOK_EVERY_MS => return,
        _ => {}
    }
    let kinds = load.kinds.iter();
    looks.push_back(Look {
        at: now,
        kinds: kinds
            .map(|kind| (kind.kind.clone(), (kind.running, kind.ended_ever)))
            .collect(),
    });
    // One from before the window is kept: whoever asks seldom gets an answer, too.
    let age_s = |look: &Look| now.since(look.at).as_secs_f64();
    while looks.get(1).is_some_and(|second| age_s(second) >= window_s) {
        looks.pop_front();
    }
}

fn seconds_between(first: &Look, last: &Look) -> f64 {
    last.at.since(first.at).as_secs_f64()
}

/// Between two looks the number of running tasks is taken to change evenly.
fn seen(looks: &VecDeque<Look>, kind: &str) -> Seen {
    let of = |look: &Look| look.kinds.get(kind).copied().unwrap_or((0, 0));
    let pairs = looks.iter().zip(looks.iter().skip(1));
    let busy_s = pairs
        .map(|(a, b)| (of(a).0 + of(b).0) as f64 / 2.0 * seconds_between(a, b))
        .sum();
    let ended = match (looks.front(), looks.back()) {
        (Some(first), Some(last)) => of(last).1.saturating_sub(of(first).1),
        _ => 0,
    };
    Seen { busy_s, ended }
}

fn of_kind(
    load: &KindLoad,
    is_light: bool,
    running_max: u64,
    seen: Seen,
    observed_s: f64,
    policy: &ScalingPolicy,
) -> KindScale {
    let run_s = seen.busy_s / seen.ended.max(1) as f64;
    let ready = if load.is_paused { 0 } else { load.ready };
    let slots = if is_light {
        0
    } else {
        slots(ready, load.running, running_max, run_s, policy.drain_s)
    };
    KindScale {
        kind: load.kind.clone(),
        ready: load.ready,
        running: load.running,
        is_paused: load.is_paused,
        is_light,
        running_max,
        ended_per_s: if observed_s > 0.0 {
            seen.ended as f64 / observed_s
        } else {
            0.0
        },
        run_s,
        slots,
    }
}

/// Slots that one kind asks for; see the head of this file.
fn slots(ready: u64, running: u64, running_max: u64, run_s: f64, drain_s: f64) -> u64 {
    if ready == 0 {
        return running;
    }
    let tasks = ready + running;
    // A float beyond u64 becomes its greatest value, which the next line bounds.
    let to_drain = (tasks as f64 * run_s / drain_s).ceil() as u64;
    let wanted = to_drain.clamp(1, tasks).max(running);
    match running_max {
        0 => wanted,
        most => wanted.min(most.max(running)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const POLICY: ScalingPolicy = ScalingPolicy {
        slots_per_worker: 4,
        drain_s: 300.0,
        workers_min: 1,
        workers_max: 50,
        window_s: 300.0,
    };

    #[test]
    fn slots_of_a_kind() {
        let check = |ready, running, limit, run_s, expected| {
            let found = slots(ready, running, limit, run_s, 300.0);
            assert_eq!(found, expected, "{ready} {running} {limit} {run_s}");
        };
        // ready, running, limit, seconds a run, slots
        check(0, 0, 0, 30.0, 0);
        check(0, 7, 0, 1.0, 7);
        check(100, 4, 0, 30.0, 11);
        check(100, 4, 0, 3_000.0, 104);
        check(1_000_000, 4, 0, 0.001, 4);
        check(5, 0, 0, 0.0, 1);
        check(100, 1, 1, 30.0, 1);
        check(100, 0, 1, 30.0, 1);
        check(10, 3, 1, 30.0, 3);
        check(u64::MAX / 2, 1, 0, 1e30, u64::MAX / 2 + 1);
    }

    fn load(kinds: &[(&str, u64, u64, u64)]) -> QueueLoad {
        let kinds: Vec<KindLoad> = kinds
            .iter()
            .map(|(kind, ready, running, ended_ever)| KindLoad {
                kind: (*kind).to_owned(),
                ready: *ready,
                running: *running,
                ended_ever: *ended_ever,
                is_paused: false,
            })
            .collect();
        QueueLoad {
            runnable: kinds.iter().map(|kind| kind.ready + kind.running).sum(),
            kinds,
        }
    }

    fn suggest(meter: &ScalingMeter, load: &QueueLoad, at_s: u64) -> Scale {
        let now = Timestamp(1_000_000).plus(Duration::from_secs(at_s));
        meter.suggest(load, &crate::tasks::kinds(), &POLICY, now, |_| true)
    }

    #[test]
    fn the_rate_at_which_tasks_end_says_how_many_workers() {
        let meter = ScalingMeter::default();
        // Nothing has been seen: what runs, and one slot to find out.
        let scale = suggest(&meter, &load(&[("crawl", 200, 0, 50)]), 0);
        assert_eq!((scale.slots, scale.workers), (1, 1));
        // Eight at a time for a minute, 16 ends: half a minute each.
        suggest(&meter, &load(&[("crawl", 200, 8, 50)]), 1);
        let scale = suggest(&meter, &load(&[("crawl", 184, 8, 66)]), 61);
        let kind = &scale.kinds[0];
        assert!((kind.run_s - 484.0 / 16.0).abs() < 1e-9, "{kind:?}");
        assert!((kind.ended_per_s - 16.0 / 61.0).abs() < 1e-9, "{kind:?}");
        // 192 tasks of 30.25 s in 300 s.
        assert_eq!((scale.slots, scale.workers), (20, 5));
        // Asking again at once changes nothing.
        let again = suggest(&meter, &load(&[("crawl", 184, 8, 66)]), 61);
        assert_eq!(again, scale);
        let idle = suggest(&meter, &load(&[("crawl", 0, 0, 258)]), 100);
        assert_eq!((idle.slots, idle.workers), (0, 1));
    }

    #[test]
    fn long_tasks_are_known_before_the_first_ends() {
        let meter = ScalingMeter::default();
        let mut before = 0;
        for at in (0..=600).step_by(30) {
            let scale = suggest(&meter, &load(&[("crawl", 40, 4, 0)]), at);
            assert!(scale.slots >= before, "{scale:?}");
            assert!(scale.observed_s <= 330.0, "{scale:?}");
            before = scale.slots;
        }
        assert_eq!(before, 44, "one slot for each");
    }

    #[test]
    fn light_limited_capped_and_paused_tasks_ask_for_little() {
        let meter = ScalingMeter::default();
        let sends = suggest(&meter, &load(&[(store::SEND_EVENTS, 1, 0, 0)]), 0);
        assert_eq!((sends.slots, sends.workers), (0, 1), "but for a worker");
        let mut queue = load(&[("crawl", 500, 8, 0), ("embed", 90, 1, 0)]);
        for at in [1, 301, 601] {
            let scale = suggest(&meter, &queue, at);
            assert_eq!(scale.kinds[1].slots, 1, "one embeds at a time");
        }
        assert_eq!(suggest(&meter, &queue, 602).workers, 50, "at most");
        queue.runnable = 10;
        let capped = suggest(&meter, &queue, 602);
        assert_eq!((capped.slots, capped.workers), (10, 3));
        queue.kinds[0].is_paused = true;
        assert_eq!(suggest(&meter, &queue, 602).kinds[0].slots, 8);
        // A clock that was set back begins anew.
        assert_eq!(suggest(&meter, &queue, 5).observed_s, 0.0);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let meter = ScalingMeter::default();
        for at in 0..2_000 {
            suggest(&meter, &load(&[("crawl", 1, 1, at)]), at);
        }
        let looks = meter.looks.lock().expect("unharmed").len();
        assert_eq!(looks, 301);
        assert_eq!(suggest(&meter, &QueueLoad::default(), 9_000).kinds, []);
    }
}
