//! Pages and queries as `tsvector` and `tsquery`, made of our own tokens.
//!
//! A lexeme is the tenant's number, a sign and the word. Title, headings, words
//! of the URL and body follow each other in one row of positions, with a gap
//! between them that no phrase reaches over, and have the weights A, B, C and D.
//! PostgreSQL counts positions to 16,383 and keeps 255 of a lexeme: what stands
//! behind that in a very long page is found, but by phrases not.

use std::collections::HashMap;
use std::fmt::Write as _;

use types::TenantId;

use crate::engine::{IndexedPage, Phrase, Scope, Tokens};
use crate::judging::Places;

/// Where a lexeme says that its word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    Page,
    Title,
    Heading,
}

impl Sign {
    fn char(self) -> char {
        match self {
            Sign::Page => '~',
            Sign::Title => '^',
            Sign::Heading => '#',
        }
    }
}

/// Positions before the body at most.
const HEAD_MAX: u32 = 4_000;
const POSITION_MAX: u32 = 16_383;
const POSITIONS_MAX: usize = 255;
/// Bytes of lexemes and positions that a `tsvector` holds, with some to spare.
const VECTOR_BYTES_MAX: usize = 1_000_000;

pub(super) fn lexeme(tenant: TenantId, sign: Sign, word: &str) -> String {
    format!("{}{}{word}", tenant.0, sign.char())
}

/// What is filtered by, each tenant's apart as its lexemes are.
pub(super) fn terms_of(tenant: TenantId, terms: &[String]) -> Vec<String> {
    let terms = terms.iter().map(|term| format!("{}~{term}", tenant.0));
    terms.collect()
}

/// The words of a page, and the position of the first of its body.
pub(super) fn vector_of(page: &IndexedPage) -> (String, u32) {
    let mut words = Words::default();
    let mut at = words.add(&page.title, 1, 'A', HEAD_MAX);
    for heading in &page.headings {
        at = words.add(heading, at, 'B', HEAD_MAX);
    }
    let body_at = words.add(&page.url_words, at, 'C', HEAD_MAX);
    words.add(&page.body, body_at, 'D', POSITION_MAX);
    (words.text(page.tenant), body_at)
}

/// Words in the order in which they first occur.
#[derive(Default)]
struct Words<'a> {
    place_of: HashMap<&'a str, usize>,
    words: Vec<(&'a str, Vec<(u32, char)>)>,
}

impl<'a> Words<'a> {
    /// Adds a text whose first position is `at`; where the next may begin.
    fn add(&mut self, tokens: &'a Tokens, at: u32, weight: char, last: u32) -> u32 {
        let mut end = at;
        for (position, word) in tokens.iter() {
            let position = at.saturating_add(position).min(last);
            end = end.max(position + 1);
            let place = *self.place_of.entry(word).or_insert_with(|| {
                self.words.push((word, Vec::new()));
                self.words.len() - 1
            });
            self.words[place].1.push((position, weight));
        }
        // One place between is enough: words of a phrase follow each other at once.
        end + 1
    }

    fn text(&self, tenant: TenantId) -> String {
        let mut text = String::new();
        let mut bytes = 0;
        for (word, positions) in &self.words {
            let positions = &positions[..positions.len().min(POSITIONS_MAX)];
            let has = |weight| positions.iter().any(|(_, w)| *w == weight);
            let lexeme_of = |sign| lexeme(tenant, sign, word);
            let in_page = lexeme_of(Sign::Page);
            bytes += (in_page.len() + 4) * 3 + positions.len() * 2;
            if bytes > VECTOR_BYTES_MAX {
                break;
            }
            quote(&in_page, &mut text);
            for (place, (position, weight)) in positions.iter().enumerate() {
                let separator = if place == 0 { ':' } else { ',' };
                let _ = write!(text, "{separator}{position}");
                // D goes without saying.
                if *weight != 'D' {
                    text.push(*weight);
                }
            }
            for (weight, sign) in [('A', Sign::Title), ('B', Sign::Heading)] {
                if has(weight) {
                    quote(&lexeme_of(sign), &mut text);
                }
            }
        }
        text
    }
}

/// Adds a lexeme in quotes, with a blank before it.
fn quote(lexeme: &str, text: &mut String) {
    if !text.is_empty() {
        text.push(' ');
    }
    text.push('\'');
    for c in lexeme.chars() {
        if matches!(c, '\'' | '\\') {
            text.push(c);
        }
        text.push(c);
    }
    text.push('\'');
}

/// Asks for pages that have one of `words` where `scope` says.
pub(super) fn any_of(tenant: TenantId, scope: Scope, words: &[String]) -> String {
    let words = words.iter().map(|word| one(tenant, scope, word));
    words.collect::<Vec<_>>().join(" | ")
}

/// Asks for pages that have one of `words` marked with `sign`.
pub(super) fn marked(tenant: TenantId, sign: Sign, words: &[String]) -> String {
    let words = words.iter().map(|word| {
        let mut query = String::new();
        quote(&lexeme(tenant, sign, word), &mut query);
        query
    });
    words.collect::<Vec<_>>().join(" | ")
}

fn one(tenant: TenantId, scope: Scope, word: &str) -> String {
    let (sign, weight) = match scope {
        Scope::Anywhere => (Sign::Page, ""),
        Scope::Title => (Sign::Title, ""),
        Scope::Headings => (Sign::Heading, ""),
        Scope::Body => (Sign::Page, ":D"),
        Scope::Url => (Sign::Page, ":C"),
    };
    let mut query = String::new();
    quote(&lexeme(tenant, sign, word), &mut query);
    query.push_str(weight);
    query
}

