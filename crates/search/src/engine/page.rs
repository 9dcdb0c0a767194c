//! A page as every keyword index takes it in: analysed, with all that is
//! filtered by and counted.

use std::ops::Range;

use store::IndexDoc;
use types::{BlockKind, ChunkId, PageId, Record, SourceId, TenantId, Timestamp};

use super::facets;
use super::tokens::Tokens;
use crate::text::Analyzer;

/// Structured fields of one page; a page that declares more is a data dump.
const STRUCTURED_MAX: usize = 256;
/// Bytes of one structured value; longer ones are prose, not something to filter by.
const STRUCTURED_VALUE_BYTES_MAX: usize = 256;
const STRUCTURED_DEPTH_MAX: usize = 8;

/// One page of the index.
#[derive(Clone, Debug, PartialEq)]
pub struct IndexedPage {
    pub page: PageId,
    pub tenant: TenantId,
    pub source: SourceId,
    pub host: String,
    /// Path and query of the URL.
    pub path: String,
    pub language: Option<String>,
    pub published_at: Option<Timestamp>,
    /// Each a folded name and value of structured data or of the record: what
    /// [`crate::Filters`] ask for under names of the page's own.
    pub structured: Vec<String>,
    /// Each the name of one of [`super::FACETS`] and a value, with U+001F between.
    pub facets: Vec<String>,
    pub price: Option<f64>,
    /// A year's pay: the highest and the lowest that is stated.
    pub salary_most: Option<f64>,
    pub salary_least: Option<f64>,
    pub title: Tokens,
    pub headings: Vec<Tokens>,
    pub body: Tokens,
    pub url_words: Tokens,
    /// In page order, each with the positions of its tokens in `body`; they overlap.
    pub chunks: Vec<(ChunkId, Range<u32>)>,
}

impl IndexedPage {
    /// `None` when there is nothing to be found in it.
    pub(crate) fn of(doc: &IndexDoc, analyzer: &mut Analyzer) -> Option<IndexedPage> {
        let content = doc.content.as_ref()?;
        if doc.chunks.is_empty() {
            return None;
        }
        let language = doc.page.language.as_deref();
        let headings = content.blocks.iter().filter_map(|block| match block.kind {
            BlockKind::Heading(_) => content.text.get(block.range.clone()),
            _ => None,
        });
        let headings = headings.map(|text| Tokens::of(analyzer, text, language));
        let headings = headings.filter(|tokens| !tokens.is_empty()).collect();
        let path = path_of(&doc.page.url);
        let (body, chunks) = body_of(doc, &content.text, analyzer);
        let mut page = IndexedPage {
            page: doc.page.id,
            tenant: doc.page.tenant,
            source: doc.page.source,
            host: doc.page.host.clone(),
            path: path.to_owned(),
            language: doc.page.language.clone(),
            published_at: doc.page.published_at,
            structured: structured_terms(doc.structured.as_deref(), &doc.open_graph),
            facets: Vec::new(),
            price: None,
            salary_most: None,
            salary_least: None,
            title: Tokens::of(analyzer, &doc.page.title, language),
            headings,
            body,
            url_words: Tokens::of(analyzer, &url_words(path), language),
            chunks,
        };
        page.add_facts(doc.page.author.as_deref(), doc.record.as_ref());
        Some(page)
    }

    /// Tokens of title, headings, body and words of the URL.
    #[must_use]
    pub fn token_counts(&self) -> [u64; 4] {
        let headings = self.headings.iter().map(Tokens::count).sum();
        [
            self.title.count(),
            headings,
            self.body.count(),
            self.url_words.count(),
        ]
    }

    /// What can be filtered by and counted besides structured data.
    fn add_facts(&mut self, author: Option<&str>, record: Option<&Record>) {
        let source = self.source.to_string();
        let mut facets: Vec<Option<String>> = vec![
            facets::entry("source", &source),
            facets::entry("host", &self.host),
        ];
        if let Some(language) = &self.language {
            facets.push(facets::entry("lang", language));
        }
        if let Some(author) = author {
            facets.push(facets::entry("author", author));
            self.structured.push(structured_term("author", author));
        }
        if let Some(record) = record {
            for (name, value) in facets::of_record(record) {
                if name == "author" {
                    if author.is_some() {
                        continue;
                    }
                    self.structured.push(structured_term(name, value));
                }
                facets.push(facets::entry(name, value));
                self.structured.push(record_term(name, value));
                let parts = value.split(',').filter(|part| *part != value);
                for part in parts.filter(|_| name == "location") {
                    self.structured.push(record_term(name, part));
                }
            }
            self.price = record.price;
            let (min, max) = record
                .salary
                .as_ref()
                .map_or((None, None), types::Salary::per_year);
            self.salary_most = max.or(min);
            self.salary_least = min.or(max);
        }
        self.facets = facets.into_iter().flatten().collect();
    }
}

/// The term of a record's fact. No name in a page's own data begins so.
pub(crate) fn record_term(name: &str, value: &str) -> String {
    structured_term(&format!("\u{1f}{name}"), value)
}

