//! Extractive TL;DRs: the sentences that share most with the rest.

use std::ops::Range;

use crate::scan::WordScanner;
use crate::sentences::each_sentence;
use crate::terms::{Occurrence, Terms, stop_languages};

/// The most telling whole sentences of `text`, in text order, at most
/// `words_max` words in all. A text that short is returned as it is, with white
/// space folded. Fragments that end without a mark (list items) are set apart by
/// a semicolon. When not even one sentence fits, the first is cut at a word
/// boundary and ends in `…`.
///
/// `language` (BCP 47 primary subtag) picks the stop words; `None` uses all lists.
#[must_use]
pub fn summarize(text: &str, language: Option<&str>, words_max: usize) -> String {
    let terms = Terms::of(text);
    if count_words(text, &(0..text.len()), &terms.words) <= words_max {
        return fold_space(text);
    }
    let mut candidates = Vec::new();
    each_sentence(text, |range| {
        candidates.push(Candidate {
            first_of_block: candidates.is_empty(),
            range,
        });
    });
    let request = Request {
        text,
        terms: &terms,
        languages: stop_languages(language),
        heading_words: &[],
        words_max,
    };
    pick(&request, &candidates, &mut Scratch::default())
}

/// A sentence that may be chosen.
pub(crate) struct Candidate {
    /// Without surrounding white space.
    pub(crate) range: Range<usize>,
    pub(crate) first_of_block: bool,
}

pub(crate) struct Request<'a> {
    pub(crate) text: &'a str,
    pub(crate) terms: &'a Terms,
    pub(crate) languages: u8,
    pub(crate) heading_words: &'a [Occurrence],
    pub(crate) words_max: usize,
}

/// Counters by term, kept between chunks of a page.
#[derive(Default)]
pub(crate) struct Scratch {
    counts: Vec<u32>,
    touched: Vec<u32>,
}

impl Scratch {
    pub(crate) fn clear(&mut self, terms: usize) {
        for term in self.touched.drain(..) {
            self.counts[term as usize] = 0;
        }
        self.counts.resize(terms, 0);
    }

    pub(crate) fn add(&mut self, term: u32, weight: u32) {
        let count = &mut self.counts[term as usize];
        if *count == 0 {
            self.touched.push(term);
        }
        *count = count.saturating_add(weight);
    }

    pub(crate) fn count(&self, term: u32) -> u32 {
        self.counts[term as usize]
    }

    /// Terms counted since the last clear, in order of first occurrence.
    pub(crate) fn touched(&self) -> &[u32] {
        &self.touched
    }
}

struct Scored {
    index: usize,
    score: f32,
    words: usize,
    /// Distinct content terms, sorted.
    terms: Range<usize>,
}

/// Chooses among `candidates`, which are in text order.
pub(crate) fn pick(
    request: &Request<'_>,
    candidates: &[Candidate],
    scratch: &mut Scratch,
) -> String {
    let (text, terms) = (request.text, request.terms);
    scratch.clear(terms.terms.len());
    let mut pool: Vec<u32> = Vec::with_capacity(256);
    let mut scored: Vec<Scored> = Vec::with_capacity(candidates.len());
    for (index, candidate) in candidates.iter().enumerate() {
        let within = terms.within(&candidate.range);
        let from = pool.len();
        for word in &terms.words[within.clone()] {
            if terms.is_content(word.term, request.languages) {
                scratch.add(word.term, 1);
                pool.push(word.term);
            }
        }
        pool[from..].sort_unstable();
        let distinct = dedup_tail(&mut pool, from);
        scored.push(Scored {
            index,
            score: 0.0,
            words: count_words(text, &candidate.range, &terms.words[within]),
            terms: from..distinct,
        });
    }
    for s in &mut scored {
        let distinct = &pool[s.terms.clone()];
        let shared: f32 = distinct.iter().map(|t| weight(scratch.count(*t))).sum();
        let in_heading = distinct
            .iter()
            .filter(|t| request.heading_words.iter().any(|h| h.term == **t))
            .count();
        let first = if s.index == 0 {
            1.3
        } else if candidates[s.index].first_of_block {
            1.1
        } else {
            1.0
        };
        let text = &text[candidates[s.index].range.clone()];
        let fragment = if text.ends_with(char::is_alphanumeric) {
            0.8
        } else {
            1.0
        };
        let length = match s.words {
            0..=4 => 0.5,
            5..=45 => 1.0,
            _ => 0.8,
        };
        s.score = shared / (distinct.len() as f32 + 3.0).sqrt()
            * (1.0 + 0.2 * in_heading.min(3) as f32)
            * first
            * fragment
            * length;
    }
    scored.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.index.cmp(&b.index)));
    let mut chosen: Vec<&Scored> = Vec::new();
    let mut words = 0;
    let best = scored.first().map_or(0.0, |s| s.score);
    for s in &scored {
        let weak = s.score < best * 0.3;
        if weak || words + s.words > request.words_max {
            continue;
        }
        let mine = &pool[s.terms.clone()];
        let repeats = chosen
            .iter()
            .any(|c| is_repetition(mine, &pool[c.terms.clone()]));
        if !repeats {
            words += s.words;
            chosen.push(s);
        }
    }
    if chosen.is_empty() {
        return candidates.first().map_or_else(String::new, |c| {
            cut(&text[c.range.clone()], request.words_max)
        });
    }
    chosen.sort_by_key(|s| s.index);
    let ranges = chosen.iter().map(|s| &candidates[s.index].range);
    join(text, ranges)
}

