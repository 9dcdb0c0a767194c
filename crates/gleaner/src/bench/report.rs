//! How figures are gathered and shown: times, tables, the machine, memory.

use std::time::Duration;

use anyhow::Result;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use crate::cli::output::line;

/// Durations of one kind of work.
#[derive(Clone, Debug, Default)]
pub struct Times {
    ms: Vec<f64>,
}

impl Times {
    pub fn push(&mut self, took: Duration) {
        self.ms.push(took.as_secs_f64() * 1000.0);
    }

    pub fn count(&self) -> usize {
        self.ms.len()
    }

    pub fn sum_s(&self) -> f64 {
        self.ms.iter().sum::<f64>() / 1000.0
    }

    pub fn mean_ms(&self) -> f64 {
        self.ms.iter().sum::<f64>() / self.ms.len().max(1) as f64
    }

    /// The time at rank `share` × count of the sorted times; 0 without any.
    pub fn quantile_ms(&self, share: f64) -> f64 {
        let mut sorted = self.ms.clone();
        sorted.sort_by(f64::total_cmp);
        let place = (sorted.len() as f64 * share) as usize;
        sorted
            .get(place.min(sorted.len().saturating_sub(1)))
            .copied()
            .unwrap_or(0.0)
    }

    pub fn max_ms(&self) -> f64 {
        self.ms.iter().copied().fold(0.0, f64::max)
    }

    pub fn view(&self) -> Value {
        json!({
            "count": self.count(),
            "mean": rounded(self.mean_ms()),
            "p50": rounded(self.quantile_ms(0.5)),
            "p95": rounded(self.quantile_ms(0.95)),
            "p99": rounded(self.quantile_ms(0.99)),
            "max": rounded(self.max_ms()),
        })
    }
}

/// CPU time this thread has used. What a piece of work costs, however busy the
/// machine is with something else.
pub fn thread_cpu() -> Duration {
    elapsed(ClockId::ThreadCPUTime)
}

/// CPU time all threads of this process have used.
pub fn process_cpu() -> Duration {
    elapsed(ClockId::ProcessCPUTime)
}

fn elapsed(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::try_from(time).unwrap_or_default()
}

/// To six decimals: what lies behind is noise.
pub fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

/// The middle one by `key`; of an even number the lower of the two.
pub fn median_by<T>(mut items: Vec<T>, key: impl Fn(&T) -> f64) -> Option<T> {
    items.sort_by(|a, b| key(a).total_cmp(&key(b)));
    let middle = items.len().checked_sub(1)? / 2;
    Some(items.swap_remove(middle))
}

/// A table for people: the first column to the left, all others to the right.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(header: &[&str]) -> Table {
        Table {
            rows: vec![header.iter().map(|&name| name.to_owned()).collect()],
        }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub fn print(&self) -> Result<()> {
        self.lines().iter().try_for_each(line)
    }

    fn lines(&self) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let show = |row: &Vec<String>| {
            let cells: Vec<String> = row
                .iter()
                .zip(&widths)
                .enumerate()
                .map(|(column, (cell, &width))| {
                    if column == 0 {
                        format!("{cell:<width$}")
                    } else {
                        format!("{cell:>width$}")
                    }
                })
                .collect();
            cells.join("  ").trim_end().to_owned()
        };
        self.rows.iter().map(show).collect()
    }
}

/// What the figures were measured on.
#[derive(Clone, Debug)]
pub struct Machine {
    pub cores: usize,
    /// Name of the processor, where the system tells.
    pub cpu: Option<String>,
}

impl Machine {
    pub fn this() -> Machine {
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Machine {
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            cpu: field(&cpuinfo, "model name").map(str::to_owned),
        }
    }

    pub fn describe(&self) -> String {
        let cores = if self.cores == 1 { "core" } else { "cores" };
        match &self.cpu {
            Some(cpu) => format!("{} {cores}, {cpu}", self.cores),
            None => format!("{} {cores}", self.cores),
        }
    }

    pub fn view(&self) -> Value {
        json!({ "cores": self.cores, "cpu": self.cpu })
    }
}

/// Starts the peak of [`peak_memory_bytes`] anew; false where the system cannot.
pub fn reset_peak_memory() -> bool {
    // proc(5): 5 resets the peak resident set size ("high water mark").
    std::fs::write("/proc/self/clear_refs", "5").is_ok()
}

/// Most memory of this process that was resident at one time.
pub fn peak_memory_bytes() -> Option<u64> {
    peak_memory_of("self")
}

/// The same of another process, by its number.
pub fn peak_memory_of(process: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let kib: u64 = field(&status, "VmHWM")?
        .strip_suffix("kB")?
        .trim()
        .parse()
        .ok()?;
    Some(kib * 1024)
}

/// The value of the first `name : value` line.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(ms: &[u64]) -> Times {
        let mut times = Times::default();
        ms.iter()
            .for_each(|ms| times.push(Duration::from_millis(*ms)));
        times
    }

    #[test]
    fn quantiles_by_rank() {
        let hundred = times(&(1..=100).rev().collect::<Vec<_>>());
        assert_eq!(hundred.quantile_ms(0.5), 51.0);
        assert_eq!(hundred.quantile_ms(0.95), 96.0);
        assert_eq!(hundred.max_ms(), 100.0);
        assert_eq!(hundred.mean_ms(), 50.5);
        assert_eq!(times(&[7]).quantile_ms(0.99), 7.0);
        let none = times(&[]);
        assert_eq!(
            (none.quantile_ms(0.5), none.mean_ms(), none.max_ms()),
            (0.0, 0.0, 0.0)
        );
        assert_eq!(hundred.view()["p95"], 96.0);
        assert_eq!(hundred.view()["count"], 100);
    }

    #[test]
    fn cpu_clocks_count_work() {
        let (thread, process) = (thread_cpu(), process_cpu());
        let mut sum = 0u64;
        while thread_cpu() - thread < Duration::from_millis(2) {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(process_cpu() - process >= Duration::from_millis(1), "{sum}");
    }

    #[test]
    fn the_median_run_is_one_that_happened() {
        assert_eq!(median_by(vec![3.0, 1.0, 2.0], |x| *x), Some(2.0));
        assert_eq!(median_by(vec![4.0, 1.0, 2.0, 3.0], |x| *x), Some(2.0));
        assert_eq!(median_by(Vec::<f64>::new(), |x| *x), None);
    }

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["mode", "nDCG"]);
        table.row(["hybrid".to_owned(), "0.5".to_owned()]);
        table.row(["کتاب".to_owned(), "10.25".to_owned()]);
        assert_eq!(
            table.lines(),
            ["mode     nDCG", "hybrid    0.5", "کتاب    10.25"]
        );
    }

    #[test]
    fn fields_of_proc_files() {
        let text = "processor\t: 0\nmodel name\t: Some CPU\nVmHWM:\t  12 kB\n";
        assert_eq!(field(text, "model name"), Some("Some CPU"));
        assert_eq!(field(text, "VmHWM"), Some("12 kB"));
        assert_eq!(field(text, "missing"), None);
    }
}
