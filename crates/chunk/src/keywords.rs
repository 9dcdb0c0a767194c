//! The terms a chunk is about.

use std::ops::Range;

use crate::pack::{Unit, UnitKind};
use crate::summary::Scratch;
use crate::terms::{Occurrence, Terms};

pub(crate) struct Request<'a> {
    pub(crate) text: &'a str,
    pub(crate) terms: &'a Terms,
    pub(crate) languages: u8,
    /// Units of the chunk.
    pub(crate) units: &'a [Unit],
    /// Ranges of the headings above and within the chunk.
    pub(crate) headings: &'a [Range<usize>],
    pub(crate) count_max: usize,
}

/// Up to `count_max` keywords, best first, folded as terms are (lower case, one
/// spelling of yeh, kaf and digits). Phrases come from headings only.
pub(crate) fn keywords(request: &Request<'_>, scratch: &mut Scratch) -> Vec<String> {
    let terms = request.terms;
    if request.count_max == 0 {
        return Vec::new();
    }
    scratch.clear(terms.terms.len());
    let mut names: Vec<u32> = Vec::new();
    for unit in request.units {
        // A word in code counts half: it names things, but repeats by syntax.
        let weight = if unit.kind == UnitKind::Line { 1 } else { 2 };
        for (i, word) in terms.words[terms.within(&unit.range)].iter().enumerate() {
            if terms.is_content(word.term, request.languages) {
                scratch.add(word.term, weight);
                if word.capital && i > 0 && unit.kind == UnitKind::Sentence {
                    names.push(word.term);
                }
            }
        }
    }
    names.sort_unstable();
    let heading_words: Vec<&[Occurrence]> = request
        .headings
        .iter()
        .map(|range| &terms.words[terms.within(range)])
        .collect();
    let mut found: Vec<Candidate> = Vec::with_capacity(64);
    for (order, &term) in scratch.touched().iter().enumerate() {
        let in_heading = heading_words
            .iter()
            .any(|h| h.iter().any(|w| w.term == term));
        let name = names.binary_search(&term).is_ok();
        let short = terms.text(term).chars().nth(3).is_none();
        let score = (1.0 + scratch.count(term) as f32 / 2.0).ln()
            * if in_heading { 1.8 } else { 1.0 }
            * if name { 1.3 } else { 1.0 }
            * if short { 0.7 } else { 1.0 };
        found.push(Candidate {
            score,
            order,
            terms: vec_of(term),
        });
    }
    for words in &heading_words {
        phrases(request, words, scratch, &mut found);
    }
    found.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.order.cmp(&b.order)));
    choose(request, &found)
}

/// Up to three terms.
type Phrase = [u32; 3];
const NO_TERM: u32 = u32::MAX;

struct Candidate {
    score: f32,
    order: usize,
    terms: Phrase,
}

fn vec_of(term: u32) -> Phrase {
    [term, NO_TERM, NO_TERM]
}

/// Pairs and triples of neighbouring content words of a heading.
fn phrases(
    request: &Request<'_>,
    words: &[Occurrence],
    scratch: &Scratch,
    found: &mut Vec<Candidate>,
) {
    let touching = |a: &Occurrence, b: &Occurrence| {
        request.text[a.end as usize..b.start as usize]
            .chars()
            .all(char::is_whitespace)
    };
    let mut run: Vec<u32> = Vec::new();
    for (i, word) in words.iter().enumerate() {
        if i > 0 && !touching(&words[i - 1], word) {
            push_phrase(&mut run, scratch, found);
        }
        if request.terms.is_content(word.term, request.languages) {
            run.push(word.term);
        } else {
            push_phrase(&mut run, scratch, found);
        }
    }
    push_phrase(&mut run, scratch, found);
}

/// A run of two or three words is a phrase; longer ones are sentences.
fn push_phrase(run: &mut Vec<u32>, scratch: &Scratch, found: &mut Vec<Candidate>) {
    if let 2..=3 = run.len() {
        let mut terms = [NO_TERM; 3];
        terms[..run.len()].copy_from_slice(run);
        let used = run.iter().filter(|t| scratch.count(**t) > 0).count();
        let known = found.iter().any(|c| c.terms == terms);
        if used == run.len() && !known {
            let total: u32 = run.iter().map(|t| scratch.count(*t)).sum();
            let mean = total as f32 / 2.0 / run.len() as f32;
            found.push(Candidate {
                score: (1.0 + mean).ln() * 2.4,
                order: found.len(),
                terms,
            });
        }
    }
    run.clear();
}

fn choose(request: &Request<'_>, found: &[Candidate]) -> Vec<String> {
    let mut chosen: Vec<String> = Vec::with_capacity(request.count_max);
    let mut covered: Vec<u32> = Vec::new();
    for candidate in found {
        if chosen.len() == request.count_max {
            break;
        }
        let terms = || candidate.terms.iter().filter(|t| **t != NO_TERM);
        if terms().all(|t| covered.contains(t)) {
            continue;
        }
        let mut keyword = String::new();
        for &term in terms() {
            if !keyword.is_empty() {
                keyword.push(' ');
            }
            keyword.push_str(request.terms.text(term));
            covered.push(term);
        }
        chosen.push(keyword);
    }
    chosen
}
