//! Saving summaries, and sharing them among pages of the same text.

use std::collections::HashMap;

use types::{ContentHash, PageId, SourceId, TenantId, Timestamp};

use super::{decode_entities, encode_entities};
use crate::codec;
use crate::error::{Failure, StoreErrorKind};
use crate::frontier::cut;
use crate::model::{NewSummary, SaveOutcome, SummaryState, SummaryWork};
use crate::rebalance::is_being_moved;
use crate::rows::{as_i64, content_hash, small};
use crate::sql::{Connection, Row, ValueRef, collect, collect_each, execute, first, params, send};
use crate::{Store, StoreError};

/// Bytes of all texts of a summary.
const TEXT_BYTES_MAX: usize = 64 * 1024;
const MODEL_BYTES_MAX: usize = 200;
/// Pages of the same text that get a summary in the transaction that saves it.
const COPIES_MAX: usize = 1_000;

impl Store {
    /// Saves summaries, in one transaction for each database; what became of
    /// each, in their order. Pages of the same text in the same database get it
    /// as well, 1,000 at most. To repeat it after a failure does no harm.
    ///
    /// Fails with a conflict, and saves nothing, where one is longer than
    /// [`NewSummary`] says.
    pub fn save_summaries(
        &self,
        tenant: TenantId,
        summaries: Vec<NewSummary>,
    ) -> Result<Vec<SaveOutcome>, StoreError> {
        summaries.iter().try_for_each(check)?;
        if self.shards_held().len() == 1 {
            return self.save_where_they_are(tenant, summaries);
        }
        let mut outcomes = self.save_where_they_are(tenant, summaries.clone())?;
        // Between looking up where a page is and writing there it may have moved.
        let is_stale = |at: &usize| outcomes[*at] == SaveOutcome::Stale;
        let stale: Vec<usize> = (0..outcomes.len()).filter(is_stale).collect();
        let once_more = stale.iter().map(|at| summaries[*at].clone()).collect();
        let again = self.save_where_they_are(tenant, once_more)?;
        for (at, outcome) in stale.into_iter().zip(again) {
            outcomes[at] = outcome;
        }
        Ok(outcomes)
    }

    fn save_where_they_are(
        &self,
        tenant: TenantId,
        summaries: Vec<NewSummary>,
    ) -> Result<Vec<SaveOutcome>, StoreError> {
        let now = self.now();
        self.write_grouped(
            "save summaries",
            summaries,
            |summary| summary.page,
            move |connection, summaries| save_all(connection, tenant, summaries, now),
        )
    }

    /// Gives those pages whose text is that of another page of the tenant with
    /// a summary that is done the same summary, also from another database;
    /// the work that is left. To be asked before a model is.
    pub fn reuse_summaries(
        &self,
        tenant: TenantId,
        work: Vec<SummaryWork>,
    ) -> Result<Vec<SummaryWork>, StoreError> {
        let asked: Vec<Vec<ValueRef<'_>>> = work
            .iter()
            .map(|work| {
                vec![
                    ValueRef::Integer(tenant.0),
                    ValueRef::Blob(&work.content_hash.0),
                ]
            })
            .collect();
        let found = self.gather(|shard| {
            shard.read("look for summaries of the same texts", |connection| {
                collect_each(connection, OF_TEXT, &asked, done_summary)
            })
        })?;
        let mut known: HashMap<ContentHash, NewSummary> = HashMap::new();
        for summary in found.into_iter().flatten().flatten() {
            known.entry(summary.content_hash).or_insert(summary);
        }
        drop(asked);
        let mut left = Vec::new();
        let mut copies = Vec::new();
        for work in work {
            match known.get(&work.content_hash) {
                Some(summary) => copies.push(NewSummary {
                    page: work.page,
                    ..summary.clone()
                }),
                None => left.push(work),
            }
        }
        if !copies.is_empty() {
            self.save_summaries(tenant, copies)?;
        }
        Ok(left)
    }
}

