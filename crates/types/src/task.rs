//! Queued work: how far it is, how urgent, and how a lot of it is spread out.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::time::Timestamp;

/// Where a task is in its life.
///
/// `scheduled → queued → running → succeeded | failed | cancelled | dead`; a
/// retry or a snooze goes back from `running` to `scheduled`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaskState {
    /// Its time has not come: delayed, or waiting for its next attempt.
    Scheduled,
    /// A worker may take it.
    Queued,
    Running,
    Succeeded,
    /// Ended by an error that another attempt would not mend.
    Failed,
    Cancelled,
    /// Its attempts are used up. Kept to be looked at and retried by hand.
    Dead,
}

impl TaskState {
    pub const ALL: &'static [TaskState] = &[
        TaskState::Scheduled,
        TaskState::Queued,
        TaskState::Running,
        TaskState::Succeeded,
        TaskState::Failed,
        TaskState::Cancelled,
        TaskState::Dead,
    ];

    /// Stable code, as shown and as typed.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            TaskState::Scheduled => "scheduled",
            TaskState::Queued => "queued",
            TaskState::Running => "running",
            TaskState::Succeeded => "succeeded",
            TaskState::Failed => "failed",
            TaskState::Cancelled => "cancelled",
            TaskState::Dead => "dead",
        }
    }

    #[must_use]
    pub fn from_code(code: &str) -> Option<TaskState> {
        TaskState::ALL.iter().copied().find(|s| s.code() == code)
    }

    /// Succeeded, failed, cancelled or dead: only a retry by hand changes it.
    #[must_use]
    pub fn is_finished(self) -> bool {
        !self.is_pending() && self != TaskState::Running
    }

    /// Scheduled or queued: waits for a worker.
    #[must_use]
    pub fn is_pending(self) -> bool {
        matches!(self, TaskState::Scheduled | TaskState::Queued)
    }
}

/// The coarse part of a [`Priority`]; the first goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PriorityClass {
    High,
    Default,
    Low,
}

impl PriorityClass {
    const ALL: [PriorityClass; 3] = [
        PriorityClass::High,
        PriorityClass::Default,
        PriorityClass::Low,
    ];

    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            PriorityClass::High => "high",
            PriorityClass::Default => "default",
            PriorityClass::Low => "low",
        }
    }
}

/// A class and, within it, a level from 0 (first) to 9. The smaller value is
/// the more urgent one.
///
/// Written `high`, `low:3` or, for a level of the default class, just `7`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(u8);

const LEVELS: u8 = 10;
const LEVEL_DEFAULT: u8 = 5;

impl Priority {
    pub const HIGH: Priority = Priority(LEVEL_DEFAULT);
    pub const DEFAULT: Priority = Priority(LEVELS + LEVEL_DEFAULT);
    pub const LOW: Priority = Priority(2 * LEVELS + LEVEL_DEFAULT);

    /// Fails on a level above 9.
    pub fn new(class: PriorityClass, level: u8) -> Result<Priority, PriorityError> {
        if level >= LEVELS {
            let given = format!("{}:{level}", class.code());
            return Err(PriorityError { given });
        }
        Ok(Priority(class as u8 * LEVELS + level))
    }

    #[must_use]
    pub fn class(self) -> PriorityClass {
        PriorityClass::ALL[usize::from(self.0 / LEVELS)]
    }

    /// 0 to 9, 0 first.
    #[must_use]
    pub fn level(self) -> u8 {
        self.0 % LEVELS
    }

    /// 0 to 29 over all classes, 0 first: what queues sort by.
    #[must_use]
    pub fn rank(self) -> u8 {
        self.0
    }

    #[must_use]
    pub fn from_rank(rank: u8) -> Option<Priority> {
        (rank < LEVELS * 3).then_some(Priority(rank))
    }
}

impl Default for Priority {
    fn default() -> Priority {
        Priority::DEFAULT
    }
}

impl FromStr for Priority {
    type Err = PriorityError;

    fn from_str(text: &str) -> Result<Priority, PriorityError> {
        let wrong = || PriorityError {
            given: text.to_owned(),
        };
        let class = |code: &str| PriorityClass::ALL.into_iter().find(|c| c.code() == code);
        let (class, level) = match text.split_once(':') {
            Some((code, level)) => (class(code).ok_or_else(wrong)?, level),
            None => match class(text) {
                Some(class) => return Priority::new(class, LEVEL_DEFAULT),
                None => (PriorityClass::Default, text),
            },
        };
        // Not `parse`, which also takes `+7` and `007`.
        match level.as_bytes() {
            [digit @ b'0'..=b'9'] => Priority::new(class, digit - b'0'),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.class().code())?;
        if self.level() != LEVEL_DEFAULT {
            write!(f, ":{}", self.level())?;
        }
        Ok(())
    }
}

/// A priority that does not exist; says which ones do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriorityError {
    given: String,
}

impl fmt::Display for PriorityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no priority {:?}; use high, default or low, a level from 0 (first) to 9, or both as in low:3",
            self.given
        )
    }
}

impl std::error::Error for PriorityError {}

