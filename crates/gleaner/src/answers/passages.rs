//! What was found, as passages: neighbours joined, repeats dropped, as much as
//! the model can read.

use std::collections::HashSet;
use std::ops::Range;

use chunk::{estimate_tokens, sentences, words};
use types::{PageId, Timestamp};

/// Bytes between two ranges of a page that are joined all the same: blank lines
/// and the marks of a list.
const GAP_BYTES_MAX: usize = 8;
/// A passage that has so much of its word triples in common with a better one
/// tells nothing new. Print versions and quotations have nearly all.
const REPEATED_SHARE: f64 = 0.8;
/// Of a passage that does not fit whole, less than this is not worth its place.
const CUT_TOKENS_MIN: u32 = 40;

/// A part of a page that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Passage {
    /// What the answer cites it by: 1 for the best.
    pub number: usize,
    pub page: PageId,
    pub url: String,
    pub title: String,
    /// Headings from the page's top down to it.
    pub heading: String,
    pub published_at: Option<Timestamp>,
    pub language: Option<String>,
    /// Bytes of the page's text.
    pub range: Range<usize>,
    pub text: String,
    /// Bytes of `text` that are headings or code: no sentences.
    pub apart: Vec<Range<usize>>,
    /// How well it fits the question, to order by.
    pub score: f32,
}

/// Joins ranges of one page that touch or overlap, so that no word is there
/// twice. Each comes with its score; the joined one has the best.
pub fn join(mut ranges: Vec<(Range<usize>, f32)>) -> Vec<(Range<usize>, f32)> {
    ranges.sort_by_key(|(range, _)| (range.start, range.end));
    let mut joined: Vec<(Range<usize>, f32)> = Vec::new();
    for (range, score) in ranges {
        match joined.last_mut() {
            Some((last, best)) if range.start <= last.end + GAP_BYTES_MAX => {
                last.end = last.end.max(range.end);
                *best = best.max(score);
            }
            _ => joined.push((range, score)),
        }
    }
    joined
}

/// Leaves the best `count` passages that say something new and that `tokens`
/// hold, numbered. The first is cut to fit rather than left out.
pub fn choose(mut passages: Vec<Passage>, count: usize, tokens: u32) -> Vec<Passage> {
    passages.sort_by(|a, b| {
        let by_score = b.score.total_cmp(&a.score);
        by_score.then_with(|| (a.page, a.range.start).cmp(&(b.page, b.range.start)))
    });
    let mut chosen: Vec<Passage> = Vec::new();
    let mut known: Vec<HashSet<u64>> = Vec::new();
    let mut left = tokens;
    for mut passage in passages {
        if chosen.len() == count {
            break;
        }
        let triples = triples(&passage.text);
        if known.iter().any(|other| is_repeat(&triples, other)) {
            continue;
        }
        let needed = estimate_tokens(&passage.text);
        if needed > left {
            if left < CUT_TOKENS_MIN {
                break;
            }
            cut(&mut passage, left);
            if passage.text.is_empty() {
                continue;
            }
        }
        left = left.saturating_sub(estimate_tokens(&passage.text));
        passage.number = chosen.len() + 1;
        known.push(triples);
        chosen.push(passage);
    }
    chosen
}

/// Whole sentences from the beginning, as many as fit.
fn cut(passage: &mut Passage, tokens: u32) {
    let mut end = 0;
    for sentence in sentences(&passage.text) {
        if estimate_tokens(&passage.text[..sentence.end]) > tokens {
            break;
        }
        end = sentence.end;
    }
    passage.text.truncate(end);
    passage.range.end = passage.range.start + end;
}

fn triples(text: &str) -> HashSet<u64> {
    let words: Vec<String> = words(text).map(str::to_lowercase).collect();
    let hash = |words: &[String]| {
        let mut hasher = blake3::Hasher::new();
        for word in words {
            hasher.update(word.as_bytes()).update(b" ");
        }
        let hash = hasher.finalize();
        let mut first = [0; 8];
        first.copy_from_slice(&hash.as_bytes()[..8]);
        u64::from_le_bytes(first)
    };
    if words.len() < 3 {
        return HashSet::from([hash(&words)]);
    }
    words.windows(3).map(hash).collect()
}

fn is_repeat(new: &HashSet<u64>, known: &HashSet<u64>) -> bool {
    let common = new.intersection(known).count();
    common as f64 >= REPEATED_SHARE * new.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passage(page: i64, start: usize, text: &str, score: f32) -> Passage {
        Passage {
            number: 0,
            page: PageId(page),
            url: format!("https://example.org/{page}"),
            title: String::new(),
            heading: String::new(),
            published_at: None,
            language: None,
            range: start..start + text.len(),
            text: text.to_owned(),
            apart: Vec::new(),
            score,
        }
    }

    #[track_caller]
    fn check_joined(ranges: &[(usize, usize)], expected: &[(usize, usize)]) {
        let scored = ranges.iter().map(|(start, end)| (*start..*end, 1.0));
        let joined = join(scored.collect()).into_iter();
        let joined: Vec<(usize, usize)> =
            joined.map(|(range, _)| (range.start, range.end)).collect();
        assert_eq!(joined, expected);
    }

    #[test]
    fn neighbours_become_one_and_nothing_is_said_twice() {
        check_joined(&[(0, 100), (80, 200)], &[(0, 200)]);
        check_joined(&[(80, 200), (0, 100)], &[(0, 200)]);
        check_joined(&[(0, 100), (102, 200)], &[(0, 200)]);
        check_joined(&[(0, 100), (20, 50)], &[(0, 100)]);
        check_joined(&[(0, 100), (150, 200)], &[(0, 100), (150, 200)]);
        let joined = join(vec![(0..10, 0.2), (5..20, 0.9), (100..110, 0.5)]);
        assert_eq!(joined, [(0..20, 0.9), (100..110, 0.5)]);
    }

    #[test]
    fn repeats_are_dropped_and_the_best_are_numbered() {
        let text = "Opening hours in summer are from nine to midnight on every Friday.";
        let more = format!("{text} Tickets are sold at the gate, in cash or by card only.");
        let passages = vec![
            passage(1, 0, text, 0.5),
            passage(2, 0, &more, 0.9),
            passage(
                3,
                40,
                "Dogs may come along on a lead but not into the dome.",
                0.7,
            ),
        ];
        let chosen = choose(passages, 8, 1000);
        let numbered: Vec<(usize, PageId)> = chosen.iter().map(|p| (p.number, p.page)).collect();
        assert_eq!(numbered, [(1, PageId(2)), (2, PageId(3))]);
    }

    #[test]
    fn what_does_not_fit_is_cut_after_a_sentence() {
        let sentence = "The gate opens half an hour before the dome does. ";
        let long = sentence.repeat(20);
        let tokens = estimate_tokens(sentence) * 5;
        let chosen = choose(vec![passage(1, 7, long.trim_end(), 1.0)], 8, tokens);
        assert!(chosen[0].text.ends_with("does."), "{}", chosen[0].text);
        assert!(estimate_tokens(&chosen[0].text) <= tokens);
        assert_eq!(chosen[0].range, 7..7 + chosen[0].text.len());
        let small = [passage(1, 0, "One.", 1.0), passage(2, 0, &long, 0.5)];
        assert_eq!(choose(small.to_vec(), 8, 10).len(), 1);
        assert_eq!(choose(vec![passage(1, 0, "One.", 1.0)], 0, 10).len(), 0);
    }
}
