//! Runs over a source: their beginning, their end and their log.

use std::cmp::Reverse;

use types::{CrawlId, SkipReason, SourceId, TaskId, TenantId, Timestamp};

use crate::codec;
use crate::error::Failure;
use crate::frontier::{PreparedUrl, Queue, skip_step};
use crate::model::EventType;
use crate::outbox::{self, CrawlFinished, CrawlStarted};
use crate::rows::{as_i64, count, crawl_control, crawl_row, select_crawls};
use crate::sources::present_source;
use crate::sql::{Connection, collect, execute, first, insert, params};
use crate::{CrawlControl, CrawlRow, CrawlStatus, NewUrl, ReasonCount, Store, StoreError, TakenUp};

impl Store {
    /// Begins a crawl and queues its seeds.
    pub fn start_crawl(
        &self,
        source: SourceId,
        policy: &str,
        seeds: Vec<NewUrl>,
    ) -> Result<CrawlId, StoreError> {
        let now = self.now();
        let policy = policy.to_owned();
        let seeds: Vec<PreparedUrl> = seeds.into_iter().map(PreparedUrl::new).collect();
        self.holder(source)?
            .write("start the crawl", move |connection| {
                start_crawl(connection, source, &policy, &seeds, None, now)
            })
    }

    /// The crawl that a task is to run: its own, also when that has ended with
    /// pages; or, unless only `listed` URLs are crawled, the unfinished one of
    /// the source; or a new one. One task at a time runs a crawl of a whole
    /// source. A crawl that ended without any page is not the end of its task,
    /// which tries again with a new one.
    pub fn take_up_crawl(
        &self,
        task: TaskId,
        source: SourceId,
        policy: &str,
        seeds: Vec<NewUrl>,
        listed: bool,
    ) -> Result<TakenUp, StoreError> {
        let now = self.now();
        let policy = policy.to_owned();
        let seeds: Vec<PreparedUrl> = seeds.into_iter().map(PreparedUrl::new).collect();
        self.holder(source)?
            .write("take the crawl up", move |connection| {
                if let Some(row) = first(connection, ENDED_OF_TASK, [task.0], crawl_row)? {
                    return Ok(TakenUp::Ended(row.id));
                }
                let unfinished = if listed {
                    first(connection, UNFINISHED_OF_TASK, [task.0], crawl_row)?
                } else {
                    unfinished_crawl(connection, source)?
                };
                let Some(row) = unfinished else {
                    let crawl = start_crawl(connection, source, &policy, &seeds, Some(task), now)?;
                    let sql = "UPDATE crawls SET listed = ?2 WHERE id = ?1";
                    execute(connection, sql, params![crawl.0, listed])?;
                    return Ok(TakenUp::Started(crawl));
                };
                let runner = first(connection, OTHER_RUNNER, [row.id.0, task.0], |row| {
                    Ok(TaskId(row.get(0)?))
                })?;
                if let Some(other) = runner {
                    return Ok(TakenUp::RunBy(other));
                }
                let sql = "UPDATE crawls SET task_id = ?2 WHERE id = ?1";
                execute(connection, sql, [row.id.0, task.0])?;
                Ok(TakenUp::Resumed(row.id))
            })
    }

    /// The newest crawl that the task began.
    pub fn crawl_of_task(&self, task: TaskId) -> Result<Option<CrawlRow>, StoreError> {
        self.find(task, |shard| {
            shard.read("look for the task's crawl", |connection| {
                first(
                    connection,
                    select_crawls!("WHERE task_id = ?1 ORDER BY id DESC LIMIT 1"),
                    [task.0],
                    crawl_row,
                )
            })
        })
    }

    /// The task that runs the crawl, or ran it last.
    pub fn task_of_crawl(&self, id: CrawlId) -> Result<Option<TaskId>, StoreError> {
        self.find(id, |shard| {
            shard.read("look for the crawl's task", |connection| {
                let sql = "SELECT task_id FROM crawls WHERE id = ?1 AND task_id IS NOT NULL";
                first(connection, sql, [id.0], |row| Ok(TaskId(row.get(0)?)))
            })
        })
    }

    /// The newest crawl of the source that has not reached its end.
    pub fn unfinished_crawl(&self, source: SourceId) -> Result<Option<CrawlRow>, StoreError> {
        self.find(source, |shard| {
            shard.read("look for an unfinished crawl", |connection| {
                unfinished_crawl(connection, source)
            })
        })
    }

    pub fn crawl(&self, id: CrawlId) -> Result<CrawlRow, StoreError> {
        self.holder(id)?
            .read("read the crawl", |connection| read_crawl(connection, id))
    }

