//! Names and fields of the indexes.
//!
//! `<prefix>-pages-v1` has a document for each page, under the page's number.
//! There is no routing: a page that is gone is only known by its number, and has
//! to be found by it. `<prefix>-progress` has one document for each version of
//! the former: how far it has got, and who writes it (`progress.rs`).

use serde_json::{Value, json};

use crate::engine::FACETS;

/// Changes whenever documents are made otherwise: pages go to another index then.
pub(super) const MADE_BY: u32 = 1;

/// Longest keyword, in characters: Lucene takes 32,766 bytes.
const KEYWORD_CHARS_MAX: usize = 8_191;
const ANALYZER: &str = "gleaner_tokens";
/// How long a page that was taken out is remembered, so that a writer which was
/// thought to be dead cannot bring it back.
const DELETES_KEPT: &str = "1h";

/// Title, headings, body and words of the URL, in this order everywhere.
pub(super) const TEXTS: [&str; 4] = ["title", "headings", "body", "url"];
/// Compounds of each text, which share a position with their first part.
pub(super) const WHOLES: [&str; 4] = [
    "title_wholes",
    "headings_wholes",
    "body_wholes",
    "url_wholes",
];
/// How many tokens each text has.
pub(super) const TOKENS: [&str; 4] = [
    "title_tokens",
    "headings_tokens",
    "body_tokens",
    "url_tokens",
];
pub(super) const CHUNK_COUNT: &str = "chunk_count";

/// Every word of a page stands in one of these, by what it counts there at about.
/// Candidates are chosen by them.
pub(super) const LEVELS: [&str; 8] = [
    "level_0", "level_1", "level_2", "level_3", "level_4", "level_5", "level_6", "level_7",
];
/// Where the next level begins, and what one counts, as shares of the most that a
/// word can count in a page. They are close at the top: in short pages every
/// word counts much.
pub(super) const LEVEL_ENDS: [f32; 7] = [0.26, 0.41, 0.55, 0.67, 0.78, 0.86, 0.92];
pub(super) const LEVEL_SHARES: [f32; 8] = [0.18, 0.34, 0.48, 0.61, 0.73, 0.82, 0.89, 0.94];

/// Where words stand (see `document.rs`), and the chunks.
pub(super) const PLACES: &str = "at";
pub(super) const CHUNKS: &str = "chunks";

/// Names of the indexes of one store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) pages: String,
    pub(super) progress: String,
    pub(super) template: String,
    /// Of the document in the index of progress.
    pub(super) version: String,
}

impl Names {
    pub(super) fn of(prefix: &str) -> Names {
        Names {
            pages: format!("{prefix}-pages-v{MADE_BY}"),
            progress: format!("{prefix}-progress"),
            template: format!("{prefix}-pages"),
            version: format!("pages-v{MADE_BY}"),
        }
    }

    /// Why `prefix` cannot begin the name of an index.
    pub(super) fn problem(prefix: &str) -> Option<&'static str> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
        let begins = prefix.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        if prefix.len() > 128 || !begins || !prefix.chars().all(fits) {
            return Some(
                "must begin with a letter or digit and have small letters, digits, - and _ only",
            );
        }
        None
    }
}

/// What every index of pages is made by.
pub(super) fn template(names: &Names, shards: u32) -> Value {
    json!({
        "index_patterns": [names.pages],
        // Above what a cluster has for all indexes, such as 0 to 200.
        "priority": 500,
        "version": MADE_BY,
        "_meta": {"made_by": "gleaner"},
        "template": {
            "settings": {
                "index": {
                    "number_of_shards": shards,
                    "auto_expand_replicas": "0-1",
                    // The writer refreshes when it commits.
                    "refresh_interval": "-1",
                    "gc_deletes": DELETES_KEPT,
                },
                "analysis": {"analyzer": {ANALYZER: {"type": "custom", "tokenizer": "whitespace"}}},
            },
            "mappings": mappings(),
        },
    })
}

fn mappings() -> Value {
    let exact = json!({"type": "keyword", "doc_values": false, "ignore_above": KEYWORD_CHARS_MAX});
    let counted = json!({"type": "keyword", "index": false, "ignore_above": KEYWORD_CHARS_MAX});
    let number = json!({"type": "long"});
    let sum = json!({"type": "long", "index": false});
    let amount = json!({"type": "double"});
    let kept = json!({"type": "keyword", "index": false, "doc_values": false});
    let words = |options: &str| json!({"type": "text", "analyzer": ANALYZER, "index_options": options, "norms": false});
    let mut fields = serde_json::Map::new();
    let mut add = |name: &str, field: &Value| fields.insert(name.to_owned(), field.clone());
    add("page", &number);
    add("tenant", &number);
    add("source", &number);
    add("host", &exact);
    add("path", &exact);
    add("language", &json!({"type": "keyword"}));
    // Milliseconds since 1970.
    add("published", &number);
    add("structured", &exact);
    add("price", &amount);
    add("salary_most", &amount);
    add("salary_least", &amount);
    let facets: serde_json::Map<String, Value> = FACETS
        .iter()
        .map(|facet| ((*facet).to_owned(), counted.clone()))
        .collect();
    add(
        "facets",
        &json!({"dynamic": "strict", "properties": facets}),
    );
    for name in TEXTS {
        add(name, &words("positions"));
    }
    for name in WHOLES.iter().chain(&LEVELS) {
        add(name, &words("docs"));
    }
    for name in TOKENS.iter().chain(&[CHUNK_COUNT]) {
        add(name, &sum);
    }
    add(CHUNKS, &kept);
    add(PLACES, &json!({"type": "object", "enabled": false}));
    let searched = TEXTS.iter().chain(&WHOLES).chain(&LEVELS);
    json!({
        "dynamic": "strict",
        // The words are kept once, with their places.
        "_source": {"excludes": searched.collect::<Vec<_>>()},
        "properties": fields,
    })
}

/// The index of progress, which is small and the same for all versions.
pub(super) fn progress_index() -> Value {
    json!({
        "settings": {"index": {"number_of_shards": 1, "auto_expand_replicas": "0-1"}},
        "mappings": {"dynamic": "false", "properties": {}},
    })
}
