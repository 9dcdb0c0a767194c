//! `gleaner eval summaries`: extractive summaries beside those that people
//! wrote, and beside the first sentences, which are famously hard to beat on
//! news (Nenkova 2005, "Automatic text summarization of newswire").
//!
//! Rows: what `gleaner summarize` gives without a model; the leading sentences
//! within the same limits; the leading words, as many of each text as our
//! summary of it has, so that recall compares at equal length; the TL;DR that
//! chunks have, within the same number of words.

use std::path::Path;

use anyhow::{Result, bail};
use chunk::{SummaryOptions, extract_summary, sentences, summarize, words};
use serde::Deserialize;
use serde_json::{Value, json};

use super::files::{self, json_lines};
use super::rouge::Rouge;
use crate::app::App;
use crate::bench::report::{Table, Times, rounded, thread_cpu};
use crate::cli::EvalSummariesArgs;
use crate::cli::output::{Exit, json_line, line, note};

/// Words of a summary when only sentences are limited: no limit that a text meets.
const WORDS_UNLIMITED: usize = 10_000;
const NOTE_EVERY: usize = 500;

#[derive(Debug, Deserialize)]
struct TextLine {
    #[serde(deserialize_with = "files::id")]
    id: String,
    text: String,
    /// The one a person wrote.
    summary: String,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    language: Option<String>,
}

/// Who made the summaries, in the order reported.
const SYSTEMS: [&str; 4] = ["extractive", "lead", "lead, equal words", "tldr"];
/// The system that others are compared with.
const BASELINE: usize = 1;

/// What one system scored, text by text.
#[derive(Debug, Default)]
struct Scores {
    rouge: Vec<Rouge>,
    words: Vec<f64>,
    times: Times,
}

pub fn run(app: &App, args: &EvalSummariesArgs) -> Result<Exit> {
    let limits = Limits {
        sentences: args.sentences.unwrap_or(if args.words_max.is_some() {
            usize::MAX
        } else {
            3
        }),
        words: args.words_max.unwrap_or(WORDS_UNLIMITED),
    };
    let mut scores: [Scores; SYSTEMS.len()] = Default::default();
    let mut texts = 0;
    for item in json_lines::<TextLine>(&args.file)? {
        let item = item?;
        if words(&item.summary).next().is_none() {
            bail!("{} has a summary without words", item.id);
        }
        score(&item, limits, args.without_title, &mut scores);
        texts += 1;
        if texts % NOTE_EVERY == 0 {
            note(format!("{texts} texts"));
        }
    }
    if texts == 0 {
        bail!("there is no text in {}", args.file.display());
    }
    if app.json {
        json_line(&view(&args.file, &scores))?;
    } else {
        print(&scores)?;
    }
    Ok(Exit::Ok)
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    sentences: usize,
    words: usize,
}

fn score(item: &TextLine, limits: Limits, without_title: bool, scores: &mut [Scores; 4]) {
    let language = item.language.as_deref();
    let options = SummaryOptions {
        language,
        title: item
            .title
            .as_deref()
            .filter(|_| !without_title)
            .unwrap_or_default(),
        words_max: limits.words,
        sentences_max: limits.sentences,
    };
    let start = thread_cpu();
    let ours = extract_summary(&item.text, &options).text;
    let took = thread_cpu() - start;
    let length = word_count(&ours);
    let start = thread_cpu();
    let tldr = summarize(&item.text, language, length.max(1));
    let took_tldr = thread_cpu() - start;
    let made = [
        (ours, took),
        (lead(&item.text, limits), Default::default()),
        (first_words(&item.text, length), Default::default()),
        (tldr, took_tldr),
    ];
    for (scores, (summary, took)) in scores.iter_mut().zip(made) {
        scores.rouge.push(Rouge::of(&item.summary, &summary));
        scores.words.push(word_count(&summary) as f64);
        scores.times.push(took);
    }
}

fn word_count(text: &str) -> usize {
    text.split_whitespace().count()
}

/// The leading sentences within the limits; the first is cut when it does not fit.
fn lead(text: &str, limits: Limits) -> String {
    let mut end = 0;
    let mut left = limits.words;
    for range in sentences(text).into_iter().take(limits.sentences) {
        let words = word_count(&text[range.clone()]);
        if words > left {
            break;
        }
        left -= words;
        end = range.end;
    }
    if end == 0 {
        return first_words(text, limits.words);
    }
    text[..end].to_owned()
}

fn first_words(text: &str, words_max: usize) -> String {
    let words: Vec<&str> = text.split_whitespace().take(words_max).collect();
    words.join(" ")
}

type Measure = fn(&Rouge) -> f64;

/// Columns of the report.
const MEASURES: [(&str, Measure); 6] = [
    ("rouge1_f1", |r| r.one.f1),
    ("rouge2_f1", |r| r.two.f1),
    ("rougel_f1", |r| r.longest.f1),
    ("rouge1_recall", |r| r.one.recall),
    ("rouge2_recall", |r| r.two.recall),
    ("rougel_recall", |r| r.longest.recall),
];

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len().max(1) as f64;
    values.sum::<f64>() / count
}

