//! The progress bars of a running crawl, on standard error.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::thousands;
use crate::pipeline::progress::Progress;

const REDRAW_EVERY: Duration = Duration::from_millis(100);
/// The rate shown is that of the last moments, not of the whole run.
const RATE_WINDOW: Duration = Duration::from_secs(3);

/// A thread that redraws until told to finish.
#[derive(Debug)]
pub struct LiveView {
    embedding: Arc<AtomicBool>,
    done: Sender<()>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl LiveView {
    pub fn start(progress: Arc<Progress>, show: bool) -> LiveView {
        let embedding = Arc::new(AtomicBool::new(false));
        let (done, finished) = bounded::<()>(1);
        let in_embedding = embedding.clone();
        let thread = show.then(|| {
            std::thread::spawn(move || {
                let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
                let mut rate = Rate::default();
                loop {
                    if in_embedding.load(Ordering::Relaxed) {
                        draw_embedding(&bar, &progress, &mut rate);
                    } else {
                        draw_crawl(&bar, &progress, &mut rate);
                    }
                    match finished.recv_timeout(REDRAW_EVERY) {
                        Err(RecvTimeoutError::Timeout) => {}
                        _ => break,
                    }
                }
                bar.finish_and_clear();
            })
        });
        LiveView {
            embedding,
            done,
            thread,
        }
    }

    /// From now on the embedding backlog is what is being waited for.
    pub fn embedding(&self) {
        self.embedding.store(true, Ordering::Relaxed);
    }

    /// Takes it off the screen; a second time does nothing.
    pub fn finish(&mut self) {
        let _ = self.done.send(());
        if let Some(thread) = self.thread.take() {
            // A view that broke is no reason to fail the crawl.
            let _ = thread.join();
        }
    }
}

fn draw_crawl(bar: &ProgressBar, progress: &Progress, rate: &mut Rate) {
    let get = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let (found, done) = (get(&progress.found), get(&progress.done));
    let per_s = rate.add(done);
    bar.set_style(style("crawl"));
    bar.set_length(found.max(1));
    bar.set_position(done);
    let pending = get(&progress.vectors_pending);
    bar.set_message(format!(
        "{per_s:.0} pages/s · {} queued · {} failed · {} skipped · {}{}{}",
        thousands(found.saturating_sub(done)),
        thousands(get(&progress.failed)),
        thousands(get(&progress.skipped)),
        HumanBytes(get(&progress.bytes)),
        if pending > 0 {
            format!(" · {} to embed", thousands(pending))
        } else {
            String::new()
        },
        eta(found.saturating_sub(done), per_s),
    ));
}

fn draw_embedding(bar: &ProgressBar, progress: &Progress, rate: &mut Rate) {
    let done = progress.vectors_done.load(Ordering::Relaxed);
    let pending = progress.vectors_pending.load(Ordering::Relaxed);
    let per_s = rate.add(done);
    bar.set_style(style("embed"));
    bar.set_length((done + pending).max(1));
    bar.set_position(done);
    bar.set_message(format!(
        "{per_s:.0} chunks/s · {} pending{} · keyword search works already",
        thousands(pending),
        eta(pending, per_s)
    ));
}

pub fn style(prefix: &str) -> ProgressStyle {
    ProgressStyle::with_template(&format!("{prefix} {{bar:24}} {{pos}}/{{len}} {{wide_msg}}"))
        .expect("bug: the progress template is constant")
        .progress_chars("━╸─")
}

pub fn eta(left: u64, per_s: f64) -> String {
    if left == 0 || per_s < 0.1 {
        return String::new();
    }
    format!(
        " · {} left",
        HumanDuration(Duration::from_secs_f64(left as f64 / per_s))
    )
}

/// A rate over the last moments.
#[derive(Debug, Default)]
struct Rate {
    samples: std::collections::VecDeque<(Instant, u64)>,
}

impl Rate {
    fn add(&mut self, value: u64) -> f64 {
        let now = Instant::now();
        if self.samples.back().is_some_and(|(_, last)| *last > value) {
            self.samples.clear();
        }
        self.samples.push_back((now, value));
        while self
            .samples
            .front()
            .is_some_and(|(at, _)| now - *at > RATE_WINDOW)
        {
            self.samples.pop_front();
        }
        match self.samples.front() {
            Some((at, first)) if now > *at => (value - first) as f64 / (now - *at).as_secs_f64(),
            _ => 0.0,
        }
    }
}
