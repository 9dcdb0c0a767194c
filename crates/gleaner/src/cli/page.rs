//! `gleaner page list|show|summary|similar|raw|versions|diff`

use anyhow::{Context, Result, bail};

use store::{Access, PageContent, PageCursor, PageFilter, PageRow, PageStatus, Store};
use types::{PageId, SourceId};

use super::args::ExtractFormat;
use super::data_args::{PageCommand, PageListArgs};
use super::output::{Exit, Paint, json_line, line, rfc3339, shorten, write_bytes};
use crate::app::App;
use crate::diff;
use crate::searching::open_searcher;
use crate::view::{
    Fields, PageFullView, PageView, RecordView, SimilarView, SummaryView, VersionView,
};

/// Rows read at a time; the list itself has no limit unless asked for.
const ROWS_PER_READ: usize = 500;

pub fn run(app: &App, command: &PageCommand) -> Result<Exit> {
    let store = app.open_store(Access::Read)?;
    match command {
        PageCommand::List(args) => list(app, &store, args),
        PageCommand::Show { page, format } => show(app, &store, page, *format),
        PageCommand::Summary { page } => summary(app, &store, page),
        PageCommand::Similar { page, limit } => similar(app, &store, page, *limit),
        PageCommand::Raw {
            page,
            version,
            warc,
        } => raw(app, &store, page, *version, *warc),
        PageCommand::Versions { page } => versions(app, &store, page),
        PageCommand::Diff { page, from, to } => compare(app, &store, page, *from, *to),
    }
}

fn list(app: &App, store: &Store, args: &PageListArgs) -> Result<Exit> {
    let status = match args.status.as_deref() {
        None => None,
        Some("live") => Some(PageStatus::Live),
        Some("gone") => Some(PageStatus::Gone),
        Some(other) => bail!("--status is live or gone, not `{other}`"),
    };
    let fields = Fields::read(args.fields.fields.as_deref())?;
    let paint = Paint::stdout();
    let mut after = args.after.map(PageId);
    let mut left = if args.limit == 0 {
        usize::MAX
    } else {
        args.limit
    };
    while left > 0 {
        let rows = store.pages(&PageFilter {
            tenant: app.tenant,
            source: args.source.map(SourceId),
            host: args.host.clone(),
            status,
            language: args.language.clone(),
            cursor: after.map(PageCursor::behind_id),
            limit: left.min(ROWS_PER_READ),
            ..PageFilter::default()
        })?;
        let Some(last) = rows.last() else { break };
        after = Some(last.id);
        left -= rows.len();
        for row in &rows {
            if app.json {
                json_line(&fields.of(PageView::new(row)))?;
            } else {
                line(format!(
                    "{:>6}  {:<4} {:<2}  {}  {}",
                    row.id,
                    row.status.code(),
                    row.language.as_deref().unwrap_or("-"),
                    row.url,
                    paint.dim(&shorten(&row.title, 70)),
                ))?;
            }
        }
    }
    Ok(Exit::Ok)
}

fn find(app: &App, store: &Store, name: &str) -> Result<PageRow> {
    let by_id = name.parse::<i64>().ok().map(PageId);
    let found = match by_id {
        Some(id) => store.page(id)?.filter(|page| page.tenant == app.tenant),
        None => {
            let url = crate::app::parse_seed(name)?;
            store.page_by_url(app.tenant, url.as_str())?
        }
    };
    found.with_context(|| format!("there is no page `{name}`; see `gleaner page list`"))
}

fn content(store: &Store, page: &PageRow) -> Result<PageContent> {
    store
        .page_content(page.id)?
        .with_context(|| format!("page {} has no content", page.id))
}

fn show(app: &App, store: &Store, name: &str, format: ExtractFormat) -> Result<Exit> {
    let page = find(app, store, name)?;
    let content = content(store, &page)?;
    if app.json || format == ExtractFormat::Json {
        let detail = store.page_detail(page.id)?.unwrap_or_default();
        let chunks = store.chunks(page.id)?;
        let record = store.record_of(page.id)?;
        let record = record.as_ref().map(RecordView::from);
        json_line(&PageFullView::new(&page, content, &detail, &chunks, record))?;
        return Ok(Exit::Ok);
    }
    match format {
        ExtractFormat::Text => line(&content.text)?,
        _ => {
            let paint = Paint::stdout();
            line(paint.bold(&page.title))?;
            line(paint.dim(&format!(
                    "{} · {} · version {} · fetched {}{}",
                    page.url,
                    page.status.code(),
                    page.version,
                    rfc3339(page.fetched_at),
                    page.duplicate_of
                        .map_or_else(String::new, |id| format!(" · same content as page {id}")),
                )))?;
            line("")?;
            line(&content.markdown)?;
        }
    }
    Ok(Exit::Ok)
}

