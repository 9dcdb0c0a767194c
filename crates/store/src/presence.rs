//! Whether a database answers, and how long a reader waits for one that does not.
//!
//! A server that restarts is back within seconds, so who finds it gone asks
//! again for a while. Who finds it gone for longer fails at once, and only now
//! and then somebody asks whether it is back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Failure, StoreError, StoreErrorKind};
use crate::postgres::Fault;

/// How often a database that is away is asked whether it is back.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// Attempts of a read that the server undoes for another's sake.
const UNDONE_MAX: u32 = 5;

pub(crate) struct Presence {
    /// How long it is waited for.
    wait: Duration,
    place: String,
    is_missed: AtomicBool,
    missed: Mutex<Option<Missed>>,
}

/// A database that did not answer when it was last asked.
struct Missed {
    since: Instant,
    asked: Instant,
    why: String,
    /// Nobody waits for it any more.
    is_away: bool,
}

/// Why an attempt failed, and whether another one may succeed.
pub(crate) struct Attempt {
    pub(crate) failure: Failure,
    pub(crate) fault: Option<Fault>,
}

impl Presence {
    pub(crate) fn new(wait: Duration, place: String) -> Presence {
        Presence {
            wait,
            place,
            is_missed: AtomicBool::new(false),
            missed: Mutex::new(None),
        }
    }

    /// Of a database that did not answer from the beginning: nobody waits for it.
    pub(crate) fn absent(wait: Duration, place: String, why: &StoreError) -> Presence {
        let presence = Presence::new(wait, place);
        presence.stays_away(why);
        presence
    }

    /// Repeats `attempt` while the database is away, but not for longer than is
    /// waited for it since somebody first missed it.
    pub(crate) fn ask<T>(
        &self,
        mut attempt: impl FnMut() -> Result<T, Attempt>,
    ) -> Result<T, Failure> {
        let mut attempts = 0;
        loop {
            self.check()?;
            attempts += 1;
            let Attempt { failure, fault } = match attempt() {
                Ok(value) => {
                    self.answered();
                    return Ok(value);
                }
                Err(attempt) => attempt,
            };
            match fault {
                Some(Fault::Lost) if self.missing(&failure) => {}
                Some(Fault::Lost) => return Err(failure),
                Some(Fault::Undone) if attempts < UNDONE_MAX => {}
                Some(Fault::Undone | Fault::Stale) | None => {
                    self.answered();
                    return Err(failure);
                }
            }
            rest(attempts);
        }
    }

    /// One attempt, whatever is known.
    pub(crate) fn ask_once<T>(
        &self,
        attempt: impl FnOnce() -> Result<T, Attempt>,
    ) -> Result<T, Failure> {
        attempt().inspect(|_| self.answered()).map_err(|attempt| {
            if attempt.fault == Some(Fault::Lost) {
                self.missing(&attempt.failure);
            }
            attempt.failure
        })
    }

    /// Notes why a database is of no use although it may answer; whether that
    /// is news.
    pub(crate) fn stays_away(&self, why: &StoreError) -> bool {
        let mut missed = self.lock();
        let now = Instant::now();
        let why = why.repeat().to_string();
        let (since, is_news) = match missed.take() {
            Some(missed) => (missed.since, missed.why != why),
            None => (now, true),
        };
        *missed = Some(Missed {
            since,
            asked: now,
            why,
            is_away: true,
        });
        self.is_missed.store(true, Ordering::Release);
        is_news
    }

