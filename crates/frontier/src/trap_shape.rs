//! The shape of a URL: what remains when the parts that vary are folded.
//! Everything here is a pure function of the URL's text.

use std::hash::{DefaultHasher, Hash, Hasher};

use types::CanonicalUrl;

use crate::canonical::is_random_token;

/// Longest run of letters or digits kept as a word of a URL.
const WORD_BYTES_MAX: usize = 32;

/// What decides without counting: cheap, and asked of every link.
#[derive(Debug)]
pub(crate) struct Extent {
    pub(crate) path_segments: usize,
    /// How often the most repeated path segment occurs.
    pub(crate) repeated_segments: usize,
    pub(crate) query_params: usize,
    /// Digits or a query: what generated spaces are made of.
    pub(crate) is_dynamic: bool,
}

impl Extent {
    pub(crate) fn of(url: &CanonicalUrl) -> Extent {
        let (path_segments, repeated_segments) = count_segments(url.as_url().path());
        let query_params = params(url.as_url().query().unwrap_or_default()).count();
        Extent {
            path_segments,
            repeated_segments,
            query_params,
            is_dynamic: query_params > 0 || has_digits(url),
        }
    }
}

/// What the counting rules look at.
#[derive(Debug)]
pub(crate) struct Shape {
    /// Hash of the URL with runs of digits and random tokens folded, when it has digits.
    pub(crate) digits_folded: Option<u64>,
    /// Hash of the path, when there is a query.
    pub(crate) path: Option<u64>,
    /// Hash of path and query with numeric ids (three digits and more) and random
    /// tokens in the query folded, when there is a query.
    pub(crate) facets: Option<u64>,
    /// Hash of host and name of a query parameter with a random token as value.
    pub(crate) token_param: Option<u64>,
    /// Year of a calendar view (`/events/2031/04`, `?month=2031-04`).
    pub(crate) calendar_year: Option<u16>,
}

impl Shape {
    /// `scratch` is only to save allocations.
    pub(crate) fn of(url: &CanonicalUrl, scratch: &mut Vec<u8>) -> Shape {
        let host = &url.as_url()[..url::Position::BeforePath];
        let path = url.as_url().path();
        let query = url.as_url().query().unwrap_or_default();
        let has_query = params(query).next().is_some();
        let has_digits = has_digits(url);
        let mut hash_of = |write: &dyn Fn(&mut Vec<u8>)| {
            scratch.clear();
            scratch.extend_from_slice(host.as_bytes());
            write(scratch);
            hash(scratch)
        };
        let with_path = |out: &mut Vec<u8>| out.extend_from_slice(path.as_bytes());
        Shape {
            digits_folded: has_digits.then(|| hash_of(&|out| fold_url(path, query, out))),
            path: has_query.then(|| hash_of(&with_path)),
            facets: has_query.then(|| {
                hash_of(&|out| {
                    with_path(out);
                    fold_facets(query, out);
                })
            }),
            token_param: params(query)
                .find(|(_, value)| is_random_token(value))
                .map(|(name, _)| hash_of(&|out| out.extend_from_slice(name.as_bytes()))),
            calendar_year: has_digits.then(|| calendar_year(path, query)).flatten(),
        }
    }
}

pub(crate) fn hash(value: &impl Hash) -> u64 {
    // SipHash with fixed keys: the same verdicts in every run.
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn has_digits(url: &CanonicalUrl) -> bool {
    url.path_and_query().bytes().any(|b| b.is_ascii_digit())
}

fn params(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| part.split_once('=').unwrap_or((part, "")))
}

fn count_segments(path: &str) -> (usize, usize) {
    let mut segments: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
    let total = segments.len();
    segments.sort_unstable();
    let repeated = segments
        .chunk_by(|a, b| a == b)
        .map(<[&str]>::len)
        .max()
        .unwrap_or(0);
    (total, repeated)
}

/// Runs of digits count as one digit, random tokens as one token.
fn fold_url(path: &str, query: &str, out: &mut Vec<u8>) {
    for segment in path.split('/') {
        out.push(b'/');
        fold_part(segment, out);
    }
    for (name, value) in params(query) {
        out.push(b'&');
        fold_part(name, out);
        out.push(b'=');
        fold_part(value, out);
    }
}

