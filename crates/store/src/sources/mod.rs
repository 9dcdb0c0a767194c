//! Places that are crawled again and again.

mod seeds;

use std::collections::HashMap;
use std::time::Duration;

use types::{SourceId, TenantId, Timestamp};

use crate::codec;
use crate::error::Failure;
use crate::quotas::admit_source;
use crate::rebalance::check_stays;
use crate::rows::{as_i64, count, crawl_row, select_crawls, small, time};
use crate::sql::{Connection, Parameters, Row, collect, execute, first, insert, params};
use crate::tenants::check_tenant;
use crate::{
    Enqueued, IntervalBounds, NewSource, NewSourceSpec, SourceEdit, SourcePlan, SourceRow,
    SourceSchedule, Store, StoreError, tasks,
};

const KIND_BYTES_MAX: usize = 40;
const CRON_BYTES_MAX: usize = 200;
const SETTINGS_BYTES_MAX: usize = 64 * 1024;

macro_rules! select_sources {
    ($ending:literal) => {
        concat!(
            "SELECT id, tenant_id, name, seeds, policy, created_at, pages_live, kind, active, ",
            "every_ms, cron, interval_min_ms, interval_max_ms, interval_ms, next_due_at, ",
            "last_crawled_at, failures_in_a_row, trouble, settings, removed_at, purging ",
            "FROM sources ",
            $ending
        )
    };
}
pub(crate) use select_sources;

use seeds::{Seeds, may_begin_elsewhere, taken};
pub(crate) use seeds::{give_seeds_up, no_seeds};

impl Store {
    /// The tenant's source with this set of seeds, created where missing. Its
    /// policy becomes the given one, a name it has stays. One that was removed is back,
    /// with the pages it still has and without its schedule.
    pub fn ensure_source(&self, source: NewSource) -> Result<SourceId, StoreError> {
        let now = self.now();
        let shard = self.shard_of_seeds(source.tenant, &source.seeds)?;
        shard.write("save the source", move |connection| {
            ensure_source(connection, &source, now)
        })
    }

    /// [`Store::ensure_source`], then the settings and the task that `plan`
    /// makes of the source as it is stored, all or nothing. What `plan` refuses
    /// is a conflict.
    pub fn ensure_source_with_task(
        &self,
        source: NewSource,
        mut plan: impl FnMut(&SourceRow) -> Result<SourcePlan, String> + Send + 'static,
    ) -> Result<(SourceId, Enqueued), StoreError> {
        let now = self.now();
        let shard = self.shard_of_seeds(source.tenant, &source.seeds)?;
        shard.write("save the source and its task", move |connection| {
            let id = ensure_source(connection, &source, now)?;
            let row = read_source(connection, id)?.ok_or_else(|| no_source(id))?;
            let planned = plan(&row).map_err(Failure::conflict)?;
            if let Some(settings) = planned.settings.filter(|new| *new != row.settings) {
                let edit = SourceEdit {
                    settings: Some(settings),
                    ..SourceEdit::default()
                };
                edit_source(connection, id, edit)?;
            }
            let enqueued = tasks::enqueue(connection, &[planned.task], now)?.pop();
            let enqueued = enqueued.ok_or_else(|| Failure::bug("the task was not queued"))?;
            Ok((id, enqueued))
        })
    }

    /// The tenant's source of pages that no crawl found: of kind `import`,
    /// without seeds and never crawled. Created, or brought back, when it is not there.
    pub fn ensure_import_source(&self, tenant: TenantId) -> Result<SourceId, StoreError> {
        let now = self.now();
        let shard = self.shard_of_seeds(tenant, &[])?;
        shard.write("save the source of imports", move |connection| {
            check_tenant(connection, tenant)?;
            let seeds = Seeds::written(tenant, Vec::new())?;
            let spec = NewSourceSpec {
                kind: "import".to_owned(),
                active: false,
                ..NewSourceSpec::from(NewSource {
                    tenant,
                    name: "imported".to_owned(),
                    seeds: Vec::new(),
                    policy: "{}".to_owned(),
                })
            };
            match seeds.find(connection)? {
                Some(known) if known.removed => {
                    revive(connection, known.id, &seeds, &spec)?;
                    Ok(known.id)
                }
                Some(known) => Ok(known.id),
                None => insert_source(connection, &seeds, &spec, now),
            }
        })
    }

