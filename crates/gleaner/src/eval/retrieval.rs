//! `gleaner eval retrieval`: queries with judged documents, through the same
//! chunks, indexes, embedder and ranking that searches use.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use embed::Embedder;
use search::{Filters, Hit, Mode, SearchRequest, Searcher};
use serde::Serialize;
use serde_json::json;
use store::{Access, PageFilter, Store};
use types::{CanonicalUrl, TenantId};

use super::corpus::{LoadReport, document_id};
use super::files::LineWriter;
use super::letters::{Letters, is_arabic_script};
use super::load::{load, usable_embedder};
use super::metrics::RankScores;
use super::query_set::{Query, QuerySet};
use crate::app::App;
use crate::bench::report::{Table, Times, process_cpu, rounded};
use crate::cli::EvalRetrievalArgs;
use crate::cli::output::{Exit, json_line, line, note, thousands};
use crate::searching::parse_mode;

/// As deep as Recall@100 looks.
const HITS: usize = 100;
/// Pages read to see which letters a corpus is written in.
const PAGES_SAMPLED: usize = 200;

pub fn run(app: &App, args: &EvalRetrievalArgs) -> Result<Exit> {
    let set = QuerySet::read(&args.dir, args.queries.as_deref())?;
    let asked = args.mode.as_deref().map(parse_mode).transpose()?;
    if args.crawled {
        let store = app.open_store(Access::Read)?;
        let needs_vectors = asked != Some(Mode::Keyword);
        let embedder = if needs_vectors {
            usable_embedder(app, &store)?
        } else {
            None
        };
        let setup = Setup {
            app,
            store,
            embedder,
            name: page_path,
            loaded: None,
        };
        return score(&setup, &set, asked, args);
    }
    // Vectors are worth keeping where the user named a folder to keep them in.
    let temporary;
    let mut eval_app = app.clone();
    eval_app.stay_embedded();
    eval_app.config.data_dir = if app.data_dir_given {
        app.data_dir().join("eval").join(&set.name)
    } else {
        temporary = tempfile::Builder::new().prefix("gleaner-eval-").tempdir()?;
        temporary.path().to_owned()
    };
    // The model file is looked for in the data folder proper, hence `app`.
    let embedder = if asked == Some(Mode::Keyword) {
        None
    } else {
        app.embedder()?
    };
    let access = match &args.database_url {
        Some(url) => {
            eval_app.search_on_server(url);
            Access::Write
        }
        None => Access::WriteAlone,
    };
    if let Some(url) = &args.opensearch_url {
        let prefix = format!("gleaner-eval-{}", crate::keys::random_name()?);
        eval_app.search_on_cluster(url, prefix);
    }
    let store = eval_app.open_store(access)?;
    let cluster = args.opensearch_url.as_ref();
    let cluster = cluster.map(|_| eval_app.opensearch(&store)).transpose()?;
    let loaded = load(&eval_app, &store, embedder.as_ref(), &set, &args.dir)?;
    let setup = Setup {
        app: &eval_app,
        store,
        embedder,
        name: document_name,
        loaded: Some(loaded),
    };
    let scored = score(&setup, &set, asked, args);
    if let Some(cluster) = cluster {
        cluster.delete().context("delete the index of this run")?;
    }
    scored
}

/// A store with its documents, ready to be searched.
struct Setup<'a> {
    app: &'a App,
    store: Store,
    embedder: Option<Embedder>,
    /// What the judgments call a hit.
    name: fn(&Hit) -> String,
    loaded: Option<LoadReport>,
}

/// How one mode did.
#[derive(Debug)]
struct Scored {
    mode: Mode,
    swapped: bool,
    scores: RankScores,
    search: Times,
    /// CPU time of the searches.
    cpu: Duration,
    embed: Option<Times>,
    vector_coverage: f32,
}

impl Scored {
    fn cpu_ms(&self) -> f64 {
        self.cpu.as_secs_f64() * 1000.0 / self.search.count().max(1) as f64
    }
}

/// A query's vector and how long it took.
type Embedded = (Vec<f32>, Duration);

#[derive(Serialize)]
struct RunLine<'a> {
    qid: &'a str,
    docs: &'a [String],
    ms: f64,
}