/// Mean of the differences text by text, and its standard error.
fn paired(ours: &Scores, theirs: &Scores, measure: Measure) -> (f64, f64) {
    let differences: Vec<f64> = ours
        .rouge
        .iter()
        .zip(&theirs.rouge)
        .map(|(ours, theirs)| measure(ours) - measure(theirs))
        .collect();
    let mean = mean(differences.iter().copied());
    let count = differences.len() as f64;
    let squares: f64 = differences.iter().map(|d| (d - mean).powi(2)).sum();
    let error = if count > 1.0 {
        (squares / (count - 1.0) / count).sqrt()
    } else {
        0.0
    };
    (mean, error)
}

fn print(scores: &[Scores; 4]) -> Result<()> {
    line(format!("{} texts\n", scores[0].rouge.len()))?;
    let mut table = Table::new(&[
        "summary",
        "words",
        "R1 F1",
        "R2 F1",
        "RL F1",
        "R1 recall",
        "R2 recall",
        "RL recall",
        "CPU ms",
        "p95",
    ]);
    for (name, scores) in SYSTEMS.iter().zip(scores) {
        let mut row = vec![
            (*name).to_owned(),
            format!("{:.1}", mean(scores.words.iter().copied())),
        ];
        for (_, measure) in MEASURES {
            row.push(format!("{:.4}", mean(scores.rouge.iter().map(measure))));
        }
        row.push(format!("{:.2}", scores.times.mean_ms()));
        row.push(format!("{:.2}", scores.times.quantile_ms(0.95)));
        table.row(row);
    }
    table.print()?;
    line("\nDifference to the lead, text by text, with its standard error:")?;
    let mut table = Table::new(&["summary", "R1 F1", "R2 F1", "RL F1"]);
    for (at, (name, system)) in SYSTEMS.iter().zip(scores).enumerate() {
        if at == BASELINE {
            continue;
        }
        let mut row = vec![(*name).to_owned()];
        for (_, measure) in &MEASURES[..3] {
            let (difference, error) = paired(system, &scores[BASELINE], *measure);
            row.push(format!("{difference:+.4} ± {error:.4}"));
        }
        table.row(row);
    }
    table.print()
}

fn view(file: &Path, scores: &[Scores; 4]) -> Value {
    let systems: serde_json::Map<String, Value> = SYSTEMS
        .iter()
        .zip(scores)
        .map(|(name, system)| {
            let mut view = json!({
                "words": rounded(mean(system.words.iter().copied())),
                "cpu_ms": system.times.view(),
            });
            for (key, measure) in MEASURES {
                let (difference, error) = paired(system, &scores[BASELINE], measure);
                view[key] = json!({
                    "mean": rounded(mean(system.rouge.iter().map(measure))),
                    "to_lead": rounded(difference),
                    "to_lead_error": rounded(error),
                });
            }
            ((*name).to_owned(), view)
        })
        .collect();
    json!({ "file": file, "texts": scores[0].rouge.len(), "summaries": systems })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Alpha beta gamma. Delta epsilon zeta eta. Theta iota.";

    fn limits(sentences: usize, words: usize) -> Limits {
        Limits { sentences, words }
    }

    #[test]
    fn the_lead_keeps_the_limits() {
        let check = |sentences, words, expected: &str| {
            assert_eq!(lead(TEXT, limits(sentences, words)), expected);
        };
        check(1, 100, "Alpha beta gamma.");
        check(2, 100, "Alpha beta gamma. Delta epsilon zeta eta.");
        check(9, 6, "Alpha beta gamma.");
        check(9, 7, "Alpha beta gamma. Delta epsilon zeta eta.");
        check(9, 2, "Alpha beta");
    }

    #[test]
    fn differences_are_paired() {
        let scores = |recalls: &[f64]| Scores {
            rouge: recalls
                .iter()
                .map(|recall| {
                    let mut rouge = Rouge::default();
                    rouge.one.recall = *recall;
                    rouge
                })
                .collect(),
            ..Scores::default()
        };
        let recall = |r: &Rouge| r.one.recall;
        let (difference, error) =
            paired(&scores(&[0.5, 0.9, 0.4]), &scores(&[0.4, 0.7, 0.1]), recall);
        assert!((difference - 0.2).abs() < 1e-9);
        // Standard deviation 0.1 over the root of 3.
        assert!((error - 0.1 / 3f64.sqrt()).abs() < 1e-9);
        assert_eq!(paired(&scores(&[0.5]), &scores(&[0.5]), recall), (0.0, 0.0));
    }

    #[test]
    fn a_text_is_scored_by_every_system_at_its_length() {
        let item = TextLine {
            id: "a".to_owned(),
            text: TEXT.to_owned(),
            summary: "delta epsilon zeta".to_owned(),
            title: Some("Zeta eta".to_owned()),
            language: Some("en".to_owned()),
        };
        let mut all: [Scores; 4] = Default::default();
        score(&item, limits(1, 100), false, &mut all);
        let words: Vec<f64> = all.iter().map(|s| s.words[0]).collect();
        assert_eq!(words[0], words[2]);
        assert_eq!(words[1], 3.0);
        assert!(all[0].rouge[0].one.recall > all[1].rouge[0].one.recall);
    }
}
