//! The durable queue of URLs, one per crawl.

use std::collections::{HashMap, HashSet};

use types::{CanonicalUrl, CrawlId, HostKey, PageId, SkipReason, Timestamp};

use crate::codec;
use crate::crawls::{OpenCrawl, open_crawl};
use crate::error::Failure;
use crate::reasons::Reasons;
use crate::rows::{as_i64, kind_code, kind_from_code, small};
use crate::sql::{
    Connection, Row, ValueRef, collect, execute, first, insert, many_rows, params, send,
};
use crate::{FrontierKind, FrontierRow, NewUrl, Store, StoreError};

/// Rows that one write of a long clean-up touches, so that the crawl's own
/// batches never wait long behind it.
const ROWS_PER_STEP: usize = 5_000;

impl Store {
    /// Queues URLs that the crawl has not seen; how many were new, by host.
    pub fn add_urls(
        &self,
        crawl: CrawlId,
        urls: Vec<NewUrl>,
    ) -> Result<Vec<(HostKey, u64)>, StoreError> {
        let now = self.now();
        let urls: Vec<PreparedUrl> = urls.into_iter().map(PreparedUrl::new).collect();
        self.holder(crawl)?.write("queue URLs", move |connection| {
            let mut queue = Queue::new(open_crawl(connection, crawl)?, now);
            for url in &urls {
                queue.add(url);
            }
            queue.save(connection)
        })
    }

    /// Hosts with queued URLs.
    pub fn queued_hosts(&self, crawl: CrawlId) -> Result<Vec<HostKey>, StoreError> {
        self.holder(crawl)?.read("list queued hosts", |connection| {
            collect(connection, QUEUED_HOSTS, [crawl.0], |row| {
                Ok(HostKey::from_stored(row.get(0)?))
            })
        })
    }

    /// Queued URLs of one host behind row `after_row`, in the order they were
    /// found. Takes the same time however long the queue is.
    pub fn queued_urls(
        &self,
        crawl: CrawlId,
        host: &HostKey,
        after_row: i64,
        limit: usize,
    ) -> Result<Vec<FrontierRow>, StoreError> {
        self.holder(crawl)?.read("read queued URLs", |connection| {
            collect(
                connection,
                QUEUED_URLS,
                params![crawl.0, host.as_str(), after_row, as_i64(limit)],
                frontier_row,
            )
        })
    }

    /// Where the crawl's seeds redirected to. Reads all of the crawl's rows, which
    /// only a resumed crawl pays, once.
    pub fn seed_redirects(&self, crawl: CrawlId) -> Result<Vec<String>, StoreError> {
        self.holder(crawl)?
            .read("read redirected seeds", |connection| {
                collect(connection, SEED_REDIRECTS, [crawl.0], |row| row.get(0))
            })
    }

    /// Ends all queued URLs of the crawl as skipped; how many pages these were.
    pub fn skip_queued(
        &self,
        crawl: CrawlId,
        reason: SkipReason,
        detail: &str,
    ) -> Result<u64, StoreError> {
        let mut pages = 0;
        loop {
            let detail = cut(detail).to_owned();
            let step = self
                .holder(crawl)?
                .write("skip queued URLs", move |connection| {
                    skip_step(connection, crawl, reason, &detail)
                })?;
            pages += step.pages;
            if !step.more {
                return Ok(pages);
            }
        }
    }

    /// Forgets the URLs of finished crawls, except each source's newest
    /// `crawls_kept` of them; how many rows went. Counts, reasons and pages stay.
    pub fn prune_frontier(&self, crawls_kept: usize) -> Result<u64, StoreError> {
        self.in_steps(ROWS_PER_STEP, "prune the frontier", move |connection| {
            execute(
                connection,
                PRUNE_STEP,
                [as_i64(crawls_kept), as_i64(ROWS_PER_STEP)],
            )
        })
    }
}

/// Jumps from host to host in the partial index instead of reading all of it.
pub(crate) const QUEUED_HOSTS: &str = "
    WITH RECURSIVE queued(host_id) AS (
      SELECT min(host_id) FROM frontier WHERE crawl_id = ?1 AND state = 0
      UNION ALL
      SELECT (SELECT min(f.host_id) FROM frontier f
              WHERE f.crawl_id = ?1 AND f.state = 0 AND f.host_id > queued.host_id)
      FROM queued WHERE queued.host_id IS NOT NULL
    )
    SELECT h.key FROM queued JOIN hosts h ON h.id = queued.host_id";

