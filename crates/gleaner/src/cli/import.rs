//! `gleaner import`: pages from JSON lines.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use store::Access;
use types::SourceId;

use super::data_args::ImportArgs;
use super::output::{Exit, data_dir_flag, json_line, line, note, thousands};
use crate::app::App;
use crate::operations::import::{Importer, LINE_BYTES_MAX};
use crate::services::Services;
use crate::view::ImportReport;

pub fn run(app: &App, args: &ImportArgs) -> Result<Exit> {
    let input: Box<dyn Read> = if args.file == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        let file = File::open(&args.file);
        Box::new(file.with_context(|| format!("open {}", args.file.display()))?)
    };
    let store = app.open_store(Access::Write)?;
    let services = Arc::new(Services::start(app, store, Arc::default())?);
    let source = args.source.map(SourceId);
    let mut importer = Importer::new(services.clone(), app.tenant, source)?;
    read_lines(input, &mut importer).context("read the lines")?;
    let report = importer.finish()?;
    let pending = services.store.embedding_progress()?.pending;
    let services = Arc::into_inner(services).context("bug: the services are still in use")?;
    services.close()?;
    show(app, &report, pending)?;
    Ok(if report.failed == 0 {
        Exit::Ok
    } else if report.failed == report.lines {
        Exit::Failed
    } else {
        Exit::Partly
    })
}

/// A line that is too long is passed over without being kept.
fn read_lines(input: impl Read, importer: &mut Importer) -> Result<()> {
    let mut input = BufReader::with_capacity(256 * 1024, input);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let most = LINE_BYTES_MAX as u64 + 1;
        if input.by_ref().take(most).read_until(b'\n', &mut bytes)? == 0 {
            return Ok(());
        }
        let is_whole = bytes.last() == Some(&b'\n');
        if is_whole {
            bytes.pop();
        }
        if bytes.len() > LINE_BYTES_MAX {
            importer.long_line();
            input.skip_until(b'\n')?;
        } else {
            importer.line(&bytes)?;
        }
    }
}

fn show(app: &App, report: &ImportReport, pending: u64) -> Result<()> {
    if app.json {
        return json_line(report);
    }
    for error in &report.errors {
        let url = error.url.as_deref().unwrap_or("-");
        note(format!("line {}: {url}: {}", error.line, error.message));
    }
    let unlisted = report.failed - report.errors.len() as u64;
    if unlisted > 0 {
        note(format!("and {} more", thousands(unlisted)));
    }
    line(format!(
        "{} lines in {:.1} s: {} added, {} updated, {} unchanged, {} removed, {} failed",
        thousands(report.lines),
        report.took_ms as f64 / 1000.0,
        thousands(report.added),
        thousands(report.updated),
        thousands(report.unchanged),
        thousands(report.removed),
        thousands(report.failed),
    ))?;
    if pending > 0 {
        line(format!(
            "Searchable by keyword now; {} passages wait for their vectors: gleaner embed{}",
            thousands(pending),
            data_dir_flag(app),
        ))?;
    }
    Ok(())
}
