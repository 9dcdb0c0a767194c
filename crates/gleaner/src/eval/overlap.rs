//! How much of a text was found, as two public benchmarks count it.
//!
//! [`PageOverlap`]: bags of 4-word shingles, per page divided by their sum, as
//! the article-extraction-benchmark does. [`SnippetCounts`]: segments that must
//! and must not appear, pooled over all pages, as trafilatura's evaluation does.

use std::collections::HashMap;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

const SHINGLE_WORDS: usize = 4;

/// Shares of one page: what was found, found wrongly and missed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PageOverlap {
    pub found: f64,
    pub wrong: f64,
    pub missed: f64,
}

impl PageOverlap {
    pub fn of(gold: &str, predicted: &str) -> PageOverlap {
        let (gold, predicted) = (words(gold), words(predicted));
        let (gold, predicted) = (shingles(&gold), shingles(&predicted));
        let both: u64 = gold
            .iter()
            .map(|(shingle, count)| *count.min(predicted.get(shingle).unwrap_or(&0)))
            .sum();
        let wrong = predicted.values().sum::<u64>() - both;
        let missed = gold.values().sum::<u64>() - both;
        let sum = both + wrong + missed;
        if sum == 0 {
            return PageOverlap::default();
        }
        let share = |count: u64| count as f64 / sum as f64;
        PageOverlap {
            found: share(both),
            wrong: share(wrong),
            missed: share(missed),
        }
    }

    fn f1(&self) -> f64 {
        let PageOverlap {
            found,
            wrong,
            missed,
        } = self;
        let sum = 2.0 * found + wrong + missed;
        if sum == 0.0 { 1.0 } else { 2.0 * found / sum }
    }
}

/// Precision, recall and their harmonic mean.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TextScores {
    pub precision: f64,
    pub recall: f64,
    pub f1: f64,
    /// Mean of each page's own F1, which no page escapes; snippets have none.
    pub page_f1: Option<f64>,
}

impl TextScores {
    /// Precision is averaged over the pages where something was extracted,
    /// recall over those with gold text.
    pub fn of_pages(pages: &[PageOverlap]) -> TextScores {
        let precisions: Vec<f64> = pages
            .iter()
            .filter(|page| page.found + page.wrong > 0.0)
            .map(|page| page.found / (page.found + page.wrong))
            .collect();
        let recalls: Vec<f64> = pages
            .iter()
            .filter(|page| page.found + page.missed > 0.0)
            .map(|page| page.found / (page.found + page.missed))
            .collect();
        let own: Vec<f64> = pages.iter().map(PageOverlap::f1).collect();
        let (precision, recall) = (mean(&precisions), mean(&recalls));
        TextScores {
            precision,
            recall,
            f1: harmonic(precision, recall),
            page_f1: Some(mean(&own)),
        }
    }
}

/// Segments over all pages of a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnippetCounts {
    pub found: u64,
    pub missed: u64,
    /// Segments that appear but must not.
    pub leaked: u64,
    pub kept_out: u64,
}

impl SnippetCounts {
    /// Counts one page in.
    pub fn add(&mut self, text: &str, with: &[String], without: &[String]) {
        let text = fold(text);
        for snippet in with {
            if text.contains(&fold(snippet)) {
                self.found += 1;
            } else {
                self.missed += 1;
            }
        }
        for snippet in without {
            if text.contains(&fold(snippet)) {
                self.leaked += 1;
            } else {
                self.kept_out += 1;
            }
        }
    }

