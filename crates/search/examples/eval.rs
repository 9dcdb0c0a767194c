#![expect(clippy::print_stdout, reason = "a measuring tool prints its figures")]
//! Measures retrieval on BEIR-like sets, and tries other weights.
//!
//!     eval SET_DIR... [--mode keyword|vector|hybrid] [--run FILE] [--swap] [--limit N]
//!          [--try name=value,name=value]... [--export DIR | --vectors DIR]
//!
//! A set is a folder with `corpus.jsonl` (or `.gz`), `queries.jsonl` and
//! `qrels.tsv`. Lines of a text that begin with `# ` are headings. `--export`
//! writes the texts that vectors are wanted for (one JSON string a line), and
//! `--vectors` reads them back as raw little-endian f32 in the same order:
//! `NAME.chunks.f32` and `NAME.queries.f32`. Each `--try` is one more line of
//! figures with those weights.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use search::engine::{Follower, KeywordEngine};
use search::{FusionWeights, LocalKeywords, Mode, Ranking, SearchRequest, Searcher};
use store::{
    ChunkVectors, CrawlBatch, FrontierKind, NewSource, NewUrl, PageVisit, Store, StoredVector,
    Visit, VisitResult,
};
use types::{
    Block, BlockKind, CanonicalUrl, Chunk, ChunkId, ContentHash, Page, SystemClock, TenantId,
    TextHash,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const MODEL: &str = "eval";
/// Words after which the stand-in chunker begins a new chunk.
const CHUNK_WORDS: usize = 150;
/// Queries that the recall of the vector scan is measured with.
const RECALL_QUERIES_MAX: usize = 200;

struct Options {
    sets: Vec<PathBuf>,
    mode: Mode,
    run: Option<PathBuf>,
    swap: bool,
    limit: usize,
    tries: Vec<String>,
    export: Option<PathBuf>,
    vectors: Option<PathBuf>,
}

fn main() -> Result<()> {
    let options = options()?;
    let scratch = std::env::temp_dir().join(format!("gleaner-eval-{}", std::process::id()));
    for dir in &options.sets {
        let index_dir = scratch.join(name_of(dir));
        let outcome = evaluate(dir, &index_dir, &options);
        let _ = fs::remove_dir_all(&scratch);
        outcome?;
    }
    Ok(())
}

fn options() -> Result<Options> {
    let mut options = Options {
        sets: Vec::new(),
        mode: Mode::Keyword,
        run: None,
        swap: false,
        limit: 100,
        tries: vec![String::new()],
        export: None,
        vectors: None,
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        match arg.as_str() {
            "--mode" => options.mode = Mode::from_name(&value()?).ok_or("unknown mode")?,
            "--run" => options.run = Some(value()?.into()),
            "--swap" => options.swap = true,
            "--limit" => options.limit = value()?.parse()?,
            "--try" => options.tries.push(value()?),
            "--export" => options.export = Some(value()?.into()),
            "--vectors" => options.vectors = Some(value()?.into()),
            _ if arg.starts_with("--") => return Err(format!("unknown option {arg}").into()),
            _ => options.sets.push(arg.into()),
        }
    }
    if options.sets.is_empty() {
        return Err("name at least one set".into());
    }
    Ok(options)
}

fn evaluate(dir: &Path, index_dir: &Path, options: &Options) -> Result<()> {
    let name = name_of(dir);
    let corpus = read_jsonl(dir, "corpus.jsonl")?;
    let queries = read_jsonl(dir, "queries.jsonl")?;
    let judgements = judgements(dir)?;
    let store = Store::open_memory(Arc::new(SystemClock))?;
    let ids = fill(&store, &corpus)?;
    let mut index = Follower::new(LocalKeywords::new(index_dir.to_owned()).open_writer()?);
    let started = Instant::now();
    while index.sync(&store, 1000)?.more {}
    index.commit()?;
    let bytes: usize = corpus.iter().map(|doc| doc.text.len()).sum();
    let micros = started.elapsed().as_micros() as f64 / corpus.len().max(1) as f64;
    println!(
        "{name}: {} pages indexed, {micros:.0} us a page of {} bytes",
        corpus.len(),
        bytes / corpus.len()
    );
    let chunks = store.pending_chunks(10_000_000)?;
    if let Some(out) = &options.export {
        fs::create_dir_all(out)?;
        let passages: Vec<String> = chunks
            .iter()
            .map(|c| passage(&c.title, &c.section, &c.text))
            .collect();
        write_lines(&out.join(format!("{name}.chunks.jsonl")), passages.iter())?;
        write_lines(
            &out.join(format!("{name}.queries.jsonl")),
            queries.iter().map(|q| &q.text),
        )?;
        return Ok(());
    }
    let mut query_vectors = Vec::new();
    if let Some(from) = &options.vectors {
        let vectors = read_vectors(&from.join(format!("{name}.chunks.f32")), chunks.len())?;
        query_vectors = read_vectors(&from.join(format!("{name}.queries.f32")), queries.len())?;
        store.set_embedding_model(MODEL, vectors[0].len())?;
        for batch in chunks.iter().zip(&vectors).collect::<Vec<_>>().chunks(500) {
            let rows = batch.iter().map(|(chunk, vector)| ChunkVectors {
                chunk: chunk.chunk,
                hash: chunk.hash,
                full: quantize(vector),
                tldr: None,
                tldr_hash: None,
            });
            store.save_vectors(MODEL, rows.collect())?;
        }
        report_recall(&store, &query_vectors)?;
    }
    let model = options.vectors.as_ref().map(|_| MODEL);
    let mut searcher = Searcher::open(store, index_dir, model)?;
    for weights in &options.tries {
        let (ranking, fusion) = weights_of(weights)?;
        searcher = searcher.with_weights(ranking, fusion);
        let mut runs = Vec::new();
        let mut times = Vec::new();
        for (n, query) in queries.iter().enumerate() {
            let text = if options.swap {
                swap_letters(&query.text)
            } else {
                query.text.clone()
            };
            let request = SearchRequest {
                query: text,
                mode: options.mode,
                limit: options.limit,
                ..SearchRequest::default()
            };
            let started = Instant::now();
            let response = searcher.search(&request, query_vectors.get(n).map(Vec::as_slice))?;
            times.push(started.elapsed().as_micros());
            let found: Vec<String> = response
                .hits
                .iter()
                .map(|hit| ids[&hit.url].clone())
                .collect();
            runs.push((query.id.clone(), found));
        }
        times.sort_unstable();
        let (ndcg, recall) = score(&runs, &judgements);
        println!(
            "{name} {}: nDCG@10 {ndcg:.4} recall {recall:.4} (p50 {} us) {weights}",
            options.mode.name(),
            times[times.len() / 2]
        );
        if let Some(file) = &options.run {
            write_run(file, &runs)?;
        }
    }
    Ok(())
}

struct Doc {
    id: String,
    title: String,
    text: String,
}

fn read_jsonl(dir: &Path, file: &str) -> Result<Vec<Doc>> {
    let plain = dir.join(file);
    let mut text = String::new();
    if plain.exists() {
        text = fs::read_to_string(plain)?;
    } else {
        flate2::read::GzDecoder::new(fs::File::open(dir.join(format!("{file}.gz")))?)
            .read_to_string(&mut text)?;
    }
    let mut docs = Vec::new();
    for line in text.lines() {
        let doc: serde_json::Value = serde_json::from_str(line)?;
        let field = |name: &str| doc[name].as_str().unwrap_or_default().to_owned();
        docs.push(Doc {
            id: field("_id"),
            title: field("title"),
            text: field("text"),
        });
    }
    Ok(docs)
}

type Judgements = HashMap<String, HashMap<String, f64>>;

fn judgements(dir: &Path) -> Result<Judgements> {
    let mut judgements = Judgements::new();
    for line in fs::read_to_string(dir.join("qrels.tsv"))?.lines().skip(1) {
        let mut columns = line.split('\t');
        let (Some(query), Some(doc), Some(gain)) = (columns.next(), columns.next(), columns.next())
        else {
            return Err(format!("malformed judgement {line:?}").into());
        };
        judgements
            .entry(query.into())
            .or_default()
            .insert(doc.into(), gain.trim().parse()?);
    }
    Ok(judgements)
}

/// Stores the corpus as a crawl would and returns the document id of each URL.
fn fill(store: &Store, corpus: &[Doc]) -> Result<HashMap<String, String>> {
    let source = store.ensure_source(NewSource {
        tenant: TenantId::DEFAULT,
        name: "eval".into(),
        seeds: vec!["https://eval.example/".into()],
        policy: "{}".into(),
    })?;
    let crawl = store.start_crawl(source, "{}", Vec::new())?;
    let mut ids = HashMap::new();
    for (batch, docs) in corpus.chunks(500).enumerate() {
        let mut by_url = HashMap::new();
        let mut new = Vec::new();
        for (n, doc) in docs.iter().enumerate() {
            // A site's own paths are words worth finding; other ids are only numbers.
            let path = if doc.id.ends_with(".html") {
                doc.id.clone()
            } else {
                (batch * 500 + n).to_string()
            };
            let url = CanonicalUrl::parse(&format!("https://eval.example/{path}"))?;
            ids.insert(url.as_str().to_owned(), doc.id.clone());
            by_url.insert(url.clone(), doc);
            new.push(NewUrl {
                url,
                kind: FrontierKind::Page,
                depth: 0,
            });
        }
        store.add_urls(crawl, new)?;
        let mut visits = Vec::new();
        for host in store.queued_hosts(crawl)? {
            for row in store.queued_urls(crawl, &host, 0, 1000)? {
                let (page, chunks) = page_of(by_url[&row.url], row.row);
                let visit = PageVisit {
                    page,
                    chunks,
                    etag: None,
                    last_modified: None,
                    content_type: None,
                };
                visits.push(Visit {
                    row: row.row,
                    url: row.url,
                    status: Some(200),
                    wire_bytes: 0,
                    result: VisitResult::Page(Box::new(visit)),
                    discovered: Vec::new(),
                    redirect_to: None,
                    fetched: true,
                });
            }
        }
        store.commit_batch(CrawlBatch {
            crawl,
            visits,
            follow_ups: Vec::new(),
        })?;
    }
    Ok(ids)
}

fn page_of(doc: &Doc, row: i64) -> (Page, Vec<Chunk>) {
    let mut page = Page {
        title: doc.title.clone(),
        text: doc.text.clone(),
        ..Page::default()
    };
    // Documents of equal text are told apart: they are judged apart.
    page.content_hash = ContentHash([0; 32]);
    page.content_hash.0[..8].copy_from_slice(&row.to_le_bytes());
    page.simhash = (row as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut chunks: Vec<Chunk> = Vec::new();
    let (mut start, mut words, mut section) = (0, 0, String::new());
    let mut at = 0;
    let mut close = |start: usize, end: usize, section: &str| {
        if !doc.text[start..end].trim().is_empty() {
            let mut hash = [0; 16];
            hash[..8].copy_from_slice(&row.to_le_bytes());
            hash[8..].copy_from_slice(&(start as u64).to_le_bytes());
            chunks.push(Chunk {
                position: chunks.len() as u32,
                range: start..end,
                tldr: None,
                section: section.to_owned(),
                heading_path: Vec::new(),
                keywords: Vec::new(),
                language: None,
                tokens: 0,
                hash: TextHash(hash),
            });
        }
    };
    for line in doc.text.split_inclusive('\n') {
        let heading = line.strip_prefix("# ");
        let count = line.split_whitespace().count();
        if heading.is_some() && words > 10 || words + count > CHUNK_WORDS && words > 0 {
            close(start, at, &section);
            (start, words) = (at, 0);
        }
        let end = at + line.trim_end().len();
        if let Some(heading) = heading {
            section = heading.trim().to_owned();
            page.blocks.push(Block {
                kind: BlockKind::Heading(2),
                range: (at + 2).min(end)..end,
            });
        } else if end > at {
            page.blocks.push(Block {
                kind: BlockKind::Paragraph,
                range: at..end,
            });
        }
        page.blocks.retain(|block| !block.range.is_empty());
        words += count;
        at += line.len();
    }
    close(start, doc.text.len(), &section);
    (page, chunks)
}

fn passage(title: &str, section: &str, text: &str) -> String {
    let mut passage = title.to_owned();
    if !section.is_empty() && section != title {
        let _ = write!(passage, "\n{section}");
    }
    let _ = write!(passage, "\n{text}");
    passage
}

fn write_lines<'a>(path: &Path, lines: impl Iterator<Item = &'a String>) -> Result<()> {
    let mut out = String::new();
    for line in lines {
        let _ = writeln!(out, "{}", serde_json::Value::from(line.as_str()));
    }
    Ok(fs::write(path, out)?)
}

fn read_vectors(path: &Path, count: usize) -> Result<Vec<Vec<f32>>> {
    let bytes = fs::read(path)?;
    let dims = bytes.len() / 4 / count.max(1);
    if dims == 0 || dims * 4 * count != bytes.len() {
        return Err(format!("{} does not hold {count} vectors", path.display()).into());
    }
    let (floats, _) = bytes.as_chunks::<4>();
    let floats: Vec<f32> = floats.iter().map(|b| f32::from_le_bytes(*b)).collect();
    Ok(floats.chunks_exact(dims).map(<[f32]>::to_vec).collect())
}

fn quantize(vector: &[f32]) -> StoredVector {
    let largest = vector
        .iter()
        .fold(0.0f32, |m, x| m.max(x.abs()))
        .max(f32::MIN_POSITIVE);
    let scale = largest / 127.0;
    StoredVector {
        scale,
        codes: vector.iter().map(|x| (x / scale).round() as i8).collect(),
    }
}

/// Recall of the scan against exact products over every vector.
fn report_recall(store: &Store, queries: &[Vec<f32>]) -> Result<()> {
    let index = search::VectorIndex::load(store, MODEL)?;
    let (mut kept, mut all, mut micros) = (0, 0, 0);
    for query in queries.iter().take(RECALL_QUERIES_MAX) {
        let ids =
            |found: Vec<search::Neighbour>| found.iter().map(|n| n.chunk).collect::<Vec<ChunkId>>();
        let exact = ids(index.search_exact(TenantId::DEFAULT, query, 10, None)?);
        let started = Instant::now();
        let scanned = ids(index.search(TenantId::DEFAULT, query, 10, None)?);
        micros += started.elapsed().as_micros();
        all += exact.len();
        kept += exact.iter().filter(|id| scanned.contains(id)).count();
    }
    println!(
        "recall@10 of the scan {:.4} over {} vectors, {} us a query",
        kept as f64 / all.max(1) as f64,
        index.len(TenantId::DEFAULT),
        micros / queries.len().clamp(1, RECALL_QUERIES_MAX) as u128
    );
    Ok(())
}

fn weights_of(text: &str) -> Result<(Ranking, FusionWeights)> {
    let (mut ranking, mut fusion) = (Ranking::default(), FusionWeights::default());
    for pair in text.split(',').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or("weights are name=value")?;
        let value: f32 = value.parse()?;
        match name {
            "k1" => ranking.k1 = value,
            "b_body" => ranking.b_body = value,
            "b_short" => ranking.b_short = value,
            "title" => ranking.weight_title = value,
            "headings" => ranking.weight_headings = value,
            "url" => ranking.weight_url = value,
            "optional" => ranking.weight_optional = value,
            "stop" => ranking.weight_stop = value,
            "all_words" => ranking.all_words = value,
            "chunk" => ranking.weight_chunk = value,
            "b_chunk" => ranking.b_chunk = value,
            "rescored" => ranking.rescored = value as usize,
            "vector" => fusion.vector = value,
            _ => return Err(format!("unknown weight {name}").into()),
        }
    }
    Ok((ranking, fusion))
}

