//! The sentences of a text that answer a question, without a model.

use crate::extractive::{CHOSEN_MAX, Ranked, order};
use crate::scan::Script;
use crate::sentences::each_sentence;
use crate::terms::{Terms, stop_languages};

/// More words of a question than this are not looked for.
const QUERY_TERMS_MAX: usize = 32;

/// Sentences of `text` that share words with `query`, best first, at most
/// `sentences_max` (over 200 counts as 200) and none twice. A sentence counts
/// for the question's words it has, each by its rarity in the text; for words
/// that the sentence before has (an answer often says "it"); and for words close
/// together. Empty when the text has no word of the question.
///
/// Words match by their folded form, and at a discount when one continues the
/// other ("mirror", "mirrors"). `language` picks the stop words as elsewhere.
#[must_use]
pub fn extract_for_query(
    text: &str,
    query: &str,
    language: Option<&str>,
    sentences_max: usize,
) -> Vec<Ranked> {
    answer_with(text, query, language, sentences_max, &QUERY_WEIGHTS)
}

#[derive(Clone, Debug)]
pub struct QueryWeights {
    pub near_form: f32,
    pub before: f32,
    pub after_question: f32,
    pub close: f32,
    pub number: f32,
    pub question: f32,
    pub early: f32,
}

pub const QUERY_WEIGHTS: QueryWeights = QueryWeights {
    near_form: 0.5,
    before: 0.3,
    after_question: 0.9,
    close: 0.1,
    number: 0.05,
    question: 0.4,
    early: 0.02,
};

/// Words that ask for a number or a date.
const ASKS_NUMBER: [&str; 12] = [
    "when",
    "many",
    "much",
    "year",
    "old",
    "long",
    "چند",
    "چندم",
    "سال",
    "تاریخ",
    "زمانی",
    "چقدر",
];

struct Sentence {
    range: std::ops::Range<usize>,
    words: std::ops::Range<usize>,
}

#[doc(hidden)]
pub fn answer_with(
    text: &str,
    query: &str,
    language: Option<&str>,
    sentences_max: usize,
    weights: &QueryWeights,
) -> Vec<Ranked> {
    let mut terms = Terms::of(text);
    let languages = stop_languages(language);
    let of_text = terms.terms.len();
    let asked = terms.also(query);
    let wants_number = asked
        .iter()
        .any(|term| ASKS_NUMBER.contains(&terms.text(*term)));
    let mut wanted: Vec<u32> = Vec::new();
    for term in &asked {
        let known = terms.is_content(*term, languages) || terms.is_number(*term);
        if known && !wanted.contains(term) && wanted.len() < QUERY_TERMS_MAX {
            wanted.push(*term);
        }
    }
    if wanted.is_empty() {
        // "Who are you?" has nothing but stop words; they must do.
        wanted = asked;
        wanted.sort_unstable();
        wanted.dedup();
        wanted.truncate(QUERY_TERMS_MAX);
    }

    // Which of the wanted terms a term of the text stands for, and how well.
    let mut stands_for: Vec<Option<(u8, f32)>> = vec![None; terms.terms.len()];
    for (at, term) in wanted.iter().enumerate() {
        let form = terms.text(*term);
        for (other, stands) in stands_for.iter_mut().enumerate().take(of_text).skip(1) {
            if stands.is_none() && is_near_form(form, terms.text(other as u32)) {
                *stands = Some((at as u8, weights.near_form));
            }
        }
    }
    for (at, term) in wanted.iter().enumerate() {
        stands_for[*term as usize] = Some((at as u8, 1.0));
    }

    let mut sentences: Vec<Sentence> = Vec::new();
    let mut rows = vec![0u32; wanted.len()];
    let mut first_word = 0;
    each_sentence(text, |range| {
        let after = terms.words[first_word..].partition_point(|w| (w.start as usize) < range.end);
        let words = first_word..first_word + after;
        first_word = words.end;
        let mut seen = [false; QUERY_TERMS_MAX];
        for word in &terms.words[words.clone()] {
            if let Some((at, _)) = stands_for[word.term as usize] {
                seen[usize::from(at)] = true;
            }
        }
        for (row, seen) in rows.iter_mut().zip(seen) {
            *row += u32::from(seen);
        }
        sentences.push(Sentence { range, words });
    });
    let count = sentences.len() as f32;
    // As BM25 counts rarity, with sentences for documents.
    let rarity: Vec<f32> = rows
        .iter()
        .map(|rows| (1.0 + (count - *rows as f32 + 0.5) / (*rows as f32 + 0.5)).ln())
        .collect();
    let all: f32 = rarity.iter().sum();

    let mut before = [0.0f32; QUERY_TERMS_MAX];
    let mut after_question = false;
    let mut scores = Vec::with_capacity(sentences.len());
    for (i, sentence) in sentences.iter().enumerate() {
        let words = &terms.words[sentence.words.clone()];
        let mut found = [0.0f32; QUERY_TERMS_MAX];
        let mut has_number = false;
        let mut last: Option<(usize, u8)> = None;
        let mut close = 0.0;
        for (place, word) in words.iter().enumerate() {
            has_number |= word.script == Script::Number;
            let Some((at, weight)) = stands_for[word.term as usize] else {
                continue;
            };
            found[usize::from(at)] = found[usize::from(at)].max(weight);
            if let Some((last_place, last_at)) = last
                && last_at != at
            {
                let pair = rarity[usize::from(at)].min(rarity[usize::from(last_at)]);
                close = f32::max(close, pair / (place - last_place) as f32);
            }
            last = Some((place, at));
        }
        let inherited = if after_question {
            weights.after_question
        } else {
            weights.before
        };
        let mut score = 0.0;
        for (at, rarity) in rarity.iter().enumerate() {
            score += rarity * found[at].max(inherited * before[at]);
        }
        let is_question = text[sentence.range.clone()].ends_with(['?', '؟']);
        if score > 0.0 {
            score += weights.close * close;
            score /= all;
            if wants_number && has_number {
                score += weights.number;
            }
            score += weights.early / (1.0 + i as f32);
            if is_question {
                score *= weights.question;
            }
        }
        scores.push(score);
        before = found;
        after_question = is_question;
    }

    let mut chosen: Vec<Ranked> = Vec::new();
    let mut chosen_terms: Vec<Vec<u32>> = Vec::new();
    for i in order(&scores) {
        if chosen.len() >= sentences_max.min(CHOSEN_MAX) || scores[i] <= 0.0 {
            break;
        }
        let words = &terms.words[sentences[i].words.clone()];
        let mut row: Vec<u32> = words.iter().map(|word| word.term).collect();
        row.sort_unstable();
        row.dedup();
        if chosen_terms.iter().any(|other| row == *other) {
            continue;
        }
        chosen_terms.push(row);
        chosen.push(Ranked {
            range: sentences[i].range.clone(),
            score: scores[i],
        });
    }
    chosen
}

/// One word continues the other by an ending: at most three letters after at
/// least four (three in scripts whose words are shorter).
fn is_near_form(a: &str, b: &str) -> bool {
    let (short, long) = if a.len() < b.len() { (a, b) } else { (b, a) };
    let Some(ending) = long.strip_prefix(short) else {
        return false;
    };
    let stem_min = if short.is_ascii() { 4 } else { 3 };
    let stem = short.chars().take(stem_min).count();
    stem == stem_min && (1..=3).contains(&ending.chars().take(4).count())
}