fn check(summary: &NewSummary) -> Result<(), StoreError> {
    let refuse = |why: String| {
        let message = format!("save the summary of page {}: {why}", summary.page);
        Err(StoreError::new(StoreErrorKind::Conflict, message))
    };
    let bytes = summary.title.len()
        + summary.summary.len()
        + summary.language.as_ref().map_or(0, String::len)
        + summary.category.as_ref().map_or(0, String::len)
        + summary.key_points.iter().map(String::len).sum::<usize>()
        + summary
            .entities
            .iter()
            .map(|entity| entity.name.len() + entity.kind.len())
            .sum::<usize>();
    if bytes > TEXT_BYTES_MAX {
        return refuse(format!("it has {bytes} bytes, {TEXT_BYTES_MAX} at most"));
    }
    if summary.model.is_empty() || summary.model.len() > MODEL_BYTES_MAX {
        return refuse(format!("a model's name has 1 to {MODEL_BYTES_MAX} bytes"));
    }
    Ok(())
}

/// A page as far as its summary depends on it.
struct Summarized {
    content_id: i64,
    source: SourceId,
    is_live: bool,
    content_hash: ContentHash,
    /// Of its summary, if that is of the text it has.
    state: Option<SummaryState>,
}

const SUMMARIZED: &str = "
    SELECT p.content_id, p.source_id, p.status, p.content_hash, s.content_hash, s.state
    FROM pages p LEFT JOIN summaries s ON s.page_id = p.id
    WHERE p.id = ?1 AND p.tenant_id = ?2 AND p.version > 0";

/// Live pages of a content, that have no summary of it or, with `?3`, one that
/// is not done.
pub(crate) const ALIKE: &str = "
    SELECT p.id, p.source_id FROM pages p LEFT JOIN summaries s ON s.page_id = p.id
    WHERE p.content_id = ?1 AND p.status = 1 AND p.version > 0 AND p.id <> ?2
      AND (p.summarized_hash IS DISTINCT FROM p.content_hash OR (?3 = 1 AND s.state <> 0))
    ORDER BY p.id LIMIT ?4";

pub(crate) const OF_TEXT: &str = "
    SELECT page_id, content_hash, model, prompt_version, language, title, summary, key_points,
      entities, category
    FROM summaries WHERE tenant_id = ?1 AND content_hash = ?2 AND state = 0 LIMIT 1";

/// One that is done, as another page of the same text gets it.
fn done_summary(row: &Row<'_>) -> Result<NewSummary, Failure> {
    Ok(NewSummary {
        page: PageId(row.get(0)?),
        content_hash: content_hash(row, 1)?,
        state: SummaryState::Done,
        model: row.get(2)?,
        prompt_version: small(row, 3)?,
        language: row.get(4)?,
        title: row.get(5)?,
        summary: row.get(6)?,
        key_points: codec::decode_strings(row.text(7)?)?,
        entities: decode_entities(row.text(8)?)?,
        category: row.get(9)?,
        tokens_in: 0,
        tokens_out: 0,
        took_ms: 0,
        calls: 0,
        error: None,
    })
}

fn save_all(
    connection: &Connection,
    tenant: TenantId,
    summaries: &[NewSummary],
    now: Timestamp,
) -> Result<Vec<SaveOutcome>, Failure> {
    let mut saving = Saving {
        connection,
        tenant,
        now,
        moved: HashMap::new(),
    };
    let mut outcomes = Vec::with_capacity(summaries.len());
    for summary in summaries {
        outcomes.push(saving.save(summary)?);
    }
    if outcomes.contains(&SaveOutcome::Saved) {
        let sql = "UPDATE tenants SET data_version = data_version + 1 WHERE id = ?1";
        send(connection, sql, [tenant.0])?;
    }
    Ok(outcomes)
}

struct Saving<'c> {
    connection: &'c Connection,
    tenant: TenantId,
    now: Timestamp,
    /// Sources, and whether they are on their way from or to this database.
    moved: HashMap<SourceId, bool>,
}

