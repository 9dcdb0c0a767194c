//! Pages that have arrived elsewhere go, and nobody is told: neither events nor
//! rows for indexes speak of it, as the pages are where they are now. Only the
//! search tables of the database that they leave forget them.

use types::{CrawlId, PageId, SourceId, TenantId, Timestamp};

use super::hold::Leaving;
use crate::batch::{DELETE_CONTENT, Session, StoredPage, stored_page_by_id};
use crate::crawls::OpenCrawl;
use crate::error::Failure;
use crate::notes::delete_notes;
use crate::records::delete_record;
use crate::rows::as_i64;
use crate::search_tables;
use crate::sql::{Connection, collect, execute, first, params};
use crate::summaries::delete_summary;

/// Removes pages of the source that leaves.
pub(super) fn leave(
    connection: &Connection,
    leaving: &Leaving,
    tenant: TenantId,
    pages: &[i64],
    now: Timestamp,
) -> Result<(), Failure> {
    leaving.check(connection)?;
    let crawl = OpenCrawl {
        id: CrawlId(0),
        tenant,
        source: SourceId(leaving.source),
    };
    let mut session = Session::new(connection, crawl, now)?;
    for page in pages {
        let stored = stored_page_by_id(connection, *page)?;
        if let Some(stored) = stored.filter(|stored| stored.source_id == leaving.source) {
            session.forget_page(&stored)?;
        }
    }
    session.save()?;
    search_tables::forget(connection, pages)
}

impl Session<'_> {
    fn forget_page(&mut self, stored: &StoredPage) -> Result<(), Failure> {
        if stored.is_live {
            self.leave_content(stored)?;
            self.delete_chunks(stored.id)?;
            self.counters.pages_live -= 1;
            *self.source_pages.entry(stored.source_id).or_default() -= 1;
        }
        self.counters.pages -= i64::from(stored.version > 0);
        let mut contents: Vec<i64> = collect(
            self.connection,
            "SELECT content_id FROM page_versions WHERE page_id = ?1",
            [stored.id],
            |row| row.get(0),
        )?;
        contents.push(stored.content_id);
        contents.sort_unstable();
        contents.dedup();
        delete_record(self.connection, stored.id)?;
        delete_notes(self.connection, self.crawl.tenant, stored.id)?;
        delete_summary(self.connection, stored.id)?;
        for sql in [
            "DELETE FROM page_versions WHERE page_id = ?1",
            "DELETE FROM page_details WHERE page_id = ?1",
            "DELETE FROM pages WHERE id = ?1",
        ] {
            execute(self.connection, sql, [stored.id])?;
        }
        for content in contents {
            execute(self.connection, DELETE_CONTENT, [content])?;
        }
        Ok(())
    }

    /// Like [`Session::release_content`], but the chunks have gone with the page
    /// under their ids, so a page of another source that has the same content
    /// gets them under new ones. Pages of the same source follow, and need none.
    fn leave_content(&mut self, stored: &StoredPage) -> Result<(), Failure> {
        let holder: Option<Option<i64>> = first(
            self.connection,
            "SELECT holder_page_id FROM contents WHERE id = ?1",
            [stored.content_id],
            |row| row.get(0),
        )?;
        if holder.flatten() != Some(stored.id) {
            return Ok(());
        }
        let was_representative = self.forget_simhash(stored.id, stored.simhash)?;
        let heir: Option<(i64, i64)> = first(
            self.connection,
            "SELECT id, simhash FROM pages
             WHERE content_id = ?1 AND status = 1 AND source_id <> ?2 ORDER BY id LIMIT 1",
            [stored.content_id, stored.source_id],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        execute(
            self.connection,
            "UPDATE contents SET holder_page_id = ?2 WHERE id = ?1",
            params![stored.content_id, heir.map(|(id, _)| id)],
        )?;
        match heir {
            Some((heir, simhash)) => {
                let chunks = self.renumber_chunks(stored.id, heir)?;
                if was_representative {
                    self.remember_simhash(heir, simhash.cast_unsigned())?;
                }
                let change_seq = self.counters.next_change_seq();
                execute(
                    self.connection,
                    "UPDATE pages SET chunk_count = ?2, near_duplicate_of = ?3, change_seq = ?4
                     WHERE id = ?1",
                    params![heir, as_i64(chunks), stored.near, change_seq],
                )?;
            }
            None if was_representative => self.promote_another(stored)?,
            None => {}
        }
        Ok(())
    }

    /// Gives a page's chunks to another page under new ids; their number.
    fn renumber_chunks(&mut self, from: i64, to: i64) -> Result<usize, Failure> {
        let ids: Vec<i64> = collect(
            self.connection,
            "SELECT id FROM chunks WHERE page_id = ?1 ORDER BY position, id",
            [from],
            |row| row.get(0),
        )?;
        for id in &ids {
            let new = self.counters.next_chunk_id();
            execute(
                self.connection,
                "UPDATE chunks SET id = ?2, page_id = ?3 WHERE id = ?1",
                [*id, new, to],
            )?;
            for kind in [0, 1] {
                let change_seq = self.counters.next_change_seq();
                execute(
                    self.connection,
                    "UPDATE vectors SET id = ?2, page_id = ?3, change_seq = ?4 WHERE id = ?1",
                    [id * 2 + kind, new * 2 + kind, to, change_seq],
                )?;
            }
        }
        Ok(ids.len())
    }

    /// Of the pages near to the one that goes, the oldest that stays takes its
    /// place. Those of the same source keep their link: they follow it.
    fn promote_another(&mut self, stored: &StoredPage) -> Result<(), Failure> {
        let follower: Option<(i64, i64)> = first(
            self.connection,
            "SELECT id, simhash FROM pages
             WHERE near_duplicate_of = ?1 AND source_id <> ?2 ORDER BY id LIMIT 1",
            [stored.id, stored.source_id],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let Some((follower, simhash)) = follower else {
            return Ok(());
        };
        self.remember_simhash(follower, simhash.cast_unsigned())?;
        let change_seq = self.counters.next_change_seq();
        execute(
            self.connection,
            "UPDATE pages SET near_duplicate_of = NULL, change_seq = ?2 WHERE id = ?1",
            [follower, change_seq],
        )?;
        Ok(())
    }
}

/// What of a page there is in a database, to be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PageCounts {
    pub(super) page: PageId,
    /// Its version, and how many rows of versions, details, records, notes and summaries.
    pub(super) rows: [i64; 6],
    pub(super) content_hash: Vec<u8>,
    /// As the page says.
    pub(super) chunk_count: i64,
    pub(super) chunks: i64,
    pub(super) vectors: i64,
    /// Who has the chunks of its content.
    pub(super) holder: Option<i64>,
}

