//! A source that leaves its database is held: whoever would change it, or what
//! belongs to it, is told to try again.
//!
//! One source at a time leaves a database. `meta` names it from before its
//! first row goes until its last one has gone, so that what asks costs one
//! look-up by key, and an interrupted move is found again.

use serde::{Deserialize, Serialize};
use types::{ChunkId, SourceId};

use crate::error::Failure;
use crate::model::NewTask;
use crate::placement::ShardNumber;
use crate::sources::no_source;
use crate::sql::{Connection, execute, first, params};

const LEAVING: &str = "leaving";
/// `sources.purging` of a source whose rows are still coming in.
pub(super) const ARRIVING: i64 = 2;
/// Kind of the tasks that crawl a source.
const CRAWL: &str = "crawl";
/// Kind of the task that cuts all pages into chunks anew.
const RECHUNK: &str = "rechunk";

/// The source that leaves a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Leaving {
    pub(crate) source: i64,
    /// Number of the database that it goes to.
    pub(super) to: u16,
    /// When it is due again; meanwhile it is due nowhere.
    pub(super) next_due_at: Option<i64>,
}

/// Whether a source can be moved now.
#[derive(Debug)]
pub(super) enum Held {
    Now(Leaving),
    /// Why not; later it can.
    Busy(String),
}

/// The source that leaves this database, if one does.
pub(crate) fn leaving(connection: &Connection) -> Result<Option<Leaving>, Failure> {
    let sql = "SELECT value FROM meta WHERE key = ?1";
    let text: Option<String> = first(connection, sql, [LEAVING], |row| row.get(0))?;
    text.map(|text| serde_json::from_str(&text))
        .transpose()
        .map_err(|error| Failure::corrupt(format!("the note of a source that leaves: {error}")))
}

/// Fails with a conflict while the source is being moved.
pub(crate) fn check_stays(connection: &Connection, source: SourceId) -> Result<(), Failure> {
    match leaving(connection)? {
        Some(leaving) if leaving.source == source.0 => Err(moving(source.0)),
        _ => Ok(()),
    }
}

/// Whether the source is on its way from this database or to it.
pub(crate) fn is_being_moved(connection: &Connection, source: SourceId) -> Result<bool, Failure> {
    if leaving(connection)?.is_some_and(|leaving| leaving.source == source.0) {
        return Ok(true);
    }
    is_arriving(connection, source)
}

pub(super) fn is_arriving(connection: &Connection, source: SourceId) -> Result<bool, Failure> {
    let sql = "SELECT 1 FROM sources WHERE id = ?1 AND purging = ?2";
    let found = first(connection, sql, [source.0, ARRIVING], |_| Ok(()))?;
    Ok(found.is_some())
}

impl Leaving {
    /// Whether the chunk belongs to it.
    pub(crate) fn has_chunk(
        &self,
        connection: &Connection,
        chunk: ChunkId,
    ) -> Result<bool, Failure> {
        let sql = "SELECT 1 FROM chunks k JOIN pages p ON p.id = k.page_id
                   WHERE k.id = ?1 AND p.source_id = ?2";
        let found = first(connection, sql, [chunk.0, self.source], |_| Ok(()))?;
        Ok(found.is_some())
    }

    /// Fails with a conflict on a task that would crawl it: it would wait where
    /// the source is no more.
    pub(crate) fn check_task(&self, task: &NewTask) -> Result<(), Failure> {
        let payload = task.payload.as_str();
        let [going_on, alone] = self.payloads();
        if task.kind == CRAWL && (payload.starts_with(&going_on) || payload == alone) {
            return Err(moving(self.source));
        }
        Ok(())
    }

    /// How payloads of tasks that crawl it begin, or are as a whole: the source
    /// is their first field.
    fn payloads(&self) -> [String; 2] {
        let source = self.source;
        [
            format!("{{\"source\":{source},"),
            format!("{{\"source\":{source}}}"),
        ]
    }

