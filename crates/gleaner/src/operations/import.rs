//! Pages handed in as JSON lines, for what is not crawled: stored a hundred at
//! a time, each line well or not for itself.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use chunk::ChunkConfig;
use extract::{ExtractInput, ExtractLimits, Extracted, fingerprint};
use store::{NewTask, NotesPatch, PageUpsert, PageVisit, UpsertOutcome};
use types::{CanonicalUrl, Change, Page, Record, SourceId, TenantId};

use super::moment;
use super::sources;
use crate::app::parse_seed;
use crate::pipeline::start;
use crate::services::Services;
use crate::tasks;
use crate::view::{ImportReport, LineError, NotesLine, PageLine};

/// Lines of one transaction.
pub const BATCH: usize = 100;
/// Bytes of content after which a batch is written early.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// A longer line is refused unread.
pub const LINE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Errors that are listed; all are counted.
const ERRORS_MAX: usize = 100;

/// Takes lines one after another. What [`Importer::line`] returned of is not
/// stored before its batch is full or [`Importer::finish`] was called; handing
/// in the same lines again changes nothing.
pub struct Importer {
    services: Arc<Services>,
    tenant: TenantId,
    source: SourceId,
    extract_limits: ExtractLimits,
    chunk_config: ChunkConfig,
    waiting: Vec<Waiting>,
    waiting_bytes: usize,
    line: u64,
    report: ImportReport,
    started: Instant,
}

/// A line that was understood.
struct Waiting {
    line: u64,
    url: CanonicalUrl,
    page: Option<Box<PageVisit>>,
    notes: Option<NotesPatch>,
}

impl Importer {
    /// For pages of `source`; without one, for pages of a source of their own
    /// that is never crawled.
    pub fn new(
        services: Arc<Services>,
        tenant: TenantId,
        source: Option<SourceId>,
    ) -> Result<Importer> {
        let source = match source {
            Some(id) => sources::find(&services.store, tenant, id)?.id,
            None => services.store.ensure_import_source(tenant)?,
        };
        Ok(Importer {
            extract_limits: start::extract_limits(&services.app),
            chunk_config: start::chunk_config(&services.app)?,
            services,
            tenant,
            source,
            waiting: Vec::new(),
            waiting_bytes: 0,
            line: 0,
            report: ImportReport::default(),
            started: Instant::now(),
        })
    }

    /// Takes the next line, without its end. Fails when the store does.
    pub fn line(&mut self, bytes: &[u8]) -> Result<()> {
        self.line += 1;
        if bytes.trim_ascii().is_empty() {
            return Ok(());
        }
        self.report.lines += 1;
        match self.read(bytes) {
            Ok(waiting) => {
                self.waiting_bytes += bytes.len();
                self.waiting.push(waiting);
            }
            Err((url, problem)) => self.failed(self.line, url, "invalid_request", problem),
        }
        if self.waiting.len() >= BATCH || self.waiting_bytes >= BATCH_BYTES {
            self.write()?;
        }
        Ok(())
    }

    /// Passes over a line that is longer than [`LINE_BYTES_MAX`].
    pub fn long_line(&mut self) {
        self.line += 1;
        self.report.lines += 1;
        let problem = format!("a line has at most {LINE_BYTES_MAX} bytes");
        self.failed(self.line, None, "too_large", problem);
    }

    /// Stores what still waits; then everything can be found by keyword.
    pub fn finish(mut self) -> Result<ImportReport> {
        self.write()?;
        self.services.flush_index()?;
        let took = self.started.elapsed().as_millis();
        self.report.took_ms = u64::try_from(took).unwrap_or(u64::MAX);
        Ok(self.report)
    }

    fn failed(&mut self, line: u64, url: Option<String>, code: &str, message: String) {
        self.report.failed += 1;
        if self.report.errors.len() < ERRORS_MAX {
            self.report.errors.push(LineError {
                line,
                url,
                code: code.to_owned(),
                message,
            });
        }
    }

    fn read(&self, bytes: &[u8]) -> Result<Waiting, (Option<String>, String)> {
        let text = std::str::from_utf8(bytes).map_err(|_| (None, "this is no UTF-8".to_owned()))?;
        let mut line: PageLine = serde_json::from_str(text).map_err(|e| (None, e.to_string()))?;
        let url = std::mem::take(&mut line.url);
        let read = || -> Result<Waiting> {
            let canonical = parse_seed(&url)?;
            let notes = line.notes.take().map(patch);
            let page = if line.gone {
                None
            } else {
                let _permit = self.services.permits.take();
                Some(Box::new(self.page(&canonical, line)?))
            };
            Ok(Waiting {
                line: self.line,
                url: canonical,
                page,
                notes,
            })
        };
        read().map_err(|error| (Some(url.clone()), format!("{error:#}")))
    }

