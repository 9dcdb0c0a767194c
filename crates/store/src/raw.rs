//! Which object has what a server answered, for versions of pages; the objects
//! themselves lie elsewhere.
//!
//! An object is announced before it is stored, and taken in the transaction
//! that stores the version it is of. So there is never a version whose object
//! is missing, and an object that nobody took, because its process was killed
//! or the page was not new after all, is known and removed later. Whatever
//! deletes versions queues their objects in its transaction.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use types::{ContentHash, CrawlId, PageId, TenantId, Timestamp};

use crate::batch::PAGE_BY_URL;
use crate::error::Failure;
use crate::model::{CrawlBatch, NewVersion, RawWaiting};
use crate::rows::{as_i64, count};
use crate::sql::{Connection, ValueRef, collect, collect_each, execute, first, params, send};
use crate::{BatchReport, Store, StoreError};

/// How long an announced object may take to be stored and committed.
const TAKEN_WITHIN: Duration = Duration::from_secs(3600);

/// Objects by the rows of the visits whose answers they have.
pub type RawCopies = HashMap<i64, String>;

impl Store {
    /// Which of these pages, by URL and content, would be new versions as
    /// things are now: of the others nothing new is to be kept.
    pub fn would_be_new(
        &self,
        crawl: CrawlId,
        tenant: TenantId,
        pages: &[NewVersion],
    ) -> Result<Vec<bool>, StoreError> {
        let asked: Vec<_> = pages
            .iter()
            .map(|page| vec![ValueRef::Integer(tenant.0), ValueRef::Text(&page.url)])
            .collect();
        let found = self.holder(crawl)?.read("look pages up", |connection| {
            collect_each(connection, PAGE_BY_URL, &asked, |row| {
                row.get::<[u8; 32]>(3)
            })
        })?;
        let same = |found: &Vec<[u8; 32]>, hash: ContentHash| found.first() == Some(&hash.0);
        let pages = pages.iter().zip(&found);
        Ok(pages.map(|(page, found)| !same(found, page.hash)).collect())
    }

    /// Says that objects of these keys are about to be stored. One that no
    /// [`Store::commit_archived`] takes within an hour is removed.
    pub fn announce_raw(&self, crawl: CrawlId, keys: Vec<String>) -> Result<(), StoreError> {
        let until = self.now().plus(TAKEN_WITHIN);
        self.holder(crawl)?
            .write("announce raw copies", move |connection| {
                for key in &keys {
                    send(
                        connection,
                        "INSERT INTO raw_removals (key, due_at, doomed) VALUES (?1, ?2, 0)",
                        params![key, until.0],
                    )?;
                }
                Ok(())
            })
    }

    /// Like [`Store::commit_batch`], of a crawl that keeps raw copies: versions
    /// take the objects of their rows. A version without one is counted among
    /// the crawl's reasons, as `raw`, `no_copy`.
    pub fn commit_archived(
        &self,
        batch: CrawlBatch,
        copies: RawCopies,
    ) -> Result<BatchReport, StoreError> {
        self.commit(batch, Some(copies))
    }

    /// The object of a version of the tenant's page (T1); `None` also when
    /// there is no such page or version.
    pub fn raw_key(
        &self,
        tenant: TenantId,
        page: PageId,
        version: u32,
    ) -> Result<Option<String>, StoreError> {
        let key = self.find(page, |shard| {
            shard.read("look up the raw copy", |connection| {
                first(
                    connection,
                    "SELECT v.raw_key FROM pages p JOIN page_versions v ON v.page_id = p.id
                     WHERE p.id = ?1 AND p.tenant_id = ?2 AND v.version = ?3",
                    params![page.0, tenant.0, i64::from(version)],
                    |row| row.get::<Option<String>>(0),
                )
            })
        })?;
        Ok(key.flatten())
    }

    /// Objects to be removed now, in each database `limit` at most. From now on
    /// no version takes them.
    pub fn due_raw_removals(&self, limit: usize) -> Result<Vec<String>, StoreError> {
        let now = self.now();
        let keys = self.write_gathered("take raw copies to remove", move |connection| {
            let parameters = params![now.0, as_i64(limit)];
            collect(connection, DUE, parameters, |row| row.get::<String>(0))
        })?;
        Ok(keys.concat())
    }

    /// These objects are gone.
    pub fn raw_removed(&self, keys: &[String]) -> Result<(), StoreError> {
        let keys = keys.to_vec();
        self.write_gathered("note removed raw copies", move |connection| {
            for key in &keys {
                let sql = "DELETE FROM raw_removals WHERE key = ?1 AND doomed = 1";
                send(connection, sql, [key])?;
            }
            Ok(())
        })?;
        Ok(())
    }