pub(super) const COUNTS: &str = "
    SELECT p.id, p.version,
      (SELECT count(*) FROM page_versions v WHERE v.page_id = p.id),
      (SELECT count(*) FROM page_details d WHERE d.page_id = p.id),
      (SELECT count(*) FROM records r WHERE r.page_id = p.id),
      (SELECT count(*) FROM page_notes n WHERE n.page_id = p.id),
      (SELECT count(*) FROM summaries s WHERE s.page_id = p.id),
      p.content_hash, p.chunk_count,
      (SELECT count(*) FROM chunks k WHERE k.page_id = p.id),
      (SELECT CAST(coalesce(sum(
           (SELECT count(*) FROM vectors v WHERE v.id = k.id * 2)
         + (SELECT count(*) FROM vectors v WHERE v.id = k.id * 2 + 1)), 0) AS BIGINT)
       FROM chunks k WHERE k.page_id = p.id),
      (SELECT c.holder_page_id FROM contents c WHERE c.id = p.content_id)
    FROM pages p
    WHERE p.id IN (SELECT CAST(value AS BIGINT) FROM json_each(?1)) ORDER BY p.id";

pub(super) fn counts(connection: &Connection, pages: &str) -> Result<Vec<PageCounts>, Failure> {
    collect(connection, COUNTS, [pages], |row| {
        Ok(PageCounts {
            page: PageId(row.get(0)?),
            rows: [
                row.get(1)?,
                row.get(2)?,
                row.get(3)?,
                row.get(4)?,
                row.get(5)?,
                row.get(6)?,
            ],
            content_hash: row.get(7)?,
            chunk_count: row.get(8)?,
            chunks: row.get(9)?,
            vectors: row.get(10)?,
            holder: row.get(11)?,
        })
    })
}

/// How a page differs from what arrived of it, if it does.
pub(super) fn difference(here: &PageCounts, there: Option<&PageCounts>) -> Option<String> {
    let page = here.page;
    let Some(there) = there else {
        return Some(format!("page {page} has not arrived"));
    };
    let differs = |what: &str, here: i64, there: i64| {
        Some(format!(
            "of page {page} there are {here} {what} here and {there} there"
        ))
    };
    let names = [
        "as version",
        "versions",
        "details",
        "records",
        "notes",
        "summaries",
    ];
    for (what, (here, there)) in names.into_iter().zip(here.rows.iter().zip(there.rows)) {
        if *here != there {
            return differs(what, *here, there);
        }
    }
    if here.content_hash != there.content_hash {
        return Some(format!("page {page} has another content there"));
    }
    if there.chunks != there.chunk_count {
        return differs("chunks", there.chunk_count, there.chunks);
    }
    // One whose content another page has there brings no chunks.
    let holds = |counts: &PageCounts| counts.holder == Some(page.0);
    let is_held = there.holder.is_some() || here.chunks == 0;
    if holds(here) && (holds(there) || !is_held) {
        if here.chunks != there.chunks {
            return differs("chunks", here.chunks, there.chunks);
        }
        if here.vectors != there.vectors {
            return differs("vectors", here.vectors, there.vectors);
        }
    }
    None
}
