//! Summaries of pages: which pages are to be summarised, what came of it, and
//! lists of that.
//!
//! Whether a page waits is not noted, it follows: `pages.summarized_hash` is
//! the content that was last summarised, and a page with another content waits.
//! So whatever changes pages, an older program too, need not know of summaries.
//! A partial index has just the pages that wait.
//!
//! A page has one summary, the newest. It stays while the page has another text
//! and is shown as what it is then. Pages of a tenant that have the same text
//! share what was paid for one of them: those in the same database get it with
//! it ([`Store::save_summaries`]), others when they are asked for
//! ([`Store::reuse_summaries`]).

mod saving;
mod wanted;

#[cfg(test)]
pub(crate) use saving::{ALIKE, OF_TEXT};
#[cfg(test)]
pub(crate) use wanted::{again, never};

use std::cmp::Reverse;

use types::{PageId, TenantId, Timestamp};

use crate::codec;
use crate::error::Failure;
use crate::model::{Entity, SummaryCursor, SummaryRow, SummaryState};
use crate::rows::{as_i64, content_hash, count, small};
use crate::sql::{Connection, Row, Value, collect, first, send};
use crate::{Store, StoreError, SummaryFilter, SummaryStats};

impl Store {
    /// The tenant's newest summary of the page, of the text it has or of one it
    /// had (T1).
    pub fn summary(
        &self,
        tenant: TenantId,
        page: PageId,
    ) -> Result<Option<SummaryRow>, StoreError> {
        self.find(page, |shard| {
            shard.read("read the summary", |connection| {
                read_summary(connection, tenant, page)
            })
        })
    }

    /// Like [`Store::summary`] for those of the tenant's `pages` that have one,
    /// in the order asked.
    pub fn page_summaries(
        &self,
        tenant: TenantId,
        pages: &[PageId],
    ) -> Result<Vec<SummaryRow>, StoreError> {
        self.by_ids(
            pages,
            |row: &SummaryRow| row.page,
            |shard, pages| {
                shard.read("read summaries", |connection| {
                    let rows = pages
                        .iter()
                        .map(|page| read_summary(connection, tenant, *page));
                    rows.filter_map(Result::transpose).collect()
                })
            },
        )
    }

    /// A tenant's summaries, newest first; those behind `cursor`. A list of one
    /// source passes over those of the others.
    pub fn summaries(
        &self,
        tenant: TenantId,
        filter: &SummaryFilter,
        cursor: Option<SummaryCursor>,
        limit: usize,
    ) -> Result<Vec<SummaryRow>, StoreError> {
        let (sql, parameters) = list(tenant, filter, cursor, limit);
        self.merged(
            limit,
            |row: &SummaryRow| Reverse((row.created_at, row.page)),
            |shard| {
                shard.read("list summaries", |connection| {
                    collect(connection, &sql, &parameters, summary_row)
                })
            },
        )
    }

    /// How far the tenant's live pages are summarised.
    pub fn summary_stats(&self, tenant: TenantId) -> Result<SummaryStats, StoreError> {
        let parts = self.gather(|shard| {
            shard.read("count summaries", |connection| {
                let mut stats = SummaryStats::default();
                let counted = collect(connection, BY_STATE, [tenant.0], |row| {
                    Ok((state(row, 0)?, count(row, 1)?))
                })?;
                for (state, pages) in counted {
                    match state {
                        SummaryState::Done => stats.done = pages,
                        SummaryState::Failed => stats.failed = pages,
                        SummaryState::Fallback => stats.fallback = pages,
                    }
                }
                let waiting = first(connection, WAITING, [tenant.0], |row| count(row, 0))?;
                stats.waiting = waiting.unwrap_or(0);
                Ok(stats)
            })
        })?;
        let none = SummaryStats::default();
        Ok(parts.into_iter().fold(none, SummaryStats::and))
    }
}

/// Of each state, the live pages with a summary of the text they have.
pub(crate) const BY_STATE: &str = "
    SELECT s.state, count(*) FROM summaries s INDEXED BY summaries_state
      CROSS JOIN pages p ON p.id = s.page_id
    WHERE s.tenant_id = ?1 AND p.status = 1 AND p.version > 0
      AND s.content_hash = p.content_hash AND p.summarized_hash = p.content_hash
    GROUP BY s.state";

pub(crate) const WAITING: &str = "
    SELECT count(*) FROM pages p INDEXED BY pages_to_summarize
    WHERE p.tenant_id = ?1 AND p.status = 1 AND p.version > 0
      AND p.summarized_hash IS DISTINCT FROM p.content_hash";

