//! Pages as documents, and what comes back of them.
//!
//! The places of words lie in an object that is not indexed, each under its
//! word, so that a search is sent those of its own words and no others. They are
//! read as `3,5,1|1,0,2`: positions in the body, each as its distance to the one
//! before, then how often the word stands in title, headings and URL, if it does.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use types::{ChunkId, PageId};

use super::schema::{CHUNK_COUNT, CHUNKS, LEVEL_ENDS, LEVELS, PLACES, TEXTS, TOKENS, WHOLES};
use crate::engine::facets::SEPARATOR;
use crate::engine::{IndexedPage, Tokens};
use crate::judging::{BODY, Candidate, Places};
use crate::keyword::Ranking;

/// Lengths that a level is computed with: those of ordinary pages. It must not
/// hang on other pages.
const ORDINARY_TOKENS: [f32; 4] = [8.0, 20.0, 400.0, 6.0];
/// Title, headings, body, words of the URL. Between headings there is room,
/// which no phrase reaches over.
type Texts<'a> = [Vec<&'a Tokens>; 4];

pub(super) fn of_page(page: &IndexedPage) -> Value {
    let texts: Texts<'_> = [
        vec![&page.title],
        page.headings.iter().collect(),
        vec![&page.body],
        vec![&page.url_words],
    ];
    let counts = page.token_counts();
    let mut document = Map::new();
    let mut add = |name: &str, value: Value| document.insert(name.to_owned(), value);
    add("page", page.page.0.into());
    add("tenant", page.tenant.0.into());
    add("source", page.source.0.into());
    add("host", page.host.as_str().into());
    add("path", page.path.as_str().into());
    if let Some(language) = &page.language {
        add("language", language.as_str().into());
    }
    if let Some(published) = page.published_at {
        add("published", published.0.into());
    }
    add("structured", json!(page.structured));
    let amounts = [
        ("price", page.price),
        ("salary_most", page.salary_most),
        ("salary_least", page.salary_least),
    ];
    for (name, amount) in amounts {
        // JSON has no others.
        if let Some(amount) = amount.filter(|amount| amount.is_finite()) {
            add(name, amount.into());
        }
    }
    add("facets", facets(&page.facets));
    for (field, texts) in texts.iter().enumerate() {
        for (name, wholes) in [(TEXTS[field], false), (WHOLES[field], true)] {
            let texts = texts.iter().map(|tokens| joined(tokens, wholes));
            let texts: Vec<String> = texts.filter(|text| !text.is_empty()).collect();
            if !texts.is_empty() {
                add(name, texts.into());
            }
        }
        add(TOKENS[field], counts[field].into());
    }
    let places = places_of(&texts);
    for (name, words) in LEVELS.iter().zip(by_level(&places, counts)) {
        if !words.is_empty() {
            add(name, words.join(" ").into());
        }
    }
    let places = places.iter();
    let places: Map<String, Value> = places
        .map(|(word, places)| (key(word), written(places).into()))
        .collect();
    add(PLACES, places.into());
    add(CHUNK_COUNT, page.chunks.len().into());
    let mut chunks = String::new();
    for (chunk, span) in &page.chunks {
        let _ = write!(chunks, "{}:{}:{} ", chunk.0, span.start, span.end);
    }
    add(CHUNKS, chunks.trim_end().into());
    document.into()
}

/// The tokens that are the wholes of compounds, or all others.
fn joined(tokens: &Tokens, wholes: bool) -> String {
    let mut text = String::new();
    for (token, is_whole) in tokens.marked() {
        if is_whole == wholes {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(token);
        }
    }
    text
}

fn facets(entries: &[String]) -> Value {
    let mut facets: Map<String, Value> = Map::new();
    for entry in entries {
        if let Some((name, value)) = entry.split_once(SEPARATOR) {
            let values = facets.entry(name).or_insert_with(|| json!([]));
            if let Some(values) = values.as_array_mut() {
                values.push(value.into());
            }
        }
    }
    facets.into()
}

