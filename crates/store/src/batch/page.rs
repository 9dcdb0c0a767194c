//! Storing, touching and removing one page.

use types::{Change, PageId, SourceId, Timestamp};

use super::apply::Session;
use super::prepare::PreparedPage;
use crate::crawls::OpenCrawl;
use crate::error::Failure;
use crate::model::EventType;
use crate::outbox::{PageChanged, PageRemoved, rfc3339, title};
use crate::rebalance::is_being_moved;
use crate::records::{delete_record, insert_record, record_of, save_record};
use crate::rows::{as_i64, small};
use crate::sql::{Connection, Row, collect, execute, first, params, send};

/// A page row as far as its next visit depends on it.
#[derive(Debug)]
pub(crate) struct StoredPage {
    pub(crate) id: i64,
    pub(crate) source_id: i64,
    pub(crate) content_id: i64,
    pub(crate) content_hash: [u8; 32],
    pub(crate) is_live: bool,
    pub(crate) simhash: u64,
    pub(crate) version: u32,
    pub(crate) near: Option<i64>,
    pub(crate) meta_hash: i64,
    pub(crate) links_hash: i64,
}

/// Id, hash of the exact bytes and holder.
type StoredContent = (i64, [u8; 16], Option<i64>);

/// Whether a page holds the chunks of its content, whose row there is now.
#[derive(Clone, Copy, Debug)]
struct Content {
    is_holder: bool,
}

macro_rules! select_stored {
    ($ending:literal) => {
        concat!(
            "SELECT id, source_id, content_id, content_hash, status, simhash, version, ",
            "near_duplicate_of, meta_hash, links_hash FROM pages ",
            $ending
        )
    };
}

pub(crate) const PAGE_BY_URL: &str = select_stored!("WHERE tenant_id = ?1 AND url = ?2");
pub(super) const CONTENT_BY_HASH: &str = "
    SELECT id, body_hash, holder_page_id FROM contents
    WHERE tenant_id = ?1 AND content_hash = ?2";

pub(crate) const PAGES_BELOW: &str =
    select_stored!("WHERE source_id = ?1 AND id < ?2 AND version > 0 ORDER BY id DESC LIMIT ?3");