    /// Through the same extraction and chunking as what is crawled.
    fn page(&self, url: &CanonicalUrl, line: PageLine) -> Result<PageVisit> {
        let contents = [
            (line.markdown, "text/markdown; charset=utf-8"),
            (line.html, "text/html; charset=utf-8"),
            (line.text, "text/plain; charset=utf-8"),
        ];
        let mut given = contents
            .into_iter()
            .filter_map(|(content, kind)| Some((content?, kind)));
        let (Some((content, content_type)), None) = (given.next(), given.next()) else {
            anyhow::bail!("one of markdown, html and text is needed, and only one");
        };
        let input = ExtractInput {
            bytes: content.as_bytes(),
            content_type: Some(content_type),
            url: url.as_url(),
            x_robots_tag: &[],
            link_canonical: None,
        };
        let Extracted::Page(page) = extract::extract(&input, &self.extract_limits)? else {
            anyhow::bail!("the content is no page");
        };
        let mut page = *page;
        fill(&mut page.title, line.title);
        replace(&mut page.description, line.description);
        replace(&mut page.author, line.author);
        replace(&mut page.language, line.language);
        let published = moment("published_at", line.published_at.as_deref())?;
        let modified = moment("modified_at", line.modified_at.as_deref())?;
        page.published_at = published.or(page.published_at);
        page.modified_at = modified.or(page.modified_at);
        if let Some(record) = &line.record {
            let record =
                Record::try_from(record).map_err(|problem| anyhow::anyhow!("record: {problem}"))?;
            page.record = Some(Box::new(record));
        }
        if page.text.trim().is_empty() {
            anyhow::bail!("there is no text in it");
        }
        check_short(&page)?;
        fingerprint(&mut page);
        let chunks = chunk::chunk(&page, &self.chunk_config);
        Ok(PageVisit {
            page,
            chunks,
            etag: None,
            last_modified: None,
            content_type: Some(content_type.to_owned()),
        })
    }

    fn write(&mut self) -> Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        if waiting.is_empty() {
            return Ok(());
        }
        let (mut pages, mut lines) = (Vec::new(), Vec::new());
        for line in waiting {
            lines.push((line.line, line.url.to_string(), line.notes));
            pages.push(PageUpsert {
                url: line.url,
                page: line.page,
            });
        }
        let follow_ups = self.follow_ups();
        let store = self.services.store.clone();
        let outcomes = store.upsert_pages(self.tenant, self.source, pages, follow_ups)?;
        for ((line, url, notes), outcome) in lines.into_iter().zip(outcomes) {
            match outcome {
                UpsertOutcome::Stored(Change::Added) => self.report.added += 1,
                UpsertOutcome::Stored(Change::Updated) => self.report.updated += 1,
                UpsertOutcome::Stored(Change::Unchanged) | UpsertOutcome::Absent => {
                    self.report.unchanged += 1;
                }
                UpsertOutcome::Removed => self.report.removed += 1,
                UpsertOutcome::QuotaExceeded => {
                    let problem = "the tenant has as many pages as it may".to_owned();
                    self.failed(line, Some(url), "quota_exceeded", problem);
                    continue;
                }
            }
            let Some(notes) = notes else { continue };
            if let Some(page) = store.page_by_url(self.tenant, &url)?
                && let Err(error) = store.set_page_notes(self.tenant, page.id, notes)
            {
                let problem = format!("the page is stored, its notes are not: {error}");
                self.failed(line, Some(url), "invalid_request", problem);
            }
        }
        Ok(())
    }

    fn follow_ups(&self) -> Vec<NewTask> {
        if self.services.embeds() {
            vec![tasks::embed(self.tenant)]
        } else {
            Vec::new()
        }
    }
}

fn patch(line: NotesLine) -> NotesPatch {
    NotesPatch {
        favorite: line.favorite,
        applied: line.applied,
        status: line.status,
        notes: line.notes,
        tags: line.tags,
    }
}

fn fill(slot: &mut String, given: Option<String>) {
    if let Some(given) = given.filter(|given| !given.trim().is_empty()) {
        *slot = given;
    }
}

fn replace(slot: &mut Option<String>, given: Option<String>) {
    if given.as_ref().is_some_and(|given| !given.trim().is_empty()) {
        *slot = given;
    }
}

/// Of the fields that lists show; the content has limits of its own.
const FIELD_BYTES_MAX: usize = 4 * 1024;

fn check_short(page: &Page) -> Result<()> {
    for (name, text) in [
        ("title", Some(&page.title)),
        ("description", page.description.as_ref()),
        ("author", page.author.as_ref()),
        ("language", page.language.as_ref()),
    ] {
        if text.is_some_and(|text| text.len() > FIELD_BYTES_MAX) {
            anyhow::bail!("{name} has at most {FIELD_BYTES_MAX} bytes");
        }
    }
    Ok(())
}