/// The other spelling of a Persian query: Arabic letters for Persian ones and
/// a blank for ZWNJ, or Persian letters where the query has Arabic ones.
fn swap_letters(query: &str) -> String {
    let arabic = query.contains(['ي', 'ك']);
    let swapped = query.chars().map(|c| match c {
        'ي' if arabic => 'ی',
        'ك' if arabic => 'ک',
        'ی' if !arabic => 'ي',
        'ک' if !arabic => 'ك',
        '\u{200c}' => ' ',
        c => c,
    });
    swapped.collect()
}

/// Mean nDCG@10 and recall@100 over all judged queries.
fn score(runs: &[(String, Vec<String>)], judgements: &Judgements) -> (f64, f64) {
    let discount = |rank: usize| 1.0 / (rank as f64 + 2.0).log2();
    let (mut ndcg, mut recall) = (0.0, 0.0);
    let none = HashMap::new();
    for (query, found) in runs {
        let gains = judgements.get(query).unwrap_or(&none);
        let mut ideal: Vec<f64> = gains.values().copied().filter(|gain| *gain > 0.0).collect();
        ideal.sort_by(|a, b| b.total_cmp(a));
        let relevant = ideal.len();
        let best: f64 = ideal
            .iter()
            .take(10)
            .enumerate()
            .map(|(rank, gain)| gain * discount(rank))
            .sum();
        let gain_of = |doc: &String| gains.get(doc).copied().unwrap_or(0.0).max(0.0);
        let reached: f64 = found
            .iter()
            .take(10)
            .enumerate()
            .map(|(rank, doc)| gain_of(doc) * discount(rank))
            .sum();
        if best > 0.0 {
            ndcg += reached / best;
            let hits = found
                .iter()
                .take(100)
                .filter(|doc| gain_of(doc) > 0.0)
                .count();
            recall += hits as f64 / relevant as f64;
        }
    }
    let queries = runs.len().max(1) as f64;
    (ndcg / queries, recall / queries)
}

fn write_run(file: &Path, runs: &[(String, Vec<String>)]) -> Result<()> {
    let mut out = String::new();
    for (query, docs) in runs {
        let line = serde_json::json!({ "qid": query, "docs": docs });
        let _ = writeln!(out, "{line}");
    }
    Ok(fs::write(file, out)?)
}

fn name_of(dir: &Path) -> String {
    dir.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}