impl Session<'_> {
    /// `None`: one more live page than the tenant may have; nothing was stored.
    pub(crate) fn store_page(
        &mut self,
        url: &str,
        host: &str,
        page: &PreparedPage,
    ) -> Result<Option<Change>, Failure> {
        let stored = self.find_page(url)?;
        if let Some(stored) = &stored
            && self.is_on_its_way(stored)?
        {
            return Ok(Some(Change::Unchanged));
        }
        if !stored.as_ref().is_some_and(|page| page.is_live) && !self.has_room()? {
            return Ok(None);
        }
        let Some(stored) = stored else {
            self.insert_page(url, host, page)?;
            return Ok(Some(Change::Added));
        };
        if stored.is_live && stored.content_hash == page.content_hash {
            if self.refresh_page(&stored, page)? {
                let (id, version) = (stored.id, stored.version);
                self.tell_changed(EventType::PageUpdated, id, version, url, page, &["record"])?;
            }
            return Ok(Some(Change::Unchanged));
        }
        let (version, has_other_record) = self.replace_page(&stored, page)?;
        let (kind, changed, change): (_, &[&str], _) = match stored.is_live {
            false => (EventType::PageAdded, &[], Change::Added),
            true if has_other_record => (
                EventType::PageUpdated,
                &["content", "record"],
                Change::Updated,
            ),
            true => (EventType::PageUpdated, &["content"], Change::Updated),
        };
        self.tell_changed(kind, stored.id, version, url, page, changed)?;
        Ok(Some(change))
    }

    /// Notes that the live page under `url` is current; false if there is none.
    pub(crate) fn touch_page(&mut self, url: &str) -> Result<bool, Failure> {
        let rows = execute(
            self.connection,
            "UPDATE pages SET fetched_at = ?3 WHERE tenant_id = ?1 AND url = ?2 AND status = 1",
            params![self.crawl.tenant.0, url, self.now.0],
        )?;
        Ok(rows == 1)
    }

    /// The site no longer offers the page. Its content and versions stay.
    /// False when there was no live page.
    pub(crate) fn remove_page(&mut self, url: &str) -> Result<bool, Failure> {
        let Some(stored) = self.find_page(url)?.filter(|p| p.is_live) else {
            return Ok(false);
        };
        if self.is_on_its_way(&stored)? {
            return Ok(false);
        }
        self.release_content(&stored)?;
        self.delete_chunks(stored.id)?;
        delete_record(self.connection, stored.id)?;
        let change_seq = self.counters.next_change_seq();
        send(
            self.connection,
            "UPDATE pages SET status = 0, chunk_count = 0, near_duplicate_of = NULL, etag = NULL,
               last_modified = NULL, fetched_at = ?2, changed_at = ?2, change_seq = ?3
             WHERE id = ?1",
            params![stored.id, self.now.0, change_seq],
        )?;
        self.counters.pages_live -= 1;
        *self.source_pages.entry(stored.source_id).or_default() -= 1;
        self.tell_removed(stored.id, url)?;
        Ok(true)
    }

    /// An event, if somebody wants it.
    pub(crate) fn tell_removed(&mut self, page_id: i64, url: &str) -> Result<(), Failure> {
        let (crawl, source) = (self.crawl.id.0, self.crawl.source);
        let event = PageRemoved {
            page_id,
            source_id: source.0,
            crawl_id: (crawl != 0).then_some(crawl),
            url,
        };
        self.outbox
            .add(EventType::PageRemoved, Some(source), &event)
    }

    fn tell_changed(
        &mut self,
        kind: EventType,
        page_id: i64,
        version: u32,
        url: &str,
        page: &PreparedPage,
        changed: &[&'static str],
    ) -> Result<(), Failure> {
        if !self.outbox.wants(kind) {
            return Ok(());
        }
        let source = self.crawl.source;
        let event = PageChanged {
            page_id,
            source_id: source.0,
            crawl_id: (self.crawl.id.0 != 0).then_some(self.crawl.id.0),
            url,
            title: title(&page.title),
            language: page.language.as_deref(),
            version,
            content_hash: blake3::Hash::from(page.content_hash).to_hex().to_string(),
            published_at: page.published_at.map(|at| rfc3339(Timestamp(at))),
            changed,
        };
        self.outbox.add(kind, Some(source), &event)
    }

    fn find_page(&self, url: &str) -> Result<Option<StoredPage>, Failure> {
        if self.ahead.new_urls.contains(url) {
            return Ok(None);
        }
        first(
            self.connection,
            PAGE_BY_URL,
            params![self.crawl.tenant.0, url],
            stored_page,
        )
    }

    /// Whether the page belongs to another source that is being moved to or
    /// from another database: it stays as it is then, and its own source's
    /// next crawl sees what became of it.
    fn is_on_its_way(&self, stored: &StoredPage) -> Result<bool, Failure> {
        if stored.source_id == self.crawl.source.0 {
            return Ok(false);
        }
        is_being_moved(self.connection, SourceId(stored.source_id))
    }

    /// Pages of the session's source with ids under `below`, newest first.
    pub(crate) fn pages_below(&self, below: i64, limit: usize) -> Result<Vec<StoredPage>, Failure> {
        let parameters = [self.crawl.source.0, below, as_i64(limit)];
        collect(self.connection, PAGES_BELOW, parameters, stored_page)
    }

    fn insert_page(&mut self, url: &str, host: &str, page: &PreparedPage) -> Result<(), Failure> {
        let id = self.counters.next_page_id();
        let content = self.save_content(page, id)?;
        let near = self.near_duplicate(id, page, content.is_holder)?;
        let change_seq = self.counters.next_change_seq();
        self.ahead.new_urls.remove(url);
        send(
            self.connection,
            "INSERT INTO pages
               (id, tenant_id, source_id, content_id, status, url, host, title, description,
                author, published_at, modified_at, language, canonical, content_hash, simhash,
                version, etag, last_modified, content_type, fetched_at, changed_at,
                first_seen_at, near_duplicate_of, chunk_count, meta_hash, links_hash, change_seq)
             VALUES (?1, ?2, ?3,
                     (SELECT id FROM contents WHERE tenant_id = ?2 AND content_hash = ?13),
                     1, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, 1,
                     ?15, ?16, ?17, ?18, ?18, ?18, ?19, ?20, ?21, ?22, ?23)",
            params![
                id,
                self.crawl.tenant.0,
                self.crawl.source.0,
                url,
                host,
                page.title,
                page.description,
                page.author,
                page.published_at,
                page.modified_at,
                page.language,
                page.canonical,
                page.content_hash,
                page.simhash.cast_signed(),
                page.etag,
                page.last_modified,
                page.content_type,
                self.now.0,
                near,
                chunk_count(page, content),
                page.meta_hash,
                page.links_hash,
                change_seq
            ],
        )?;
        self.save_details(id, page)?;
        if let Some(record) = &page.record {
            let OpenCrawl { tenant, source, .. } = self.crawl;
            insert_record(self.connection, tenant, source, id, record)?;
        }
        self.save_version(id, 1, page)?;
        if content.is_holder {
            self.insert_chunks(id, &page.chunks)?;
        }
        self.counters.pages += 1;
        self.counters.pages_live += 1;
        *self.source_pages.entry(self.crawl.source.0).or_default() += 1;
        self.tell_changed(EventType::PageAdded, id, 1, url, page, &[])
    }

    /// A live page with other content, or one that was gone and is back: its
    /// version, and whether somebody is to be told of another record.
    fn replace_page(
        &mut self,
        stored: &StoredPage,
        page: &PreparedPage,
    ) -> Result<(u32, bool), Failure> {
        if stored.is_live {
            self.release_content(stored)?;
        }
        let content = self.save_content(page, stored.id)?;
        let near = self.near_duplicate(stored.id, page, content.is_holder)?;
        if content.is_holder {
            self.diff_chunks(stored.id, &page.chunks)?;
        } else {
            self.delete_chunks(stored.id)?;
        }
        let is_new_content = stored.content_hash != page.content_hash;
        let version = stored.version + u32::from(is_new_content);
        if is_new_content {
            self.save_version(stored.id, version, page)?;
        }
        let source_id = if stored.is_live {
            stored.source_id
        } else {
            self.counters.pages_live += 1;
            *self.source_pages.entry(self.crawl.source.0).or_default() += 1;
            self.crawl.source.0
        };
        self.save_details(stored.id, page)?;
        let has_other_record = self.save_record(stored.id, source_id, page)?;
        self.update_page(stored.id, source_id, version, content, near, page)?;
        // One that was deleted begins anew.
        let was_deleted = stored.version == 0;
        self.counters.pages += i64::from(was_deleted);
        send(
            self.connection,
            "UPDATE pages SET changed_at = ?2, first_seen_at = iif(?3, ?2, first_seen_at)
             WHERE id = ?1",
            params![stored.id, self.now.0, was_deleted],
        )?;
        Ok((version, has_other_record))
    }

    /// A live page with the content it had. What hangs on it may still differ:
    /// white space, links, dates, its record, or the way it is cut into chunks.
    /// Says whether somebody is to be told of another record.
    fn refresh_page(&mut self, stored: &StoredPage, page: &PreparedPage) -> Result<bool, Failure> {
        let content = self.save_content(page, stored.id)?;
        let chunks_changed = content.is_holder && self.diff_chunks(stored.id, &page.chunks)?;
        let near = self.refreshed_near_duplicate(stored, page, content.is_holder)?;
        let meta_changed = stored.meta_hash != page.meta_hash;
        if meta_changed || stored.links_hash != page.links_hash {
            self.save_details(stored.id, page)?;
        }
        let has_other_record =
            meta_changed && self.save_record(stored.id, stored.source_id, page)?;
        if chunks_changed || meta_changed || near != stored.near || stored.simhash != page.simhash {
            let version = stored.version;
            self.update_page(stored.id, stored.source_id, version, content, near, page)?;
            return Ok(has_other_record);
        }
        send(
            self.connection,
            "UPDATE pages SET fetched_at = ?2, etag = ?3, last_modified = ?4, content_type = ?5,
               links_hash = ?6
             WHERE id = ?1",
            params![
                stored.id,
                self.now.0,
                page.etag,
                page.last_modified,
                page.content_type,
                page.links_hash
            ],
        )?;
        Ok(has_other_record)
    }

    fn update_page(
        &mut self,
        id: i64,
        source_id: i64,
        version: u32,
        content: Content,
        near: Option<i64>,
        page: &PreparedPage,
    ) -> Result<(), Failure> {
        let change_seq = self.counters.next_change_seq();
        send(
            self.connection,
            "UPDATE pages SET source_id = ?2,
               content_id = (SELECT id FROM contents WHERE tenant_id = ?3 AND content_hash = ?11),
               status = 1, title = ?4,
               description = ?5, author = ?6, published_at = ?7, modified_at = ?8, language = ?9,
               canonical = ?10, content_hash = ?11, simhash = ?12, version = ?13, etag = ?14,
               last_modified = ?15, content_type = ?16, fetched_at = ?17,
               near_duplicate_of = ?18, chunk_count = ?19, meta_hash = ?20, links_hash = ?21,
               change_seq = ?22
             WHERE id = ?1",
            params![
                id,
                source_id,
                self.crawl.tenant.0,
                page.title,
                page.description,
                page.author,
                page.published_at,
                page.modified_at,
                page.language,
                page.canonical,
                page.content_hash,
                page.simhash.cast_signed(),
                version,
                page.etag,
                page.last_modified,
                page.content_type,
                self.now.0,
                near,
                chunk_count(page, content),
                page.meta_hash,
                page.links_hash,
                change_seq
            ],
        )
    }

    /// Finds or makes the row of this content. The page becomes its holder if
    /// no other live page is. Only the holder may replace the exact bytes,
    /// because its chunks are ranges of them.
    fn save_content(&mut self, page: &PreparedPage, page_id: i64) -> Result<Content, Failure> {
        // Looked up ahead, and not made since.
        let is_new = self.ahead.new_contents.remove(&page.content_hash);
        let known = match is_new {
            true => None,
            false => self.find_content(page)?,
        };
        let text_bytes = as_i64(page.text_bytes);
        let Some((id, body_hash, holder)) = known else {
            send(
                self.connection,
                "INSERT INTO contents
                   (tenant_id, content_hash, body_hash, holder_page_id, text_bytes, body)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![
                    self.crawl.tenant.0,
                    page.content_hash,
                    page.body_hash,
                    page_id,
                    text_bytes,
                    page.body
                ],
            )?;
            return Ok(Content { is_holder: true });
        };
        let is_holder = holder.is_none_or(|holder| holder == page_id);
        if is_holder && body_hash != page.body_hash {
            send(
                self.connection,
                "UPDATE contents SET holder_page_id = ?2, body_hash = ?3, text_bytes = ?4, body = ?5
                 WHERE id = ?1",
                params![id, page_id, page.body_hash, text_bytes, page.body],
            )?;
        } else if holder.is_none() {
            self.set_holder(id, Some(page_id))?;
        }
        Ok(Content { is_holder })
    }

    fn find_content(&self, page: &PreparedPage) -> Result<Option<StoredContent>, Failure> {
        first(
            self.connection,
            CONTENT_BY_HASH,
            params![self.crawl.tenant.0, page.content_hash],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
    }

    /// Takes a live page off its content, before it gets another or goes. If
    /// it held the chunks, the oldest duplicate takes them over; without one
    /// they are left for the caller to compare or delete.
    pub(crate) fn release_content(&mut self, stored: &StoredPage) -> Result<(), Failure> {
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
        let heir = first(
            self.connection,
            "SELECT id, simhash FROM pages
             WHERE content_id = ?1 AND status = 1 AND id <> ?2 ORDER BY id LIMIT 1",
            [stored.content_id, stored.id],
            |row| {
                let simhash: i64 = row.get(1)?;
                Ok((row.get::<i64>(0)?, simhash.cast_unsigned()))
            },
        )?;
        self.set_holder(stored.content_id, heir.map(|(id, _)| id))?;
        match heir {
            Some((heir, simhash)) => {
                let chunks = self.move_chunks(stored.id, heir)?;
                if was_representative {
                    self.remember_simhash(heir, simhash)?;
                }
                let change_seq = self.counters.next_change_seq();
                send(
                    self.connection,
                    "UPDATE pages SET chunk_count = ?2, near_duplicate_of = ?3, change_seq = ?4
                     WHERE id = ?1",
                    params![heir, as_i64(chunks), stored.near, change_seq],
                )?;
            }
            None if was_representative => self.promote_follower(stored.id)?,
            None => {}
        }
        Ok(())
    }

    fn set_holder(&self, content_id: i64, page_id: Option<i64>) -> Result<(), Failure> {
        send(
            self.connection,
            "UPDATE contents SET holder_page_id = ?2 WHERE id = ?1",
            params![content_id, page_id],
        )
    }

    fn save_details(&self, page_id: i64, page: &PreparedPage) -> Result<(), Failure> {
        send(
            self.connection,
            "INSERT INTO page_details (page_id, facts, links) VALUES (?1, ?2, ?3)
             ON CONFLICT (page_id) DO UPDATE SET facts = excluded.facts, links = excluded.links",
            params![page_id, page.facts, page.links],
        )
    }

    /// True when it was another one; looked up only if somebody wants to know.
    fn save_record(
        &self,
        page_id: i64,
        source_id: i64,
        page: &PreparedPage,
    ) -> Result<bool, Failure> {
        let (tenant, source) = (self.crawl.tenant, SourceId(source_id));
        let record = page.record.as_deref();
        let is_other = self.outbox.wants(EventType::PageUpdated)
            && record_of(self.connection, PageId(page_id))?.as_ref() != record;
        save_record(self.connection, tenant, source, page_id, record)?;
        Ok(is_other)
    }

    fn save_version(
        &mut self,
        page_id: i64,
        version: u32,
        page: &PreparedPage,
    ) -> Result<(), Failure> {
        let raw_key = match &mut self.raw {
            Some(takings) => takings.take(self.connection)?,
            None => None,
        };
        send(
            self.connection,
            "INSERT INTO page_versions (page_id, version, content_id, title, seen_at, raw_key)
             VALUES (?1, ?2, (SELECT id FROM contents WHERE tenant_id = ?3 AND content_hash = ?4),
                     ?5, ?6, ?7)",
            params![
                page_id,
                version,
                self.crawl.tenant.0,
                page.content_hash,
                page.title,
                self.now.0,
                raw_key
            ],
        )
    }
}

pub(crate) fn stored_page_by_id(
    connection: &Connection,
    id: i64,
) -> Result<Option<StoredPage>, Failure> {
    first(
        connection,
        select_stored!("WHERE id = ?1"),
        [id],
        stored_page,
    )
}

fn chunk_count(page: &PreparedPage, content: Content) -> i64 {
    if content.is_holder {
        as_i64(page.chunks.len())
    } else {
        0
    }
}

fn stored_page(row: &Row<'_>) -> Result<StoredPage, Failure> {
    let status: i64 = row.get(4)?;
    let simhash: i64 = row.get(5)?;
    Ok(StoredPage {
        id: row.get(0)?,
        source_id: row.get(1)?,
        content_id: row.get(2)?,
        content_hash: row.get(3)?,
        is_live: status == 1,
        simhash: simhash.cast_unsigned(),
        version: small(row, 6)?,
        near: row.get(7)?,
        meta_hash: row.get(8)?,
        links_hash: row.get(9)?,
    })
}
