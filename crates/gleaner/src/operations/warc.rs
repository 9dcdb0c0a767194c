//! The raw copies of pages as one file.

use std::collections::VecDeque;
use std::sync::Arc;

use anyhow::Result;
use bytes::Bytes;
use store::{PageRow, Store};

use super::export::Export;
use crate::random;
use crate::raw::RawStore;

/// A file of raw copies: a page after another, each its newest version.
pub struct WarcExport {
    export: Export,
    raw: Arc<RawStore>,
    is_begun: bool,
    /// Read ahead.
    pages: VecDeque<PageRow>,
    pub records: u64,
    /// Pages whose newest version has no raw copy.
    pub without: u64,
}

impl WarcExport {
    pub fn new(export: Export, raw: Arc<RawStore>) -> WarcExport {
        WarcExport {
            export,
            raw,
            is_begun: false,
            pages: VecDeque::new(),
            records: 0,
            without: 0,
        }
    }

    /// The next record; `None` at the end.
    pub fn next(&mut self, store: &Store) -> Result<Option<Bytes>> {
        if !std::mem::replace(&mut self.is_begun, true) {
            let software = concat!("Gleaner/", env!("CARGO_PKG_VERSION"));
            let at = self.raw.now();
            return Ok(Some(
                archive::warcinfo(software, at, random::bytes()?).into(),
            ));
        }
        loop {
            let Some(page) = self.pages.pop_front() else {
                self.pages = self.export.next_rows(store)?.into();
                if self.pages.is_empty() {
                    return Ok(None);
                }
                continue;
            };
            let tenant = self.export.tenant;
            let record = self.raw.record(store, tenant, &page, page.version)?;
            match record {
                Some(_) => {
                    self.records += 1;
                    return Ok(record);
                }
                None => self.without += 1,
            }
        }
    }
}