fn summary(app: &App, store: &Store, name: &str) -> Result<Exit> {
    let page = find(app, store, name)?;
    let summary = store.summary(app.tenant, page.id)?.with_context(|| {
        format!(
            "page {id} has no summary; `gleaner summarize --page {id}` makes one",
            id = page.id
        )
    })?;
    let summary = SummaryView::new(&summary);
    if app.json {
        json_line(&summary)?;
    } else {
        super::summarize::show(&summary)?;
    }
    Ok(Exit::Ok)
}

fn raw(app: &App, store: &Store, name: &str, version: Option<u32>, warc: bool) -> Result<Exit> {
    let page = find(app, store, name)?;
    let version = version.unwrap_or(page.version);
    let archive = app
        .raw_store()?
        .context("no raw copies are kept; archive.url says where they would go")?;
    let absent = || {
        format!(
            "page {} has no raw copy of version {version}; see `gleaner page versions {}`",
            page.id, page.id
        )
    };
    if warc {
        let record = archive.record(store, app.tenant, &page, version)?;
        write_bytes(&record.with_context(absent)?)?;
    } else {
        let record = archive.read(store, app.tenant, &page, version)?;
        write_bytes(&record.with_context(absent)?.body)?;
    }
    Ok(Exit::Ok)
}

fn similar(app: &App, store: &Store, name: &str, limit: usize) -> Result<Exit> {
    let page = find(app, store, name)?;
    let holder = page.duplicate_of.unwrap_or(page.id);
    let model = store.embedding_model()?.map(|model| model.id);
    let searcher = open_searcher(app, store.clone(), model.as_deref())?;
    let found = searcher.similar(app.tenant, holder, limit.clamp(1, 100))?;
    let found = found
        .with_context(|| format!("page {} has no vectors yet; run `gleaner embed`", page.id))?;
    let paint = Paint::stdout();
    for (other, similarity) in found {
        let Some(other) = store.page(other)?.filter(|other| other.id != page.id) else {
            continue;
        };
        if app.json {
            json_line(&SimilarView::new(similarity, &other))?;
        } else {
            line(format!(
                "{similarity:>6.3}  {:>6}  {}  {}",
                other.id,
                other.url,
                paint.dim(&shorten(&other.title, 70))
            ))?;
        }
    }
    Ok(Exit::Ok)
}

fn versions(app: &App, store: &Store, name: &str) -> Result<Exit> {
    let page = find(app, store, name)?;
    for version in store.page_versions(page.id)? {
        if app.json {
            json_line(&VersionView::new(&version))?;
        } else {
            line(format!(
                "{:>4}  {}  {}  {}  {}",
                version.version,
                rfc3339(version.seen_at),
                &version.content_hash.to_string()[..12],
                if version.has_raw { "raw" } else { "-  " },
                version.title
            ))?;
        }
    }
    Ok(Exit::Ok)
}

fn compare(
    app: &App,
    store: &Store,
    name: &str,
    from: Option<i64>,
    to: Option<i64>,
) -> Result<Exit> {
    let page = find(app, store, name)?;
    let number = |given: Option<i64>, default: u32| match given {
        None => Ok(default),
        Some(number) => u32::try_from(number).context("versions are numbered from 1"),
    };
    let to = number(to, page.version)?;
    let from = number(from, to.saturating_sub(1))?;
    if from == 0 {
        bail!(
            "page {} has only one version; there is nothing to compare",
            page.id
        );
    }
    let read = |version: u32| {
        store.version_content(page.id, version)?.with_context(|| {
            format!(
                "page {} has no version {version}; see `gleaner page versions {}`",
                page.id, page.id
            )
        })
    };
    let (old, new) = (read(from)?, read(to)?);
    let changes = diff::lines(&old.markdown, &new.markdown);
    if app.json {
        let lines: Vec<_> = changes
            .iter()
            .map(|change| serde_json::json!({"op": change.op.to_string(), "text": change.text}))
            .collect();
        json_line(
            &serde_json::json!({"page_id": page.id.0, "from": from, "to": to, "lines": lines}),
        )?;
        return Ok(Exit::Ok);
    }
    let paint = Paint::stdout();
    line(paint.bold(&format!("{} version {from} → {to}", page.url)))?;
    for change in diff::with_context(&changes, 3) {
        match change {
            diff::Shown::Line(change) => {
                let text = format!("{} {}", change.op, change.text);
                line(match change.op {
                    '+' => paint.green(&text),
                    '-' => paint.red(&text),
                    _ => text,
                })?;
            }
            diff::Shown::Gap(lines) => line(paint.dim(&format!("  … {lines} lines the same")))?,
        }
    }
    Ok(Exit::Ok)
}