/// How far a running task is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub completed: u64,
    /// `None` while it is not known.
    pub total: Option<u64>,
    /// What is being worked on, for people.
    pub current: Option<String>,
    /// Parts that failed while the task goes on.
    pub errors: u64,
}

/// Spreads many tasks evenly, so that follow-up work never comes as one heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stagger {
    /// Time between two tasks, unless that would exceed the span.
    pub gap: Duration,
    /// All tasks begin within this time.
    pub span_max: Duration,
}

impl Default for Stagger {
    /// 0.9 s apart, within 3 minutes.
    fn default() -> Stagger {
        Stagger {
            gap: Duration::from_millis(900),
            span_max: Duration::from_secs(180),
        }
    }
}

impl Stagger {
    /// When each of `count` tasks is due, the first at `start`.
    pub fn times(self, start: Timestamp, count: usize) -> impl Iterator<Item = Timestamp> {
        let tasks = u32::try_from(count).unwrap_or(u32::MAX).max(1);
        let gap_ns = self.gap.min(self.span_max / tasks).as_nanos();
        (0..count).map(move |task| {
            let offset_ms = gap_ns.saturating_mul(task as u128) / 1_000_000;
            let offset_ms = u64::try_from(offset_ms).unwrap_or(u64::MAX);
            start.plus(Duration::from_millis(offset_ms))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check_priority(text: &str, rank: u8, shown: &str) {
        let priority: Priority = text.parse().unwrap();
        assert_eq!(priority.rank(), rank, "{text}");
        assert_eq!(priority.to_string(), shown, "{text}");
        assert_eq!(shown.parse(), Ok(priority), "{text}");
    }

    #[test]
    fn priorities_are_read_and_shown() {
        check_priority("high", 5, "high");
        check_priority("high:0", 0, "high:0");
        check_priority("default", 15, "default");
        check_priority("7", 17, "default:7");
        check_priority("0", 10, "default:0");
        check_priority("default:5", 15, "default");
        check_priority("low:3", 23, "low:3");
        check_priority("low:9", 29, "low:9");
    }

    #[test]
    fn priorities_that_do_not_exist_are_explained() {
        for text in [
            "-1", "10", "low:-1", "low:10", "urgent", "", "high:", ":3", "+7", "007", "low:3:1",
        ] {
            let error = text.parse::<Priority>().unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?}")), "{error}");
            assert!(error.contains("from 0 (first) to 9"), "{error}");
        }
        let error = Priority::new(PriorityClass::Low, 10).unwrap_err();
        assert!(error.to_string().contains("\"low:10\""), "{error}");
    }

    #[test]
    fn ranks_order_priorities() {
        let ranks: Vec<Priority> = (0..=u8::MAX).filter_map(Priority::from_rank).collect();
        assert_eq!(ranks.len(), 30);
        assert!(ranks.is_sorted());
        for (rank, priority) in (0..).zip(&ranks) {
            assert_eq!(priority.rank(), rank);
            assert_eq!(
                Priority::new(priority.class(), priority.level()),
                Ok(*priority)
            );
        }
        assert!(Priority::HIGH < Priority::DEFAULT && Priority::DEFAULT < Priority::LOW);
    }

    #[test]
    fn states_have_codes_and_an_end() {
        for state in TaskState::ALL {
            assert_eq!(TaskState::from_code(state.code()), Some(*state));
            let kinds = [
                state.is_pending(),
                *state == TaskState::Running,
                state.is_finished(),
            ];
            assert_eq!(kinds.iter().filter(|k| **k).count(), 1, "{state:?}");
        }
        assert_eq!(TaskState::from_code("Queued"), None);
    }

    #[test]
    fn two_hundred_tasks_are_never_more_than_two_in_a_second() {
        let start = Timestamp(1_000);
        let times: Vec<i64> = Stagger::default().times(start, 200).map(|t| t.0).collect();
        assert_eq!(times.len(), 200);
        for from in &times {
            let second = *from..from + 1000;
            let within = times.iter().filter(|t| second.contains(t)).count();
            assert!(within <= 2, "{within} from {from}");
        }
        assert_eq!(times.last(), Some(&(1_000 + 199 * 900)));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn staggered_times_are_even_and_within_the_span(
            count in 0usize..3000,
            gap_ms in 0u64..5_000,
            span_ms in 0u64..500_000,
        ) {
            let stagger = Stagger {
                gap: Duration::from_millis(gap_ms),
                span_max: Duration::from_millis(span_ms),
            };
            let times: Vec<i64> = stagger.times(Timestamp(7), count).map(|t| t.0).collect();
            prop_assert_eq!(times.len(), count);
            let even_ms = gap_ms.min(span_ms / (count as u64).max(1));
            for (before, after) in times.iter().zip(times.iter().skip(1)) {
                let apart = (after - before).unsigned_abs();
                prop_assert!(apart >= even_ms && apart <= even_ms + 1, "{} apart", apart);
            }
            if let Some(last) = times.last() {
                prop_assert!((last - 7).unsigned_abs() <= span_ms);
            }
        }
    }
}
