//! The index stage: committed pages become searchable by keyword.
//!
//! The index is derived: it replays the store's change sequence from where it
//! stopped last, so a crash between the two loses nothing. One process at a
//! time writes it. Whoever finds it taken waits for the other, which sees our
//! commits, and takes over should it go away.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use search::engine::{Follower, KeywordEngine};
use search::{SearchErrorKind, VectorFollower};
use store::{ChangeSeqs, Store, Subscription};

use super::progress::{Progress, Stage};

/// Pages read from the store per step.
const PAGES_PER_STEP: usize = 200;
/// How often an index that is open for writing is looked after.
const TICK: Duration = Duration::from_millis(250);
/// The same while someone waits for another process to index something.
const LOOK_WAITING_EVERY: Duration = Duration::from_millis(20);
/// Least time between two commits that somebody waits for. A commit costs
/// 10 ms of CPU however small it is: a stream of single pages shares them.
const FLUSH_EVERY: Duration = Duration::from_millis(50);
/// How often vectors on servers are looked at when nothing was heard: who
/// followed them may have gone away.
const VECTORS_EVERY: Duration = Duration::from_secs(2);
/// How often an index that can get lost is looked at.
const CHECK_EVERY: Duration = Duration::from_secs(10);
/// An idle writer gives the index, and its memory, back after this long.
const KEPT_OPEN: Duration = Duration::from_secs(5);

/// How the index is kept.
#[derive(Clone, Debug)]
pub struct IndexPlan {
    pub engine: Arc<dyn KeywordEngine>,
    /// Whether vectors are kept up here, too: those that lie on servers.
    pub follows_vectors: bool,
    /// Whether the index can get lost while the store is as it was: then it is
    /// looked at from time to time.
    pub checks: bool,
    /// Longest time that indexed pages wait to become visible to searches.
    pub commit_every: Duration,
    /// How often commits of other processes are looked for; those that are
    /// heard of ring at once.
    pub look_every: Duration,
}

/// A thread that keeps the keyword index up with the store.
pub struct Indexer {
    orders: Option<Sender<Order>>,
    thread: Option<std::thread::JoinHandle<()>>,
    bell: Option<Subscription>,
    commits: Arc<AtomicU64>,
}

enum Order {
    /// Something was committed.
    Rung,
    /// Make everything committed so far searchable, then answer.
    Flush(Sender<Result<()>>),
}

impl Indexer {
    pub fn start(store: &Store, plan: IndexPlan, progress: Arc<Progress>) -> Result<Indexer> {
        let (orders, queue) = bounded(64);
        let bell = orders.clone();
        let subscription = store.on_any_commit(Arc::new(move |_| {
            // A full queue wakes the thread anyway.
            let _ = bell.try_send(Order::Rung);
        }));
        let commits: Arc<AtomicU64> = Arc::default();
        let vectors = plan
            .follows_vectors
            .then(|| VectorFollower::new(store.clone()));
        let keeper = Keeper {
            vectors,
            vectors_due: Instant::now(),
            check_due: Instant::now() + CHECK_EVERY,
            commits: commits.clone(),
            store: store.clone(),
            plan,
            progress,
            open: None,
            looked_at: ChangeSeqs::default(),
            waiting: Vec::new(),
            trouble: None,
            vectors_trouble: None,
        };
        let thread = std::thread::Builder::new()
            .name("indexer".into())
            .spawn(move || keeper.run(&queue))
            .context("start the index thread")?;
        Ok(Indexer {
            orders: Some(orders),
            thread: Some(thread),
            bell: Some(subscription),
            commits,
        })
    }

    /// How often the index was committed here: grows before a flush returns.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::SeqCst)
    }

    /// Returns once all that is committed now can be found by keyword.
    pub fn flush(&self) -> Result<()> {
        let (reply, answer) = bounded(1);
        let orders = self.orders.as_ref().context("bug: the indexer has ended")?;
        orders
            .send(Order::Flush(reply))
            .ok()
            .context("bug: the indexer has ended")?;
        answer
            .recv()
            .context("bug: the indexer has ended")?
            .context("update the keyword index; `gleaner reindex` rebuilds it")
    }
}

