//! `gleaner model show|prune|install`

use anyhow::{Result, bail};
use embed::ModelInfo;

use super::args::ModelCommand;
use super::output::{Exit, bytes, json_line, line, thousands};
use crate::app::App;

pub fn run(app: &App, command: &ModelCommand) -> Result<Exit> {
    match command {
        ModelCommand::Show { file } => {
            let path = file.clone().or_else(|| app.model_path());
            let info = match &path {
                Some(path) => embed::inspect(path)?,
                None => embed::inspect_bundled()?,
            };
            let place =
                path.map_or_else(|| "bundled".to_owned(), |path| path.display().to_string());
            show(app, &place, &info)?;
        }
        ModelCommand::Prune {
            source,
            destination,
        } => {
            if destination.exists() {
                bail!("{} exists already; remove it first", destination.display());
            }
            let report = embed::prune(source, destination, &embed::ScriptSet::bundled())?;
            if app.json {
                json_line(&serde_json::json!({
                    "pieces_before": report.pieces_before, "pieces_after": report.pieces_after,
                    "dropped_by_script": report.dropped_by_script,
                    "dropped_by_score": report.dropped_by_score,
                    "bytes": report.bytes, "sha256": report.sha256,
                }))?;
            } else {
                line(format!(
                    "Kept {} of {} vocabulary pieces (dropped {} by script, {} by score): {}\nsha256 {}",
                    thousands(report.pieces_after as u64),
                    thousands(report.pieces_before as u64),
                    thousands(report.dropped_by_script as u64),
                    thousands(report.dropped_by_score as u64),
                    bytes(report.bytes),
                    report.sha256,
                ))?;
            }
        }
        ModelCommand::Install { file } => {
            let target = embed::install(file, &app.models_dir())?;
            let info = embed::inspect(&target)?;
            show(app, &target.display().to_string(), &info)?;
            if !app.json {
                line("In use from now on. `gleaner embed` computes the vectors anew.")?;
            }
        }
    }
    Ok(Exit::Ok)
}

fn show(app: &App, place: &str, info: &ModelInfo) -> Result<()> {
    if app.json {
        return json_line(&serde_json::json!({
            "file": place, "name": info.name, "dims": info.dims, "layers": info.layers,
            "vocabulary": info.vocab, "bytes": info.bytes, "sha256": info.sha256,
            "pruned": info.pruned,
        }));
    }
    line(format!(
        "{} ({place})\n  {} dimensions, {} layers, {} vocabulary pieces{}, {}\n  sha256 {}",
        info.name,
        info.dims,
        info.layers,
        thousands(info.vocab as u64),
        if info.pruned { " (pruned)" } else { "" },
        bytes(info.bytes),
        info.sha256,
    ))
}
