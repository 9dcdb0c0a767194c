//! `gleaner bench extract`: every HTML file of a folder, on one thread.
//!
//! Times are CPU time: what else the machine does must not matter.

use std::path::Path;

use anyhow::{Result, bail};
use serde_json::json;

use super::report::{Machine, Table, Times, rounded, thread_cpu};
use crate::app::App;
use crate::cli::extract::{Document, extract_document, files_below, read_file};
use crate::cli::output::{Exit, bytes, json_line, line, note, thousands};

const HTML_ENDINGS: [&str; 3] = ["html", "htm", "xhtml"];
/// Links resolve against it; nothing else depends on it.
const BASE_URL: &str = "http://example.com/";
/// Pages extracted before the clock starts, for caches and lazily built tables.
const WARM_UP_PAGES: usize = 20;

pub fn run(app: &App, dir: &Path) -> Result<Exit> {
    let files: Vec<_> = files_below(dir)?
        .into_iter()
        .filter(|path| is_html(path))
        .collect();
    if files.is_empty() {
        bail!("there is no HTML file in {}", dir.display());
    }
    let url = url::Url::parse(BASE_URL)?;
    let document = |path: &Path| -> Result<Document> {
        Ok(Document {
            url: url.clone(),
            bytes: read_file(path)?,
            content_type: Some("text/html".to_owned()),
            x_robots_tag: Vec::new(),
            link_canonical: None,
        })
    };
    for path in files.iter().take(WARM_UP_PAGES) {
        // Whatever fails here fails again below, where it is counted.
        let _ = extract_document(app, &document(path)?, None);
    }
    let mut times = Times::default();
    let (mut html_bytes, mut text_bytes, mut failed) = (0u64, 0u64, 0u64);
    for path in &files {
        let document = document(path)?;
        let start = thread_cpu();
        let extracted = extract_document(app, &document, None);
        let took = thread_cpu() - start;
        match extracted {
            Ok(page) => {
                times.push(took);
                html_bytes += document.bytes.len() as u64;
                text_bytes += page.text.len() as u64;
            }
            Err(error) => {
                note(format!("skipped {}: {error:#}", path.display()));
                failed += 1;
            }
        }
    }
    if times.count() == 0 {
        bail!("none of {} files could be extracted", files.len());
    }
    let seconds = times.sum_s().max(1e-9);
    let pages_per_s = times.count() as f64 / seconds;
    let mb_per_s = html_bytes as f64 / 1e6 / seconds;
    if app.json {
        json_line(&json!({
            "machine": Machine::this().view(),
            "threads": 1,
            "pages": times.count(),
            "failed": failed,
            "html_bytes": html_bytes,
            "text_bytes": text_bytes,
            "pages_per_s": rounded(pages_per_s),
            "mb_per_s": rounded(mb_per_s),
            "cpu_ms": times.view(),
        }))?;
        return Ok(exit(failed));
    }
    line(format!(
        "Machine: {}; one thread, CPU time",
        Machine::this().describe()
    ))?;
    line(format!(
        "{} pages, {} of HTML, {} of text; {failed} failed\n",
        thousands(times.count() as u64),
        bytes(html_bytes),
        bytes(text_bytes)
    ))?;
    let mut table = Table::new(&["pages/s", "MB/s", "ms mean", "p50", "p95", "p99", "max"]);
    let mut cells = vec![format!("{pages_per_s:.0}"), format!("{mb_per_s:.1}")];
    let quantiles = [0.5, 0.95, 0.99].map(|share| times.quantile_ms(share));
    let figures = [times.mean_ms()]
        .into_iter()
        .chain(quantiles)
        .chain([times.max_ms()]);
    cells.extend(figures.map(|ms| format!("{ms:.2}")));
    table.row(cells);
    table.print()?;
    Ok(exit(failed))
}

fn exit(failed: u64) -> Exit {
    if failed > 0 { Exit::Partly } else { Exit::Ok }
}

fn is_html(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return false;
    };
    let name = name
        .strip_suffix(".gz")
        .unwrap_or(name)
        .to_ascii_lowercase();
    name.rsplit_once('.')
        .is_some_and(|(_, ending)| HTML_ENDINGS.contains(&ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_files_by_their_ending() {
        let check =
            |name: &str, expected: bool| assert_eq!(is_html(Path::new(name)), expected, "{name}");
        check("a/b.html", true);
        check("a/b.HTM.gz", true);
        check("a/b.html.gz", true);
        check("a/b.md", false);
        check("a/html", false);
    }
}
