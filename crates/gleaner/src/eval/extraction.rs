//! `gleaner eval extraction`: pages with gold content, one at a time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::files::{self, LineWriter, json_lines};
use super::overlap::{PageOverlap, SnippetCounts, TextScores};
use crate::app::App;
use crate::bench::report::{Table, Times, rounded, thread_cpu};
use crate::cli::extract::{Document, extract_document, read_file};
use crate::cli::output::{Exit, json_line, line, note};

/// The sets that the headline figure averages, where a folder has them all.
const HEADLINE: [&str; 3] = ["aeb", "cleaneval", "trafilatura"];
/// A page of unknown address: links resolve against it, nothing else depends on it.
const PLACEHOLDER_URL: &str = "http://example.com/";
const NOTE_EVERY: usize = 250;

#[derive(Debug, Deserialize)]
struct PageLine {
    id: String,
    dataset: String,
    url: Option<String>,
    /// Path of the page's bytes within the folder.
    html: PathBuf,
}

#[derive(Debug, Deserialize)]
struct GoldLine {
    id: String,
    #[serde(flatten)]
    gold: Gold,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Gold {
    Full {
        text: String,
    },
    Snippets {
        with: Vec<String>,
        without: Vec<String>,
    },
}

#[derive(Debug, Serialize)]
struct Prediction<'a> {
    id: &'a str,
    text: &'a str,
    /// CPU time of the extraction.
    ms: f64,
}

/// What is gathered of the pages of one set and kind of gold.
#[derive(Debug, Default)]
struct Tally {
    pages: usize,
    empty: usize,
    full: Vec<PageOverlap>,
    snippets: SnippetCounts,
    times: Times,
}

pub fn run(app: &App, dir: &Path, pred: Option<&Path>) -> Result<Exit> {
    let mut gold = BTreeMap::new();
    for item in json_lines::<GoldLine>(&files::find(dir, "gold.jsonl")?)? {
        let item = item?;
        gold.insert(item.id, item.gold);
    }
    let mut predictions = pred.map(LineWriter::create).transpose()?;
    // Full sets first, then those of snippets, each by name.
    let mut tallies: BTreeMap<(bool, String), Tally> = BTreeMap::new();
    let (mut failed, mut without_gold) = (0, 0);
    let pages: Vec<PageLine> =
        json_lines(&files::find(dir, "pages.jsonl")?)?.collect::<Result<_>>()?;
    for (done, page) in pages.iter().enumerate() {
        if done > 0 && done % NOTE_EVERY == 0 {
            note(format!("{done} of {} pages", pages.len()));
        }
        let document = document(dir, page)?;
        let start = thread_cpu();
        let extracted = extract_document(app, &document, None);
        let elapsed = thread_cpu() - start;
        let text = match extracted {
            Ok(extracted) => extracted.text,
            Err(error) => {
                note(format!("{} counts as empty: {error:#}", page.id));
                failed += 1;
                String::new()
            }
        };
        if let Some(predictions) = &mut predictions {
            let ms = elapsed.as_secs_f64() * 1000.0;
            predictions.write(&Prediction {
                id: &page.id,
                text: &text,
                ms,
            })?;
        }
        let Some(gold) = gold.remove(&page.id) else {
            without_gold += 1;
            continue;
        };
        let is_snippets = matches!(gold, Gold::Snippets { .. });
        let tally = tallies
            .entry((is_snippets, page.dataset.clone()))
            .or_default();
        tally.add(&text, &gold);
        tally.times.push(elapsed);
    }
    if let Some(predictions) = predictions {
        predictions.finish()?;
    }
    if let Some(id) = gold.keys().next() {
        bail!(
            "{} gold texts have no page in pages.jsonl, among them {id}",
            gold.len()
        );
    }
    if without_gold > 0 {
        note(format!(
            "{without_gold} pages have no gold and were not scored"
        ));
    }
    let rows: Vec<Row> = tallies
        .into_iter()
        .map(|((_, name), tally)| Row::of(name, tally))
        .collect();
    if rows.is_empty() {
        bail!("there is no page with gold in {}", dir.display());
    }
    if app.json {
        json_line(&view(&rows, failed))?;
    } else {
        print(&rows, failed)?;
    }
    Ok(Exit::Ok)
}

fn document(dir: &Path, page: &PageLine) -> Result<Document> {
    let url = page.url.as_deref().unwrap_or(PLACEHOLDER_URL);
    let url = url::Url::parse(url).or_else(|_| url::Url::parse(PLACEHOLDER_URL));
    Ok(Document {
        url: url.context("bug: the placeholder URL does not parse")?,
        bytes: read_file(&dir.join(&page.html))?,
        content_type: None,
        x_robots_tag: Vec::new(),
        link_canonical: None,
    })
}

impl Tally {
    fn add(&mut self, text: &str, gold: &Gold) {
        self.pages += 1;
        self.empty += usize::from(text.trim().is_empty());
        match gold {
            Gold::Full { text: gold } => self.full.push(PageOverlap::of(gold, text)),
            Gold::Snippets { with, without } => self.snippets.add(text, with, without),
        }
    }
}