pub(crate) const QUEUED_URLS: &str = "
    SELECT f.id, f.url, f.kind, f.depth, f.attempt, f.not_before,
           p.etag, p.last_modified, p.id
    FROM frontier f
    LEFT JOIN pages p ON p.tenant_id = f.tenant_id AND p.url = f.url AND p.status = 1
    WHERE f.crawl_id = ?1 AND f.host_id = (SELECT id FROM hosts WHERE key = ?2)
      AND f.state = 0 AND f.id > ?3
    ORDER BY f.id LIMIT ?4";

const SEED_REDIRECTS: &str = "
    SELECT redirect_to FROM frontier
    WHERE crawl_id = ?1 AND depth = 0 AND kind = 0 AND reason = 'redirect'
      AND redirect_to IS NOT NULL";

const PRUNE_STEP: &str = "
    DELETE FROM frontier WHERE id IN (
      SELECT f.id FROM crawls c JOIN frontier f ON f.crawl_id = c.id
      WHERE c.status IN ('completed', 'failed', 'cancelled')
        AND (SELECT count(*) FROM crawls newer
             WHERE newer.source_id = c.source_id AND newer.id > c.id
               AND newer.status IN ('completed', 'failed', 'cancelled')) >= ?1
      LIMIT ?2)";

fn frontier_row(row: &Row<'_>) -> Result<FrontierRow, Failure> {
    let url: String = row.get(1)?;
    let url = CanonicalUrl::parse(&url)
        .map_err(|e| Failure::corrupt(format!("a queued URL cannot be read, {e}: {url}")))?;
    Ok(FrontierRow {
        row: row.get(0)?,
        url,
        kind: kind_from_code(row.get(2)?)?,
        depth: small(row, 3)?,
        attempt: small(row, 4)?,
        not_before: Timestamp(row.get(5)?),
        etag: row.get(6)?,
        last_modified: row.get(7)?,
        page: row.get::<Option<i64>>(8)?.map(PageId),
    })
}

/// A URL ready to be queued: hashed outside the writer.
#[derive(Debug)]
pub(crate) struct PreparedUrl {
    hash: i64,
    host: HostKey,
    url: CanonicalUrl,
    kind: FrontierKind,
    depth: u32,
}

impl PreparedUrl {
    pub(crate) fn new(new: NewUrl) -> PreparedUrl {
        PreparedUrl {
            hash: codec::hash_i64(new.url.as_str().as_bytes()),
            host: new.url.host_key(),
            url: new.url,
            kind: new.kind,
            depth: new.depth,
        }
    }
}

/// Adds URLs to one crawl within one transaction, and counts.
#[derive(Debug)]
pub(crate) struct Queue<'u> {
    crawl: OpenCrawl,
    now: Timestamp,
    /// Most links of a batch repeat each other; a set is quicker than the index.
    seen: HashSet<i64>,
    urls: Vec<&'u PreparedUrl>,
    host_ids: HashMap<HostKey, i64>,
}

const QUEUE: &str = "
    INSERT INTO frontier
      (tenant_id, crawl_id, host_id, state, kind, depth, attempt, not_before, url_hash, url)";
const COLUMNS: usize = 10;
const IF_NEW: &str = " ON CONFLICT DO NOTHING RETURNING host_id, kind";