impl Drop for Indexer {
    fn drop(&mut self) {
        // The thread ends when nobody can send to it any more.
        self.bell = None;
        self.orders = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the index thread panicked");
        }
    }
}

/// The thread's own state.
struct Keeper {
    store: Store,
    plan: IndexPlan,
    progress: Arc<Progress>,
    /// When the index is looked at next, though nothing is new.
    check_due: Instant,
    commits: Arc<AtomicU64>,
    open: Option<Open>,
    vectors: Option<VectorFollower>,
    /// When they are looked at next, whether or not anything was heard.
    vectors_due: Instant,
    /// The page changes up to which the index is known to be committed.
    looked_at: ChangeSeqs,
    /// Who waits for which changes to be searchable.
    waiting: Vec<(ChangeSeqs, Sender<Result<()>>)>,
    trouble: Option<String>,
    vectors_trouble: Option<String>,
}

struct Open {
    index: Follower,
    last_commit: Instant,
    last_change: Instant,
}

impl Keeper {
    fn run(mut self, queue: &Receiver<Order>) {
        let mut data_version = 0;
        loop {
            let patience = match self.flush_due() {
                None if self.open.is_some() => self.plan.look_every.min(TICK),
                None => self.plan.look_every,
                Some(due) => due.min(LOOK_WAITING_EVERY),
            };
            match queue.recv_timeout(patience) {
                Ok(Order::Rung) => {}
                Ok(Order::Flush(reply)) => match self.store.pages_change_seqs() {
                    Ok(wanted) => self.waiting.push((wanted, reply)),
                    Err(error) => drop(reply.send(Err(error.into()))),
                },
                Err(RecvTimeoutError::Timeout) => {
                    let version = self.store.data_version().unwrap_or(data_version);
                    let is_checked = self.is_checked();
                    let nothing_new = version == data_version && self.open.is_none() && is_checked;
                    let rests = self.vectors.is_none() || Instant::now() < self.vectors_due;
                    if nothing_new && self.waiting.is_empty() && rests {
                        continue;
                    }
                    data_version = version;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let kept = match self.flush_due() {
                None => self.keep_up(),
                Some(Duration::ZERO) => self.flush(),
                Some(_) => Ok(()),
            };
            self.report(kept);
            let followed = self.follow_vectors();
            self.report_vectors(followed);
        }
        let closed = match self.open.take() {
            Some(mut open) => self.catch_up(&mut open).and_then(|()| close(open)),
            None => Ok(()),
        };
        self.report(closed);
        let vectors = self.vectors.take().map(VectorFollower::close);
        self.report_vectors(vectors.unwrap_or(Ok(())).map_err(Into::into));
    }

    /// False when it is time to look whether the index is still there: what is
    /// known of it is forgotten then.
    fn is_checked(&mut self) -> bool {
        if !self.plan.checks || Instant::now() < self.check_due {
            return true;
        }
        self.check_due = Instant::now() + CHECK_EVERY;
        self.looked_at = ChangeSeqs::default();
        false
    }

    /// One batch; those of a crawl that is embedded take turns with its pages.
    fn follow_vectors(&mut self) -> Result<()> {
        let Some(vectors) = &mut self.vectors else {
            return Ok(());
        };
        let more = vectors.sync()?;
        let rest = if more { Duration::ZERO } else { VECTORS_EVERY };
        self.vectors_due = Instant::now() + rest;
        if more {
            self.commits.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }

    /// How long those who wait still have to; `None` when nobody waits.
    fn flush_due(&self) -> Option<Duration> {
        if self.waiting.is_empty() {
            return None;
        }
        let open = self.open.as_ref();
        Some(open.map_or(Duration::ZERO, |open| {
            FLUSH_EVERY.saturating_sub(open.last_commit.elapsed())
        }))
    }

    /// One step and, when due, a commit; gives the index back when idle.
    fn keep_up(&mut self) -> Result<()> {
        let Some(mut open) = self.opened()? else {
            return Ok(());
        };
        let more = self.step(&mut open)?;
        if more {
            open.last_change = Instant::now();
        }
        if open.last_commit.elapsed() >= self.plan.commit_every {
            self.commit(&mut open)?;
        }
        if open.last_change.elapsed() >= KEPT_OPEN {
            self.catch_up(&mut open)?;
            return close(open);
        }
        self.open = Some(open);
        Ok(())
    }

    /// Makes everything visible now and answers whoever waits for it; when
    /// another process writes the index, those whose changes it has reached.
    fn flush(&mut self) -> Result<()> {
        let mut flushed = self.flush_own();
        if let Some(vectors) = &mut self.vectors
            && flushed.is_ok()
        {
            flushed = loop {
                match vectors.sync() {
                    Ok(true) => {}
                    done => break done.map(drop).map_err(Into::into),
                }
            };
        }
        if let Err(error) = &flushed {
            for (_, reply) in self.waiting.drain(..) {
                let _ = reply.send(Err(anyhow::anyhow!("{error:#}")));
            }
        }
        let reached = self.looked_at.clone();
        self.waiting.retain(|(wanted, reply)| {
            let waits = !reached.reach(wanted);
            if !waits {
                let _ = reply.send(Ok(()));
            }
            waits
        });
        flushed
    }

    fn flush_own(&mut self) -> Result<()> {
        if let Some(mut open) = self.opened()? {
            self.catch_up(&mut open)?;
            self.open = Some(open);
        }
        Ok(())
    }

    /// The index for writing, if there is anything to write; `None` also when
    /// another process has it.
    fn opened(&mut self) -> Result<Option<Open>> {
        if let Some(open) = self.open.take() {
            return Ok(Some(open));
        }
        let seqs = self.store.pages_change_seqs()?;
        if self.looked_at.reach(&seqs) {
            return Ok(None);
        }
        let committed = self.plan.engine.open().map(|index| index.committed()).ok();
        // One that is ahead is of another state of the database.
        if let Some(committed) = committed.filter(|committed| seqs.reach(committed)) {
            self.looked_at.advance_to(&committed);
            if committed.reach(&seqs) {
                return Ok(None);
            }
        }
        match self.plan.engine.open_writer() {
            Ok(writer) => Ok(Some(Open {
                index: Follower::new(writer),
                last_commit: Instant::now(),
                last_change: Instant::now(),
            })),
            Err(error) if error.kind() == SearchErrorKind::Busy => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Applies everything the store holds and makes it visible.
    fn catch_up(&mut self, open: &mut Open) -> Result<()> {
        while self.step(open)? {}
        self.commit(open)
    }

    /// One step; true when there is more to do.
    fn step(&mut self, open: &mut Open) -> Result<bool> {
        let report = self.progress.timed(Stage::Index, || {
            open.index.sync(&self.store, PAGES_PER_STEP)
        })?;
        self.progress
            .indexed
            .fetch_add(report.pages as u64, Ordering::Relaxed);
        if report.pages > 0 {
            open.last_change = Instant::now();
        }
        Ok(report.more)
    }

    fn commit(&mut self, open: &mut Open) -> Result<()> {
        self.progress.timed(Stage::Index, || open.index.commit())?;
        open.last_commit = Instant::now();
        self.commits.fetch_add(1, Ordering::SeqCst);
        self.looked_at.advance_to(&open.index.committed());
        Ok(())
    }

    fn report(&mut self, result: Result<()>) {
        let what = "could not update the keyword index; `gleaner reindex` rebuilds it";
        report(&mut self.trouble, result, what);
    }

    fn report_vectors(&mut self, result: Result<()>) {
        let what = "could not keep up the vectors on the server";
        report(&mut self.vectors_trouble, result, what);
    }
}

/// Trouble is said once, and again when it changes: the thread tries on.
fn report(last: &mut Option<String>, result: Result<()>, what: &str) {
    let trouble = result.err().map(|error| format!("{error:#}"));
    if let Some(text) = &trouble
        && last.as_ref() != Some(text)
    {
        tracing::error!(error = %text, "{what}");
    }
    *last = trouble;
}

/// Merges under way end before the folder is left.
fn close(open: Open) -> Result<()> {
    Ok(open.index.close()?)
}
