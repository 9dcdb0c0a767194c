//! Runs a prepared batch inside the writer's transaction.

use std::collections::{HashMap, HashSet};

use types::{Change, CrawlId, FailReason, SkipReason, Timestamp, UrlOutcome};

use super::near::may_be_near;
use super::page::{CONTENT_BY_HASH, PAGE_BY_URL};
use super::prepare::{PreparedPage, PreparedResult, PreparedVisit};
use crate::counters::Counters;
use crate::crawls::{OpenCrawl, open_crawl};
use crate::error::Failure;
use crate::frontier::Queue;
use crate::model::{BatchReport, CrawlControl, CrawlCounts, FrontierKind, NewTask};
use crate::outbox::Outbox;
use crate::quotas::page_room;
use crate::raw::{RawCopies, Takings};
use crate::reasons::Reasons;
use crate::rows::{crawl_control, crawl_counts, crawl_status, kind_code, kind_from_code};
use crate::sql::{Connection, ValueRef, collect_each, first, params, send};
use crate::tasks;

pub(crate) fn apply(
    connection: &Connection,
    crawl: CrawlId,
    visits: &[PreparedVisit],
    copies: Option<&RawCopies>,
    follow_ups: &[NewTask],
    now: Timestamp,
) -> Result<BatchReport, Failure> {
    let mut session = Session::new(connection, open_crawl(connection, crawl)?, now)?;
    session.raw = copies
        .map(|copies| Takings::look_up(connection, copies, now))
        .transpose()?;
    let mut log = CrawlLog::default();
    let mut queue = Queue::new(session.crawl, now);
    let mut rows = queued_rows(connection, crawl, visits)?;
    session.look_ahead(visits.iter().filter_map(|visit| {
        let row = rows.get(&visit.row)?;
        match &visit.result {
            PreparedResult::Page(page) => Some((row.url.as_str(), page.as_ref())),
            _ => None,
        }
    }))?;
    for visit in visits {
        // One that is done already is not there, nor is one that this batch has ended.
        let Some(row) = rows.remove(&visit.row) else {
            continue;
        };
        if let Some(row) = log.visit(&mut session, &mut queue, visit, row)? {
            rows.insert(visit.row, row);
        }
    }
    let queued = queue.save(connection)?;
    let (counts, control) = log.save(connection, crawl)?;
    let chunks_pending_added = session.chunks_pending_added;
    let (raw_kept, raw_missed) = match &session.raw {
        Some(raw) => (raw.kept, raw.missed),
        None => (0, 0),
    };
    let change_seq = session.save()?;
    let enqueued = if log.visits_applied > 0 {
        tasks::enqueue(connection, follow_ups, now)?
    } else {
        Vec::new()
    };
    Ok(BatchReport {
        outcomes: log.outcomes,
        queued,
        change_seq,
        counts,
        control,
        chunks_pending_added,
        raw_kept,
        raw_missed,
        enqueued: enqueued.into_iter().map(|task| task.id).collect(),
    })
}

/// What the parts of one batch share while it is applied.
pub(crate) struct Session<'c> {
    pub(crate) connection: &'c Connection,
    pub(crate) crawl: OpenCrawl,
    pub(crate) now: Timestamp,
    pub(crate) counters: Counters,
    /// Live pages gained or lost, by source.
    pub(crate) source_pages: HashMap<i64, i64>,
    pub(crate) chunks_pending_added: u64,
    pub(crate) outbox: Outbox,
    /// Where raw copies are kept.
    pub(super) raw: Option<Takings>,
    pub(super) ahead: Ahead,
    /// What [`page_room`] said at the first new page.
    page_room: Option<Option<i64>>,
}

/// What was looked up for a whole batch, less what is true no more.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// Without a page.
    pub(super) new_urls: HashSet<String>,
    /// Without a row of [`super::page::CONTENT_BY_HASH`].
    pub(super) new_contents: HashSet<[u8; 32]>,
    /// By SimHash: representatives, as page and SimHash, that share a band with it.
    pub(super) near: HashMap<u64, Vec<(i64, u64)>>,
    /// Representatives that came since.
    pub(super) remembered: Vec<(i64, u64)>,
}

