//! An answer without a model: the sentences of the passages that say most of
//! the question, as they stand there, each with its source.

use std::ops::Range;

use chunk::sentences;
use search::Analyzer;

use super::citations::without_notes;
use super::evidence::Evidence;
use super::passages::Passage;
use super::strength::{Word, coverage};

/// Sentences of an answer.
const SENTENCES_MAX: usize = 3;
/// A sentence is said only if it says so much of the best one's share.
const SHARE_MIN: f32 = 0.6;
/// How much the passage's place counts beside what the sentence says.
const PASSAGE_WEIGHT: f32 = 0.35;
/// Words of a sentence below which it is a heading or a label, and above which
/// it is a list or a table that nobody cut.
const WORDS_MIN: usize = 4;
const WORDS_MAX: usize = 80;

struct Found<'a> {
    passage: &'a Passage,
    range: Range<usize>,
    score: f32,
}

/// `None` when no sentence says anything of the question.
pub fn answer(evidence: &Evidence) -> Option<String> {
    let mut found = rank(evidence);
    let best = found.first()?.score;
    found.retain(|sentence| sentence.score >= SHARE_MIN * best);
    let mut said: Vec<&Found<'_>> = Vec::new();
    for sentence in &found {
        let text = &sentence.passage.text[sentence.range.clone()];
        let is_said = said
            .iter()
            .any(|other| other.passage.text[other.range.clone()].trim() == text.trim());
        if said.len() < SENTENCES_MAX && !is_said {
            said.push(sentence);
        }
    }
    // As they follow each other in their sources, the best source first.
    said.sort_by_key(|sentence| (sentence.passage.number, sentence.range.start));
    let lines: Vec<String> = said
        .iter()
        .map(|sentence| {
            let text = &sentence.passage.text[sentence.range.clone()];
            let text = without_notes(text);
            let words: Vec<&str> = text.split_whitespace().collect();
            format!("{} [{}]", words.join(" "), sentence.passage.number)
        })
        .collect();
    Some(lines.join("\n"))
}

fn rank(evidence: &Evidence) -> Vec<Found<'_>> {
    let mut analyzer = Analyzer::new();
    let mut found = Vec::new();
    let best = evidence
        .passages
        .first()
        .map_or(1.0, |p| p.score)
        .max(f32::EPSILON);
    for passage in &evidence.passages {
        for range in sentences(&passage.text) {
            let says = share(&evidence.words, passage, &range, &mut analyzer);
            if says <= 0.0 {
                continue;
            }
            let score = (1.0 - PASSAGE_WEIGHT) * says + PASSAGE_WEIGHT * passage.score / best;
            found.push(Found {
                passage,
                range,
                score,
            });
        }
    }
    found.sort_by(|a, b| {
        let by_score = b.score.total_cmp(&a.score);
        by_score
            .then_with(|| (a.passage.number, a.range.start).cmp(&(b.passage.number, b.range.start)))
    });
    found
}

fn share(words: &[Word], passage: &Passage, range: &Range<usize>, analyzer: &mut Analyzer) -> f32 {
    let text = &passage.text[range.clone()];
    let count = chunk::words(text).count();
    if !(WORDS_MIN..=WORDS_MAX).contains(&count) {
        return 0.0;
    }
    coverage(words, [text], passage.language.as_deref(), analyzer)
}