fn score(
    setup: &Setup<'_>,
    set: &QuerySet,
    asked: Option<Mode>,
    args: &EvalRetrievalArgs,
) -> Result<Exit> {
    let modes = match (asked, &setup.embedder) {
        (Some(Mode::Keyword), _) => vec![Mode::Keyword],
        (Some(mode), Some(_)) => vec![mode],
        (Some(mode), None) => bail!(
            "{} search needs vectors: embedding is off or nothing is embedded yet",
            mode.name()
        ),
        (None, Some(_)) => vec![Mode::Keyword, Mode::Vector, Mode::Hybrid],
        (None, None) => {
            note("note: there are no vectors; scoring keyword search only");
            vec![Mode::Keyword]
        }
    };
    let model = setup.embedder.as_ref().map(Embedder::model_id);
    let searcher = setup.app.open_searcher(&setup.store, model)?;
    let scorer = Scorer {
        setup,
        set,
        searcher,
    };
    let vectors: Option<Vec<Embedded>> = setup
        .embedder
        .as_ref()
        .map(|embedder| embed_queries(embedder, set))
        .transpose()?;
    let texts: Vec<String> = set.queries.iter().map(|query| query.text.clone()).collect();
    let mut run_file = args.run.as_deref().map(LineWriter::create).transpose()?;
    let mut rows = Vec::new();
    for (number, mode) in modes.iter().enumerate() {
        let is_last = number + 1 == modes.len();
        let vectors = vectors.as_deref().filter(|_| *mode != Mode::Keyword);
        let out = run_file.as_mut().filter(|_| is_last);
        rows.push(scorer.score(*mode, &texts, vectors, out)?);
        if *mode == Mode::Keyword && is_persian(set) {
            let letters = corpus_letters(&setup.store, setup.app.tenant)?;
            let swapped: Vec<String> = texts.iter().map(|text| letters.swap(text)).collect();
            let row = scorer.score(Mode::Keyword, &swapped, None, None)?;
            rows.push(Scored {
                swapped: true,
                ..row
            });
        }
    }
    if let Some(run_file) = run_file {
        run_file.finish()?;
    }
    if setup.app.json {
        json_line(&view(setup, set, &rows)?)?;
    } else {
        print(setup, set, &rows)?;
    }
    Ok(Exit::Ok)
}

fn embed_queries(embedder: &Embedder, set: &QuerySet) -> Result<Vec<Embedded>> {
    set.queries
        .iter()
        .map(|query| {
            let start = Instant::now();
            let vector = embedder
                .embed_query(&query.text)
                .with_context(|| format!("embed query {}", query.id))?;
            Ok((vector, start.elapsed()))
        })
        .collect()
}

struct Scorer<'a> {
    setup: &'a Setup<'a>,
    set: &'a QuerySet,
    searcher: Searcher,
}

impl Scorer<'_> {
    /// Runs all queries, spelled as in `texts`, one after the other.
    fn score(
        &self,
        mode: Mode,
        texts: &[String],
        vectors: Option<&[Embedded]>,
        mut out: Option<&mut LineWriter>,
    ) -> Result<Scored> {
        let (mut scores, mut search) = (Vec::new(), Times::default());
        let mut embed = vectors.map(|_| Times::default());
        let mut vector_coverage = 0.0;
        let cpu = process_cpu();
        for (number, (query, text)) in self.set.queries.iter().zip(texts).enumerate() {
            let embedded = vectors.map(|vectors| &vectors[number]);
            let (docs, took, coverage) = self.ask(mode, query, text, embedded)?;
            search.push(took);
            let mut total = took;
            if let (Some(times), Some((_, embed_took))) = (&mut embed, embedded) {
                times.push(*embed_took);
                total += *embed_took;
            }
            vector_coverage = coverage;
            scores.push(RankScores::of_query(&docs, self.set.grades(query)));
            if let Some(out) = &mut out {
                let ms = total.as_secs_f64() * 1000.0;
                out.write(&RunLine {
                    qid: &query.id,
                    docs: &docs,
                    ms,
                })?;
            }
        }
        let scores = RankScores::mean(&scores);
        Ok(Scored {
            mode,
            swapped: false,
            scores,
            search,
            cpu: process_cpu() - cpu,
            embed,
            vector_coverage,
        })
    }

    fn ask(
        &self,
        mode: Mode,
        query: &Query,
        text: &str,
        embedded: Option<&Embedded>,
    ) -> Result<(Vec<String>, Duration, f32)> {
        let request = SearchRequest {
            tenant: self.setup.app.tenant,
            query: text.to_owned(),
            mode,
            limit: HITS,
            offset: 0,
            filters: Filters::default(),
            expand: false,
            facets: Vec::new(),
        };
        let start = Instant::now();
        let response = self
            .searcher
            .search(&request, embedded.map(|(vector, _)| vector.as_slice()))
            .with_context(|| format!("search for query {}", query.id))?;
        let took = start.elapsed();
        let docs = response.hits.iter().map(self.setup.name).collect();
        Ok((docs, took, response.vector_coverage))
    }
}

pub(super) fn document_name(hit: &Hit) -> String {
    CanonicalUrl::parse(&hit.url).map_or_else(|_| hit.url.clone(), |url| document_id(&url))
}

/// A crawled page by its path within the site's folder, as site judgments
/// name it; the address of a folder stands for its `index.html`.
fn page_path(hit: &Hit) -> String {
    let Ok(url) = CanonicalUrl::parse(&hit.url) else {
        return hit.url.clone();
    };
    let path = crate::site::decode(url.as_url().path());
    let path = path.trim_start_matches('/');
    if path.is_empty() || path.ends_with('/') {
        format!("{path}index.html")
    } else {
        path.to_owned()
    }
}

