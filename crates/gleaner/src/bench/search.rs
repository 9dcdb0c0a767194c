//! `gleaner bench search`: queries over what was crawled, one at a time.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use embed::Embedder;
use search::engine::VectorReader;
use search::{Filters, Mode, Neighbour, PostgresVectors, SearchRequest, Searcher, VectorIndex};
use serde::Deserialize;
use serde_json::{Value, json};
use store::{Access, PageCursor, PageFilter, PageStatus, Store};
use types::ChunkId;

use super::report::{Machine, Table, Times, process_cpu, rounded};
use crate::app::App;
use crate::cli::BenchSearchArgs;
use crate::cli::output::{Exit, json_line, line, note, thousands};
use crate::eval::{json_lines, usable_embedder};
use crate::pipeline::index::Indexer;

/// Queries run before the clock starts, for caches.
const WARM_UP_QUERIES: usize = 10;
/// Depth at which the vector index is compared with an exact scan.
const RECALL_DEPTH: usize = 10;
const PAGES_PER_READ: usize = 1000;

#[derive(Debug, Deserialize)]
struct QueryLine {
    text: String,
}

/// A query with its vector, where there is an embedder.
struct Query {
    text: String,
    vector: Option<Vec<f32>>,
}

#[derive(Debug)]
struct ModeTimes {
    mode: Mode,
    times: Times,
    /// CPU time of all queries together.
    cpu: Duration,
}

impl ModeTimes {
    fn cpu_ms(&self) -> f64 {
        self.cpu.as_secs_f64() * 1000.0 / self.times.count().max(1) as f64
    }

    fn queries_per_s(&self) -> f64 {
        self.times.count() as f64 / self.times.sum_s().max(1e-9)
    }
}

#[derive(Debug)]
struct Figures {
    queries: usize,
    pages: u64,
    chunks: u64,
    vectors: u64,
    modes: Vec<ModeTimes>,
    query_embedding: Option<Times>,
    /// Share of the exact nearest chunks that the index finds as well.
    recall: Option<f64>,
    /// The same on a PostgreSQL server.
    server: Option<ServerFigures>,
}

/// The same queries by the tables of a server.
#[derive(Debug)]
struct ServerFigures {
    modes: Vec<ModeTimes>,
    recall: Option<f64>,
}

pub fn run(app: &App, args: &BenchSearchArgs) -> Result<Exit> {
    if args.count == 0 {
        bail!("--count must be at least 1");
    }
    let store = app.open_store(Access::Read)?;
    let texts = match &args.queries {
        Some(path) => queries_of(path, args.count)?,
        None => titles(app, &store, args.count)?,
    };
    if texts.is_empty() {
        bail!("there is nothing to search for; give --queries, or crawl something first");
    }
    let embedder = usable_embedder(app, &store)?;
    if embedder.is_none() {
        note("note: there are no vectors; measuring keyword search only");
    }
    let mut figures = measure(app, &store, texts.clone(), embedder.as_ref())?;
    if let Some(url) = &args.database_url {
        figures.server = Some(measure_server(app, url, &store, texts, embedder.as_ref())?);
    }
    if app.json {
        json_line(&view(&figures))?;
    } else {
        print(&figures)?;
    }
    Ok(Exit::Ok)
}

fn queries_of(path: &Path, count: usize) -> Result<Vec<String>> {
    json_lines::<QueryLine>(path)?
        .map(|line| Ok(line?.text))
        .filter(|text| text.as_ref().map_or(true, |text| is_query(text)))
        .take(count)
        .collect()
}

/// Different titles of stored pages, from all over the store.
fn titles(app: &App, store: &Store, count: usize) -> Result<Vec<String>> {
    let mut titles = Vec::new();
    let mut seen = HashSet::new();
    let mut after = None;
    loop {
        let pages = store.pages(&PageFilter {
            tenant: app.tenant,
            status: Some(PageStatus::Live),
            cursor: after.map(PageCursor::behind_id),
            limit: PAGES_PER_READ,
            ..PageFilter::default()
        })?;
        let Some(last) = pages.last() else { break };
        after = Some(last.id);
        for page in pages {
            if is_query(&page.title) && seen.insert(page.title.clone()) {
                titles.push(page.title);
            }
        }
    }
    Ok(spread(titles, count))
}

fn is_query(text: &str) -> bool {
    text.chars().any(char::is_alphanumeric)
}

/// At most `count` of the items, at equal distances.
fn spread<T>(items: Vec<T>, count: usize) -> Vec<T> {
    let total = items.len();
    if total <= count {
        return items;
    }
    let mut taken = 0;
    let keep = |(place, item): (usize, T)| {
        let wanted = taken * total / count == place;
        taken += usize::from(wanted);
        wanted.then_some(item)
    };
    items.into_iter().enumerate().filter_map(keep).collect()
}