fn fold_part(text: &str, out: &mut Vec<u8>) {
    let stem = text.split('.').next().unwrap_or_default();
    let rest = if is_random_token(stem) {
        out.push(0);
        &text[stem.len()..]
    } else {
        text
    };
    let mut in_digits = false;
    for byte in rest.bytes() {
        let is_digit = byte.is_ascii_digit();
        if !is_digit {
            out.push(byte);
        } else if !in_digits {
            out.push(b'0');
        }
        in_digits = is_digit;
    }
}

fn fold_facets(query: &str, out: &mut Vec<u8>) {
    for (name, value) in params(query) {
        out.push(b'&');
        out.extend_from_slice(name.as_bytes());
        out.push(b'=');
        out.extend_from_slice(folded_value(value).as_bytes());
    }
}

fn folded_value(value: &str) -> &str {
    let is_id = value.len() >= 3 && value.bytes().all(|b| b.is_ascii_digit());
    if is_id || is_random_token(value) {
        "0"
    } else {
        value
    }
}

/// The year, when the URL names a month or day of a calendar *and* says that it
/// is about dates. Without such a word `/2090/3` may be anything.
fn calendar_year(path: &str, query: &str) -> Option<u16> {
    let says_dates = |text: &str| words(text).any(is_date_word);
    let (directory, last) = path.rsplit_once('/').unwrap_or(("", path));
    let path_says = says_dates(path);
    let in_query = params(query).find_map(|(name, value)| {
        let named = says_dates(name);
        (named || path_says).then(|| iso_date_year(value)).flatten()
    });
    in_query
        .or_else(|| year_and_month_params(query))
        .or_else(|| {
            let dated = path_says || params(query).any(|(name, _)| says_dates(name));
            dated.then(|| iso_date_year(last)).flatten()
        })
        .or_else(|| {
            path_says
                .then(|| dated_path_year(directory, last))
                .flatten()
        })
}

fn year_and_month_params(query: &str) -> Option<u16> {
    let value_of = |wanted: &[&str]| {
        params(query)
            .find(|(name, _)| words(name).any(|word| contains_word(wanted, word)))
            .map(|(_, value)| value)
    };
    let year = number(
        value_of(&["year", "yr", "jahr", "annee", "ano", "sal"])?,
        4,
        4,
    )?;
    let month = value_of(&["month", "mon", "monat", "mois", "mes", "mah", "week"])?;
    number(month, 1, 2).filter(|m| *m <= 53).map(|_| year)
}

/// `…/YYYY/MM` or `…/YYYY/MM/DD`, at the end.
fn dated_path_year(directory: &str, last: &str) -> Option<u16> {
    let last = number(last, 1, 2)?;
    let (above, before) = directory.rsplit_once('/')?;
    if let Some(year) = number(before, 4, 4) {
        return (1..=12).contains(&last).then_some(year);
    }
    let month = number(before, 1, 2)?;
    let year = number(above.rsplit('/').next()?, 4, 4)?;
    ((1..=12).contains(&month) && (1..=31).contains(&last)).then_some(year)
}

/// `YYYY-MM`, `YYYY-MM-DD`, perhaps with a time behind it.
fn iso_date_year(text: &str) -> Option<u16> {
    let year = number(text.get(..4)?, 4, 4)?;
    let month = number(text.get(5..7)?, 2, 2)?;
    let separated = text.as_bytes().get(4) == Some(&b'-')
        && text
            .as_bytes()
            .get(7)
            .is_none_or(|b| matches!(b, b'-' | b'T'));
    (separated && (1..=12).contains(&month)).then_some(year)
}

fn number(text: &str, digits_min: usize, digits_max: usize) -> Option<u16> {
    let fits = (digits_min..=digits_max).contains(&text.len());
    (fits && text.bytes().all(|b| b.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

/// Runs of ASCII letters.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphabetic())
        .filter(|word| !word.is_empty() && word.len() <= WORD_BYTES_MAX)
}

fn is_date_word(word: &str) -> bool {
    contains_word(
        &[
            "calendar",
            "calendars",
            "cal",
            "kalender",
            "calendrier",
            "calendario",
            "taqvim",
            "event",
            "events",
            "eventdate",
            "agenda",
            "schedule",
            "termine",
            "veranstaltungen",
            "archive",
            "archives",
            "date",
            "datum",
            "day",
            "daily",
            "month",
            "monthly",
            "week",
            "weekly",
            "year",
            "ical",
            "booking",
            "availability",
            "timetable",
        ],
        word,
    )
}

fn contains_word(list: &[&str], word: &str) -> bool {
    list.iter().any(|entry| entry.eq_ignore_ascii_case(word))
}