    /// Adds a source. Seeds that another source of the tenant has are refused,
    /// with its number; one that was removed is back with its old number and
    /// the pages it still has. Fails with
    /// [`QuotaExceeded`](crate::StoreErrorKind::QuotaExceeded) when the tenant
    /// has as many sources as it may, and so does [`Store::ensure_source`] for
    /// one that it would have to create or bring back.
    pub fn add_source(&self, spec: NewSourceSpec) -> Result<SourceId, StoreError> {
        let now = self.now();
        let shard = self.shard_of_seeds(spec.source.tenant, &spec.source.seeds)?;
        shard.write("add the source", move |connection| {
            check(&spec.kind, &spec.schedule, &spec.settings)?;
            let seeds = Seeds::new(connection, &spec.source)?;
            match seeds.find(connection)? {
                Some(known) if known.removed => {
                    revive(connection, known.id, &seeds, &spec)?;
                    Ok(known.id)
                }
                Some(known) => Err(taken(known.id)),
                None => insert_source(connection, &seeds, &spec, now),
            }
        })
    }

    /// Changes a source; all of it as it is then.
    pub fn edit_source(&self, id: SourceId, edit: SourceEdit) -> Result<SourceRow, StoreError> {
        let shard = self.holder(id)?;
        if let Some(seeds) = &edit.seeds
            && let Some(source) = self.source(id)?
        {
            self.may_begin_at(shard, source.tenant, seeds)?;
        }
        shard.write("edit the source", move |connection| {
            edit_source(connection, id, edit.clone())
        })
    }

    /// All sources of a tenant that were not removed, oldest first.
    pub fn sources(&self, tenant: TenantId) -> Result<Vec<SourceRow>, StoreError> {
        self.merged(
            usize::MAX,
            |source: &SourceRow| source.id,
            |shard| {
                shard.read("list sources", |connection| {
                    let sql =
                        select_sources!("WHERE tenant_id = ?1 AND removed_at IS NULL ORDER BY id");
                    source_rows(connection, sql, [tenant.0])
                })
            },
        )
    }

    /// A source, also one that was removed.
    pub fn source(&self, id: SourceId) -> Result<Option<SourceRow>, StoreError> {
        self.find(id, |shard| {
            shard.read("read the source", |connection| read_source(connection, id))
        })
    }

    /// Like [`Store::source`]; another tenant's source does not exist (T1).
    pub fn source_of_tenant(
        &self,
        tenant: TenantId,
        id: SourceId,
    ) -> Result<Option<SourceRow>, StoreError> {
        self.find(id, |shard| {
            shard.read("read the source", |connection| {
                let sql = select_sources!("WHERE id = ?1 AND tenant_id = ?2 AND purging < 2");
                Ok(source_rows(connection, sql, [id.0, tenant.0])?.pop())
            })
        })
    }

    /// Some of a tenant's sources that were not removed, behind `after` in the
    /// order of their ids.
    pub fn sources_page(
        &self,
        tenant: TenantId,
        after: Option<SourceId>,
        limit: usize,
    ) -> Result<Vec<SourceRow>, StoreError> {
        self.merged(
            limit,
            |source: &SourceRow| source.id,
            |shard| {
                shard.read("list sources", |connection| {
                    let after = after.map_or(0, |id| id.0);
                    let parameters = [tenant.0, after, as_i64(limit)];
                    source_rows(connection, SOURCES_BEHIND, parameters)
                })
            },
        )
    }