impl<'c> Session<'c> {
    pub(crate) fn new(
        connection: &'c Connection,
        crawl: OpenCrawl,
        now: Timestamp,
    ) -> Result<Session<'c>, Failure> {
        Ok(Session {
            connection,
            crawl,
            now,
            counters: Counters::load(connection)?,
            source_pages: HashMap::new(),
            chunks_pending_added: 0,
            outbox: Outbox::open(connection, crawl.tenant)?,
            raw: None,
            ahead: Ahead::default(),
            page_room: None,
        })
    }

    /// Looks up what storing these pages will want to know, all at once. What
    /// is found is kept true while they are stored.
    pub(super) fn look_ahead<'p>(
        &mut self,
        pages: impl Iterator<Item = (&'p str, &'p PreparedPage)>,
    ) -> Result<(), Failure> {
        let pages: Vec<(&str, &PreparedPage)> = pages.collect();
        let tenant = ValueRef::Integer(self.crawl.tenant.0);
        let urls: Vec<_> = pages
            .iter()
            .map(|(url, _)| vec![tenant, ValueRef::Text(url)])
            .collect();
        let stored = collect_each(self.connection, PAGE_BY_URL, &urls, |_| Ok(()))?;
        let pages = pages.into_iter().zip(stored);
        let new = pages.filter(|(_, stored)| stored.is_empty());
        let new: Vec<(&str, &PreparedPage)> = new.map(|(page, _)| page).collect();
        let hashes: Vec<_> = new
            .iter()
            .map(|(_, page)| vec![tenant, ValueRef::Blob(&page.content_hash)])
            .collect();
        let stored = collect_each(self.connection, CONTENT_BY_HASH, &hashes, |_| Ok(()))?;
        for ((url, page), stored) in new.iter().zip(stored) {
            self.ahead.new_urls.insert((*url).to_owned());
            if stored.is_empty() {
                self.ahead.new_contents.insert(page.content_hash);
            }
        }
        let near = new.iter().filter(|(_, page)| may_be_near(page));
        let simhashes: Vec<u64> = near.map(|(_, page)| page.simhash).collect();
        self.ahead.near = self.look_up_near(&simhashes)?;
        Ok(())
    }

    /// False when the tenant has as many live pages as it may.
    pub(crate) fn has_room(&mut self) -> Result<bool, Failure> {
        let room = match self.page_room {
            Some(room) => room,
            None => *self
                .page_room
                .insert(page_room(self.connection, self.crawl.tenant)?),
        };
        Ok(room.is_none_or(|room| self.counters.pages_live < room))
    }

    /// Writes what was counted; the last change number given out. Call it last.
    pub(crate) fn save(self) -> Result<i64, Failure> {
        for (source, difference) in self.source_pages {
            send(
                self.connection,
                "UPDATE sources SET pages_live = pages_live + ?2 WHERE id = ?1",
                params![source, difference],
            )?;
        }
        let Counters {
            pages, pages_live, ..
        } = self.counters;
        let chunks: i64 = self.counters.chunks.iter().sum();
        send(
            self.connection,
            "UPDATE tenants SET pages = pages + ?2, pages_live = pages_live + ?3,
               chunks = chunks + ?4, data_version = data_version + 1
             WHERE id = ?1",
            params![self.crawl.tenant.0, pages, pages_live, chunks],
        )?;
        self.outbox.save(self.connection, self.now)?;
        self.counters.save(self.connection)
    }
}

/// The crawl's side of a batch: rows ended, counted and explained.
#[derive(Default)]
struct CrawlLog {
    outcomes: Vec<(i64, UrlOutcome)>,
    added: CrawlCounts,
    rows_ended: i64,
    /// Visits of rows that were still queued.
    visits_applied: u64,
    bytes: i64,
    reasons: Reasons,
}

/// A frontier row as it was before its visit.
struct QueuedRow {
    kind: FrontierKind,
    url: String,
}

