//! Cutting pages anew after the chunk settings changed.

use serde::Serialize;
use store::{
    PageCursor, PageFilter, PageRow, PageStatus, Rechunked, Store, StoreError, StoreErrorKind,
};
use types::{Page, PageId};

use super::kind::{Outcome, TaskContext, TaskFailure, TaskKind};
use super::new::{self, RECHUNK};
use crate::app::App;
use crate::pipeline::start::chunk_config;

/// Pages read, cut and written at a time.
const PAGES_PER_STEP: usize = 50;

#[derive(Debug)]
pub struct Rechunk;

#[derive(Debug, Default, Serialize)]
struct RechunkOutcome {
    pages_changed: u64,
    pages_same: u64,
}

impl TaskKind for Rechunk {
    fn name(&self) -> &'static str {
        RECHUNK
    }

    fn running_max(&self) -> u32 {
        1
    }

    fn run(&self, context: &TaskContext) -> Result<Outcome, TaskFailure> {
        let services = &context.services;
        let (app, store) = (&services.app, &context.store()?);
        let config = chunk_config(app).map_err(TaskFailure::Permanent)?;
        let follow_ups = if services.embeds() {
            vec![new::embed(context.task.tenant)]
        } else {
            Vec::new()
        };
        let stop = context.stop();
        let mut outcome = RechunkOutcome::default();
        let mut after: Option<PageId> = None;
        let total = store.stats()?.pages_live;
        let mut seen = 0;
        loop {
            let rows = store.pages(&PageFilter {
                tenant: context.task.tenant,
                status: Some(PageStatus::Live),
                cursor: after.map(PageCursor::behind_id),
                limit: PAGES_PER_STEP,
                ..PageFilter::default()
            })?;
            let Some(last) = rows.last() else { break };
            after = Some(last.id);
            seen += rows.len() as u64;
            let mut pages = Vec::with_capacity(rows.len());
            for row in rows.iter().filter(|row| row.duplicate_of.is_none()) {
                let Some(page) = stored_page(store, row)? else {
                    continue;
                };
                let chunks = {
                    let _permit = services.permits.take();
                    chunk::chunk(&page, &config)
                };
                pages.push(Rechunked {
                    page: row.id,
                    change_seq: row.change_seq,
                    chunks,
                });
            }
            let report = store.rechunk_pages(context.task.tenant, pages, follow_ups.clone())?;
            outcome.pages_changed += report.changed;
            outcome.pages_same += report.same;
            context.show(move || types::Progress {
                completed: seen,
                total: Some(total),
                ..types::Progress::default()
            });
            if *stop.borrow() {
                return Ok(Outcome::Stopped);
            }
        }
        store.set_chunk_settings(&settings_of(app))?;
        services.flush_index()?;
        Outcome::done(outcome)
    }
}

/// Queues the task if chunks were made with other settings than today's. A
/// database that does not answer is looked at when a process starts again.
pub fn rechunk_if_needed(app: &App, store: &Store) -> anyhow::Result<()> {
    let wanted = settings_of(app);
    let look = |shard: &Store| -> Result<(), StoreError> {
        match shard.chunk_settings()? {
            Some(settings) if settings == wanted => Ok(()),
            None if shard.stats()?.pages_live == 0 => shard.set_chunk_settings(&wanted),
            _ => {
                let task = new::rechunk(app.tenant);
                shard.enqueue_tasks(vec![task]).map(drop)
            }
        }
    };
    let shards = store.shards();
    for shard in &shards {
        match look(shard) {
            Err(error) if shards.len() > 1 && error.kind() == StoreErrorKind::Unavailable => {
                tracing::debug!(%error, "whether pages have to be cut anew is not known");
            }
            looked => looked?,
        }
    }
    Ok(())
}

fn settings_of(app: &App) -> String {
    let chunk = &app.config.chunk;
    serde_json::json!({
        "tokens_max": chunk.tokens_max,
        "tokens_overlap": chunk.tokens_overlap,
        "tokens_min": chunk.tokens_min,
        "tldr_words_max": chunk.tldr_words_max,
        "keywords_max": chunk.keywords_max,
    })
    .to_string()
}

/// The page as far as chunking looks at it.
fn stored_page(store: &Store, row: &PageRow) -> Result<Option<Page>, TaskFailure> {
    let content = store.page_content(row.id)?;
    Ok(content.map(|content| Page {
        title: row.title.clone(),
        text: content.text,
        markdown: content.markdown,
        blocks: content.blocks,
        language: row.language.clone(),
        ..Page::default()
    }))
}
