//! Each value is computed once at a time: the first caller computes, the others
//! wait for it.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::ThreadId;
use std::time::Duration;

use bytes::Bytes;

use super::generations::Stamp;
use super::key::CacheKey;
use crate::sync::lock;

/// An error of whatever type the computing caller has.
pub(crate) type SharedError = Arc<dyn Any + Send + Sync>;

/// How a computation ended, for those who waited.
#[derive(Clone)]
pub(crate) enum Outcome {
    Value(Bytes),
    Failed(SharedError),
    /// It panicked: whoever comes first computes again.
    Lost,
}

/// A caller's part in a computation.
pub(crate) enum Part<'a> {
    Leader(Leader<'a>),
    Follower(Arc<Flight>),
    /// This very thread computes that value already: waiting would be for ever.
    Within,
}

/// Computations under way; as many as there are callers at most.
#[derive(Default)]
pub(crate) struct Flights {
    running: Mutex<HashMap<CacheKey, Arc<Flight>>>,
}

pub(crate) struct Flight {
    stamp: Stamp,
    thread: ThreadId,
    outcome: Mutex<Option<Outcome>>,
    ended: Condvar,
}

impl Flights {
    /// `stamp` is what a computation beginning now is stamped with, and
    /// `is_current` says whether one that is under way may still be joined: not
    /// if the key was invalidated since it began.
    pub(crate) fn join(
        &self,
        key: &CacheKey,
        stamp: impl FnOnce() -> Stamp,
        is_current: impl FnOnce(Stamp) -> bool,
    ) -> Part<'_> {
        let thread = std::thread::current().id();
        let mut running = lock(&self.running);
        if let Some(flight) = running.get(key) {
            if flight.thread == thread {
                return Part::Within;
            }
            if is_current(flight.stamp) {
                return Part::Follower(Arc::clone(flight));
            }
        }
        let flight = Arc::new(Flight {
            stamp: stamp(),
            thread,
            outcome: Mutex::new(None),
            ended: Condvar::new(),
        });
        running.insert(*key, Arc::clone(&flight));
        Part::Leader(Leader {
            flights: self,
            key: *key,
            flight,
        })
    }
}

impl Flight {
    /// `None` when it took longer than that.
    pub(crate) fn wait(&self, wait_max: Duration) -> Option<Outcome> {
        let outcome = lock(&self.outcome);
        let (outcome, _) = self
            .ended
            .wait_timeout_while(outcome, wait_max, |outcome| outcome.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        outcome.clone()
    }

    fn end(&self, outcome: Outcome) {
        lock(&self.outcome).get_or_insert(outcome);
        self.ended.notify_all();
    }
}

/// The duty to end a computation; fulfilled by dropping it at the latest.
pub(crate) struct Leader<'a> {
    flights: &'a Flights,
    key: CacheKey,
    flight: Arc<Flight>,
}

impl Leader<'_> {
    pub(crate) fn stamp(&self) -> Stamp {
        self.flight.stamp
    }

    pub(crate) fn end(self, outcome: Outcome) {
        self.leave();
        self.flight.end(outcome);
    }

    /// Before the followers hear of the end, so that none of them can join it
    /// once more.
    fn leave(&self) {
        let mut running = lock(&self.flights.running);
        let is_mine = running
            .get(&self.key)
            .is_some_and(|flight| Arc::ptr_eq(flight, &self.flight));
        if is_mine {
            running.remove(&self.key);
        }
    }
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        self.leave();
        self.flight.end(Outcome::Lost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn key() -> CacheKey {
        CacheKey::new("area", 1, "name")
    }

    fn join(flights: &Flights, is_current: bool) -> Part<'_> {
        flights.join(&key(), || Stamp(7), |_| is_current)
    }

    fn lead(flights: &Flights) -> Leader<'_> {
        match join(flights, true) {
            Part::Leader(leader) => leader,
            _ => panic!("nobody else leads"),
        }
    }

    /// As another thread sees it.
    fn follow(flights: &Flights) -> Arc<Flight> {
        std::thread::scope(|scope| {
            scope
                .spawn(|| match join(flights, true) {
                    Part::Follower(flight) => flight,
                    _ => panic!("somebody else leads"),
                })
                .join()
                .expect("no panic")
        })
    }

    #[test]
    fn followers_hear_how_it_ended() {
        let flights = Flights::default();
        let leader = lead(&flights);
        assert_eq!(leader.stamp(), Stamp(7));
        let followers = [follow(&flights), follow(&flights)];
        assert!(
            followers[0].wait(Duration::ZERO).is_none(),
            "still under way"
        );
        leader.end(Outcome::Value(Bytes::from_static(b"value")));
        for follower in followers {
            let outcome = follower.wait(LONG);
            assert!(matches!(outcome, Some(Outcome::Value(value)) if value == "value"));
        }

        let leader = lead(&flights);
        let follower = follow(&flights);
        leader.end(Outcome::Failed(Arc::new("no network")));
        let Some(Outcome::Failed(error)) = follower.wait(LONG) else {
            panic!("it failed");
        };
        assert_eq!(error.downcast_ref::<&str>(), Some(&"no network"));

        let leader = lead(&flights);
        let follower = follow(&flights);
        drop(leader);
        assert!(matches!(follower.wait(LONG), Some(Outcome::Lost)));
        assert!(lock(&flights.running).is_empty());
    }

    #[test]
    fn one_that_is_no_longer_current_is_not_joined_but_replaced() {
        let flights = Flights::default();
        let old = lead(&flights);
        let new = std::thread::scope(|scope| {
            scope
                .spawn(|| match join(&flights, false) {
                    Part::Leader(leader) => leader,
                    _ => panic!("the old one must not be joined"),
                })
                .join()
                .expect("no panic")
        });
        old.end(Outcome::Lost);
        assert!(matches!(join(&flights, true), Part::Follower(_)));
        drop(new);
        assert!(lock(&flights.running).is_empty());
    }

    #[test]
    fn a_thread_does_not_wait_for_itself() {
        let flights = Flights::default();
        let _leader = lead(&flights);
        assert!(matches!(join(&flights, true), Part::Within));
    }
}