fn places_of<'a>(texts: &Texts<'a>) -> BTreeMap<&'a str, Places> {
    let mut places: BTreeMap<&str, Places> = BTreeMap::new();
    for (field, texts) in texts.iter().enumerate() {
        for (position, word) in texts.iter().flat_map(|tokens| tokens.iter()) {
            let places = places.entry(word).or_default();
            places.counts[field] += 1;
            if field == BODY {
                places.body.push(position);
            }
        }
    }
    places
}

/// The words of each level, by what they count among pages of ordinary length.
fn by_level<'a>(places: &BTreeMap<&'a str, Places>, tokens: [u64; 4]) -> [Vec<&'a str>; 8] {
    let ranking = Ranking::default();
    let weights = [
        (ranking.weight_title, ranking.b_short),
        (ranking.weight_headings, ranking.b_short),
        (1.0, ranking.b_body),
        (ranking.weight_url, ranking.b_short),
    ];
    let shares: [f32; 4] = std::array::from_fn(|field| {
        let (weight, b) = weights[field];
        weight / (1.0 - b + b * tokens[field] as f32 / ORDINARY_TOKENS[field])
    });
    let mut levels: [Vec<&str>; 8] = std::array::from_fn(|_| Vec::new());
    for (word, places) in places {
        let counts = places.counts.iter().zip(shares);
        let frequency: f32 = counts.map(|(count, share)| *count as f32 * share).sum();
        let counts = frequency / (frequency + ranking.k1);
        let level = LEVEL_ENDS.partition_point(|end| *end <= counts);
        levels[level].push(word);
    }
    levels
}

fn written(places: &Places) -> String {
    let mut text = String::new();
    let mut before = 0;
    for (n, position) in places.body.iter().enumerate() {
        let separator = if n == 0 { "" } else { "," };
        let _ = write!(text, "{separator}{}", position - before);
        before = *position;
    }
    let [title, headings, _, url] = places.counts;
    if title + headings + url > 0 {
        let _ = write!(text, "|{title},{headings},{url}");
    }
    text
}

fn read(text: &str) -> Places {
    let (body, counts) = text.split_once('|').unwrap_or((text, ""));
    let mut places = Places::default();
    let mut position = 0;
    let numbers = |text: &str| -> Vec<u32> {
        let parts = text.split(',').filter(|part| !part.is_empty());
        parts.filter_map(|part| part.parse().ok()).collect()
    };
    for distance in numbers(body) {
        position += distance;
        places.body.push(position);
    }
    places.counts[BODY] = places.body.len() as u32;
    if let [title, headings, url] = numbers(counts)[..] {
        places.counts[0] = title;
        places.counts[1] = headings;
        places.counts[3] = url;
    }
    places
}

/// A word as a name in an object: dots and stars mean something to the server.
/// The names of words that begin alike begin alike.
pub(super) fn key(word: &str) -> String {
    let mut key = String::with_capacity(word.len());
    for c in word.chars() {
        if c.is_alphanumeric() {
            key.push(c);
        } else {
            let _ = write!(key, "_{:x}_", u32::from(c));
        }
    }
    key
}

fn word_of(key: &str) -> Option<String> {
    let mut word = String::with_capacity(key.len());
    for (n, part) in key.split('_').enumerate() {
        if n % 2 == 0 {
            word.push_str(part);
        } else {
            word.push(char::from_u32(u32::from_str_radix(part, 16).ok()?)?);
        }
    }
    Some(word)
}

/// Fields of documents that a search for `words` (keys, or patterns of them) is sent.
pub(super) fn wanted_fields<'a>(words: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut fields: Vec<String> = TOKENS.iter().map(|name| (*name).to_owned()).collect();
    fields.push(CHUNKS.to_owned());
    fields.extend(words.map(|word| format!("{PLACES}.{}", key(word))));
    fields
}