/// Sentences as one paragraph.
pub(crate) fn join<'a>(
    text: &str,
    sentences: impl IntoIterator<Item = &'a Range<usize>>,
) -> String {
    let mut summary = String::new();
    for range in sentences {
        end_fragment(&mut summary);
        push_folded(&text[range.clone()], &mut summary);
    }
    summary
}

/// List items and table rows end without a mark; a semicolon keeps them apart
/// from what follows.
fn end_fragment(summary: &mut String) {
    match summary.chars().next_back() {
        Some('\u{600}'..='\u{6ff}') if !summary.ends_with(['؟', '۔', '؛', '،']) => {
            summary.push('؛');
        }
        Some(c) if c.is_alphanumeric() || matches!(c, ')' | '"' | '”' | '»' | '\'') => {
            // A mark inside the closing quote or bracket ends the sentence, too.
            let inner = summary.trim_end_matches([')', '"', '”', '»', '\'']);
            if !inner.ends_with(['.', '!', '?', '…', '؟']) {
                summary.push(';');
            }
        }
        _ => {}
    }
}

/// Words as a reader would count them: Unicode words, and marks standing alone.
pub(crate) fn count_words(text: &str, range: &Range<usize>, words: &[Occurrence]) -> usize {
    let mut count = words.len();
    let mut at = range.start;
    for word in words {
        let start = word.start as usize;
        // A mark between two spaces needs three bytes; at the start, two.
        if start > at + 1 {
            count += marks_alone(&text[at..start], at == range.start, false);
        }
        at = (word.end as usize).min(range.end).max(at);
    }
    count + marks_alone(&text[at..range.end], at == range.start, true)
}

/// Space-separated marks in a gap between words that touch neither word.
fn marks_alone(gap: &str, at_start: bool, at_end: bool) -> usize {
    let touches_before = !at_start && !gap.starts_with(char::is_whitespace);
    let touches_after = !at_end && !gap.ends_with(char::is_whitespace);
    let marks = gap.split_whitespace().count();
    let touching = usize::from(touches_before) + usize::from(touches_after);
    marks.saturating_sub(touching)
}

/// Most of one sentence's terms occur in the other.
fn is_repetition(a: &[u32], b: &[u32]) -> bool {
    let shared = a.iter().filter(|t| b.binary_search(t).is_ok()).count();
    !a.is_empty() && shared * 10 >= a.len() * 7
}

/// Removes repeated values from the sorted tail of `pool`.
fn dedup_tail(pool: &mut Vec<u32>, from: usize) -> usize {
    let mut kept = from;
    for at in from..pool.len() {
        if kept == from || pool[at] != pool[kept - 1] {
            pool[kept] = pool[at];
            kept += 1;
        }
    }
    pool.truncate(kept);
    kept
}

/// What a term says about the rest of the text: next to nothing when it occurs
/// once.
fn weight(count: u32) -> f32 {
    0.25 + (count.max(1) as f32).ln()
}

fn cut(sentence: &str, words_max: usize) -> String {
    let (range, has_words) = cut_range(sentence, &(0..sentence.len()), words_max);
    let mut summary = fold_space(&sentence[range]);
    if has_words {
        summary.push('…');
    }
    summary
}

/// As much of a sentence as `words_max` words take, and whether it has words at
/// all; of one that has only marks, as many marks.
pub(crate) fn cut_range(
    text: &str,
    range: &Range<usize>,
    words_max: usize,
) -> (Range<usize>, bool) {
    let sentence = &text[range.clone()];
    let mut end = 0;
    let mut count = 0;
    for word in WordScanner::new(sentence) {
        count += 1 + marks_alone(&sentence[end..word.start], end == 0, false);
        if count > words_max {
            break;
        }
        end = word.end;
    }
    let has_words = end > 0;
    if !has_words && let Some(mark) = sentence.split_whitespace().take(words_max).last() {
        end = mark.as_ptr().addr() - sentence.as_ptr().addr() + mark.len();
    }
    (range.start..range.start + end, has_words)
}

fn fold_space(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    push_folded(text, &mut folded);
    folded
}

fn push_folded(text: &str, out: &mut String) {
    for token in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(token);
    }
}
