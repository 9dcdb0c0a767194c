//! All that is stored, one page after another.

use anyhow::Result;
use store::{PageCursor, PageFilter, PageRow, PageStatus, Store};
use types::{PageId, SourceId, TenantId, Timestamp};

use crate::view::PageLine;

/// Pages read at a time.
const PAGES_PER_STEP: usize = 50;

/// Which pages.
#[derive(Clone, Debug)]
pub struct Export {
    pub tenant: TenantId,
    pub source: Option<SourceId>,
    pub host: Option<String>,
    /// Changed then or later; pages that went since are named too.
    pub changed_since: Option<Timestamp>,
    after: Option<PageId>,
}

impl Export {
    pub fn new(
        tenant: TenantId,
        source: Option<SourceId>,
        host: Option<String>,
        changed_since: Option<Timestamp>,
    ) -> Export {
        Export {
            tenant,
            source,
            host: host.map(|host| host.to_ascii_lowercase()),
            changed_since,
            after: None,
        }
    }

    /// The next pages; none at the end. A page that is added meanwhile may or
    /// may not be among them.
    pub fn next(&mut self, store: &Store) -> Result<Vec<PageLine>> {
        let rows = self.next_rows(store)?;
        let ids: Vec<PageId> = rows.iter().map(|row| row.id).collect();
        let records = store.records_of(self.tenant, &ids)?;
        let notes = store.page_notes(self.tenant, &ids)?;
        let line = |row: &PageRow| -> Result<PageLine> {
            let content = store.page_content(row.id)?.unwrap_or_default();
            let record = records.iter().find(|(page, _)| *page == row.id);
            let notes = notes.iter().find(|notes| notes.page == row.id);
            Ok(PageLine::new(row, content, record.map(|(_, r)| r), notes))
        };
        rows.iter().map(line).collect()
    }

    /// Like [`Export::next`], without their contents.
    pub fn next_rows(&mut self, store: &Store) -> Result<Vec<PageRow>> {
        let only_live = self.changed_since.is_none();
        let rows = store.pages(&PageFilter {
            tenant: self.tenant,
            source: self.source,
            host: self.host.clone(),
            changed_since: self.changed_since,
            status: only_live.then_some(PageStatus::Live),
            cursor: self.after.map(PageCursor::behind_id),
            limit: PAGES_PER_STEP,
            ..PageFilter::default()
        })?;
        if let Some(last) = rows.last() {
            self.after = Some(last.id);
        }
        Ok(rows)
    }
}