    /// Of one source, newest first.
    pub fn crawls(&self, source: SourceId, limit: usize) -> Result<Vec<CrawlRow>, StoreError> {
        self.holder(source)?.read("list crawls", |connection| {
            let sql =
                select_crawls!("WHERE source_id = ?1 ORDER BY started_at DESC, id DESC LIMIT ?2");
            collect(connection, sql, [source.0, as_i64(limit)], crawl_row)
        })
    }

    /// Like [`Store::crawl`]; another tenant's crawl does not exist (T1).
    pub fn crawl_of_tenant(&self, tenant: TenantId, id: CrawlId) -> Result<CrawlRow, StoreError> {
        self.holder(id)?.read("read the crawl", |connection| {
            let sql = select_crawls!("WHERE id = ?1 AND tenant_id = ?2");
            let row = first(connection, sql, [id.0, tenant.0], crawl_row)?;
            row.ok_or_else(|| no_crawl(id))
        })
    }

    /// A tenant's crawls, of all sources or one, newest first; those older
    /// than `before`.
    pub fn tenant_crawls(
        &self,
        tenant: TenantId,
        source: Option<SourceId>,
        before: Option<CrawlId>,
        limit: usize,
    ) -> Result<Vec<CrawlRow>, StoreError> {
        let before = self.newest_before(before)?;
        let listed = limit;
        let limit = as_i64(limit);
        self.merged(
            listed,
            |row: &CrawlRow| Reverse((row.started_at, row.id)),
            |shard| {
                shard.read("list the tenant's crawls", |connection| match source {
                    Some(source) => {
                        let parameters = [tenant.0, source.0, before.at, before.id, limit];
                        collect(connection, CRAWLS_OF_SOURCE, parameters, crawl_row)
                    }
                    None => {
                        let parameters = [tenant.0, before.at, before.id, limit];
                        collect(connection, CRAWLS_OF_TENANT, parameters, crawl_row)
                    }
                })
            },
        )
    }

    /// Of the newest crawls, of all tenants: how many URLs were answered so far.
    pub fn newest_crawls_fetched(&self, limit: usize) -> Result<Vec<(CrawlId, u64)>, StoreError> {
        let newest = self.merged(
            limit,
            |row: &(i64, CrawlId, u64)| Reverse((row.0, row.1)),
            |shard| {
                shard.read("count what crawls fetched", |connection| {
                    let sql =
                        "SELECT started_at, id, fetched FROM crawls ORDER BY id DESC LIMIT ?1";
                    collect(connection, sql, [as_i64(limit)], |row| {
                        Ok((row.get(0)?, CrawlId(row.get(1)?), count(row, 2)?))
                    })
                })
            },
        )?;
        let fetched = newest
            .into_iter()
            .map(|(_, crawl, fetched)| (crawl, fetched));
        Ok(fetched.collect())
    }

    /// Asks for a crawl to rest, to go on or to end. Resting and going on take
    /// effect in its status at once; whoever runs it hears of it with its next
    /// batch or from [`Store::crawl_control`]. A crawl that nobody runs is
    /// ended by [`Store::cancel_crawl`]. A finished crawl, and one that is
    /// already to end, cannot be changed any more.
    pub fn request_crawl_control(
        &self,
        id: CrawlId,
        control: CrawlControl,
    ) -> Result<CrawlRow, StoreError> {
        self.holder(id)?
            .write("control the crawl", move |connection| {
                request_control(connection, id, control)
            })
    }

    /// What the crawl is asked to do.
    pub fn crawl_control(&self, id: CrawlId) -> Result<CrawlControl, StoreError> {
        Ok(self.crawl(id)?.control)
    }

    /// Ends a crawl as cancelled, with all that is still queued as skipped
    /// (Q2). For whoever runs it, once nothing is under way any more, and for
    /// anybody when nobody runs it.
    pub fn cancel_crawl(&self, id: CrawlId) -> Result<CrawlRow, StoreError> {
        let now = self.now();
        loop {
            let step = self
                .holder(id)?
                .write("cancel the crawl", move |connection| {
                    cancel_step(connection, id, now)
                })?;
            if let Some(row) = step {
                return Ok(row);
            }
        }
    }

    /// Ends a crawl. It can be completed or cancelled only once nothing is
    /// queued (Q2), and a finished crawl stays as it is.
    pub fn finish_crawl(
        &self,
        id: CrawlId,
        status: CrawlStatus,
        error: Option<String>,
    ) -> Result<CrawlRow, StoreError> {
        let now = self.now();
        self.holder(id)?
            .write("finish the crawl", move |connection| {
                finish_crawl(connection, id, status, error.clone(), now)
            })
    }

