//! `gleaner config`: every value and where it came from.

use anyhow::Result;

use super::output::{Exit, Paint, json_line, line};
use crate::app::App;
use crate::config::Loaded;

pub fn run(app: &App, loaded: &Loaded) -> Result<Exit> {
    let entries = loaded.entries();
    if app.json {
        let object: serde_json::Map<String, serde_json::Value> = entries
            .iter()
            .map(|(key, value, origin)| {
                (
                    key.clone(),
                    serde_json::json!({ "value": value, "from": origin }),
                )
            })
            .collect();
        json_line(&object)?;
        return Ok(Exit::Ok);
    }
    let paint = Paint::stdout();
    let width = entries
        .iter()
        .map(|(key, _, _)| key.len())
        .max()
        .unwrap_or(0);
    for (key, value, origin) in &entries {
        let origin = if *origin == "default" {
            paint.dim(origin)
        } else {
            paint.cyan(origin)
        };
        line(format!("{key:<width$} = {value}  {origin}"))?;
    }
    line(format!(
        "\nThe data folder in use is {}",
        app.data_dir().display()
    ))?;
    Ok(Exit::Ok)
}
