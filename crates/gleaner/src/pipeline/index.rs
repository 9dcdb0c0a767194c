//! The index stage: committed pages become searchable by keyword.
//!
//! The index is derived: it replays the store's change sequence from where it
//! stopped last, so a crash between the two loses nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Result;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use search::KeywordIndex;
use store::Store;

use super::progress::{Progress, Stage};

/// Pages read from the store per step.
const PAGES_PER_STEP: usize = 200;

pub struct Indexer {
    pub store: Store,
    pub index: KeywordIndex,
    /// Longest time that indexed pages wait to become visible to searches.
    pub commit_every: Duration,
    pub progress: Arc<Progress>,
}

impl Indexer {
    /// Follows the store until the bell is gone, then catches up and commits.
    pub fn follow(mut self, bell: &Receiver<()>) -> Result<()> {
        let mut last_commit = Instant::now();
        loop {
            let rung = bell.recv_timeout(self.commit_every);
            self.step()?;
            if last_commit.elapsed() >= self.commit_every {
                self.commit()?;
                last_commit = Instant::now();
            }
            if rung == Err(RecvTimeoutError::Disconnected) {
                break;
            }
        }
        self.catch_up()?;
        // Merges under way end before the folder is left.
        Ok(self.index.close()?)
    }

    /// Applies everything the store holds and makes it visible.
    pub fn catch_up(&mut self) -> Result<()> {
        while self.step()? {}
        self.commit()
    }

    /// One step; true when there is more to do.
    fn step(&mut self) -> Result<bool> {
        let (store, index) = (&self.store, &mut self.index);
        let report = self.progress.timed(Stage::Index, || {
            index.sync_uncommitted(store, PAGES_PER_STEP)
        })?;
        self.progress
            .indexed
            .fetch_add(report.pages as u64, Ordering::Relaxed);
        Ok(report.more)
    }

    fn commit(&mut self) -> Result<()> {
        let index = &mut self.index;
        self.progress.timed(Stage::Index, || index.commit())?;
        Ok(())
    }
}