/// All that [`summary_row`] reads, of a summary `s` and its page `p`, which is
/// no more when it was deleted by a program that knows no summaries.
macro_rules! select_summaries {
    ($from:literal, $ending:literal) => {
        concat!(
            "SELECT s.page_id, s.tenant_id, p.url, p.content_hash, s.created_at, s.content_hash, ",
            "s.state, s.model, s.prompt_version, s.language, s.title, s.summary, s.key_points, ",
            "s.entities, s.category, s.tokens_in, s.tokens_out, s.took_ms, s.calls, s.error FROM ",
            $from,
            " CROSS JOIN pages p ON p.id = s.page_id AND p.version > 0 ",
            $ending
        )
    };
}

const OF_PAGE: &str = select_summaries!("summaries s", "WHERE s.page_id = ?1 AND s.tenant_id = ?2");

/// Rows and their parameters, as both engines walk an index for them.
pub(crate) fn list(
    tenant: TenantId,
    filter: &SummaryFilter,
    cursor: Option<SummaryCursor>,
    limit: usize,
) -> (String, Vec<Value>) {
    let before = cursor.unwrap_or(SummaryCursor::START);
    let mut parameters: Vec<Value> = [tenant.0, before.at, before.page, as_i64(limit)]
        .map(Value::from)
        .to_vec();
    let mut sql = match filter.state {
        None => select_summaries!("summaries s INDEXED BY summaries_newest", "").to_owned(),
        Some(_) => select_summaries!("summaries s INDEXED BY summaries_state", "").to_owned(),
    };
    sql.push_str("WHERE s.tenant_id = ?1 AND (s.created_at, s.page_id) < (?2, ?3)");
    if let Some(state) = filter.state {
        parameters.push(Value::from(state.number()));
        sql.push_str(&format!(" AND s.state = ?{}", parameters.len()));
    }
    if let Some(source) = filter.source {
        parameters.push(Value::from(source.0));
        sql.push_str(&format!(" AND p.source_id = ?{}", parameters.len()));
    }
    sql.push_str(" ORDER BY s.created_at DESC, s.page_id DESC LIMIT ?4");
    (sql, parameters)
}

fn read_summary(
    connection: &Connection,
    tenant: TenantId,
    page: PageId,
) -> Result<Option<SummaryRow>, Failure> {
    first(connection, OF_PAGE, [page.0, tenant.0], summary_row)
}

/// The page is being deleted, or has gone to another database.
pub(crate) fn delete_summary(connection: &Connection, page: i64) -> Result<(), Failure> {
    let sql = "DELETE FROM summaries WHERE page_id = ?1";
    send(connection, sql, [page])
}

fn state(row: &Row<'_>, index: usize) -> Result<SummaryState, Failure> {
    let number = row.get(index)?;
    SummaryState::from_number(number)
        .ok_or_else(|| Failure::corrupt(format!("unknown state of a summary {number}")))
}

fn summary_row(row: &Row<'_>) -> Result<SummaryRow, Failure> {
    let (of_page, of_summary) = (content_hash(row, 3)?, content_hash(row, 5)?);
    Ok(SummaryRow {
        page: PageId(row.get(0)?),
        tenant: TenantId(row.get(1)?),
        url: row.get(2)?,
        is_current: of_page == of_summary,
        created_at: Timestamp(row.get(4)?),
        content_hash: of_summary,
        state: state(row, 6)?,
        model: row.get(7)?,
        prompt_version: small(row, 8)?,
        language: row.get(9)?,
        title: row.get(10)?,
        summary: row.get(11)?,
        key_points: codec::decode_strings(row.text(12)?)?,
        entities: decode_entities(row.text(13)?)?,
        category: row.get(14)?,
        tokens_in: count(row, 15)?,
        tokens_out: count(row, 16)?,
        took_ms: count(row, 17)?,
        calls: small(row, 18)?,
        error: row.get(19)?,
    })
}

fn encode_entities(entities: &[Entity]) -> Result<String, Failure> {
    let pairs = entities.iter().map(|one| (&one.name, &one.kind));
    serde_json::to_string(&pairs.collect::<Vec<_>>())
        .map_err(|error| Failure::bug(format!("entities are no JSON: {error}")))
}

fn decode_entities(json: &str) -> Result<Vec<Entity>, Failure> {
    let pairs: Vec<(String, String)> = serde_json::from_str(json)
        .map_err(|_| Failure::corrupt("the stored entities of a summary are damaged"))?;
    let entity = |(name, kind)| Entity { name, kind };
    Ok(pairs.into_iter().map(entity).collect())
}
