//! Pages that come from elsewhere than a crawl.

use types::{CrawlId, SourceId, TenantId, Timestamp};

use super::apply::Session;
use super::prepare::{PreparedPage, prepare_page};
use crate::crawls::OpenCrawl;
use crate::error::Failure;
use crate::model::{NewTask, PageUpsert, UpsertOutcome};
use crate::sources::present_source;
use crate::sql::Connection;
use crate::tasks;

pub(crate) struct PreparedUpsert {
    url: String,
    host: String,
    /// `None`: the page goes.
    page: Option<Box<PreparedPage>>,
}

pub(crate) fn prepare_upsert(upsert: PageUpsert) -> Result<PreparedUpsert, Failure> {
    let page = upsert.page.map(|page| prepare_page(*page)).transpose()?;
    Ok(PreparedUpsert {
        host: upsert.url.host().to_owned(),
        url: upsert.url.to_string(),
        page: page.map(Box::new),
    })
}

pub(crate) fn upsert(
    connection: &Connection,
    tenant: TenantId,
    source: SourceId,
    upserts: &[PreparedUpsert],
    follow_ups: &[NewTask],
    now: Timestamp,
) -> Result<Vec<UpsertOutcome>, Failure> {
    if present_source(connection, source)? != tenant {
        // T1: it does not exist for them.
        return Err(Failure::not_found(format!("no source {source}")));
    }
    // Outside any crawl; nothing here asks for its number.
    let crawl = OpenCrawl {
        id: CrawlId(0),
        tenant,
        source,
    };
    let mut session = Session::new(connection, crawl, now)?;
    let pages = upserts.iter();
    session.look_ahead(
        pages.filter_map(|upsert| Some((upsert.url.as_str(), upsert.page.as_deref()?))),
    )?;
    let mut outcomes = Vec::with_capacity(upserts.len());
    for upsert in upserts {
        outcomes.push(match &upsert.page {
            Some(page) => match session.store_page(&upsert.url, &upsert.host, page)? {
                Some(change) => UpsertOutcome::Stored(change),
                None => UpsertOutcome::QuotaExceeded,
            },
            None if session.remove_page(&upsert.url)? => UpsertOutcome::Removed,
            None => UpsertOutcome::Absent,
        });
    }
    let has_new_chunks = session.chunks_pending_added > 0;
    session.save()?;
    if has_new_chunks {
        tasks::enqueue(connection, follow_ups, now)?;
    }
    Ok(outcomes)
}