    /// Fails when the database is away and somebody asked it just now.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        if !self.is_missed.load(Ordering::Acquire) {
            return Ok(());
        }
        match self.lock().as_mut() {
            Some(missed) if missed.is_away && missed.asked.elapsed() < ASK_EVERY => {
                let why = missed.why.clone();
                Err(StoreError::new(StoreErrorKind::Unavailable, why))
            }
            Some(missed) => {
                // Whoever comes next need not ask as well.
                missed.asked = Instant::now();
                Ok(())
            }
            None => Ok(()),
        }
    }

    pub(crate) fn answered(&self) {
        if !self.is_missed.load(Ordering::Acquire) {
            return;
        }
        let was = self.lock().take();
        self.is_missed.store(false, Ordering::Release);
        if let Some(missed) = was.filter(|missed| missed.is_away) {
            let seconds = missed.since.elapsed().as_secs();
            tracing::info!("{} answers again, after {seconds} s", self.place);
        }
    }

    /// Notes that the database did not answer; whether to wait for it.
    fn missing(&self, failure: &Failure) -> bool {
        let mut missed = self.lock();
        let now = Instant::now();
        let missed = missed.get_or_insert_with(|| Missed {
            since: now,
            asked: now,
            why: String::new(),
            is_away: false,
        });
        missed.asked = now;
        missed.why = format!("{} does not answer: {}", self.place, failure.cause());
        self.is_missed.store(true, Ordering::Release);
        if !missed.is_away && missed.since.elapsed() >= self.wait {
            missed.is_away = true;
            tracing::warn!("{}; going on without it until it does", missed.why);
        }
        !missed.is_away
    }

    /// A panic elsewhere leaves what is noted consistent.
    fn lock(&self) -> MutexGuard<'_, Option<Missed>> {
        self.missed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits before the next attempt: 50 ms, doubled up to 800.
pub(crate) fn rest(attempts: u32) {
    let pause = Duration::from_millis(50 << attempts.saturating_sub(1).min(4));
    let _ = crossbeam_channel::never::<()>().recv_timeout(pause);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(fault: Option<Fault>) -> Attempt {
        Attempt {
            failure: Failure::bug("made up"),
            fault,
        }
    }

    /// How often it is asked until the nth answer, and whether that is one.
    fn asked(presence: &Presence, fault: Option<Fault>, answers_at: u32) -> (u32, bool) {
        let mut attempts = 0;
        let asked = presence.ask(|| {
            attempts += 1;
            match attempts >= answers_at {
                true => Ok(()),
                false => Err(failed(fault)),
            }
        });
        (attempts, asked.is_ok())
    }

    fn waiting(wait: Duration) -> Presence {
        Presence::new(wait, "here".to_owned())
    }

    #[test]
    fn who_finds_it_gone_asks_again_and_others_only_while_it_is_not_given_up() {
        let presence = waiting(Duration::from_secs(60));
        assert_eq!(asked(&presence, Some(Fault::Lost), 4), (4, true));
        // Forgotten: it is waited for as before.
        assert_eq!(asked(&presence, Some(Fault::Lost), 3), (3, true));

        let presence = waiting(Duration::from_millis(120));
        let begun = Instant::now();
        let (attempts, answered) = asked(&presence, Some(Fault::Lost), u32::MAX);
        assert!(attempts > 1 && !answered, "{attempts}");
        assert!(begun.elapsed() >= Duration::from_millis(120));
        // Given up, and asked a moment ago.
        assert_eq!(asked(&presence, Some(Fault::Lost), 1), (0, false));
        let message = presence.check().unwrap_err().to_string();
        assert!(
            message.contains("here does not answer: made up"),
            "{message}"
        );
    }

    #[test]
    fn what_is_away_is_asked_now_and_then_by_one_until_it_answers() {
        let why = StoreError::new(StoreErrorKind::Unavailable, "away from the beginning");
        let presence = Presence::absent(Duration::from_secs(60), "here".to_owned(), &why);
        assert!(presence.check().is_err());
        let a_while_ago = Instant::now().checked_sub(ASK_EVERY).unwrap();
        presence.lock().as_mut().unwrap().asked = a_while_ago;
        assert_eq!(asked(&presence, Some(Fault::Lost), 2), (1, false));
        assert_eq!(asked(&presence, Some(Fault::Lost), 1), (0, false));
        presence.lock().as_mut().unwrap().asked = a_while_ago;
        assert_eq!(asked(&presence, None, 1), (1, true));
        assert_eq!(asked(&presence, None, 1), (1, true));
    }

    #[test]
    fn what_is_undone_is_tried_a_few_times_and_what_fails_once() {
        let presence = waiting(Duration::from_secs(60));
        assert_eq!(asked(&presence, Some(Fault::Undone), 3), (3, true));
        let (attempts, answered) = asked(&presence, Some(Fault::Undone), u32::MAX);
        assert_eq!((attempts, answered), (UNDONE_MAX, false));
        assert_eq!(asked(&presence, None, 2), (1, false));
    }
}
