//! An answer without a model: the sentences of the passages that answer best, as
//! they stand there, each with its source.

use std::ops::Range;

use chunk::{extract_for_query, sentences};

use super::citations::without_notes;
use super::evidence::Evidence;
use super::passages::Passage;

/// Sentences of an answer.
const SENTENCES_MAX: usize = 3;
/// Sentences that are compared.
const CANDIDATES_MAX: usize = 30;
/// A sentence is said only if it scores so much of the best one's score.
const SHARE_MIN: f32 = 0.6;
/// How much the passage that a sentence is of counts beside the sentence itself.
const PASSAGE_WEIGHT: f32 = 0.3;
/// What follows a heading that was found has so much of the heading's score.
const HEADING_SHARE: f32 = 0.8;
/// Characters of a sentence; a longer one is a table or a list that nobody cut.
const SENTENCE_CHARS_MAX: usize = 600;
/// Between passages, so that no sentence reaches from one into the next.
const BREAK: &str = "\n\n";

struct Found<'a> {
    passage: &'a Passage,
    text: String,
    range: Range<usize>,
    score: f32,
}

/// `None` when no sentence says anything of the question.
pub fn answer(question: &str, evidence: &Evidence) -> Option<String> {
    let found = rank(question, evidence);
    let best = found.first()?.score;
    let mut said: Vec<&Found<'_>> = Vec::new();
    for sentence in &found {
        let is_good = sentence.score >= SHARE_MIN * best;
        let is_said = said.iter().any(|other| {
            let overlaps = other.range.start < sentence.range.end
                && sentence.range.start < other.range.end
                && other.passage.number == sentence.passage.number;
            overlaps || other.text == sentence.text
        });
        if is_good && !is_said && said.len() < SENTENCES_MAX {
            said.push(sentence);
        }
    }
    // As they follow each other in their sources, the best source first.
    said.sort_by_key(|sentence| (sentence.passage.number, sentence.range.start));
    let lines = said
        .iter()
        .map(|sentence| format!("{} [{}]", sentence.text, sentence.passage.number));
    Some(lines.collect::<Vec<String>>().join("\n"))
}

/// The passages are read as one text, so that scores of all sentences compare.
fn rank<'a>(question: &str, evidence: &'a Evidence) -> Vec<Found<'a>> {
    let mut text = String::new();
    let mut places: Vec<(Range<usize>, &Passage)> = Vec::new();
    for passage in &evidence.passages {
        let start = text.len();
        text.push_str(&passage.text);
        places.push((start..text.len(), passage));
        text.push_str(BREAK);
    }
    let Some(first) = evidence.passages.first() else {
        return Vec::new();
    };
    let best = first.score.max(f32::EPSILON);
    let ranked = extract_for_query(&text, question, first.language.as_deref(), CANDIDATES_MAX);
    let highest = ranked.first();
    let highest = highest.map_or(1.0, |first| first.score.max(f32::EPSILON));
    let mut found: Vec<Found<'a>> = Vec::new();
    for ranked in &ranked {
        let at = ranked.range.start;
        let place = places.iter().find(|(place, _)| place.contains(&at));
        let Some((place, passage)) = place else {
            continue;
        };
        let range = at - place.start..(ranked.range.end - place.start).min(passage.text.len());
        let Some((said, share)) = statement(passage, range) else {
            continue;
        };
        let text = without_notes(&passage.text[said.clone()]);
        let words: Vec<&str> = text.split_whitespace().collect();
        let text = words.join(" ");
        let score = (1.0 - PASSAGE_WEIGHT) * share * ranked.score / highest
            + PASSAGE_WEIGHT * passage.score / best;
        if text.chars().count() <= SENTENCE_CHARS_MAX {
            found.push(Found {
                passage,
                text,
                range: said,
                score,
            });
        }
    }
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    found
}

/// What can be said of a sentence that was found, and how much of its score is
/// that part's own. A question needs what follows it, a heading stands for it,
/// the page's title says nothing.
fn statement(passage: &Passage, sentence: Range<usize>) -> Option<(Range<usize>, f32)> {
    let is_apart = |at: usize| passage.apart.iter().any(|part| part.contains(&at));
    let text = passage.text[sentence.clone()].trim();
    let asks = is_question(text);
    if !asks && !is_apart(sentence.start) {
        // "On a lead" says little without what was asked.
        let before = sentences(&passage.text[..sentence.start]).pop();
        let before = before.filter(|before| is_question(&passage.text[before.clone()]));
        let start = before.map_or(sentence.start, |before| before.start);
        return Some((start..sentence.end, 1.0));
    }
    if text == passage.title.trim() {
        return None;
    }
    let next = sentences(&passage.text[sentence.end..])
        .into_iter()
        .next()?;
    let next = sentence.end + next.start..sentence.end + next.end;
    if is_apart(next.start) || is_question(&passage.text[next.clone()]) {
        return None;
    }
    match asks {
        true => Some((sentence.start..next.end, 1.0)),
        false => Some((next, HEADING_SHARE)),
    }
}

fn is_question(sentence: &str) -> bool {
    sentence.trim_end().ends_with(['?', '؟'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::PageId;

    const FAQ: &str = "Frequent questions\nAre dogs allowed?\nOn a lead, on the terrace, not in the dome.\n\
        Is it cold?\nAlways. Even in July the ridge falls to eight degrees.\nHow to get here\n\
        Take the bus to Sefidab and walk the marked path for fifty minutes.[3]";

    fn evidence() -> Evidence {
        let heading = |text: &str| {
            let start = FAQ.find(text).expect("a heading");
            start..start + text.len()
        };
        let passage = Passage {
            number: 1,
            page: PageId(1),
            url: "https://example.org/faq".to_owned(),
            title: "Frequent questions".to_owned(),
            heading: String::new(),
            published_at: None,
            language: Some("en".to_owned()),
            range: 0..FAQ.len(),
            text: FAQ.to_owned(),
            apart: [
                "Frequent questions",
                "Are dogs allowed?",
                "Is it cold?",
                "How to get here",
            ]
            .map(heading)
            .to_vec(),
            score: 1.0,
        };
        Evidence {
            passages: vec![passage],
            ..Evidence::default()
        }
    }

    #[track_caller]
    fn check(question: &str, expected: &str) {
        let said = answer(question, &evidence()).expect("an answer");
        let first = said.lines().next().unwrap_or_default();
        assert_eq!(first, expected, "{said}");
    }

    #[test]
    fn a_question_comes_with_its_answer_and_a_heading_stands_aside() {
        check(
            "Are dogs allowed?",
            "Are dogs allowed? On a lead, on the terrace, not in the dome. [1]",
        );
        check("Is it cold in there?", "Is it cold? Always. [1]");
        check(
            "How do I get to Sefidab by bus?",
            "Take the bus to Sefidab and walk the marked path for fifty minutes. [1]",
        );
        assert_eq!(answer("zebra crossing", &evidence()), None);
    }
}