fn is_persian(set: &QuerySet) -> bool {
    match set.language.as_deref() {
        Some(language) => language == "fa",
        None => is_arabic_script(set.queries.iter().map(|query| query.text.as_str())),
    }
}

fn corpus_letters(store: &Store, tenant: TenantId) -> Result<Letters> {
    let filter = PageFilter {
        tenant,
        limit: PAGES_SAMPLED,
        ..PageFilter::default()
    };
    let mut texts = Vec::new();
    for page in store.pages(&filter)? {
        texts.extend(store.page_content(page.id)?.map(|content| content.text));
    }
    Ok(Letters::of(texts.iter().map(String::as_str)))
}

fn label(row: &Scored) -> String {
    let swapped = if row.swapped { ", letters swapped" } else { "" };
    format!("{}{swapped}", row.mode.name())
}

fn print(setup: &Setup<'_>, set: &QuerySet, rows: &[Scored]) -> Result<()> {
    let mut table = Table::new(&[
        set.name.as_str(),
        "nDCG@10",
        "R@100",
        "MRR@10",
        "hit@1",
        "search ms",
        "p95",
        "CPU ms",
        "query embedding ms",
    ]);
    for row in rows {
        let RankScores {
            ndcg10,
            recall100,
            mrr10,
            hit1,
        } = row.scores;
        table.row([
            label(row),
            format!("{ndcg10:.4}"),
            format!("{recall100:.4}"),
            format!("{mrr10:.4}"),
            format!("{hit1:.4}"),
            format!("{:.2}", row.search.mean_ms()),
            format!("{:.2}", row.search.quantile_ms(0.95)),
            format!("{:.2}", row.cpu_ms()),
            row.embed
                .as_ref()
                .map_or_else(|| "-".to_owned(), |times| format!("{:.2}", times.mean_ms())),
        ]);
    }
    table.print()?;
    let stats = setup.store.stats()?;
    line(format!(
        "\n{} queries over {} pages, {} passages",
        thousands(set.queries.len() as u64),
        thousands(stats.pages_live),
        thousands(stats.chunks),
    ))?;
    let coverage = rows
        .iter()
        .map(|row| row.vector_coverage)
        .fold(0.0, f32::max);
    if setup.embedder.is_some() && coverage < 1.0 {
        line(format!(
            "{:.1} % of the passages have vectors",
            coverage * 100.0
        ))?;
    }
    Ok(())
}

fn view(setup: &Setup<'_>, set: &QuerySet, rows: &[Scored]) -> Result<serde_json::Value> {
    let stats = setup.store.stats()?;
    let runs: Vec<serde_json::Value> = rows
        .iter()
        .map(|row| {
            json!({
                "mode": row.mode.name(),
                "letters_swapped": row.swapped,
                "ndcg10": rounded(row.scores.ndcg10),
                "recall100": rounded(row.scores.recall100),
                "mrr10": rounded(row.scores.mrr10),
                "hit1": rounded(row.scores.hit1),
                "search_ms": row.search.view(),
                "search_cpu_ms_mean": rounded(row.cpu_ms()),
                "query_embedding_ms": row.embed.as_ref().map(Times::view),
                "vector_coverage": rounded(f64::from(row.vector_coverage)),
            })
        })
        .collect();
    Ok(json!({
        "set": set.name,
        "language": set.language,
        "queries": set.queries.len(),
        "documents": setup.loaded.map(|loaded| loaded.documents),
        "documents_empty": setup.loaded.map(|loaded| loaded.empty),
        "pages": stats.pages_live,
        "chunks": stats.chunks,
        "model": setup.embedder.as_ref().map(Embedder::model_id),
        "runs": runs,
    }))
}

#[cfg(test)]
mod tests {
    use search::{Scores, Snippet};
    use types::{ChunkId, PageId, SourceId};

    use super::*;

    fn check_path(url: &str, expected: &str) {
        let hit = Hit {
            page: PageId(1),
            chunk: ChunkId(1),
            url: url.to_owned(),
            title: String::new(),
            heading: String::new(),
            snippet: Snippet::default(),
            score: 1.0,
            scores: Scores::default(),
            explain: String::new(),
            published_at: None,
            language: None,
            source: SourceId(1),
            others: Vec::new(),
        };
        assert_eq!(page_path(&hit), expected);
    }

    #[test]
    fn crawled_pages_are_named_by_their_path() {
        check_path("http://127.0.0.1:8000/sql-select.html", "sql-select.html");
        check_path("http://127.0.0.1:8000/", "index.html");
        check_path("http://127.0.0.1:8000/fa/", "fa/index.html");
        check_path("http://127.0.0.1:8000/%DA%A9.html?x=1", "ک.html");
    }
}
