//! `gleaner export`: all pages as JSON lines, or what servers answered as WARC.

use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use store::{Access, Store};
use types::SourceId;

use super::data_args::{ExportArgs, ExportFormat};
use super::output::{Exit, json_line, note, thousands, write_bytes};
use crate::app::App;
use crate::operations::export::Export;
use crate::operations::moment;
use crate::operations::sources;
use crate::operations::warc::WarcExport;

pub fn run(app: &App, args: &ExportArgs) -> Result<Exit> {
    let store = app.open_store(Access::Read)?;
    let since = moment("--changed-since", args.changed_since.as_deref())?;
    let source = args.source.map(SourceId);
    if let Some(id) = source {
        sources::find(&store, app.tenant, id)?;
    }
    if args.format == ExportFormat::Warc && args.output.is_none() && std::io::stdout().is_terminal()
    {
        bail!("a WARC file is nothing to be read on a terminal; name a file with --output");
    }
    let mut file = match &args.output {
        Some(path) => {
            let file = File::create_new(path);
            let file = file.with_context(|| format!("create {}", path.display()))?;
            Some(BufWriter::new(file))
        }
        None => None,
    };
    let mut export = Export::new(app.tenant, source, args.host.clone(), since);
    if args.format == ExportFormat::Warc {
        return warc(app, &store, export, file);
    }
    let mut pages = 0u64;
    loop {
        let lines = export.next(&store)?;
        if lines.is_empty() {
            break;
        }
        pages += lines.len() as u64;
        for line in &lines {
            match &mut file {
                Some(file) => {
                    serde_json::to_writer(&mut *file, line)?;
                    file.write_all(b"\n")?;
                }
                None => json_line(line)?,
            }
        }
    }
    if let Some(file) = file {
        file.into_inner()?.sync_all()?;
        note(format!("{} pages written", thousands(pages)));
    }
    Ok(Exit::Ok)
}

fn warc(app: &App, store: &Store, export: Export, file: Option<BufWriter<File>>) -> Result<Exit> {
    let archive = app
        .raw_store()?
        .context("no raw copies are kept; archive.url says where they would go")?;
    let mut file = file;
    let mut export = WarcExport::new(export, Arc::new(archive));
    while let Some(record) = export.next(store)? {
        match &mut file {
            Some(file) => file.write_all(&record)?,
            None => write_bytes(&record)?,
        }
    }
    if let Some(file) = file {
        file.into_inner()?.sync_all()?;
    }
    let (records, without) = (thousands(export.records), thousands(export.without));
    note(format!(
        "{records} raw copies written; {without} pages have none"
    ));
    Ok(Exit::Ok)
}