/// The figures of one set.
#[derive(Debug)]
struct Row {
    dataset: String,
    kind: &'static str,
    pages: usize,
    empty: usize,
    scores: TextScores,
    times: Times,
}

impl Row {
    fn of(dataset: String, tally: Tally) -> Row {
        let (kind, scores) = if tally.full.is_empty() {
            ("snippets", tally.snippets.scores())
        } else {
            ("full", TextScores::of_pages(&tally.full))
        };
        Row {
            dataset,
            kind,
            pages: tally.pages,
            empty: tally.empty,
            scores,
            times: tally.times,
        }
    }
}

/// Plain mean of the headline sets, or of all when one of them is missing;
/// with the names of what was averaged.
fn mean_f1(rows: &[Row]) -> (f64, Vec<&str>) {
    let headline: Vec<&Row> = rows
        .iter()
        .filter(|row| HEADLINE.contains(&row.dataset.as_str()))
        .collect();
    let averaged: Vec<&Row> = if headline.len() == HEADLINE.len() {
        headline
    } else {
        rows.iter().collect()
    };
    let sum: f64 = averaged.iter().map(|row| row.scores.f1).sum();
    let names = averaged.iter().map(|row| row.dataset.as_str()).collect();
    (sum / averaged.len().max(1) as f64, names)
}

fn print(rows: &[Row], failed: usize) -> Result<()> {
    let mut table = Table::new(&[
        "dataset", "kind", "pages", "empty", "F1", "P", "R", "page F1", "CPU ms", "p95",
    ]);
    for row in rows {
        let scores = &row.scores;
        table.row([
            row.dataset.clone(),
            row.kind.to_owned(),
            row.pages.to_string(),
            row.empty.to_string(),
            format!("{:.3}", scores.f1),
            format!("{:.3}", scores.precision),
            format!("{:.3}", scores.recall),
            scores
                .page_f1
                .map_or_else(|| "-".to_owned(), |f1| format!("{f1:.3}")),
            format!("{:.2}", row.times.mean_ms()),
            format!("{:.2}", row.times.quantile_ms(0.95)),
        ]);
    }
    table.print()?;
    let (mean, names) = mean_f1(rows);
    line(format!("\nmean F1 {mean:.3} ({})", names.join(", ")))?;
    if failed > 0 {
        line(format!(
            "{failed} pages could not be extracted and count as empty"
        ))?;
    }
    Ok(())
}

fn view(rows: &[Row], failed: usize) -> serde_json::Value {
    let (mean, names) = mean_f1(rows);
    let sets: serde_json::Map<String, serde_json::Value> = rows
        .iter()
        .map(|row| {
            let view = json!({
                "kind": row.kind,
                "pages": row.pages,
                "empty": row.empty,
                "f1": rounded(row.scores.f1),
                "precision": rounded(row.scores.precision),
                "recall": rounded(row.scores.recall),
                "page_f1": row.scores.page_f1.map(rounded),
                "cpu_ms": row.times.view(),
            });
            (row.dataset.clone(), view)
        })
        .collect();
    json!({ "mean_f1": rounded(mean), "mean_of": names, "failed": failed, "datasets": sets })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(dataset: &str, f1: f64) -> Row {
        let scores = TextScores {
            f1,
            precision: f1,
            recall: f1,
            page_f1: Some(f1),
        };
        let tally = Tally {
            pages: 1,
            full: vec![PageOverlap::default()],
            ..Tally::default()
        };
        Row {
            scores,
            ..Row::of(dataset.to_owned(), tally)
        }
    }

    #[test]
    fn the_headline_averages_its_three_sets_or_all() {
        let mut rows = vec![
            row("aeb", 0.9),
            row("cleaneval", 0.6),
            row("other", 0.0),
            row("trafilatura", 0.9),
        ];
        let (mean, names) = mean_f1(&rows);
        assert!((mean - 0.8).abs() < 1e-9);
        assert_eq!(names, ["aeb", "cleaneval", "trafilatura"]);
        rows.remove(0);
        let (mean, names) = mean_f1(&rows);
        assert!((mean - 0.5).abs() < 1e-9);
        assert_eq!(names, ["cleaneval", "other", "trafilatura"]);
    }

    #[test]
    fn json_has_a_row_per_set() {
        let view = view(&[row("aeb", 0.75)], 2);
        assert_eq!(view["mean_f1"], 0.75);
        assert_eq!(view["failed"], 2);
        assert_eq!(view["datasets"]["aeb"]["kind"], "full");
        assert_eq!(view["datasets"]["aeb"]["page_f1"], 0.75);
    }

    #[test]
    fn both_kinds_of_gold_are_read() {
        let read = |text: &str| serde_json::from_str::<GoldLine>(text).unwrap().gold;
        assert!(matches!(
            read(r#"{"id": "a", "text": "x", "meta": {}}"#),
            Gold::Full { .. }
        ));
        let snippets = read(r#"{"id": "a", "with": ["x"], "without": []}"#);
        assert!(matches!(snippets, Gold::Snippets { with, .. } if with == ["x"]));
    }
}