impl CrawlLog {
    /// The row when it stays queued, for another attempt.
    fn visit<'v>(
        &mut self,
        session: &mut Session<'_>,
        queue: &mut Queue<'v>,
        visit: &'v PreparedVisit,
        row: QueuedRow,
    ) -> Result<Option<QueuedRow>, Failure> {
        self.visits_applied += 1;
        self.bytes = self.bytes.saturating_add(visit.wire_bytes);
        for new in &visit.discovered {
            queue.add(new);
        }
        if let PreparedResult::Retry {
            attempt,
            not_before,
            detail,
        } = &visit.result
        {
            send(
                session.connection,
                "UPDATE frontier SET attempt = ?2, not_before = ?3, status = ?4, detail = ?5
                 WHERE id = ?1",
                params![visit.row, attempt, not_before.0, visit.status, detail],
            )?;
            return Ok(Some(row));
        }
        let is_page_visit = matches!(visit.result, PreparedResult::Page(_));
        if row.kind == FrontierKind::Page || is_page_visit {
            // A sitemap or feed URL that held a page was a page all along.
            self.added.found += u64::from(row.kind != FrontierKind::Page);
            if let Some(raw) = &mut session.raw {
                raw.turn_to(visit.row);
            }
            let (outcome, detail) = page_outcome(session, visit, &row.url)?;
            if let Some(raw) = &mut session.raw
                && raw.end_turn(session.connection, session.now)?
            {
                self.reasons.add("raw", "no_copy", &row.url);
            }
            self.end_page(session.connection, visit, &row.url, outcome, detail)?;
        } else {
            self.end_resource(session.connection, visit, &row)?;
        }
        Ok(None)
    }

    fn end_page(
        &mut self,
        connection: &Connection,
        visit: &PreparedVisit,
        url: &str,
        outcome: UrlOutcome,
        detail: &str,
    ) -> Result<(), Failure> {
        let (class, reason) = (outcome.class(), outcome.reason());
        self.end_row(connection, visit, FrontierKind::Page, class, reason, detail)?;
        if !matches!(outcome, UrlOutcome::Stored(_)) {
            self.reasons.add(class, reason, url);
        }
        self.added.fetched += u64::from(visit.fetched);
        *match outcome {
            UrlOutcome::Stored(Change::Added) => &mut self.added.added,
            UrlOutcome::Stored(Change::Updated) => &mut self.added.updated,
            UrlOutcome::Stored(Change::Unchanged) => &mut self.added.unchanged,
            UrlOutcome::Failed(_) => &mut self.added.failed,
            UrlOutcome::Skipped(_) => &mut self.added.skipped,
        } += 1;
        self.outcomes.push((visit.row, outcome));
        Ok(())
    }

    fn end_resource(
        &mut self,
        connection: &Connection,
        visit: &PreparedVisit,
        row: &QueuedRow,
    ) -> Result<(), Failure> {
        let (reason, detail) = match &visit.result {
            PreparedResult::Skipped(reason, detail) => (reason.code(), detail.as_str()),
            PreparedResult::Failed(reason, detail) => (reason.code(), detail.as_str()),
            _ => ("", ""),
        };
        if !reason.is_empty() {
            self.reasons.add("resource", reason, &row.url);
        }
        self.end_row(connection, visit, row.kind, "resource", reason, detail)
    }

    fn end_row(
        &mut self,
        connection: &Connection,
        visit: &PreparedVisit,
        kind: FrontierKind,
        class: &str,
        reason: &str,
        detail: &str,
    ) -> Result<(), Failure> {
        send(
            connection,
            "UPDATE frontier SET state = 1, kind = ?2, status = ?3, class = ?4, reason = ?5,
               detail = ?6, redirect_to = ?7
             WHERE id = ?1",
            params![
                visit.row,
                kind_code(kind),
                visit.status,
                class,
                none_if_empty(reason),
                none_if_empty(detail),
                visit.redirect_to
            ],
        )?;
        self.rows_ended += 1;
        Ok(())
    }

    /// Adds to the crawl's counts and returns them, with what it is asked to do.
    fn save(
        &mut self,
        connection: &Connection,
        crawl: CrawlId,
    ) -> Result<(CrawlCounts, CrawlControl), Failure> {
        std::mem::take(&mut self.reasons).save(connection, crawl)?;
        let added = &self.added;
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let counts = first(
            connection,
            "UPDATE crawls SET found = found + ?2, fetched = fetched + ?3, added = added + ?4,
               updated = updated + ?5, unchanged = unchanged + ?6, failed = failed + ?7,
               skipped = skipped + ?8, queued = queued - ?9, bytes = bytes + ?10
             WHERE id = ?1
             RETURNING found, fetched, added, updated, unchanged, failed, skipped, status,
               cancel_requested",
            params![
                crawl.0,
                number(added.found),
                number(added.fetched),
                number(added.added),
                number(added.updated),
                number(added.unchanged),
                number(added.failed),
                number(added.skipped),
                self.rows_ended,
                self.bytes
            ],
            |row| {
                let control = crawl_control(crawl_status(row, 7)?, row.get(8)?);
                Ok((crawl_counts(row, 0)?, control))
            },
        )?;
        counts.ok_or_else(|| Failure::bug(format!("crawl {crawl} vanished")))
    }
}