impl<'u> Queue<'u> {
    pub(crate) fn new(crawl: OpenCrawl, now: Timestamp) -> Queue<'u> {
        Queue {
            crawl,
            now,
            seen: HashSet::new(),
            urls: Vec::new(),
            host_ids: HashMap::new(),
        }
    }

    pub(crate) fn add(&mut self, new: &'u PreparedUrl) {
        if self.seen.insert(new.hash) {
            self.urls.push(new);
        }
    }

    /// Writes them, in the order given, with the crawl's counts; what the crawl
    /// had not seen, by host. Call it last.
    pub(crate) fn save(mut self, connection: &Connection) -> Result<Vec<(HostKey, u64)>, Failure> {
        const QUEUED: i64 = 0;
        const NO_ATTEMPT: i64 = 0;
        let urls = std::mem::take(&mut self.urls);
        let mut values = Vec::with_capacity(urls.len() * COLUMNS);
        for new in urls {
            let host = self.host_id(connection, &new.host)?;
            values.extend([
                ValueRef::Integer(self.crawl.tenant.0),
                ValueRef::Integer(self.crawl.id.0),
                ValueRef::Integer(host),
                ValueRef::Integer(QUEUED),
                ValueRef::Integer(kind_code(new.kind)),
                ValueRef::Integer(new.depth.into()),
                ValueRef::Integer(NO_ATTEMPT),
                ValueRef::Integer(self.now.0),
                ValueRef::Integer(new.hash),
                ValueRef::Text(new.url.as_str()),
            ]);
        }
        let (mut pages, mut queued) = (0_i64, 0_i64);
        let mut by_host: HashMap<i64, u64> = HashMap::new();
        for (sql, values) in many_rows(QUEUE, COLUMNS, IF_NEW, &values) {
            connection.for_each(&sql, values, |row| {
                queued += 1;
                pages += i64::from(kind_from_code(row.get(1)?)? == FrontierKind::Page);
                *by_host.entry(row.get(0)?).or_default() += 1;
                Ok(())
            })?;
        }
        if queued > 0 {
            send(
                connection,
                "UPDATE crawls SET found = found + ?2, queued = queued + ?3 WHERE id = ?1",
                params![self.crawl.id.0, pages, queued],
            )?;
        }
        let hosts = self.host_ids.into_iter();
        let mut queued: Vec<(HostKey, u64)> = hosts
            .filter_map(|(host, id)| Some((host, *by_host.get(&id)?)))
            .collect();
        queued.sort();
        Ok(queued)
    }

    fn host_id(&mut self, connection: &Connection, host: &HostKey) -> Result<i64, Failure> {
        if let Some(id) = self.host_ids.get(host) {
            return Ok(*id);
        }
        let known = first(
            connection,
            "SELECT id FROM hosts WHERE key = ?1",
            [host.as_str()],
            |row| row.get(0),
        )?;
        let id = match known {
            Some(id) => id,
            None => {
                let sql = "INSERT INTO hosts (key) VALUES (?1)";
                insert(connection, sql, [host.as_str()])?
            }
        };
        self.host_ids.insert(host.clone(), id);
        Ok(id)
    }
}

/// Longest prefix of at most 500 bytes: details are for people.
pub(crate) fn cut(text: &str) -> &str {
    const DETAIL_BYTES_MAX: usize = 500;
    &text[..text.floor_char_boundary(DETAIL_BYTES_MAX)]
}

pub(crate) struct SkipStep {
    /// Further URLs may be queued.
    pub(crate) more: bool,
    pages: u64,
}

/// Ends some of the queued URLs of the crawl as skipped.
pub(crate) fn skip_step(
    connection: &Connection,
    crawl: CrawlId,
    reason: SkipReason,
    detail: &str,
) -> Result<SkipStep, Failure> {
    open_crawl(connection, crawl)?;
    let queued = collect(
        connection,
        "SELECT id, kind, url FROM frontier WHERE crawl_id = ?1 AND state = 0 LIMIT ?2",
        [crawl.0, as_i64(ROWS_PER_STEP)],
        |row| {
            let id: i64 = row.get(0)?;
            let url: String = row.get(2)?;
            Ok((id, kind_from_code(row.get(1)?)?, url))
        },
    )?;
    let mut reasons = Reasons::default();
    let mut pages: i64 = 0;
    for (id, kind, url) in &queued {
        send(
            connection,
            "UPDATE frontier SET state = 1, class = 'skipped', reason = ?2, detail = ?3
             WHERE id = ?1",
            params![id, reason.code(), detail],
        )?;
        if *kind == FrontierKind::Page {
            pages += 1;
            reasons.add("skipped", reason.code(), url);
        }
    }
    send(
        connection,
        "UPDATE crawls SET skipped = skipped + ?2, queued = queued - ?3 WHERE id = ?1",
        params![crawl.0, pages, as_i64(queued.len())],
    )?;
    reasons.save(connection, crawl)?;
    Ok(SkipStep {
        more: queued.len() == ROWS_PER_STEP,
        pages: pages.unsigned_abs(),
    })
}