    /// Like [`Store::sources_page`], of the sources whose name or seeds
    /// contain `part`, whatever the case of its ASCII letters.
    pub fn sources_with(
        &self,
        tenant: TenantId,
        part: &str,
        after: Option<SourceId>,
        limit: usize,
    ) -> Result<Vec<SourceRow>, StoreError> {
        self.merged(
            limit,
            |source: &SourceRow| source.id,
            |shard| {
                shard.read("look for sources", |connection| {
                    let after = after.map_or(0, |id| id.0);
                    let parameters =
                        params![tenant.0, after, as_i64(limit), part.to_ascii_lowercase()];
                    source_rows(connection, SOURCES_WITH, parameters)
                })
            },
        )
    }

    /// Names of those of a tenant's sources that were not removed.
    pub fn source_names(
        &self,
        tenant: TenantId,
        ids: &[SourceId],
    ) -> Result<HashMap<SourceId, String>, StoreError> {
        let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
        let names: Vec<Vec<(SourceId, String)>> = self.gather(|shard| {
            shard.read("read names of sources", |connection| {
                let ids = serde_json::to_string(&ids)
                    .map_err(|error| Failure::bug(format!("numbers are no JSON: {error}")))?;
                collect(connection, SOURCE_NAMES, params![ids, tenant.0], |row| {
                    Ok((SourceId(row.get(0)?), row.get(1)?))
                })
            })
        })?;
        Ok(names.into_iter().flatten().collect())
    }
}

pub(crate) const SOURCES_BEHIND: &str =
    select_sources!("WHERE tenant_id = ?1 AND removed_at IS NULL AND id > ?2 ORDER BY id LIMIT ?3");

/// Reads all of the tenant's sources at worst: their number is a quota.
pub(crate) const SOURCES_WITH: &str = select_sources!(
    "WHERE tenant_id = ?1 AND removed_at IS NULL AND id > ?2
       AND (instr(lower(name), ?4) > 0 OR instr(lower(seeds), ?4) > 0)
     ORDER BY id LIMIT ?3"
);

pub(crate) const SOURCE_NAMES: &str = "
    SELECT id, name FROM sources
    WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each(?1)) AND tenant_id = ?2 AND removed_at IS NULL";

/// The tenant of a source that was not removed.
pub(crate) fn present_source(connection: &Connection, id: SourceId) -> Result<TenantId, Failure> {
    let sql = "SELECT tenant_id, removed_at FROM sources WHERE id = ?1";
    let (tenant, removed_at) = first(connection, sql, [id.0], |row| {
        Ok((TenantId(row.get(0)?), time(row, 1)?))
    })?
    .ok_or_else(|| no_source(id))?;
    if removed_at.is_some() {
        return Err(Failure::conflict(format!("source {id} was removed")));
    }
    check_stays(connection, id)?;
    Ok(tenant)
}

pub(crate) fn no_source(id: SourceId) -> Failure {
    Failure::not_found(format!("no source {id}"))
}

pub(crate) fn source_rows(
    connection: &Connection,
    sql: &str,
    parameters: impl Parameters,
) -> Result<Vec<SourceRow>, Failure> {
    let mut sources = collect(connection, sql, parameters, source_row)?;
    for source in &mut sources {
        source.last_crawl = first(
            connection,
            select_crawls!("WHERE source_id = ?1 ORDER BY started_at DESC, id DESC LIMIT 1"),
            [source.id.0],
            crawl_row,
        )?;
    }
    Ok(sources)
}

