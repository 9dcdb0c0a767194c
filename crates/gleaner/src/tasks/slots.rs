//! How many tasks run at once: more while there is room, fewer under load.
//!
//! The rule is that of Crawlee's autoscaled pool: a step up only when the
//! present slots are nearly all in use, a step down as soon as the machine is
//! overloaded, and time between steps for their effect to show.

use std::time::Duration;

use crate::process::resident_bytes;

/// Bounds and thresholds.
#[derive(Clone, Copy, Debug)]
pub struct SlotPolicy {
    pub min: usize,
    pub max: usize,
    /// Share of all cores in use above which the machine is overloaded.
    pub cpu_max: f64,
    /// Resident memory of this process above which it is overloaded, in bytes; 0: no limit.
    pub memory_bytes_max: u64,
}

/// Least time between two steps.
pub const STEP_EVERY: Duration = Duration::from_secs(2);
/// Share of the slots in use from which more would help.
const IN_USE_MIN: f64 = 0.9;

/// What was measured since the last step.
#[derive(Clone, Copy, Debug, Default)]
pub struct Load {
    /// Share of all cores that was busy, with whatever: 0 to 1.
    pub cpu: f64,
    pub memory_bytes: u64,
    pub running: usize,
}

impl SlotPolicy {
    /// Slots to begin with.
    pub fn start(&self) -> usize {
        self.max.div_ceil(2).clamp(self.min.max(1), self.max.max(1))
    }

    /// The next number of slots.
    pub fn step(&self, slots: usize, load: Load) -> usize {
        let overloaded = load.cpu > self.cpu_max
            || (self.memory_bytes_max > 0 && load.memory_bytes > self.memory_bytes_max);
        let in_use = load.running as f64 >= slots as f64 * IN_USE_MIN;
        let next = if overloaded {
            slots.saturating_sub(1)
        } else if in_use {
            slots + 1
        } else {
            slots
        };
        next.clamp(self.min.max(1), self.max.max(1))
    }
}

/// Reads how busy the machine and this process are.
#[derive(Debug, Default)]
pub struct LoadMeter {
    last: Option<CpuTimes>,
}

#[derive(Clone, Copy, Debug)]
struct CpuTimes {
    busy: u64,
    all: u64,
}

impl LoadMeter {
    /// Load since the last call. What cannot be read counts as no load.
    pub fn read(&mut self, running: usize) -> Load {
        let now = cpu_times();
        let cpu = match (self.last, now) {
            (Some(last), Some(now)) if now.all > last.all => {
                now.busy.saturating_sub(last.busy) as f64 / (now.all - last.all) as f64
            }
            _ => 0.0,
        };
        self.last = now.or(self.last);
        Load {
            cpu,
            memory_bytes: resident_bytes().unwrap_or(0),
            running,
        }
    }
}

/// The first line of `/proc/stat`: user, nice, system, idle, iowait, irq,
/// softirq, steal. What runs niced, as the embedder does, gives way by itself
/// and is no load.
fn cpu_times() -> Option<CpuTimes> {
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    let fields: Vec<u64> = text
        .lines()
        .next()?
        .split_whitespace()
        .skip(1)
        .take(8)
        .map_while(|field| field.parse().ok())
        .collect();
    let [user, nice, system, idle, iowait, irq, softirq, steal] = fields.try_into().ok()?;
    let busy = user + system + irq + softirq + steal;
    Some(CpuTimes {
        busy,
        all: busy + nice + idle + iowait,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: SlotPolicy = SlotPolicy {
        min: 1,
        max: 8,
        cpu_max: 0.95,
        memory_bytes_max: 1000,
    };

    fn load(cpu: f64, memory_bytes: u64, running: usize) -> Load {
        Load {
            cpu,
            memory_bytes,
            running,
        }
    }

    #[test]
    fn steps_up_when_full_and_down_when_overloaded() {
        assert_eq!(POLICY.start(), 4);
        assert_eq!(POLICY.step(4, load(0.5, 10, 4)), 5);
        assert_eq!(POLICY.step(4, load(0.5, 10, 2)), 4, "nothing to gain");
        assert_eq!(POLICY.step(4, load(0.99, 10, 4)), 3);
        assert_eq!(POLICY.step(4, load(0.1, 2000, 1)), 3);
        assert_eq!(POLICY.step(8, load(0.1, 10, 8)), 8, "bounded above");
        assert_eq!(POLICY.step(1, load(1.0, 10, 1)), 1, "bounded below");
    }

    #[test]
    fn the_meter_reads_this_machine() {
        let mut meter = LoadMeter::default();
        meter.read(0);
        let load = meter.read(3);
        assert!((0.0..=1.0).contains(&load.cpu), "{load:?}");
        assert!(load.memory_bytes > 100_000, "{load:?}");
        assert_eq!(load.running, 3);
    }
}
