//! The passage of a chunk that shows why it matched.

use std::collections::HashSet;
use std::ops::Range;

use crate::query::{Query, Scope};
use crate::text::Analyzer;

/// Characters of a snippet, ellipses aside.
const SNIPPET_CHARS: usize = 240;
/// Characters before the first match that a snippet may begin earlier, to
/// begin with its sentence.
const LEAD_CHARS_MAX: usize = 80;
/// Repeats of one word count this much of a new word.
const REPEAT_VALUE: f32 = 0.1;

/// Plain text, never HTML, with the byte ranges of the words that matched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snippet {
    pub text: String,
    /// Ascending, not overlapping, on character boundaries.
    pub highlights: Vec<Range<usize>>,
}

/// Cuts the part of `text` with the most of the query's words. Without any,
/// `otherwise` (a summary) or the beginning of the text is shown.
pub(crate) fn snippet(
    text: &str,
    otherwise: Option<&str>,
    language: Option<&str>,
    query: &Query,
    analyzer: &mut Analyzer,
) -> Snippet {
    let matches = matches(text, language, query, analyzer);
    if matches.is_empty() {
        let shown = otherwise
            .filter(|text| !text.trim().is_empty())
            .unwrap_or(text);
        let range = fit(shown, 0, 0);
        // A summary can hold the words even where the chunk's own were not found.
        let matches = self::matches(shown, language, query, analyzer);
        return render(shown, range, &matches);
    }
    let (first, last) = densest(text, &matches);
    let range = fit(text, matches[first].range.start, matches[last].range.end);
    render(text, range, &matches)
}

#[derive(Clone, Debug)]
struct Match {
    range: Range<usize>,
    term: usize,
}

/// Places in `text` that analyse to a word of the query, in order.
fn matches(
    text: &str,
    language: Option<&str>,
    query: &Query,
    analyzer: &mut Analyzer,
) -> Vec<Match> {
    let mut found: Vec<Match> = Vec::new();
    // "the" says nothing about why a page matched, unless nothing else was asked.
    let only_stop_words = query.terms.iter().all(|term| term.stop);
    analyzer.analyze_with(text, language, |token| {
        let term = query.terms.iter().position(|term| {
            matches!(term.scope, Scope::Anywhere | Scope::Body)
                && (only_stop_words || !term.stop)
                && term.spellings.iter().any(|spelling| {
                    token.text == spelling
                        || (term.prefix && token.text.starts_with(spelling.as_str()))
                })
        });
        if let Some(term) = term {
            found.push(Match {
                range: token.range,
                term,
            });
        }
    });
    found.sort_by_key(|m| (m.range.start, std::cmp::Reverse(m.range.end)));
    // A compound covers its parts.
    let mut end = 0;
    found.retain(|m| {
        let new = m.range.start >= end;
        end = end.max(m.range.end);
        new
    });
    found
}

/// First and last match of the best window.
fn densest(text: &str, matches: &[Match]) -> (usize, usize) {
    let mut best = (0, 0);
    let mut best_value = 0.0;
    for first in 0..matches.len() {
        let mut seen = HashSet::new();
        let mut value = 0.0;
        for last in first..matches.len() {
            let window = &text[matches[first].range.start..matches[last].range.end];
            if last > first && window.chars().count() > SNIPPET_CHARS {
                break;
            }
            value += if seen.insert(matches[last].term) {
                1.0
            } else {
                REPEAT_VALUE
            };
            if value > best_value {
                (best_value, best) = (value, (first, last));
            }
        }
    }
    best
}

/// The part of `text` to show so that `from..to` is in it: from the sentence's
/// or a word's start up to a word's end.
fn fit(text: &str, from: usize, to: usize) -> Range<usize> {
    let needed = text[from..to].chars().count();
    let spare = SNIPPET_CHARS.saturating_sub(needed);
    let lead = back(text, from, spare.min(LEAD_CHARS_MAX));
    let start = sentence_start(text, lead, from).unwrap_or_else(|| word_start(text, lead, from));
    let used = text[start..to].chars().count();
    let mut end = forward(text, to, SNIPPET_CHARS.saturating_sub(used));
    if end < text.len() {
        let at_boundary = text[..end].ends_with(char::is_whitespace)
            || text[end..].starts_with(char::is_whitespace);
        if !at_boundary {
            end = text[to..end]
                .rfind(char::is_whitespace)
                .map_or(end, |at| to + at);
        }
    }
    start..end.max(to)
}

/// The first start of a sentence in `lead..=from`.
fn sentence_start(text: &str, lead: usize, from: usize) -> Option<usize> {
    if lead == 0 {
        return Some(0);
    }
    let mut previous = None;
    for (at, c) in text[lead..from].char_indices() {
        let ends =
            matches!(previous, Some('.' | '!' | '?' | '؟' | '۔' | '。' | '…')) && c.is_whitespace();
        if ends || c == '\n' {
            return Some(lead + at + c.len_utf8());
        }
        previous = Some(c);
    }
    None
}

fn word_start(text: &str, lead: usize, from: usize) -> usize {
    text[lead..from]
        .find(char::is_whitespace)
        .map_or(from, |at| lead + at)
}

fn back(text: &str, from: usize, chars: usize) -> usize {
    text[..from]
        .char_indices()
        .rev()
        .take(chars)
        .last()
        .map_or(from, |(at, _)| at)
}

fn forward(text: &str, from: usize, chars: usize) -> usize {
    text[from..]
        .char_indices()
        .nth(chars)
        .map_or(text.len(), |(at, _)| from + at)
}

/// Blanks folded, ellipses where text was left out, highlights moved along.
fn render(text: &str, range: Range<usize>, matches: &[Match]) -> Snippet {
    let mut snippet = Snippet::default();
    if !text[..range.start].trim().is_empty() {
        snippet.text.push('…');
    }
    let mut inside = matches
        .iter()
        .filter(|m| m.range.start >= range.start && m.range.end <= range.end)
        .peekable();
    let mut open: Option<usize> = None;
    let mut blank = true;
    for (at, c) in text[range.clone()].char_indices() {
        let at = range.start + at;
        close_highlight(&mut snippet, &mut open, &mut inside, at);
        if c.is_whitespace() {
            if !blank {
                snippet.text.push(' ');
            }
            blank = true;
            continue;
        }
        blank = false;
        if open.is_none() && inside.peek().is_some_and(|m| m.range.start == at) {
            open = Some(snippet.text.len());
        }
        // Control characters have no place in one line of text.
        if !c.is_control() {
            snippet.text.push(c);
        }
    }
    close_highlight(&mut snippet, &mut open, &mut inside, range.end);
    snippet.text.truncate(snippet.text.trim_end().len());
    if !text[range.end..].trim().is_empty() {
        snippet.text.push('…');
    }
    snippet
}

fn close_highlight<'a>(
    snippet: &mut Snippet,
    open: &mut Option<usize>,
    inside: &mut std::iter::Peekable<impl Iterator<Item = &'a Match>>,
    at: usize,
) {
    if let Some(start) = *open
        && inside.peek().is_some_and(|m| m.range.end <= at)
    {
        inside.next();
        *open = None;
        if snippet.text.len() > start {
            snippet.highlights.push(start..snippet.text.len());
        }
    }
}