/// Brings the tables up to date, asks them, and compares their vectors with
/// those of `store`, exactly scanned.
fn measure_server(
    app: &App,
    url: &str,
    store: &Store,
    texts: Vec<String>,
    embedder: Option<&Embedder>,
) -> Result<ServerFigures> {
    let mut app = app.clone();
    app.search_on_server(url);
    let server = app.open_store(Access::Write)?;
    let (here, there) = (store.stats()?, server.stats()?);
    if (here.pages_live, here.vectors) != (there.pages_live, there.vectors) {
        bail!(
            "the server has {} pages and {} vectors, the data folder {} and {}; \
             copy them with `gleaner migrate` first",
            there.pages_live,
            there.vectors,
            here.pages_live,
            here.vectors
        );
    }
    Indexer::start(&server, app.index_plan(&server)?, Arc::default())?.flush()?;
    if embedder.is_some() {
        // Else it is still being built while vectors are asked for.
        for shard in server.shards() {
            shard.index_search_vectors()?;
        }
    }
    let (queries, _) = embedded(texts, embedder)?;
    let model = embedder.map(Embedder::model_id);
    let searcher = app.open_searcher(&server, model)?;
    let modes = times_of(&app, &searcher, &queries)?;
    let recall = match model {
        Some(model) => {
            let vectors = PostgresVectors::open(server, model)?;
            recall(&app, store, model, &queries, |vector| {
                Ok(vectors.nearest(app.tenant, vector, RECALL_DEPTH, None)?)
            })?
        }
        None => None,
    };
    Ok(ServerFigures { modes, recall })
}

fn embedded(
    texts: Vec<String>,
    embedder: Option<&Embedder>,
) -> Result<(Vec<Query>, Option<Times>)> {
    let mut query_embedding = embedder.map(|_| Times::default());
    let mut queries = Vec::with_capacity(texts.len());
    for text in texts {
        let mut vector = None;
        if let (Some(embedder), Some(times)) = (embedder, &mut query_embedding) {
            let start = Instant::now();
            vector = Some(embedder.embed_query(&text).context("embed a query")?);
            times.push(start.elapsed());
        }
        queries.push(Query { text, vector });
    }
    Ok((queries, query_embedding))
}

/// All queries in each mode that there are vectors for.
fn times_of(app: &App, searcher: &Searcher, queries: &[Query]) -> Result<Vec<ModeTimes>> {
    let modes: &[Mode] = match queries.iter().any(|query| query.vector.is_some()) {
        true => &[Mode::Keyword, Mode::Vector, Mode::Hybrid],
        false => &[Mode::Keyword],
    };
    let times_of = |mode: &Mode| {
        let mut times = Times::default();
        for query in queries.iter().take(WARM_UP_QUERIES) {
            ask(app, searcher, *mode, query)?;
        }
        let cpu = process_cpu();
        for query in queries {
            times.push(ask(app, searcher, *mode, query)?);
        }
        Ok(ModeTimes {
            mode: *mode,
            times,
            cpu: process_cpu() - cpu,
        })
    };
    modes.iter().map(times_of).collect()
}

fn measure(
    app: &App,
    store: &Store,
    texts: Vec<String>,
    embedder: Option<&Embedder>,
) -> Result<Figures> {
    let (queries, query_embedding) = embedded(texts, embedder)?;
    let model = embedder.map(Embedder::model_id);
    let searcher = app.open_searcher(store, model)?;
    let modes = times_of(app, &searcher, &queries)?;
    // Its vectors are about to be loaded a second time.
    drop(searcher);
    let recall = match model {
        Some(model) => {
            let index = VectorIndex::load(store, model)?;
            recall(app, store, model, &queries, |vector| {
                Ok(index.search(app.tenant, vector, RECALL_DEPTH, None)?)
            })?
        }
        None => None,
    };
    let stats = store.stats()?;
    Ok(Figures {
        queries: queries.len(),
        pages: stats.pages_live,
        chunks: stats.chunks,
        vectors: stats.vectors,
        modes,
        query_embedding,
        recall,
        server: None,
    })
}

fn ask(app: &App, searcher: &Searcher, mode: Mode, query: &Query) -> Result<Duration> {
    let request = SearchRequest {
        tenant: app.tenant,
        query: query.text.clone(),
        mode,
        limit: app.config.search.limit,
        offset: 0,
        filters: Filters::default(),
        expand: false,
        facets: Vec::new(),
    };
    let vector = query.vector.as_deref().filter(|_| mode != Mode::Keyword);
    let start = Instant::now();
    searcher
        .search(&request, vector)
        .with_context(|| format!("{} search for `{}`", mode.name(), query.text))?;
    Ok(start.elapsed())
}

