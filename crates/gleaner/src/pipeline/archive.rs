//! Raw copies, between the CPU stage and the writer: what the server answered
//! is stored as an object before the page is committed with its key.
//!
//! Only what would be a new version is stored. A page whose object could not be
//! stored goes on without, and the commit counts it. While objects are on their
//! way the writer commits those before them; bodies count as under way until
//! theirs are stored, so memory stays within the crawl's own limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use archive::{RawResponse, object_key};
use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender};
use http::{HeaderMap, Version};
use store::{NewVersion, Store, VisitResult};
use types::{CrawlId, SourceId, TenantId, Timestamp};

use super::permits::CpuPermits;
use super::write::Visited;
use crate::random;
use crate::raw::{RawStore, ToStore};

/// Visits whose objects are stored together, so that the first of them does not
/// wait long for the last.
const VISITS_AT_ONCE: usize = 64;

/// The head of an answer, kept for its raw copy.
#[derive(Debug)]
pub struct Head {
    pub version: Version,
    pub status: u16,
    pub headers: HeaderMap,
    pub received_at: Timestamp,
}

/// An answer on its way to become a raw copy.
#[derive(Debug)]
pub struct RawAnswer {
    pub head: Box<Head>,
    pub body: Bytes,
}

/// What becomes of a visit's raw copy.
#[derive(Debug, Default)]
pub enum Raw {
    /// None is wanted, or none could be stored.
    #[default]
    None,
    Answer(RawAnswer),
    Stored {
        key: String,
    },
}

pub struct Archiver {
    pub store: Store,
    pub raw: Arc<RawStore>,
    /// Compressing is work on pages, too.
    pub permits: Arc<CpuPermits>,
    pub tenant: TenantId,
    pub source: SourceId,
    pub crawl: CrawlId,
}

impl Archiver {
    /// Runs until the channel closes.
    pub fn run(&self, queue: &Receiver<Visited>, visits: &Sender<Visited>, body_bytes: &AtomicU64) {
        while let Ok(first) = queue.recv() {
            let mut group = vec![first];
            group.extend(queue.try_iter().take(VISITS_AT_ONCE - 1));
            let bytes: u64 = group.iter().map(|visited| visited.raw.bytes()).sum();
            if bytes > 0
                && let Err(error) = self.archive(&mut group)
            {
                // The store has trouble, of which the writer will tell.
                tracing::warn!(error = format!("{error:#}"), "could not keep raw copies");
            }
            body_bytes.fetch_sub(bytes, Ordering::Relaxed);
            for mut visited in group {
                if let Raw::Answer(_) = visited.raw {
                    visited.raw = Raw::None;
                }
                if visits.send(visited).is_err() {
                    return;
                }
            }
        }
    }

    fn archive(&self, group: &mut [Visited]) -> Result<()> {
        let mut wanted = Vec::new();
        let mut pages = Vec::new();
        for (index, visited) in group.iter().enumerate() {
            if let (Raw::Answer(_), VisitResult::Page(page)) = (&visited.raw, &visited.visit.result)
            {
                wanted.push(index);
                pages.push(NewVersion {
                    url: visited.visit.url.as_str().to_owned(),
                    hash: page.page.content_hash,
                });
            }
        }
        let is_new = self.store.would_be_new(self.crawl, self.tenant, &pages)?;
        let mut wanted: Vec<usize> = wanted
            .into_iter()
            .zip(is_new)
            .filter_map(|(index, is_new)| is_new.then_some(index))
            .collect();
        // An archive that is left alone needs no announcements either.
        if self.raw.breaker().state == guard::BreakerState::Open {
            wanted.clear();
        }
        let mut objects = Vec::with_capacity(wanted.len());
        for index in &wanted {
            let visited = &mut group[*index];
            if let Raw::Answer(answer) = std::mem::take(&mut visited.raw) {
                objects.push(self.object(visited.visit.url.as_str().to_owned(), answer)?);
            }
        }
        if objects.is_empty() {
            return Ok(());
        }
        let keys: Vec<String> = objects.iter().map(|object| object.key.clone()).collect();
        self.store.announce_raw(self.crawl, keys.clone())?;
        let stored = self.raw.store(objects);
        for ((index, key), stored) in wanted.into_iter().zip(keys).zip(stored) {
            if stored {
                group[index].raw = Raw::Stored { key };
            }
        }
        Ok(())
    }

    fn object(&self, url: String, answer: RawAnswer) -> Result<ToStore> {
        let unique = random::bytes()?;
        let received_at = answer.head.received_at;
        let permits = self.permits.clone();
        let bytes = move || {
            let _permit = permits.take();
            let RawAnswer { head, body } = answer;
            let response = RawResponse {
                url: &url,
                fetched_at: head.received_at,
                http_version: head.version,
                status: head.status,
                headers: &head.headers,
                body: &body,
            };
            archive::record(&response, unique)
        };
        Ok(ToStore {
            key: object_key(self.tenant, self.source, received_at, unique),
            bytes: Box::new(bytes),
        })
    }
}

impl Raw {
    /// Of the body that is held for it.
    pub fn bytes(&self) -> u64 {
        match self {
            Raw::Answer(answer) => answer.body.len() as u64,
            Raw::None | Raw::Stored { .. } => 0,
        }
    }
}