/// Those rows of the visits that are queued still.
fn queued_rows(
    connection: &Connection,
    crawl: CrawlId,
    visits: &[PreparedVisit],
) -> Result<HashMap<i64, QueuedRow>, Failure> {
    let parameters: Vec<_> = visits
        .iter()
        .map(|visit| [visit.row, crawl.0].map(ValueRef::Integer).to_vec())
        .collect();
    let found = collect_each(
        connection,
        "SELECT state, kind, url FROM frontier WHERE id = ?1 AND crawl_id = ?2",
        &parameters,
        |columns| {
            let state: i64 = columns.get(0)?;
            let queued = QueuedRow {
                kind: kind_from_code(columns.get(1)?)?,
                url: columns.get(2)?,
            };
            Ok((state == 0).then_some(queued))
        },
    )?;
    let mut rows = HashMap::new();
    for (visit, found) in visits.iter().zip(found) {
        let Some(row) = found.into_iter().next() else {
            let row = visit.row;
            let problem = format!("no frontier row {row} in crawl {crawl}");
            return Err(Failure::not_found(problem));
        };
        if let Some(row) = row {
            rows.insert(visit.row, row);
        }
    }
    Ok(rows)
}

/// Stores what came of a page URL; how it ended, and a word on why.
fn page_outcome<'v>(
    session: &mut Session<'_>,
    visit: &'v PreparedVisit,
    url: &str,
) -> Result<(UrlOutcome, &'v str), Failure> {
    Ok(match &visit.result {
        PreparedResult::Page(page) => match session.store_page(url, &visit.host, page)? {
            Some(change) => (UrlOutcome::Stored(change), ""),
            None => {
                let detail = "the tenant has as many pages as it may";
                (UrlOutcome::Skipped(SkipReason::Quota), detail)
            }
        },
        PreparedResult::NotModified => {
            if session.touch_page(url)? {
                (UrlOutcome::Stored(Change::Unchanged), "")
            } else {
                let detail = "the server answered not modified, but nothing is stored";
                (UrlOutcome::Failed(FailReason::Protocol), detail)
            }
        }
        PreparedResult::Skipped(reason, detail) => {
            let is_permanent = matches!(visit.status, Some(301 | 308));
            let gone = match reason {
                SkipReason::Noindex | SkipReason::Canonical => true,
                // A passing redirect, to a login or a maintenance page, must
                // not empty an index.
                SkipReason::Redirect => is_permanent,
                SkipReason::Robots
                | SkipReason::ContentType
                | SkipReason::Listing
                | SkipReason::PageLimit
                | SkipReason::Cancelled
                | SkipReason::Quota
                | SkipReason::Empty => false,
            };
            if gone {
                session.remove_page(url)?;
            }
            (UrlOutcome::Skipped(*reason), detail)
        }
        PreparedResult::Failed(reason, detail) => {
            if *reason == FailReason::NotFound {
                session.remove_page(url)?;
            }
            (UrlOutcome::Failed(*reason), detail)
        }
        PreparedResult::Resource => {
            let detail = "a sitemap or feed, read for its links";
            (UrlOutcome::Skipped(SkipReason::Listing), detail)
        }
        PreparedResult::Retry { .. } => {
            return Err(Failure::bug("a retry does not end a URL"));
        }
    })
}

fn none_if_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}