    /// These objects could not be removed; `after` this long they are due again.
    pub fn put_off_raw_removals(&self, keys: &[String], after: Duration) -> Result<(), StoreError> {
        let (keys, due) = (keys.to_vec(), self.now().plus(after));
        self.write_gathered("put removals of raw copies off", move |connection| {
            for key in &keys {
                let sql = "UPDATE raw_removals SET due_at = ?2 WHERE key = ?1 AND doomed = 1";
                send(connection, sql, params![key, due.0])?;
            }
            Ok(())
        })?;
        Ok(())
    }

    /// What waits to be removed.
    pub fn raw_waiting(&self) -> Result<RawWaiting, StoreError> {
        let parts = self.gather(|shard| {
            shard.read("count removals of raw copies", |connection| {
                let sql = "SELECT count(*) FROM raw_removals WHERE doomed = 1";
                first(connection, sql, [], |row| count(row, 0))
            })
        })?;
        Ok(RawWaiting {
            removals: parts.into_iter().flatten().sum(),
        })
    }
}

pub(crate) const DUE: &str = "
    UPDATE raw_removals SET doomed = 1
    WHERE key IN (SELECT key FROM raw_removals WHERE due_at <= ?1 ORDER BY due_at LIMIT ?2)
    RETURNING key";

/// Of a batch: which rows' objects may be taken.
#[derive(Debug)]
pub(crate) struct Takings {
    /// By row; those whose announcement still stands.
    keys: HashMap<i64, String>,
    /// Of the visit that is being stored.
    current: Option<String>,
    is_missed: bool,
    pub(crate) kept: u64,
    pub(crate) missed: u64,
}

impl Takings {
    pub(crate) fn look_up(
        connection: &Connection,
        copies: &RawCopies,
        now: Timestamp,
    ) -> Result<Takings, Failure> {
        let copies: Vec<(&i64, &String)> = copies.iter().collect();
        let asked: Vec<_> = copies
            .iter()
            .map(|(_, key)| vec![ValueRef::Text(key)])
            .collect();
        let sql = "SELECT doomed FROM raw_removals WHERE key = ?1";
        let found = collect_each(connection, sql, &asked, |row| row.get::<i64>(0))?;
        let mut keys = HashMap::new();
        for ((row, key), found) in copies.into_iter().zip(found) {
            match found.first() {
                Some(0) => {
                    keys.insert(*row, key.clone());
                }
                Some(_) => {}
                // It was given up and forgotten before it was stored.
                None => doom(connection, key, now)?,
            }
        }
        Ok(Takings {
            keys,
            current: None,
            is_missed: false,
            kept: 0,
            missed: 0,
        })
    }

    /// What is stored next is of this row.
    pub(crate) fn turn_to(&mut self, row: i64) {
        self.current = self.keys.remove(&row);
    }

    /// The object for a new version, which is its own from now on.
    pub(crate) fn take(&mut self, connection: &Connection) -> Result<Option<String>, Failure> {
        let Some(key) = self.current.take() else {
            self.missed += 1;
            self.is_missed = true;
            return Ok(None);
        };
        let sql = "DELETE FROM raw_removals WHERE key = ?1";
        send(connection, sql, [&key])?;
        self.kept += 1;
        Ok(Some(key))
    }

    /// Ends a turn: what was not taken is not needed; whether a version went
    /// without an object.
    pub(crate) fn end_turn(
        &mut self,
        connection: &Connection,
        now: Timestamp,
    ) -> Result<bool, Failure> {
        if let Some(key) = self.current.take() {
            doom(connection, &key, now)?;
        }
        Ok(std::mem::take(&mut self.is_missed))
    }
}

/// The versions of a page are about to be deleted, and their objects with them.
pub(crate) fn doom_versions(
    connection: &Connection,
    page: i64,
    now: Timestamp,
) -> Result<(), Failure> {
    let sql = "SELECT raw_key FROM page_versions WHERE page_id = ?1 AND raw_key IS NOT NULL";
    let keys: HashSet<String> = collect(connection, sql, [page], |row| row.get(0))?
        .into_iter()
        .collect();
    for key in keys {
        doom(connection, &key, now)?;
    }
    Ok(())
}

fn doom(connection: &Connection, key: &str, now: Timestamp) -> Result<(), Failure> {
    execute(
        connection,
        "INSERT INTO raw_removals (key, due_at, doomed) VALUES (?1, ?2, 1)
         ON CONFLICT (key) DO UPDATE SET due_at = excluded.due_at, doomed = 1",
        params![key, now.0],
    )?;
    Ok(())
}
