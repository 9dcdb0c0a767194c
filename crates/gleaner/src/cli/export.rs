//! `gleaner export`: all pages as JSON lines.

use std::fs::File;
use std::io::{BufWriter, Write};

use anyhow::{Context, Result};
use store::Access;
use types::SourceId;

use super::data_args::ExportArgs;
use super::output::{Exit, json_line, note, thousands};
use crate::app::App;
use crate::operations::export::Export;
use crate::operations::moment;
use crate::operations::sources;

pub fn run(app: &App, args: &ExportArgs) -> Result<Exit> {
    let store = app.open_store(Access::Read)?;
    let since = moment("--changed-since", args.changed_since.as_deref())?;
    let source = args.source.map(SourceId);
    if let Some(id) = source {
        sources::find(&store, app.tenant, id)?;
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