fn ensure_source(
    connection: &Connection,
    source: &NewSource,
    now: Timestamp,
) -> Result<SourceId, Failure> {
    let seeds = Seeds::new(connection, source)?;
    match seeds.find(connection)? {
        Some(known) if known.removed => {
            revive(connection, known.id, &seeds, &source.clone().into())?;
            Ok(known.id)
        }
        Some(known) => {
            check_stays(connection, known.id)?;
            execute(
                connection,
                "UPDATE sources SET policy = ?2 WHERE id = ?1",
                params![known.id.0, source.policy],
            )?;
            Ok(known.id)
        }
        None => insert_source(connection, &seeds, &source.clone().into(), now),
    }
}

pub(crate) fn read_source(
    connection: &Connection,
    id: SourceId,
) -> Result<Option<SourceRow>, Failure> {
    let sql = select_sources!("WHERE id = ?1 AND purging < 2");
    Ok(source_rows(connection, sql, [id.0])?.pop())
}

/// A duration as it is stored: longer ones than SQLite can hold are cut.
pub(crate) fn as_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn insert_source(
    connection: &Connection,
    seeds: &Seeds,
    spec: &NewSourceSpec,
    now: Timestamp,
) -> Result<SourceId, Failure> {
    // It begins as a removed one; `revive` counts it.
    let id = insert(
        connection,
        "INSERT INTO sources (tenant_id, name, seeds, seeds_hash, policy, created_at, removed_at)
         VALUES (?1, '', ?2, ?3, '', ?4, ?4)",
        params![seeds.tenant.0, seeds.json, seeds.hash, now.0],
    )?;
    let id = SourceId(id);
    revive(connection, id, seeds, spec)?;
    Ok(id)
}

/// Makes a new or removed source what is asked for, with no past failures.
/// Stops the deletion of its pages, if it was still going on.
fn revive(
    connection: &Connection,
    id: SourceId,
    seeds: &Seeds,
    spec: &NewSourceSpec,
) -> Result<(), Failure> {
    admit_source(connection, seeds.tenant)?;
    execute(
        connection,
        "UPDATE sources SET removed_at = NULL, purging = 0, failures_in_a_row = 0, trouble = NULL,
           interval_ms = NULL, next_due_at = ?2
         WHERE id = ?1",
        params![id.0, spec.next_due_at.map(|at| at.0)],
    )?;
    let fields = Fields {
        name: &spec.source.name,
        seeds,
        policy: &spec.source.policy,
        kind: &spec.kind,
        active: spec.active,
        schedule: &spec.schedule,
        settings: &spec.settings,
    };
    fields.save(connection, id)
}

fn edit_source(
    connection: &Connection,
    id: SourceId,
    edit: SourceEdit,
) -> Result<SourceRow, Failure> {
    present_source(connection, id)?;
    let old = read_source(connection, id)?.ok_or_else(|| no_source(id))?;
    let seeds_before = Seeds::of(old.tenant, old.seeds)?;
    let seeds = match edit.seeds {
        Some(seeds) => Seeds::of(old.tenant, seeds)?,
        None => seeds_before.clone(),
    };
    if seeds.hash != seeds_before.hash {
        may_begin_elsewhere(connection, id, &seeds)?;
    }
    if edit
        .schedule
        .as_ref()
        .is_some_and(|new| *new != old.schedule)
    {
        let sql = "UPDATE sources SET interval_ms = NULL WHERE id = ?1";
        execute(connection, sql, [id.0])?;
    }
    let fields = Fields {
        name: &edit.name.unwrap_or(old.name),
        seeds: &seeds,
        policy: &edit.policy.unwrap_or(old.policy),
        kind: &edit.kind.unwrap_or(old.kind),
        active: edit.active.unwrap_or(old.active),
        schedule: &edit.schedule.unwrap_or(old.schedule),
        settings: &edit.settings.unwrap_or(old.settings),
    };
    check(fields.kind, fields.schedule, fields.settings)?;
    fields.save(connection, id)?;
    read_source(connection, id)?.ok_or_else(|| no_source(id))
}

/// What people say of a source.
struct Fields<'a> {
    name: &'a str,
    seeds: &'a Seeds,
    policy: &'a str,
    kind: &'a str,
    active: bool,
    schedule: &'a SourceSchedule,
    settings: &'a str,
}