/// Asks for pages that have a phrase. Its spellings are tried one language at a
/// time: the nth of every word, words with fewer keeping their first. Words of
/// a URL need not follow each other.
pub(super) fn phrase(tenant: TenantId, phrase: &Phrase) -> String {
    let spellings = phrase.words.iter().map(|(_, spellings)| spellings.len());
    let variants = spellings.max().unwrap_or(0);
    let mut any = Vec::new();
    for n in 0..variants {
        let words: Vec<(u32, &str)> = phrase
            .words
            .iter()
            .map(|(at, all)| (*at, all.get(n).unwrap_or(&all[0]).as_str()))
            .collect();
        if let [(_, word)] = words.as_slice() {
            any.push(one(tenant, phrase.scope, word));
            continue;
        }
        if phrase.scope != Scope::Url {
            any.push(row(tenant, phrase.scope, &words));
        }
        if matches!(phrase.scope, Scope::Anywhere | Scope::Url) {
            let all = words.iter().map(|(_, word)| one(tenant, Scope::Url, word));
            any.push(format!("({})", all.collect::<Vec<_>>().join(" & ")));
        }
    }
    any.join(" | ")
}

fn row(tenant: TenantId, scope: Scope, words: &[(u32, &str)]) -> String {
    // Marks of title and headings have no positions, weights have.
    let weight = match scope {
        Scope::Title => ":A",
        Scope::Headings => ":B",
        Scope::Body => ":D",
        Scope::Anywhere | Scope::Url => "",
    };
    let mut query = String::from("(");
    let mut before = None;
    for (at, word) in words {
        if let Some(before) = before {
            let _ = write!(query, " <{}> ", at.saturating_sub(before));
        }
        let mut quoted = String::new();
        quote(&lexeme(tenant, Sign::Page, word), &mut quoted);
        query.push_str(&quoted);
        query.push_str(weight);
        before = Some(*at);
    }
    query.push(')');
    query
}

/// Reads the words `wanted` (lexemes and their places in the result) out of a
/// `tsvector` as the server prints it.
pub(super) fn places(
    vector: &str,
    wanted: &HashMap<String, usize>,
    body_at: u32,
) -> HashMap<usize, Places> {
    let mut found = HashMap::new();
    let mut rest = vector;
    let mut unquoted = String::new();
    while let Some(at) = rest.find('\'') {
        rest = &rest[at + 1..];
        unquoted.clear();
        while let Some(at) = rest.find(['\'', '\\']) {
            unquoted.push_str(&rest[..at]);
            let sign = rest.as_bytes()[at];
            rest = &rest[at + 1..];
            // A doubled sign stands for itself; a quote alone is the end.
            if rest.as_bytes().first() != Some(&sign) {
                break;
            }
            unquoted.push(char::from(sign));
            rest = &rest[1..];
        }
        let Some(positions) = rest.strip_prefix(':') else {
            continue;
        };
        let end = positions.find(' ').unwrap_or(positions.len());
        if let Some(place) = wanted.get(unquoted.as_str()) {
            found.insert(*place, read_positions(&positions[..end], body_at));
        }
        rest = &positions[end..];
    }
    found
}

fn read_positions(text: &str, body_at: u32) -> Places {
    let mut places = Places::default();
    for part in text.split(',') {
        let digits = part.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let field = match &part[digits.len()..] {
            "A" => 0,
            "B" => 1,
            "C" => 3,
            _ => 2,
        };
        places.counts[field] += 1;
        if field == 2
            && let Ok(position) = digits.parse::<u32>()
        {
            places.body.push(position.saturating_sub(body_at));
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Analyzer;

    #[test]
    fn what_is_written_is_read_back() {
        let mut analyzer = Analyzer::new();
        let mut tokens = |text: &str| Tokens::of(&mut analyzer, text, None);
        let (title, body) = (tokens("comet"), tokens("a comet over a house comet"));
        let mut words = Words::default();
        let at = words.add(&title, 1, 'A', HEAD_MAX);
        assert_eq!(at, 3);
        words.add(&body, at, 'D', POSITION_MAX);
        let text = words.text(TenantId(5));
        assert!(text.contains("'5~comet':1A,4,8"), "{text}");
        assert!(text.contains("'5^comet'"), "{text}");
        let wanted = HashMap::from([("5~comet".to_owned(), 7)]);
        let found = places(&text, &wanted, at);
        assert_eq!(found[&7].counts, [1, 0, 2, 0]);
        assert_eq!(found[&7].body, [1, 5]);
    }

    #[test]
    fn quotes_and_backslashes_are_read_as_the_server_prints_them() {
        let wanted = HashMap::from([("a'b\\c".to_owned(), 0), ("d".to_owned(), 1)]);
        let found = places(r"'a''b\\c':3B 'd':2,9C 'e'", &wanted, 1);
        assert_eq!(found[&0].counts, [0, 1, 0, 0]);
        assert_eq!(found[&1].counts, [0, 0, 1, 1]);
        assert_eq!(found[&1].body, [1]);
        let mut text = String::new();
        quote("a'b\\c", &mut text);
        assert_eq!(text, r"'a''b\\c'");
    }

    #[test]
    fn phrases_ask_for_words_that_follow_each_other() {
        let words = vec![(0, vec!["a".to_owned()]), (2, vec!["b".to_owned()])];
        let check = |scope, expected: &str| {
            let words = words.clone();
            assert_eq!(phrase(TenantId(1), &Phrase { scope, words }), expected);
        };
        check(Scope::Body, "('1~a':D <2> '1~b':D)");
        check(Scope::Url, "('1~a':C & '1~b':C)");
        check(Scope::Anywhere, "('1~a' <2> '1~b') | ('1~a':C & '1~b':C)");
    }
}
