//! `gleaner eval answers`: is it known when the sources do not answer?
//!
//! A set's own questions are answered by its pages. The same questions are not
//! once the pages judged to answer them are left out, which is as hard as it
//! gets: what is left is often of the same article. Questions of other sets are
//! the easy case. The first passage's page is compared with the judgments, too.

use std::path::{Path, PathBuf};

use anyhow::Result;
use embed::Embedder;
use search::{Filters, Hit, Mode, Searcher};
use serde::Serialize;
use serde_json::json;
use store::{Access, Store};

use super::files::LineWriter;
use super::load::load;
use super::query_set::{Query, QuerySet};
use super::retrieval::document_name;
use crate::answers::{Question, evidence};
use crate::app::App;
use crate::bench::report::Table;
use crate::cli::output::{Exit, json_line};

/// Questions of one kind, and how they were judged.
#[derive(Debug, Default, Serialize)]
struct Judged {
    set: String,
    questions: usize,
    /// Too thin to be answered by sentences, and too thin to be read by a model.
    thin: usize,
    hopeless: usize,
    /// First passages that are of a page judged to answer.
    first: usize,
    #[serde(skip)]
    coverage: f64,
    #[serde(skip)]
    nearness: f64,
}

#[derive(Serialize)]
struct RunLine<'a> {
    set: &'a str,
    qid: &'a str,
    coverage: f32,
    nearness: Option<f32>,
    thin: bool,
    first: bool,
}

struct Asking<'a> {
    app: &'a App,
    store: Store,
    searcher: Searcher,
    embedder: Option<Embedder>,
    lines: Option<LineWriter>,
}

pub fn run(app: &App, dir: &Path, others: &[PathBuf], run: Option<&Path>) -> Result<Exit> {
    let set = QuerySet::read(dir, None)?;
    let temporary;
    let mut eval_app = app.clone();
    eval_app.stay_embedded();
    eval_app.config.data_dir = if app.data_dir_given {
        app.data_dir().join("eval").join(&set.name)
    } else {
        temporary = tempfile::Builder::new().prefix("gleaner-eval-").tempdir()?;
        temporary.path().to_owned()
    };
    let embedder = app.embedder()?;
    let store = eval_app.open_store(Access::WriteAlone)?;
    load(&eval_app, &store, embedder.as_ref(), &set, dir)?;
    let model = embedder.as_ref().map(Embedder::model_id);
    let mut asking = Asking {
        app: &eval_app,
        searcher: eval_app.open_searcher(&store, model)?,
        store,
        embedder,
        lines: run.map(LineWriter::create).transpose()?,
    };
    let mut judged = vec![
        asking.all(&set.name, &set, |_, _| true)?,
        asking.all("without the answer", &set, |query, hit| {
            !set.grades(query).contains_key(&document_name(hit))
        })?,
    ];
    for other in others {
        let other = QuerySet::read(other, None)?;
        judged.push(asking.all(&other.name, &other, |_, _| true)?);
    }
    if let Some(lines) = asking.lines {
        lines.finish()?;
    }
    if app.json {
        json_line(&json!({ "answers": judged }))?;
        return Ok(Exit::Ok);
    }
    let mut table = Table::new(&[
        "questions of",
        "",
        "not quoted",
        "not read",
        "first passage right",
        "coverage",
        "nearness",
    ]);
    for kind in &judged {
        let of = |count: usize| format!("{:.1} %", 100.0 * count as f64 / kind.questions as f64);
        table.row([
            kind.set.clone(),
            kind.questions.to_string(),
            of(kind.thin),
            of(kind.hopeless),
            of(kind.first),
            format!("{:.3}", kind.coverage / kind.questions as f64),
            format!("{:.4}", kind.nearness / kind.questions as f64),
        ]);
    }
    table.print()?;
    Ok(Exit::Ok)
}

impl Asking<'_> {
    fn all(
        &mut self,
        name: &str,
        set: &QuerySet,
        keeps: impl Fn(&Query, &Hit) -> bool,
    ) -> Result<Judged> {
        let mut judged = Judged {
            set: name.to_owned(),
            ..Judged::default()
        };
        for query in &set.queries {
            let question = Question {
                tenant: self.app.tenant,
                text: query.text.clone(),
                filters: Filters::default(),
                mode: Mode::Hybrid,
                passages: self.app.config.answers.passages,
                tokens: self.app.config.answers.passage_tokens,
                asks_model: false,
            };
            let embedder = self.embedder.as_ref();
            let vector = embedder.map(|embedder| embedder.embed_query(&query.text));
            let vector = vector.transpose()?;
            // As many are left as are read otherwise.
            let mut request = question.request();
            request.limit *= 2;
            let mut response = self.searcher.search(&request, vector.as_deref())?;
            response.hits.retain(|hit| keeps(query, hit));
            response.hits.truncate(question.passages);
            let words = evidence::words(&self.searcher, &self.store, &question)?;
            let found = evidence::read(&self.store, &question, &response, &words)?;
            let first = found.passages.first();
            let hit = first.and_then(|first| response.hits.iter().find(|h| h.page == first.page));
            let is_right =
                hit.is_some_and(|hit| set.grades(query).contains_key(&document_name(hit)));
            let strength = found.strength;
            judged.questions += 1;
            judged.thin += usize::from(strength.is_thin());
            judged.hopeless += usize::from(strength.is_hopeless());
            judged.first += usize::from(is_right);
            judged.coverage += f64::from(strength.coverage);
            judged.nearness += f64::from(strength.nearness.unwrap_or(0.0));
            if let Some(lines) = &mut self.lines {
                lines.write(&RunLine {
                    set: name,
                    qid: &query.id,
                    coverage: strength.coverage,
                    nearness: strength.nearness,
                    thin: strength.is_thin(),
                    first: is_right,
                })?;
            }
        }
        Ok(judged)
    }
}