    pub fn scores(&self) -> TextScores {
        let found = self.found as f64;
        let share = |sum: f64| if self.found == 0 { 0.0 } else { found / sum };
        TextScores {
            precision: share(found + self.leaked as f64),
            recall: share(found + self.missed as f64),
            f1: share(found + (self.leaked + self.missed) as f64 / 2.0),
            page_f1: None,
        }
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn harmonic(precision: f64, recall: f64) -> f64 {
    let sum = precision + recall;
    if sum == 0.0 {
        0.0
    } else {
        2.0 * precision * recall / sum
    }
}

/// Runs of letters, numbers and underscores.
fn words(text: &str) -> Vec<&str> {
    text.split(|c| !is_word(c))
        .filter(|word| !word.is_empty())
        .collect()
}

/// `\w` as regular expressions of the scorers above mean it: general categories
/// L and N. `is_alphanumeric` also has vowel signs and circled letters.
fn is_word(c: char) -> bool {
    let circled = matches!(c, '\u{24b6}'..='\u{24e9}' | '\u{1f130}'..='\u{1f189}');
    c == '_' || (c.is_alphanumeric() && !circled && !is_combining_mark(c))
}

/// Runs of four words; a shorter text is one run.
fn shingles<'a>(words: &'a [&'a str]) -> HashMap<&'a [&'a str], u64> {
    let mut bag = HashMap::new();
    if !words.is_empty() && words.len() < SHINGLE_WORDS {
        bag.insert(words, 1);
    }
    for shingle in words.windows(SHINGLE_WORDS) {
        *bag.entry(shingle).or_insert(0) += 1;
    }
    bag
}

/// NFC with white space folded.
fn fold(text: &str) -> String {
    let composed: String = text.nfc().collect();
    let is_blank = |c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c);
    let words: Vec<&str> = composed
        .split(is_blank)
        .filter(|word| !word.is_empty())
        .collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(gold: &str, predicted: &str, expected: [f64; 3]) {
        let got = PageOverlap::of(gold, predicted);
        for (got, expected) in [got.found, got.wrong, got.missed].iter().zip(expected) {
            assert!(
                (got - expected).abs() < 1e-9,
                "{gold:?} {predicted:?}: {got}, not {expected}"
            );
        }
    }

    #[test]
    fn shingles_of_four_words() {
        check("a b c d", "a b c d", [1.0, 0.0, 0.0]);
        // Gold abcd bcde; predicted abcd: one of two found.
        check("a b c d e", "a b c d", [0.5, 0.0, 0.5]);
        check("a b c d", "a b c d e", [0.5, 0.5, 0.0]);
        // Punctuation and case: words are compared as written.
        check("a, b. c-d", "a b c d", [1.0, 0.0, 0.0]);
        check("A b c d", "a b c d", [0.0, 0.5, 0.5]);
        // Twice in the gold, once predicted.
        check("a a a a a", "a a a a", [0.5, 0.0, 0.5]);
    }

    #[test]
    fn short_and_empty_texts() {
        check("a b", "a b", [1.0, 0.0, 0.0]);
        check("a b", "a b c", [0.0, 0.5, 0.5]);
        check("a b", "", [0.0, 0.0, 1.0]);
        check("", "a b c d e", [0.0, 1.0, 0.0]);
        check("", "", [0.0, 0.0, 0.0]);
        assert_eq!(PageOverlap::of("", "…").f1(), 1.0);
    }

    #[test]
    fn word_characters_are_letters_numbers_and_underscore() {
        let check = |text: &str, expected: &[&str]| assert_eq!(words(text), expected, "{text}");
        check("snake_case x2 ½ Ⅷ", &["snake_case", "x2", "½", "Ⅷ"]);
        // ZWNJ and marks end a word, as in the scorers this follows.
        check("می\u{200c}رود", &["می", "رود"]);
        check("كَتب", &["ك", "تب"]);
        check("ⓐb", &["b"]);
        check("日本 語", &["日本", "語"]);
    }

    #[test]
    fn means_leave_out_pages_they_do_not_speak_about() {
        let half = PageOverlap {
            found: 0.5,
            wrong: 0.0,
            missed: 0.5,
        };
        let empty = PageOverlap {
            found: 0.0,
            wrong: 0.0,
            missed: 1.0,
        };
        let scores = TextScores::of_pages(&[half, empty]);
        assert_eq!(scores.precision, 1.0);
        assert_eq!(scores.recall, 0.25);
        assert!((scores.f1 - 0.4).abs() < 1e-9);
        // (2/3 + 0) / 2
        assert!((scores.page_f1.unwrap() - 1.0 / 3.0).abs() < 1e-9);
        let none = TextScores::of_pages(&[]);
        assert_eq!((none.f1, none.page_f1), (0.0, Some(0.0)));
    }

    #[test]
    fn snippets_are_pooled() {
        let strings = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let mut counts = SnippetCounts::default();
        // Composed and decomposed é are one; white space is folded.
        counts.add(
            "Cafe\u{301}\n  au lait",
            &strings(&["Café au", "tea"]),
            &strings(&["lait", "x"]),
        );
        let expected = SnippetCounts {
            found: 1,
            missed: 1,
            leaked: 1,
            kept_out: 1,
        };
        assert_eq!(counts, expected);
        let scores = counts.scores();
        assert_eq!(
            (scores.precision, scores.recall, scores.f1),
            (0.5, 0.5, 0.5)
        );
        assert_eq!(SnippetCounts::default().scores().f1, 0.0);
    }
}