/// The term of one structured field: its folded name and value.
pub(crate) fn structured_term(name: &str, value: &str) -> String {
    format!("{}\u{1f}{}", name.to_lowercase(), fold_value(value))
}

fn fold_value(value: &str) -> String {
    let words: Vec<&str> = value.split_whitespace().collect();
    words.join(" ").to_lowercase()
}

/// The tokens of the text, and those of each chunk.
fn body_of(
    doc: &IndexDoc,
    text: &str,
    analyzer: &mut Analyzer,
) -> (Tokens, Vec<(ChunkId, Range<u32>)>) {
    // Token positions at which chunks begin and end. Chunks overlap, so both
    // are looked up; the tokens come in order, so two sorted walks do it.
    let ranges: Vec<&Range<usize>> = doc.chunks.iter().map(|row| &row.chunk.range).collect();
    let mut starts = vec![0u32; ranges.len()];
    let mut ends = vec![0u32; ranges.len()];
    let mut by_end: Vec<usize> = (0..ranges.len()).collect();
    by_end.sort_by_key(|n| ranges[*n].end);
    let (mut next_start, mut next_end, mut token_count) = (0, 0, 0u32);
    let mut body = Tokens::with_capacity(text.len() + text.len() / 4);
    analyzer.analyze_with(text, doc.page.language.as_deref(), |token| {
        while next_start < ranges.len() && ranges[next_start].start <= token.range.start {
            starts[next_start] = token.position;
            next_start += 1;
        }
        while next_end < by_end.len() && ranges[by_end[next_end]].end <= token.range.start {
            ends[by_end[next_end]] = token.position;
            next_end += 1;
        }
        token_count = token.position + 1;
        body.push(token.text, token.whole);
    });
    for start in &mut starts[next_start..] {
        *start = token_count;
    }
    for n in &by_end[next_end..] {
        ends[*n] = token_count;
    }
    let spans = starts.into_iter().zip(ends);
    let spans = spans.map(|(start, end)| start..end.max(start));
    let chunks = doc.chunks.iter().map(|row| row.id).zip(spans);
    (body, chunks.collect())
}

/// Path and query of an absolute URL; `/` when it has none.
fn path_of(url: &str) -> &str {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    after_scheme.find('/').map_or("/", |at| &after_scheme[at..])
}

/// The readable words of a path: percent-decoded, without the file ending.
fn url_words(path: &str) -> String {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let path = path.rsplit_once('.').map_or(path, |(stem, ending)| {
        if ending.len() <= 5 && !ending.contains('/') {
            stem
        } else {
            path
        }
    });
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let decoded = (byte == b'%')
            .then(|| tail.get(..2))
            .flatten()
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match decoded {
            Some(decoded) => {
                bytes.push(decoded);
                rest = &tail[2..];
            }
            None => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).replace(['-', '_', '.'], " ")
}

/// `name=value` terms of JSON-LD, microdata and OpenGraph. A nested value is
/// listed under its dotted path and, like everything in `@graph`, arrays are
/// transparent. `@type` is also spelled `type`; OpenGraph names also go
/// without their `og:` prefix.
fn structured_terms(structured: Option<&str>, open_graph: &[(String, String)]) -> Vec<String> {
    let mut terms = Vec::new();
    for (name, value) in open_graph {
        push_term(name, value, &mut terms);
        if let Some(plain) = name.strip_prefix("og:") {
            push_term(plain, value, &mut terms);
        }
    }
    // Broken JSON was dropped by extraction; what still fails to parse filters nothing.
    if let Some(Ok(value)) = structured.map(serde_json::from_str::<serde_json::Value>) {
        walk(&value, &mut String::new(), 0, &mut terms);
    }
    terms.sort_unstable();
    terms.dedup();
    terms
}

fn walk(value: &serde_json::Value, path: &mut String, depth: usize, terms: &mut Vec<String>) {
    use serde_json::Value;
    if depth > STRUCTURED_DEPTH_MAX || terms.len() >= STRUCTURED_MAX {
        return;
    }
    match value {
        Value::Null => {}
        Value::Bool(flag) => push_term(path, if *flag { "true" } else { "false" }, terms),
        Value::Number(number) => push_term(path, &number.to_string(), terms),
        Value::String(text) => push_term(path, schema_org_name(text), terms),
        Value::Array(items) => items
            .iter()
            .for_each(|item| walk(item, path, depth + 1, terms)),
        Value::Object(members) => {
            for (name, member) in members {
                let length = path.len();
                if name != "@graph" {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(name.trim_start_matches('@'));
                }
                walk(member, path, depth + 1, terms);
                path.truncate(length);
            }
        }
    }
}

/// `https://schema.org/Article` -> `Article`, as microdata spells types.
fn schema_org_name(text: &str) -> &str {
    ["https://schema.org/", "http://schema.org/"]
        .iter()
        .find_map(|prefix| text.strip_prefix(prefix))
        .unwrap_or(text)
}

fn push_term(name: &str, value: &str, terms: &mut Vec<String>) {
    if !name.is_empty()
        && !value.is_empty()
        && value.len() <= STRUCTURED_VALUE_BYTES_MAX
        && terms.len() < STRUCTURED_MAX
    {
        terms.push(structured_term(name, value));
    }
}