/// The share of what an exact scan finds that `nearest` finds as well; `None`
/// when there is no vector to find.
fn recall(
    app: &App,
    store: &Store,
    model: &str,
    queries: &[Query],
    nearest: impl Fn(&[f32]) -> Result<Vec<Neighbour>>,
) -> Result<Option<f64>> {
    let index = VectorIndex::load(store, model)?;
    let (mut found, mut wanted) = (0, 0);
    for vector in queries.iter().filter_map(|query| query.vector.as_deref()) {
        let exact = index.search_exact(app.tenant, vector, RECALL_DEPTH, None)?;
        let quick: HashSet<ChunkId> = nearest(vector)?
            .iter()
            .map(|neighbour| neighbour.chunk)
            .collect();
        wanted += exact.len();
        found += exact
            .iter()
            .filter(|neighbour| quick.contains(&neighbour.chunk))
            .count();
    }
    Ok((wanted > 0).then(|| found as f64 / wanted as f64))
}

fn print(figures: &Figures) -> Result<()> {
    line(format!("Machine: {}", Machine::this().describe()))?;
    line(format!(
        "{} queries over {} pages, {} passages, {} vectors; one at a time\n",
        thousands(figures.queries as u64),
        thousands(figures.pages),
        thousands(figures.chunks),
        thousands(figures.vectors)
    ))?;
    let mut table = Table::new(&["", "ms p50", "p95", "p99", "max", "queries/s", "CPU ms"]);
    let row = |name: &str, times: &Times, cpu_ms: Option<f64>| {
        let quantiles = [0.5, 0.95, 0.99].map(|share| format!("{:.2}", times.quantile_ms(share)));
        let mut cells = vec![name.to_owned()];
        cells.extend(quantiles);
        cells.push(format!("{:.2}", times.max_ms()));
        cells.push(format!(
            "{:.0}",
            times.count() as f64 / times.sum_s().max(1e-9)
        ));
        cells.push(cpu_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.2}")));
        cells
    };
    for mode in &figures.modes {
        table.row(row(mode.mode.name(), &mode.times, Some(mode.cpu_ms())));
    }
    for mode in figures.server.iter().flat_map(|server| &server.modes) {
        let name = format!("{} on the server", mode.mode.name());
        table.row(row(&name, &mode.times, Some(mode.cpu_ms())));
    }
    if let Some(times) = &figures.query_embedding {
        table.row(row("embedding the query", times, None));
    }
    table.print()?;
    if let Some(recall) = figures.recall {
        line(format!(
            "\nThe vector index finds {:.1} % of the {RECALL_DEPTH} passages that are nearest",
            recall * 100.0
        ))?;
    }
    if let Some(recall) = figures.server.as_ref().and_then(|server| server.recall) {
        line(format!("That of the server finds {:.1} %", recall * 100.0))?;
    }
    Ok(())
}

fn view(figures: &Figures) -> Value {
    let server = figures.server.as_ref().map(|server| {
        json!({
            "modes": modes_view(&server.modes),
            "vector_recall10": server.recall.map(rounded),
        })
    });
    json!({
        "machine": Machine::this().view(),
        "queries": figures.queries,
        "pages": figures.pages,
        "chunks": figures.chunks,
        "vectors": figures.vectors,
        "modes": modes_view(&figures.modes),
        "query_embedding_ms": figures.query_embedding.as_ref().map(Times::view),
        "vector_recall10": figures.recall.map(rounded),
        "server": server,
    })
}

fn modes_view(modes: &[ModeTimes]) -> Value {
    let modes = modes.iter().map(|mode| {
        let view = json!({
            "ms": mode.times.view(),
            "queries_per_s": rounded(mode.queries_per_s()),
            "cpu_ms_mean": rounded(mode.cpu_ms()),
        });
        (mode.mode.name().to_owned(), view)
    });
    Value::Object(modes.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_spread_over_all() {
        let check = |total: usize, count: usize, expected: &[usize]| {
            assert_eq!(
                spread((0..total).collect(), count),
                expected,
                "{count} of {total}"
            );
        };
        check(3, 5, &[0, 1, 2]);
        check(4, 2, &[0, 2]);
        check(10, 4, &[0, 2, 5, 7]);
        check(0, 4, &[]);
        assert_eq!(spread((0..1000).collect::<Vec<_>>(), 999).len(), 999);
    }

    #[test]
    fn text_without_a_word_is_no_query() {
        assert!(is_query("a") && is_query("کتاب") && is_query("1"));
        assert!(!is_query("") && !is_query(" … -"));
    }

    #[test]
    fn json_has_all_modes() {
        let mut times = Times::default();
        times.push(Duration::from_millis(4));
        let figures = Figures {
            queries: 1,
            pages: 2,
            chunks: 3,
            vectors: 4,
            modes: vec![ModeTimes {
                mode: Mode::Keyword,
                times,
                cpu: Duration::from_millis(3),
            }],
            query_embedding: None,
            recall: Some(0.985),
            server: None,
        };
        let view = view(&figures);
        assert_eq!(view["modes"]["keyword"]["queries_per_s"], 250.0);
        assert_eq!(view["modes"]["keyword"]["cpu_ms_mean"], 3.0);
        assert_eq!(view["vector_recall10"], 0.985);
        assert!(view["query_embedding_ms"].is_null());
    }
}
