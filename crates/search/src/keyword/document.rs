//! A page as the keyword index takes it in, and its tantivy document.

use std::ops::Range;

use tantivy::TantivyDocument;

use types::Record;

use super::facets;
use super::schema::{Fields, SAME_POSITION, SEPARATOR};
use crate::text::Analyzer;

/// Structured fields of one page; a page that declares more is a data dump.
const STRUCTURED_MAX: usize = 256;
/// Bytes of one structured value; longer ones are prose, not something to filter by.
const STRUCTURED_VALUE_BYTES_MAX: usize = 256;
const STRUCTURED_DEPTH_MAX: usize = 8;

/// What of a page is indexed.
#[derive(Clone, Debug, Default)]
pub(crate) struct PageDocument<'a> {
    pub(crate) page: i64,
    pub(crate) tenant: i64,
    pub(crate) source: i64,
    pub(crate) host: &'a str,
    /// Path and query of the URL.
    pub(crate) path: &'a str,
    pub(crate) language: Option<&'a str>,
    pub(crate) published_ms: Option<i64>,
    pub(crate) author: Option<&'a str>,
    pub(crate) title: &'a str,
    pub(crate) headings: Vec<&'a str>,
    pub(crate) text: &'a str,
    /// Ascending by start; ranges into `text`.
    pub(crate) chunks: Vec<(i64, Range<usize>)>,
    /// JSON-LD and microdata, serialised.
    pub(crate) structured: Option<&'a str>,
    pub(crate) open_graph: &'a [(String, String)],
    pub(crate) record: Option<&'a Record>,
}

pub(crate) fn build(
    page: &PageDocument<'_>,
    fields: &Fields,
    analyzer: &mut Analyzer,
) -> TantivyDocument {
    let mut document = TantivyDocument::new();
    document.add_i64(fields.page, page.page);
    document.add_i64(fields.tenant, page.tenant);
    document.add_i64(fields.source, page.source);
    document.add_text(fields.host, page.host);
    document.add_text(fields.path, page.path);
    if let Some(language) = page.language {
        document.add_text(fields.language, language);
    }
    if let Some(published) = page.published_ms {
        document.add_i64(fields.published, published);
    }
    for pair in structured_terms(page.structured, page.open_graph) {
        document.add_text(fields.structured, pair);
    }
    add_facts(page, fields, &mut document);
    let mut buffer = String::with_capacity(page.text.len() + page.text.len() / 4);
    let title_tokens = write_tokens(analyzer, page.title, page.language, &mut buffer);
    if title_tokens > 0 {
        document.add_text(fields.title, &buffer);
    }
    let mut heading_tokens = 0;
    for heading in &page.headings {
        let tokens = write_tokens(analyzer, heading, page.language, &mut buffer);
        if tokens > 0 {
            document.add_text(fields.headings, &buffer);
            heading_tokens += tokens;
        }
    }
    let url_tokens = write_tokens(analyzer, &url_words(page.path), page.language, &mut buffer);
    if url_tokens > 0 {
        document.add_text(fields.url_words, &buffer);
    }
    let body_tokens = add_body(page, fields, analyzer, &mut buffer, &mut document);
    // In the order of `Fields::searched`.
    for tokens in [title_tokens, heading_tokens, body_tokens, url_tokens] {
        document.add_u64(fields.tokens, tokens);
    }
    document
}

/// What can be filtered by and counted besides structured data.
fn add_facts(page: &PageDocument<'_>, fields: &Fields, document: &mut TantivyDocument) {
    let mut count = |name: &str, value: &str| {
        if let Some(entry) = facets::entry(name, value) {
            document.add_text(fields.facet, entry);
        }
    };
    count("source", &page.source.to_string());
    count("host", page.host);
    if let Some(language) = page.language {
        count("lang", language);
    }
    if let Some(author) = page.author {
        count("author", author);
        document.add_text(fields.structured, structured_term("author", author));
    }
    let Some(record) = page.record else {
        return;
    };
    for (name, value) in facets::of_record(record) {
        if name == "author" {
            if page.author.is_some() {
                continue;
            }
            document.add_text(fields.structured, structured_term(name, value));
        }
        if let Some(entry) = facets::entry(name, value) {
            document.add_text(fields.facet, entry);
        }
        document.add_text(fields.structured, record_term(name, value));
        let parts = value.split(',').filter(|part| *part != value);
        for part in parts.filter(|_| name == "location") {
            document.add_text(fields.structured, record_term(name, part));
        }
    }
    if let Some(price) = record.price {
        document.add_f64(fields.price, price);
    }
    let (min, max) = record
        .salary
        .as_ref()
        .map_or((None, None), types::Salary::per_year);
    if let (Some(most), Some(least)) = (max.or(min), min.or(max)) {
        document.add_f64(fields.salary_most, most);
        document.add_f64(fields.salary_least, least);
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

/// Returns the number of tokens.
fn add_body(
    page: &PageDocument<'_>,
    fields: &Fields,
    analyzer: &mut Analyzer,
    buffer: &mut String,
    document: &mut TantivyDocument,
) -> u64 {
    // Token positions at which chunks begin and end. Chunks overlap, so both
    // are looked up; the tokens come in order, so two sorted walks do it.
    let mut starts = vec![0u32; page.chunks.len()];
    let mut ends = vec![0u32; page.chunks.len()];
    let mut by_end: Vec<usize> = (0..page.chunks.len()).collect();
    by_end.sort_by_key(|n| page.chunks[*n].1.end);
    let (mut next_start, mut next_end, mut token_count) = (0, 0, 0u32);
    // More than positions: a compound's whole shares its place with a part.
    let mut tokens = 0;
    buffer.clear();
    analyzer.analyze_with(page.text, page.language, |token| {
        while next_start < page.chunks.len() && page.chunks[next_start].1.start <= token.range.start
        {
            starts[next_start] = token.position;
            next_start += 1;
        }
        while next_end < by_end.len() && page.chunks[by_end[next_end]].1.end <= token.range.start {
            ends[by_end[next_end]] = token.position;
            next_end += 1;
        }
        token_count = token.position + 1;
        tokens += 1;
        push_token(token.text, token.whole, buffer);
    });
    for start in &mut starts[next_start..] {
        *start = token_count;
    }
    for n in &by_end[next_end..] {
        ends[*n] = token_count;
    }
    if !buffer.is_empty() {
        document.add_text(fields.body, &*buffer);
    }
    for (n, (id, _)) in page.chunks.iter().enumerate() {
        document.add_i64(fields.chunk, *id);
        let end = ends[n].max(starts[n]);
        document.add_u64(
            fields.chunk_span,
            u64::from(starts[n]) << 32 | u64::from(end),
        );
    }
    tokens
}

fn write_tokens(
    analyzer: &mut Analyzer,
    text: &str,
    language: Option<&str>,
    buffer: &mut String,
) -> u64 {
    buffer.clear();
    let mut count = 0;
    analyzer.analyze_with(text, language, |token| {
        push_token(token.text, token.whole, buffer);
        count += 1;
    });
    count
}

fn push_token(text: &str, shares_position: bool, buffer: &mut String) {
    if !buffer.is_empty() {
        buffer.push(SEPARATOR);
    }
    if shares_position {
        buffer.push(SAME_POSITION);
    }
    buffer.push_str(text);
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
