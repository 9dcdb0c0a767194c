//! ROUGE (Lin, "ROUGE: A Package for Automatic Evaluation of Summaries", 2004):
//! how many words, pairs of words and words in order a summary shares with the
//! one that a person wrote.
//!
//! On English the figures are those of the PyPI package `rouge-score` 0.1.2
//! without its stemmer (tests below). Tokens differ where that package drops
//! what is no ASCII letter or digit: here a token is a run of letters and digits
//! of any script, in lower case, Persian and Arabic letters in one spelling,
//! their vowel signs left out, a word's inner gap (ZWNJ) as good as a blank.

use std::collections::HashMap;

/// Tokens of a summary that are compared; the longest common subsequence takes
/// time by their product.
pub const TOKENS_MAX: usize = 10_000;

/// Shares from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Overlap {
    /// Of the summary's units, those that the reference has.
    pub precision: f64,
    /// Of the reference's units, those that the summary has.
    pub recall: f64,
    pub f1: f64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rouge {
    /// Single tokens.
    pub one: Overlap,
    /// Pairs of neighbours.
    pub two: Overlap,
    /// Longest common subsequence of all tokens (`rougeL`, not `rougeLsum`).
    pub longest: Overlap,
}

impl Rouge {
    /// Tokens beyond [`TOKENS_MAX`] do not count, on either side.
    pub fn of(reference: &str, summary: &str) -> Rouge {
        let (reference, summary) = (tokens(reference), tokens(summary));
        Rouge {
            one: shared(reference.windows(1), summary.windows(1)),
            two: shared(reference.windows(2), summary.windows(2)),
            longest: Overlap::of(
                longest_common(&reference, &summary),
                reference.len(),
                summary.len(),
            ),
        }
    }
}

impl Overlap {
    fn of(both: usize, reference: usize, summary: usize) -> Overlap {
        let precision = both as f64 / summary.max(1) as f64;
        let recall = both as f64 / reference.max(1) as f64;
        let sum = precision + recall;
        Overlap {
            precision,
            recall,
            f1: if sum > 0.0 {
                2.0 * precision * recall / sum
            } else {
                0.0
            },
        }
    }
}

/// Tokens as described above.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut token = String::new();
    for c in text.chars() {
        match c {
            // Harakat, tatweel and the soft hyphen are no part of the word.
            '\u{64b}'..='\u{65f}' | '\u{670}' | 'ـ' | '\u{ad}' => {}
            'ي' | 'ى' => token.push('ی'),
            'ك' => token.push('ک'),
            'أ' | 'إ' | 'ٱ' => token.push('ا'),
            'ۀ' => token.push('ه'),
            '۰'..='۹' => token.extend(digit(c, '۰')),
            '٠'..='٩' => token.extend(digit(c, '٠')),
            c if c.is_alphanumeric() || unicode_normalization::char::is_combining_mark(c) => {
                token.extend(c.to_lowercase());
            }
            _ if token.is_empty() => {}
            _ if tokens.len() == TOKENS_MAX => return tokens,
            _ => tokens.push(std::mem::take(&mut token)),
        }
    }
    if !token.is_empty() && tokens.len() < TOKENS_MAX {
        tokens.push(token);
    }
    tokens
}

fn digit(c: char, zero: char) -> Option<char> {
    char::from_digit(u32::from(c) - u32::from(zero), 10)
}

/// Units of both sides as bags.
fn shared<'a>(
    reference: impl ExactSizeIterator<Item = &'a [String]>,
    summary: impl ExactSizeIterator<Item = &'a [String]>,
) -> Overlap {
    let (in_reference, in_summary) = (reference.len(), summary.len());
    let mut left: HashMap<&[String], usize> = HashMap::new();
    for unit in reference {
        *left.entry(unit).or_default() += 1;
    }
    let mut both = 0;
    for unit in summary {
        if let Some(count) = left.get_mut(unit)
            && *count > 0
        {
            *count -= 1;
            both += 1;
        }
    }
    Overlap::of(both, in_reference, in_summary)
}

/// Length of the longest common subsequence, by rows.
fn longest_common(a: &[String], b: &[String]) -> usize {
    let mut above = vec![0usize; b.len() + 1];
    let mut row = above.clone();
    for x in a {
        for (i, y) in b.iter().enumerate() {
            row[i + 1] = if x == y {
                above[i] + 1
            } else {
                row[i].max(above[i + 1])
            };
        }
        std::mem::swap(&mut above, &mut row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(reference: &str, summary: &str, one: f64, two: f64, longest: f64) {
        let got = Rouge::of(reference, summary);
        let got = [got.one.f1, got.two.f1, got.longest.f1];
        for (one_of_got, expected) in got.iter().zip([one, two, longest]) {
            assert!(
                (one_of_got - expected).abs() < 1e-6,
                "{reference:?} {summary:?}: {got:?}, expected {one} {two} {longest}"
            );
        }
    }

    /// What `rouge-score` 0.1.2 says: `RougeScorer(["rouge1", "rouge2",
    /// "rougeL"]).score(reference, summary)`, F-measures to six places.
    #[test]
    fn english_scores_as_the_usual_package() {
        check(
            "the cat sat on the mat",
            "the cat was on the mat",
            0.833_333,
            0.6,
            0.833_333,
        );
        check(
            "police killed the gunman",
            "police kill the gunman",
            0.75,
            0.333_333,
            0.75,
        );
        check(
            "police killed the gunman",
            "the gunman kill police",
            0.75,
            0.333_333,
            0.5,
        );
        check(
            "The U.S. economy grew 3.5% in Q2, its best since 2014.",
            "In Q2 the economy of the U.S. grew by 3.5 percent; it's the best since 2014!",
            0.75,
            0.4,
            0.5625,
        );
        check("a b c d e f g", "g f e d c b a", 1.0, 0.0, 0.142_857);
        check("one", "two", 0.0, 0.0, 0.0);
        check("one", "one", 1.0, 0.0, 1.0);
        check("word word word", "word", 0.5, 0.0, 0.5);
        check("x", "", 0.0, 0.0, 0.0);
        check(
            "Don't stop: re-enter the well-known state_machine now",
            "do not stop, reenter the well known state machine",
            0.6,
            0.444_444,
            0.6,
        );
    }

    #[test]
    fn recall_and_precision_are_of_either_side() {
        let got = Rouge::of("word word word", "word");
        assert_eq!((got.one.precision, got.one.recall), (1.0, 1.0 / 3.0));
    }

    #[test]
    fn persian_has_tokens_however_it_is_typed() {
        let typed = "می‌خواهم کتاب‌های علی را ۲ بار بخوانم.";
        for same in [
            "مي خواهم كتاب هاي علي را 2 بار بخوانم",
            "مِی‌خواهم کتاب‌های علی، را ٢ بار بخوانم!",
        ] {
            check(typed, same, 1.0, 1.0, 1.0);
        }
        check("یک دو سه چهار", "یک دو سه پنج", 0.75, 2.0 / 3.0, 0.75);
        check("Übergröße", "übergröße", 1.0, 0.0, 1.0);
    }

    #[test]
    fn work_is_bounded() {
        let long = "word ".repeat(TOKENS_MAX + 5_000);
        assert_eq!(tokens(&long).len(), TOKENS_MAX);
        assert_eq!(tokens(long.trim_end()).len(), TOKENS_MAX);
    }
}
