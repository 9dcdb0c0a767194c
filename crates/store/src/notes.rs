//! Notes of people on pages.

use types::{PageId, SourceId, TenantId, Timestamp};

use crate::codec;
use crate::error::Failure;
use crate::rebalance::check_stays;
use crate::sql::{Connection, Row, execute, first, params};
use crate::{NotesPatch, PageNotes, Store, StoreError};

const STATUS_CHARS_MAX: usize = 64;
const NOTES_BYTES_MAX: usize = 16 * 1024;
const TAGS_MAX: usize = 32;
const TAG_CHARS_MAX: usize = 64;

impl Store {
    /// Changes what is noted on a page, live or gone; all of it as it is then.
    /// Fails with a conflict on what is longer than [`NotesPatch`] says.
    pub fn set_page_notes(
        &self,
        tenant: TenantId,
        page: PageId,
        patch: NotesPatch,
    ) -> Result<PageNotes, StoreError> {
        let now = self.now();
        self.holder(page)?
            .write("note on the page", move |connection| {
                check_patch(&patch)?;
                let sql =
                    "SELECT source_id FROM pages WHERE id = ?1 AND tenant_id = ?2 AND version > 0";
                let source = first(connection, sql, [page.0, tenant.0], |row| row.get(0))?
                    .ok_or_else(|| Failure::not_found(format!("no page {page}")))?;
                check_stays(connection, SourceId(source))?;
                let old = read_notes(connection, tenant, page)?;
                let old_tags = old.as_ref().map_or(Vec::new(), |old| old.tags.clone());
                let mut notes = old.unwrap_or_else(|| PageNotes::none(page));
                notes.change(patch.clone());
                notes.updated_at = now;
                save(connection, tenant, &notes)?;
                let sql = "UPDATE tenants SET data_version = data_version + 1 WHERE id = ?1";
                execute(connection, sql, [tenant.0])?;
                if notes.tags != old_tags {
                    drop_tags(connection, tenant, page.0, &old_tags)?;
                    let sql = "INSERT INTO page_tags (tenant_id, tag, page_id) VALUES (?1, ?2, ?3)";
                    for tag in &notes.tags {
                        execute(connection, sql, params![tenant.0, tag, page.0])?;
                    }
                }
                Ok(notes)
            })
    }

    /// Notes on those of the tenant's `pages` that have any, in the order asked.
    pub fn page_notes(
        &self,
        tenant: TenantId,
        pages: &[PageId],
    ) -> Result<Vec<PageNotes>, StoreError> {
        self.by_ids(
            pages,
            |notes: &PageNotes| notes.page,
            |shard, pages| {
                shard.read("read notes on pages", |connection| {
                    let notes = pages
                        .iter()
                        .map(|page| read_notes(connection, tenant, *page));
                    notes.filter_map(Result::transpose).collect()
                })
            },
        )
    }
}

/// The page is being deleted, and with it what was noted on it.
pub(crate) fn delete_notes(
    connection: &Connection,
    tenant: TenantId,
    page: i64,
) -> Result<(), Failure> {
    let Some(notes) = read_notes(connection, tenant, PageId(page))? else {
        return Ok(());
    };
    drop_tags(connection, tenant, page, &notes.tags)?;
    execute(
        connection,
        "DELETE FROM page_notes WHERE page_id = ?1",
        [page],
    )?;
    Ok(())
}

impl PageNotes {
    fn none(page: PageId) -> PageNotes {
        PageNotes {
            page,
            favorite: false,
            applied: false,
            status: String::new(),
            notes: String::new(),
            tags: Vec::new(),
            updated_at: Timestamp(0),
        }
    }

    fn change(&mut self, patch: NotesPatch) {
        self.favorite = patch.favorite.unwrap_or(self.favorite);
        self.applied = patch.applied.unwrap_or(self.applied);
        if let Some(status) = patch.status {
            self.status = status;
        }
        if let Some(notes) = patch.notes {
            self.notes = notes;
        }
        if let Some(tags) = patch.tags {
            self.tags.clear();
            for tag in tags {
                if !self.tags.contains(&tag) {
                    self.tags.push(tag);
                }
            }
        }
    }
}

fn check_patch(patch: &NotesPatch) -> Result<(), Failure> {
    let refuse = |why: String| Err(Failure::conflict(why));
    if let Some(status) = &patch.status
        && !is_at_most(status, STATUS_CHARS_MAX)
    {
        return refuse(format!(
            "the status of a page has at most {STATUS_CHARS_MAX} characters"
        ));
    }
    if let Some(notes) = &patch.notes
        && notes.len() > NOTES_BYTES_MAX
    {
        return refuse(format!(
            "notes on a page have at most {NOTES_BYTES_MAX} bytes, not {}",
            notes.len()
        ));
    }
    let tags = patch.tags.as_deref().unwrap_or_default();
    if tags.len() > TAGS_MAX {
        return refuse(format!(
            "a page has at most {TAGS_MAX} tags, not {}",
            tags.len()
        ));
    }
    let is_tag = |tag: &String| !tag.is_empty() && is_at_most(tag, TAG_CHARS_MAX);
    if !tags.iter().all(is_tag) {
        return refuse(format!("a tag has 1 to {TAG_CHARS_MAX} characters"));
    }
    Ok(())
}

/// Bytes first: a text may be of any length.
fn is_at_most(text: &str, chars_max: usize) -> bool {
    text.len() <= 4 * chars_max && text.chars().count() <= chars_max
}

fn save(connection: &Connection, tenant: TenantId, notes: &PageNotes) -> Result<(), Failure> {
    execute(
        connection,
        "INSERT INTO page_notes
           (page_id, tenant_id, favorite, applied, updated_at, status, tags, notes)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (page_id) DO UPDATE SET favorite = excluded.favorite,
           applied = excluded.applied, updated_at = excluded.updated_at,
           status = excluded.status, tags = excluded.tags, notes = excluded.notes",
        params![
            notes.page.0,
            tenant.0,
            notes.favorite,
            notes.applied,
            notes.updated_at.0,
            notes.status,
            codec::encode_strings(&notes.tags)?,
            notes.notes
        ],
    )?;
    Ok(())
}

fn drop_tags(
    connection: &Connection,
    tenant: TenantId,
    page: i64,
    tags: &[String],
) -> Result<(), Failure> {
    let sql = "DELETE FROM page_tags WHERE tenant_id = ?1 AND tag = ?2 AND page_id = ?3";
    for tag in tags {
        execute(connection, sql, params![tenant.0, tag, page])?;
    }
    Ok(())
}

fn read_notes(
    connection: &Connection,
    tenant: TenantId,
    page: PageId,
) -> Result<Option<PageNotes>, Failure> {
    first(
        connection,
        "SELECT page_id, favorite, applied, updated_at, status, tags, notes FROM page_notes
         WHERE page_id = ?1 AND tenant_id = ?2",
        [page.0, tenant.0],
        notes_row,
    )
}

fn notes_row(row: &Row<'_>) -> Result<PageNotes, Failure> {
    let tags: String = row.get(5)?;
    Ok(PageNotes {
        page: PageId(row.get(0)?),
        favorite: row.get(1)?,
        applied: row.get(2)?,
        updated_at: Timestamp(row.get(3)?),
        status: row.get(4)?,
        tags: codec::decode_strings(&tags)?,
        notes: row.get(6)?,
    })
}