impl Fields<'_> {
    fn save(&self, connection: &Connection, id: SourceId) -> Result<(), Failure> {
        let SourceSchedule {
            every,
            cron,
            adaptive,
        } = self.schedule;
        execute(
            connection,
            "UPDATE sources SET name = ?2, seeds = ?3, seeds_hash = ?4, policy = ?5, kind = ?6,
               active = ?7, every_ms = ?8, cron = ?9, interval_min_ms = ?10,
               interval_max_ms = ?11, settings = ?12
             WHERE id = ?1",
            params![
                id.0,
                self.name,
                self.seeds.json,
                self.seeds.hash,
                self.policy,
                self.kind,
                self.active,
                every.map(as_ms),
                cron,
                adaptive.map(|bounds| as_ms(bounds.min)),
                adaptive.map(|bounds| as_ms(bounds.max)),
                self.settings
            ],
        )?;
        Ok(())
    }
}

fn check(kind: &str, schedule: &SourceSchedule, settings: &str) -> Result<(), Failure> {
    let refuse = |message: &str| Err(Failure::conflict(message));
    if kind.is_empty() || kind.len() > KIND_BYTES_MAX {
        return refuse("the kind of a source has 1 to 40 bytes");
    }
    let has_interval = schedule.every.is_some() || schedule.adaptive.is_some();
    if schedule.cron.is_some() && has_interval {
        return refuse("a source is crawled by cron or by an interval, not both");
    }
    let cron_bytes = schedule.cron.as_ref().map_or(1, String::len);
    if cron_bytes == 0 || cron_bytes > CRON_BYTES_MAX {
        return refuse("a cron expression has 1 to 200 bytes");
    }
    if schedule.every.is_some_and(|every| as_ms(every) == 0) {
        return refuse("the interval of a source is at least a millisecond");
    }
    if let Some(IntervalBounds { min, max }) = schedule.adaptive
        && (as_ms(min) == 0 || min > max)
    {
        return refuse("an adaptive interval needs bounds above zero, the lower one first");
    }
    if settings.len() > SETTINGS_BYTES_MAX {
        return refuse("the settings of a source have at most 64 KiB");
    }
    match serde_json::from_str::<serde_json::Value>(settings) {
        Ok(serde_json::Value::Object(_)) => Ok(()),
        _ => refuse("the settings of a source are no JSON object"),
    }
}

fn source_row(row: &Row<'_>) -> Result<SourceRow, Failure> {
    let seeds: String = row.get(3)?;
    let bounds = duration(row, 11)?.zip(duration(row, 12)?);
    Ok(SourceRow {
        id: SourceId(row.get(0)?),
        tenant: TenantId(row.get(1)?),
        name: row.get(2)?,
        seeds: codec::decode_strings(&seeds)?,
        policy: row.get(4)?,
        created_at: Timestamp(row.get(5)?),
        page_count: count(row, 6)?,
        kind: row.get(7)?,
        active: row.get(8)?,
        schedule: SourceSchedule {
            every: duration(row, 9)?,
            cron: row.get(10)?,
            adaptive: bounds.map(|(min, max)| IntervalBounds { min, max }),
        },
        interval: duration(row, 13)?,
        next_due_at: time(row, 14)?,
        last_crawled_at: time(row, 15)?,
        failures_in_a_row: small(row, 16)?,
        trouble: row.get(17)?,
        settings: row.get(18)?,
        removed_at: time(row, 19)?,
        purging: row.get(20)?,
        last_crawl: None,
    })
}

fn duration(row: &Row<'_>, index: usize) -> Result<Option<Duration>, Failure> {
    let stored: Option<i64> = row.get(index)?;
    Ok(stored.map(|ms| Duration::from_millis(ms.unsigned_abs())))
}