    /// Ends a crawl as completed, see [`Store::finish_crawl`], and adds the
    /// time of its last run: whoever sees it ended sees its final figures.
    pub fn complete_crawl(&self, id: CrawlId, active_ms: i64) -> Result<CrawlRow, StoreError> {
        let now = self.now();
        self.holder(id)?
            .write("complete the crawl", move |connection| {
                add_active_ms(connection, id, active_ms)?;
                finish_crawl(connection, id, CrawlStatus::Completed, None, now)
            })
    }

    /// Adds time spent crawling, so that rates survive a resume.
    pub fn add_active_ms(&self, id: CrawlId, active_ms: i64) -> Result<(), StoreError> {
        self.holder(id)?.write("add crawl time", move |connection| {
            add_active_ms(connection, id, active_ms)
        })
    }

    /// Why URLs failed or were skipped, most frequent first.
    pub fn crawl_reasons(&self, id: CrawlId) -> Result<Vec<ReasonCount>, StoreError> {
        self.holder(id)?
            .read("read the crawl's reasons", |connection| {
                collect(
                    connection,
                    "SELECT class, reason, count, examples FROM crawl_reasons WHERE crawl_id = ?1
                 ORDER BY count DESC, class, reason",
                    [id.0],
                    |row| {
                        let examples: String = row.get(3)?;
                        Ok(ReasonCount {
                            class: row.get(0)?,
                            reason: row.get(1)?,
                            count: count(row, 2)?,
                            examples: codec::decode_strings(&examples)?,
                        })
                    },
                )
            })
    }
}

pub(crate) const CRAWLS_OF_TENANT: &str = select_crawls!(
    "WHERE tenant_id = ?1 AND (started_at, id) < (?2, ?3)
     ORDER BY started_at DESC, id DESC LIMIT ?4"
);

pub(crate) const CRAWLS_OF_SOURCE: &str = select_crawls!(
    "WHERE +tenant_id = ?1 AND source_id = ?2 AND (started_at, id) < (?3, ?4)
     ORDER BY started_at DESC, id DESC LIMIT ?5"
);

pub(crate) fn unfinished_crawl(
    connection: &Connection,
    source: SourceId,
) -> Result<Option<CrawlRow>, Failure> {
    first(
        connection,
        select_crawls!(
            "WHERE source_id = ?1 AND status IN ('queued', 'running', 'paused') AND listed = 0
             ORDER BY started_at DESC, id DESC LIMIT 1"
        ),
        [source.0],
        crawl_row,
    )
}

/// What every write within a crawl needs to know of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenCrawl {
    pub(crate) id: CrawlId,
    pub(crate) tenant: TenantId,
    pub(crate) source: SourceId,
}

/// Refuses crawls that are unknown or finished.
pub(crate) fn open_crawl(connection: &Connection, id: CrawlId) -> Result<OpenCrawl, Failure> {
    let sql = "SELECT tenant_id, source_id, status FROM crawls WHERE id = ?1";
    let (tenant, source, status) = first(connection, sql, [id.0], |row| {
        let status: String = row.get(2)?;
        Ok((TenantId(row.get(0)?), SourceId(row.get(1)?), status))
    })?
    .ok_or_else(|| no_crawl(id))?;
    if CrawlStatus::from_code(&status).is_none_or(CrawlStatus::is_finished) {
        return Err(Failure::conflict(format!("crawl {id} is already {status}")));
    }
    Ok(OpenCrawl { id, tenant, source })
}

fn request_control(
    connection: &Connection,
    id: CrawlId,
    control: CrawlControl,
) -> Result<CrawlRow, Failure> {
    open_crawl(connection, id)?;
    let is_ending = read_crawl(connection, id)?.control == CrawlControl::Cancel;
    let sql = match control {
        CrawlControl::Cancel => "UPDATE crawls SET cancel_requested = 1 WHERE id = ?1",
        _ if is_ending => {
            let message = format!("crawl {id} is being cancelled");
            return Err(Failure::conflict(message));
        }
        CrawlControl::Pause => "UPDATE crawls SET status = 'paused' WHERE id = ?1",
        CrawlControl::Run => "UPDATE crawls SET status = 'running' WHERE id = ?1",
    };
    execute(connection, sql, [id.0])?;
    read_crawl(connection, id)
}