impl Saving<'_> {
    fn save(&mut self, new: &NewSummary) -> Result<SaveOutcome, Failure> {
        let parameters = [new.page.0, self.tenant.0];
        let Some(page) = first(self.connection, SUMMARIZED, parameters, summarized)? else {
            return Ok(SaveOutcome::Stale);
        };
        let is_as_it_was = page.is_live && page.content_hash == new.content_hash;
        if !is_as_it_was || self.is_moved(page.source)? {
            return Ok(SaveOutcome::Stale);
        }
        if page.state == Some(SummaryState::Done) {
            return Ok(SaveOutcome::Known);
        }
        self.write(new)?;
        self.share(new, page.content_id)?;
        Ok(SaveOutcome::Saved)
    }

    /// Other pages of the same text get it as well; the tokens stay with the first.
    fn share(&mut self, new: &NewSummary, content: i64) -> Result<(), Failure> {
        let is_done = new.state == SummaryState::Done;
        let parameters = params![content, new.page.0, is_done, as_i64(COPIES_MAX)];
        let alike = collect(self.connection, ALIKE, parameters, |row| {
            Ok((PageId(row.get(0)?), SourceId(row.get(1)?)))
        })?;
        for (page, source) in alike {
            if self.is_moved(source)? {
                continue;
            }
            self.write(&NewSummary {
                page,
                tokens_in: 0,
                tokens_out: 0,
                took_ms: 0,
                calls: 0,
                ..new.clone()
            })?;
        }
        Ok(())
    }

    /// What is being moved is compared on both sides, so it stays as it is.
    fn is_moved(&mut self, source: SourceId) -> Result<bool, Failure> {
        if let Some(known) = self.moved.get(&source) {
            return Ok(*known);
        }
        let is_moved = is_being_moved(self.connection, source)?;
        self.moved.insert(source, is_moved);
        Ok(is_moved)
    }

    fn write(&self, new: &NewSummary) -> Result<(), Failure> {
        execute(
            self.connection,
            "INSERT INTO summaries (page_id, tenant_id, state, created_at, content_hash,
               prompt_version, tokens_in, tokens_out, took_ms, calls, model, language, category,
               error, title, summary, key_points, entities)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,
               ?18)
             ON CONFLICT (page_id) DO UPDATE SET tenant_id = excluded.tenant_id,
               state = excluded.state, created_at = excluded.created_at,
               content_hash = excluded.content_hash, prompt_version = excluded.prompt_version,
               tokens_in = excluded.tokens_in, tokens_out = excluded.tokens_out,
               took_ms = excluded.took_ms, calls = excluded.calls, model = excluded.model,
               language = excluded.language, category = excluded.category,
               error = excluded.error, title = excluded.title, summary = excluded.summary,
               key_points = excluded.key_points, entities = excluded.entities",
            params![
                new.page.0,
                self.tenant.0,
                new.state.number(),
                self.now.0,
                new.content_hash.0,
                new.prompt_version,
                amount(new.tokens_in),
                amount(new.tokens_out),
                amount(new.took_ms),
                new.calls,
                new.model,
                new.language,
                new.category,
                new.error.as_deref().map(cut),
                new.title,
                new.summary,
                codec::encode_strings(&new.key_points)?,
                encode_entities(&new.entities)?
            ],
        )?;
        send(
            self.connection,
            "UPDATE pages SET summarized_hash = content_hash WHERE id = ?1",
            [new.page.0],
        )
    }
}

fn summarized(row: &Row<'_>) -> Result<Summarized, Failure> {
    let of_page = content_hash(row, 3)?;
    let of_summary: Option<Vec<u8>> = row.get(4)?;
    let state = match of_summary {
        Some(hash) if hash == of_page.0 => Some(super::state(row, 5)?),
        _ => None,
    };
    Ok(Summarized {
        content_id: row.get(0)?,
        source: SourceId(row.get(1)?),
        is_live: row.get::<i64>(2)? == 1,
        content_hash: of_page,
        state,
    })
}

fn amount(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
