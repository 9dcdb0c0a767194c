//! Runs a prepared batch inside the writer's transaction.

use std::collections::HashMap;

use types::{Change, CrawlId, FailReason, SkipReason, Timestamp, UrlOutcome};

use super::prepare::{PreparedResult, PreparedVisit};
use crate::counters::Counters;
use crate::crawls::{OpenCrawl, open_crawl};
use crate::error::Failure;
use crate::frontier::Queue;
use crate::model::{BatchReport, CrawlControl, CrawlCounts, FrontierKind, NewTask};
use crate::outbox::Outbox;
use crate::quotas::page_room;
use crate::reasons::Reasons;
use crate::rows::{crawl_control, crawl_counts, crawl_status, kind_code, kind_from_code};
use crate::sql::{Connection, execute, first, params};
use crate::tasks;

pub(crate) fn apply(
    connection: &Connection,
    crawl: CrawlId,
    visits: &[PreparedVisit],
    follow_ups: &[NewTask],
    now: Timestamp,
) -> Result<BatchReport, Failure> {
    let mut session = Session::new(connection, open_crawl(connection, crawl)?, now)?;
    let mut log = CrawlLog::default();
    let mut queue = Queue::new(session.crawl, now);
    for visit in visits {
        log.visit(&mut session, &mut queue, visit)?;
    }
    let queued = queue.save_counts(connection)?;
    let (counts, control) = log.save(connection, crawl)?;
    let chunks_pending_added = session.chunks_pending_added;
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
    /// What [`page_room`] said at the first new page.
    page_room: Option<Option<i64>>,
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
            page_room: None,
        })
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
            execute(
                self.connection,
                "UPDATE sources SET pages_live = pages_live + ?2 WHERE id = ?1",
                params![source, difference],
            )?;
        }
        let Counters {
            pages, pages_live, ..
        } = self.counters;
        let chunks: i64 = self.counters.chunks.iter().sum();
        execute(
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
    fn visit(
        &mut self,
        session: &mut Session<'_>,
        queue: &mut Queue,
        visit: &PreparedVisit,
    ) -> Result<(), Failure> {
        let Some(row) = queued_row(session, visit.row)? else {
            return Ok(());
        };
        self.visits_applied += 1;
        self.bytes = self.bytes.saturating_add(visit.wire_bytes);
        for new in &visit.discovered {
            queue.add(session.connection, new)?;
        }
        if let PreparedResult::Retry {
            attempt,
            not_before,
            detail,
        } = &visit.result
        {
            execute(
                session.connection,
                "UPDATE frontier SET attempt = ?2, not_before = ?3, status = ?4, detail = ?5
                 WHERE id = ?1",
                params![visit.row, attempt, not_before.0, visit.status, detail],
            )?;
            return Ok(());
        }
        let is_page_visit = matches!(visit.result, PreparedResult::Page(_));
        if row.kind == FrontierKind::Page || is_page_visit {
            // A sitemap or feed URL that held a page was a page all along.
            self.added.found += u64::from(row.kind != FrontierKind::Page);
            let (outcome, detail) = page_outcome(session, visit, &row.url)?;
            self.end_page(session.connection, visit, &row.url, outcome, detail)
        } else {
            self.end_resource(session.connection, visit, &row)
        }
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
        execute(
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

/// `None` when the row is done already.
fn queued_row(session: &Session<'_>, row: i64) -> Result<Option<QueuedRow>, Failure> {
    let crawl = session.crawl.id;
    let found = first(
        session.connection,
        "SELECT state, kind, url FROM frontier WHERE id = ?1 AND crawl_id = ?2",
        [row, crawl.0],
        |columns| {
            let state: i64 = columns.get(0)?;
            let queued = QueuedRow {
                kind: kind_from_code(columns.get(1)?)?,
                url: columns.get(2)?,
            };
            Ok((state == 0).then_some(queued))
        },
    )?;
    found.ok_or_else(|| Failure::not_found(format!("no frontier row {row} in crawl {crawl}")))
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