/// `None` while more is queued than one write should touch.
fn cancel_step(
    connection: &Connection,
    id: CrawlId,
    now: Timestamp,
) -> Result<Option<CrawlRow>, Failure> {
    let row = read_crawl(connection, id)?;
    if row.status.is_finished() {
        return finish_crawl(connection, id, CrawlStatus::Cancelled, None, now).map(Some);
    }
    let sql = "UPDATE crawls SET cancel_requested = 1 WHERE id = ?1";
    execute(connection, sql, [id.0])?;
    let detail = "the crawl was cancelled";
    let step = skip_step(connection, id, SkipReason::Cancelled, detail)?;
    if step.more {
        return Ok(None);
    }
    finish_crawl(connection, id, CrawlStatus::Cancelled, None, now).map(Some)
}

const UNFINISHED_OF_TASK: &str = select_crawls!(
    "WHERE task_id = ?1 AND status IN ('queued', 'running', 'paused') ORDER BY id DESC LIMIT 1"
);

const ENDED_OF_TASK: &str = select_crawls!(
    "WHERE task_id = ?1 AND status = 'completed' AND added + updated + unchanged > 0
     ORDER BY id DESC LIMIT 1"
);

/// Another task that runs (state 2) the crawl.
const OTHER_RUNNER: &str = "
    SELECT t.id FROM crawls c JOIN tasks t ON t.id = c.task_id
    WHERE c.id = ?1 AND t.id <> ?2 AND t.state = 2";

fn add_active_ms(connection: &Connection, id: CrawlId, active_ms: i64) -> Result<(), Failure> {
    let rows = execute(
        connection,
        "UPDATE crawls SET active_ms = active_ms + ?2 WHERE id = ?1",
        params![id.0, active_ms],
    )?;
    if rows == 0 {
        return Err(no_crawl(id));
    }
    Ok(())
}

fn no_crawl(id: CrawlId) -> Failure {
    Failure::not_found(format!("no crawl {id}"))
}

fn read_crawl(connection: &Connection, id: CrawlId) -> Result<CrawlRow, Failure> {
    let row = first(
        connection,
        select_crawls!("WHERE id = ?1"),
        [id.0],
        crawl_row,
    )?;
    row.ok_or_else(|| no_crawl(id))
}

fn start_crawl(
    connection: &Connection,
    source: SourceId,
    policy: &str,
    seeds: &[PreparedUrl],
    task: Option<TaskId>,
    now: Timestamp,
) -> Result<CrawlId, Failure> {
    let tenant = present_source(connection, source)?.0;
    let id = insert(
        connection,
        "INSERT INTO crawls (tenant_id, source_id, status, started_at, policy, task_id)
         VALUES (?1, ?2, 'running', ?3, ?4, ?5)",
        params![tenant, source.0, now.0, policy, task.map(|task| task.0)],
    )?;
    let id = CrawlId(id);
    let crawl = OpenCrawl {
        id,
        tenant: TenantId(tenant),
        source,
    };
    let mut queue = Queue::new(crawl, now);
    for seed in seeds {
        queue.add(seed);
    }
    queue.save(connection)?;
    outbox::tell(
        connection,
        crawl.tenant,
        EventType::CrawlStarted,
        Some(source),
        now,
        || CrawlStarted::new(id, source, now),
    )?;
    Ok(id)
}

fn finish_crawl(
    connection: &Connection,
    id: CrawlId,
    status: CrawlStatus,
    error: Option<String>,
    now: Timestamp,
) -> Result<CrawlRow, Failure> {
    if !status.is_finished() {
        let code = status.code();
        return Err(Failure::conflict(format!(
            "{code} is not the end of a crawl"
        )));
    }
    let mut row = read_crawl(connection, id)?;
    if row.status == status {
        return Ok(row);
    }
    if row.status.is_finished() {
        let code = row.status.code();
        return Err(Failure::conflict(format!("crawl {id} is already {code}")));
    }
    if matches!(status, CrawlStatus::Completed | CrawlStatus::Cancelled) && row.queued > 0 {
        let queued = row.queued;
        return Err(Failure::conflict(format!(
            "crawl {id} still has {queued} URLs queued"
        )));
    }
    execute(
        connection,
        "UPDATE crawls SET status = ?2, finished_at = ?3, error = ?4 WHERE id = ?1",
        params![id.0, status.code(), now.0, error],
    )?;
    row.status = status;
    row.control = crawl_control(status, row.control == CrawlControl::Cancel);
    row.finished_at = Some(now);
    row.error = error;
    let sql = "SELECT tenant_id FROM crawls WHERE id = ?1";
    let tenant = first(connection, sql, [id.0], |row| Ok(TenantId(row.get(0)?)))?;
    let tenant = tenant.ok_or_else(|| no_crawl(id))?;
    outbox::tell(
        connection,
        tenant,
        EventType::CrawlFinished,
        Some(row.source),
        now,
        || CrawlFinished::new(&row, now),
    )?;
    Ok(row)
}
