//! Deleting pages with all that hangs on them.
//!
//! What remains is a row of version 0 without content, which tells indexes
//! that the page is gone and is shown to nobody else. Found again, it becomes
//! a page of version 1.

use types::{CrawlId, SourceId, TenantId, Timestamp};

use super::apply::Session;
use super::page::StoredPage;
use crate::codec;
use crate::crawls::OpenCrawl;
use crate::error::Failure;
use crate::model::EventType;
use crate::notes::delete_notes;
use crate::raw::doom_versions;
use crate::records::delete_record;
use crate::sql::{Connection, collect, first, insert, params, send};
use crate::summaries::delete_summary;

/// Pages deleted by one write.
const PAGES_PER_STEP: usize = 200;
/// Chunks and versions after which a write ends early.
const ROWS_PER_STEP: usize = 5_000;

/// Of a content that no page and no version has any more.
pub(crate) const DELETE_CONTENT: &str = "
    DELETE FROM contents WHERE id = ?1
      AND NOT EXISTS (SELECT 1 FROM pages WHERE content_id = ?1)
      AND NOT EXISTS (SELECT 1 FROM page_versions WHERE content_id = ?1)";

/// What one write deleted.
pub(crate) struct Deleted {
    pub(crate) pages: u64,
    /// The lowest page seen, when there are more below it.
    pub(crate) next_below: Option<i64>,
}

/// Deletes some pages of a source with ids under `below`, newest first: the
/// oldest of several duplicates holds the chunks, which then never move.
pub(crate) fn delete_pages(
    connection: &Connection,
    tenant: TenantId,
    source: SourceId,
    below: i64,
    now: Timestamp,
) -> Result<Deleted, Failure> {
    // Outside any crawl; nothing here asks for its number.
    let crawl = OpenCrawl {
        id: CrawlId(0),
        tenant,
        source,
    };
    let mut session = Session::new(connection, crawl, now)?;
    let pages = session.pages_below(below, PAGES_PER_STEP)?;
    let mut deleted = Deleted {
        pages: 0,
        next_below: None,
    };
    let (mut rows, mut seen) = (0, 0);
    for page in &pages {
        rows += session.delete_page(page)?;
        deleted.pages += 1;
        seen += 1;
        if rows >= ROWS_PER_STEP {
            break;
        }
    }
    if seen < pages.len() || pages.len() == PAGES_PER_STEP {
        deleted.next_below = seen.checked_sub(1).map(|last| pages[last].id);
    }
    session.save()?;
    Ok(deleted)
}

impl Session<'_> {
    /// How many chunks and versions went with it.
    fn delete_page(&mut self, stored: &StoredPage) -> Result<usize, Failure> {
        let mut rows = 0;
        let mut change_seq = None;
        if stored.is_live {
            self.release_content(stored)?;
            rows += self.delete_chunks(stored.id)?;
            change_seq = Some(self.counters.next_change_seq());
            self.counters.pages_live -= 1;
            if self.outbox.wants(EventType::PageRemoved) {
                let sql = "SELECT url FROM pages WHERE id = ?1";
                let url: Option<String> =
                    first(self.connection, sql, [stored.id], |row| row.get(0))?;
                self.tell_removed(stored.id, &url.unwrap_or_default())?;
            }
            *self.source_pages.entry(stored.source_id).or_default() -= 1;
        }
        self.counters.pages -= 1;
        let mut contents: Vec<i64> = collect(
            self.connection,
            "SELECT content_id FROM page_versions WHERE page_id = ?1",
            [stored.id],
            |row| row.get(0),
        )?;
        rows += contents.len();
        contents.push(stored.content_id);
        contents.sort_unstable();
        contents.dedup();
        doom_versions(self.connection, stored.id, self.now)?;
        for sql in [
            "DELETE FROM page_versions WHERE page_id = ?1",
            "DELETE FROM page_details WHERE page_id = ?1",
        ] {
            send(self.connection, sql, [stored.id])?;
        }
        delete_record(self.connection, stored.id)?;
        delete_notes(self.connection, self.crawl.tenant, stored.id)?;
        delete_summary(self.connection, stored.id)?;
        let (nothing, hash) = self.no_content()?;
        send(
            self.connection,
            "UPDATE pages SET status = 0, version = 0, content_id = ?2, content_hash = ?3,
               simhash = 0, title = '', description = NULL, author = NULL, published_at = NULL,
               modified_at = NULL, language = NULL, canonical = NULL, etag = NULL,
               last_modified = NULL, content_type = NULL, near_duplicate_of = NULL,
               chunk_count = 0, meta_hash = 0, links_hash = 0, changed_at = ?4, summarized_hash = NULL,
               change_seq = coalesce(?5, change_seq)
             WHERE id = ?1",
            params![stored.id, nothing, hash, self.now.0, change_seq],
        )?;
        for content in contents {
            send(self.connection, DELETE_CONTENT, [content])?;
        }
        Ok(rows)
    }

    /// The tenant's content of deleted pages: every page row has to have one.
    fn no_content(&self) -> Result<(i64, [u8; 32]), Failure> {
        // Unlike any hash of a page, even of an empty one.
        let hash = *blake3::hash(b"gleaner: a deleted page").as_bytes();
        let tenant = self.crawl.tenant.0;
        let known = first(
            self.connection,
            "SELECT id FROM contents WHERE tenant_id = ?1 AND content_hash = ?2",
            params![tenant, hash],
            |row| row.get(0),
        )?;
        if let Some(id) = known {
            return Ok((id, hash));
        }
        let id = insert(
            self.connection,
            "INSERT INTO contents
               (tenant_id, content_hash, body_hash, holder_page_id, text_bytes, body)
             VALUES (?1, ?2, ?3, NULL, 0, ?4)",
            params![
                tenant,
                hash,
                codec::hash_16(&hash),
                codec::encode_content("", "", &[])
            ],
        )?;
        Ok((id, hash))
    }
}