    /// Fails unless the source still leaves this database.
    pub(super) fn check(&self, connection: &Connection) -> Result<(), Failure> {
        match leaving(connection)? {
            Some(noted) if noted.source == self.source => Ok(()),
            _ => Err(Failure::conflict(format!(
                "another process has moved source {}",
                self.source
            ))),
        }
    }

    pub(super) fn end(&self, connection: &Connection) -> Result<(), Failure> {
        execute(connection, "DELETE FROM meta WHERE key = ?1", [LEAVING])?;
        Ok(())
    }
}

fn moving(source: i64) -> Failure {
    Failure::conflict(format!(
        "source {source} is being moved to another database; try again"
    ))
}

/// Holds the source, unless somebody works on it.
pub(super) fn hold(
    connection: &Connection,
    source: SourceId,
    to: ShardNumber,
) -> Result<Held, Failure> {
    if let Some(leaving) = leaving(connection)? {
        return Ok(if leaving.source == source.0 {
            Held::Now(leaving)
        } else {
            let other = leaving.source;
            Held::Busy(format!("source {other} leaves the same database first"))
        });
    }
    let sql = "SELECT next_due_at, removed_at FROM sources WHERE id = ?1";
    let (next_due_at, removed_at): (Option<i64>, Option<i64>) =
        first(connection, sql, [source.0], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .ok_or_else(|| no_source(source))?;
    if removed_at.is_some() {
        return Err(Failure::conflict(format!("source {source} was removed")));
    }
    let leaving = Leaving {
        source: source.0,
        to: to.0,
        next_due_at,
    };
    if let Some(why) = work_on(connection, &leaving)? {
        return Ok(Held::Busy(why));
    }
    let note = serde_json::to_string(&leaving)
        .map_err(|error| Failure::bug(format!("the note of a source that leaves: {error}")))?;
    let sql = "INSERT INTO meta (key, value) VALUES (?1, ?2)";
    execute(connection, sql, [LEAVING, note.as_str()])?;
    let sql = "UPDATE sources SET next_due_at = NULL WHERE id = ?1";
    execute(connection, sql, [source.0])?;
    Ok(Held::Now(leaving))
}

/// Who works on the source, or is about to.
fn work_on(connection: &Connection, leaving: &Leaving) -> Result<Option<String>, Failure> {
    let source = leaving.source;
    let unfinished: Option<i64> = first(
        connection,
        "SELECT id FROM crawls
         WHERE source_id = ?1 AND status IN ('queued', 'running', 'paused') LIMIT 1",
        [source],
        |row| row.get(0),
    )?;
    if let Some(crawl) = unfinished {
        return Ok(Some(format!("crawl {crawl} has not ended")));
    }
    let [going_on, alone] = leaving.payloads();
    let task: Option<i64> = first(
        connection,
        "SELECT id FROM tasks
         WHERE tenant_id = (SELECT tenant_id FROM sources WHERE id = ?1) AND kind = ?2
           AND state IN (0, 1, 2)
           AND (substr(payload, 1, length(?3)) = ?3 OR payload = ?4)
         LIMIT 1",
        params![source, CRAWL, going_on, alone],
        |row| row.get(0),
    )?;
    let task = match task {
        Some(task) => Some(task),
        None => first(
            connection,
            "SELECT t.id FROM crawls c JOIN tasks t ON t.id = c.task_id
             WHERE c.source_id = ?1 AND t.state IN (0, 1, 2) LIMIT 1",
            [source],
            |row| row.get(0),
        )?,
    };
    if let Some(task) = task {
        return Ok(Some(format!("task {task} has not ended")));
    }
    let rechunk: Option<i64> = first(
        connection,
        "SELECT id FROM tasks WHERE kind = ?1 AND state IN (0, 1, 2) LIMIT 1",
        [RECHUNK],
        |row| row.get(0),
    )?;
    Ok(rechunk.map(|task| format!("task {task} cuts pages into chunks anew")))
}