/// Field of the words that begin with `prefix`.
pub(super) fn places_from(prefix: &str) -> String {
    format!("{PLACES}.{}*", key(prefix))
}

/// The words whose places came with a document.
pub(super) fn words_of(source: &Value) -> Vec<String> {
    let places = source[PLACES].as_object();
    let keys = places.into_iter().flat_map(Map::keys);
    keys.filter_map(|key| word_of(key)).collect()
}

/// A document that was found. `wanted` has words by their keys.
pub(super) fn candidate(
    page: PageId,
    source: &Value,
    wanted: &HashMap<String, usize>,
) -> Candidate {
    let tokens = TOKENS.map(|name| source[name].as_u64().unwrap_or(0));
    let chunks = source[CHUNKS].as_str().unwrap_or_default();
    let chunks = chunks.split(' ').filter_map(|chunk| {
        let mut parts = chunk.split(':');
        let id = parts.next()?.parse().ok()?;
        let start = parts.next()?.parse().ok()?;
        let end = parts.next()?.parse().ok()?;
        Some((ChunkId(id), start, end))
    });
    let places = source[PLACES].as_object().into_iter().flatten();
    let places = places.filter_map(|(key, text)| {
        let number = wanted.get(key)?;
        Some((*number, read(text.as_str()?)))
    });
    Candidate {
        page,
        tokens,
        chunks: chunks.collect(),
        places: places.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Analyzer;

    #[test]
    fn places_are_read_as_they_were_written() {
        let check = |counts: [u32; 4], body: &[u32], text: &str| {
            let body = body.to_vec();
            let places = Places { counts, body };
            assert_eq!(written(&places), text);
            assert_eq!(read(text), places);
        };
        check([0, 0, 3, 0], &[3, 8, 9], "3,5,1");
        check([1, 0, 1, 2], &[0], "0|1,0,2");
        check([0, 2, 0, 0], &[], "|0,2,0");
    }

    #[test]
    fn words_are_names_and_back() {
        for (word, expected) in [
            ("cat", "cat"),
            ("pg_stat", "pg_5f_stat"),
            ("foo.*", "foo_2e__2a_"),
            ("کتاب\u{200c}ها", "کتاب_200c_ها"),
        ] {
            assert_eq!(key(word), expected);
            assert_eq!(word_of(expected).as_deref(), Some(word));
        }
    }

    #[test]
    fn compounds_stand_beside_their_parts() {
        let mut analyzer = Analyzer::new();
        let tokens = Tokens::of(&mut analyzer, "see pg_stat_activity now", None);
        assert_eq!(joined(&tokens, true), "pg_stat_activity");
        assert_eq!(joined(&tokens, false).split(' ').count(), 5);
        let none = Tokens::default();
        let texts: Texts<'_> = [vec![&none], vec![], vec![&tokens], vec![&none]];
        let places = places_of(&texts);
        assert_eq!(places["pg_stat_activity"].body, [1]);
        assert_eq!(places["pg"].body, [1]);
        assert_eq!(places["stat"].body, [2]);
    }

    #[test]
    fn a_word_that_counts_more_has_a_higher_level() {
        let places = |counts: [u32; 4]| Places {
            counts,
            body: Vec::new(),
        };
        let places = BTreeMap::from([
            ("titled", places([1, 0, 1, 0])),
            ("often", places([0, 0, 2, 0])),
            ("once", places([0, 0, 1, 0])),
        ]);
        let levels = by_level(&places, [8, 0, 1600, 6]);
        let level_of = |word| levels.iter().position(|words| words.contains(&word));
        assert_eq!(level_of("once"), Some(0));
        assert_eq!(level_of("often"), Some(1));
        assert_eq!(level_of("titled"), Some(5));
        assert_eq!(levels.concat().len(), 3);
    }
}
