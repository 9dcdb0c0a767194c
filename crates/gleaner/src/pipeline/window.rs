//! How many pages all crawls of this process may have under way, fitted to how
//! fast pages are dealt with.
//!
//! Each crawl has limits of its own, but many crawls at once would fetch more
//! than the cores extract and the store commits: pages would then lie about for
//! as long as it takes to work through everybody's. So there is one window over
//! all crawls. It grows while pages get through quickly and it is used, and
//! shrinks when they do not (additive increase, multiplicative decrease, as TCP
//! does it: RFC 5681; growth only while in use: RFC 7661). Each crawl has an
//! equal share of it, so one with a quick site takes nothing from the others.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// From a page's last byte to its commit: beyond this the window shrinks, and
/// below half of it it grows.
const SLOW: Duration = Duration::from_millis(400);
/// What a smaller window does is seen only once pages have gone through it.
const SHRINK_EVERY: Duration = Duration::from_millis(200);
const SHRUNK_TO: f64 = 0.8;
/// To begin with, and at least: a crawl alone is held back by nothing else.
const PAGES_AT_FIRST: f64 = 128.0;
const PAGES_MIN: f64 = 8.0;

#[derive(Debug)]
pub struct Window {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Pages that may be under way, of all crawls.
    pages: f64,
    crawls: usize,
    under_way: usize,
    shrunk_at: Option<Instant>,
}

/// A crawl's part; what it has under way is given back when it is dropped.
#[derive(Debug)]
pub struct Share {
    window: Arc<Window>,
    under_way: usize,
}

impl Default for Window {
    fn default() -> Window {
        Window {
            state: Mutex::new(State {
                pages: PAGES_AT_FIRST,
                crawls: 0,
                under_way: 0,
                shrunk_at: None,
            }),
        }
    }
}

impl Window {
    pub fn enter(self: &Arc<Window>) -> Share {
        self.lock().crawls += 1;
        Share {
            window: self.clone(),
            under_way: 0,
        }
    }

    /// A page was committed so long after its last byte.
    pub fn took(&self, time: Duration, now: Instant) {
        self.lock().took(time, now);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn took(&mut self, time: Duration, now: Instant) {
        if time > SLOW {
            let rests = |at: Instant| now.saturating_duration_since(at) < SHRINK_EVERY;
            if !self.shrunk_at.is_some_and(rests) {
                self.pages = (self.pages * SHRUNK_TO).max(PAGES_MIN);
                self.shrunk_at = Some(now);
            }
        } else if time < SLOW / 2 && self.under_way as f64 >= self.pages / 2.0 {
            self.pages += 1.0;
        }
    }
}

impl Share {
    /// True when the crawl may have another page under way. One is always
    /// allowed, or it would never get on.
    pub fn has_room(&self) -> bool {
        let state = self.window.lock();
        let share = state.pages / state.crawls.max(1) as f64;
        self.under_way == 0 || ((self.under_way + 1) as f64) <= share
    }

    /// The crawl has so many under way now.
    pub fn set(&mut self, under_way: usize) {
        let mut state = self.window.lock();
        state.under_way = state.under_way + under_way - self.under_way;
        self.under_way = under_way;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
        self.window.lock().crawls -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_millis(20);

    fn fill(share: &mut Share) -> usize {
        while share.has_room() {
            share.set(share.under_way + 1);
        }
        share.under_way
    }

    #[test]
    fn crawls_have_equal_shares_and_at_least_one_page() {
        let window = Arc::new(Window::default());
        let mut shares: Vec<Share> = (0..4).map(|_| window.enter()).collect();
        for share in &mut shares {
            assert_eq!(fill(share), 32);
        }
        let mut late: Vec<Share> = (0..1000).map(|_| window.enter()).collect();
        assert!(late.iter_mut().all(|share| fill(share) == 1));
        drop((shares, late));
        assert_eq!(fill(&mut window.enter()), 128);
    }

    #[test]
    fn the_window_follows_how_fast_pages_get_through() {
        let window = Arc::new(Window::default());
        let mut share = window.enter();
        let start = Instant::now();
        window.took(QUICK, start);
        assert_eq!(fill(&mut share), 128, "it was not in use");
        for _ in 0..72 {
            window.took(QUICK, start);
        }
        assert_eq!(fill(&mut share), 200);
        // One slow batch is one step.
        for _ in 0..50 {
            window.took(SLOW * 2, start);
        }
        share.set(0);
        assert_eq!(fill(&mut share), 160);
        for step in 1..100 {
            window.took(SLOW * 2, start + SHRINK_EVERY * step);
        }
        share.set(0);
        assert_eq!(fill(&mut share), 8);
    }
}
