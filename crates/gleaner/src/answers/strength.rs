//! Whether what was found can hold an answer at all.
//!
//! Two things are looked at: how much of the question the best passage says (its
//! words, the rare ones counting more), and how much nearer in meaning the
//! nearest passage is than an average one.
//!
//! Refused, with vectors (and without), by `gleaner eval answers`; the limits below
//! were chosen on the first two sets, the third only confirms them:
//!
//! | asked of | questions | not quoted | not read either |
//! |---|---|---|---|
//! | PQuAD (fa, 1,103 paragraphs) | its own, 1,000 | 0.3 % (1.0 %) | 0.0 % |
//! | | the same without the paragraphs that answer | 35.5 % (52.4 %) | 16.2 % |
//! | | those of Hamshahri (fa, news), 26 | 76.9 % (53.8 %) | 46.2 % |
//! | Cranfield (en, 1,400 abstracts) | its own, 225 | 8.4 % (8.9 %) | 0.4 % |
//! | | the same without the abstracts that answer | 28.0 % (24.0 %) | 4.4 % |
//! | | those of Vaswani (en, physics), 93 | 80.6 % (67.7 %) | 58.1 % |
//! | Vaswani (en, 11,429 abstracts) | its own, 93 | 6.5 % (14.0 %) | 0.0 % |
//! | | the same without the abstracts that answer | 9.7 % (18.3 %) | 1.1 % |
//! | | those of Cranfield, 225 | 85.8 % (84.9 %) | 65.3 % |
//!
//! What is of the right article and answers nothing gets past this, as the second
//! line of each set shows: to tell that takes reading.

use std::collections::HashSet;

use search::{Analyzer, WordSpread};

/// Words of a question that are looked at.
pub const WORDS_MAX: usize = 12;
/// Words that ask, beside those of grammar: an answer does without them.
const ASKING: [&str; 34] = [
    "many",
    "much",
    "long",
    "often",
    "kind",
    "please",
    "tell",
    "me",
    "explain",
    "describe",
    "list",
    "give",
    "show",
    "find",
    "mean",
    "means",
    "exactly",
    "happen",
    "happens",
    "name",
    "called",
    "s",
    "چند",
    "چقدر",
    "چطور",
    "چرا",
    "آیا",
    "کجا",
    "کجاست",
    "کی",
    "کیست",
    "کسی",
    "نام",
    "چیزی",
];

/// A word of the question and what it counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Word {
    pub spellings: Vec<String>,
    pub weight: f32,
}

/// How well the best passages fit the question.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Strength {
    /// Share of the question's words, by weight, in the passage that has most: 0 to 1.
    pub coverage: f32,
    /// How far the nearest passage is on the way from an average one to the question
    /// itself, by cosine: 0 to 1. `None` without vectors, or without enough of them.
    pub nearness: Option<f32>,
}

/// What coverage and weighted nearness reach where an answer is looked for: by a
/// model, which reads the passages and can still say no, or in their sentences.
const ENOUGH_TO_READ: f32 = 0.72;
const ENOUGH_TO_QUOTE: f32 = 0.87;
const NEARNESS_WEIGHT: f32 = 1.25;
/// The same where there are no vectors, of coverage alone.
const COVERED_TO_READ: f32 = 0.3;
const COVERED_TO_QUOTE: f32 = 0.44;
/// Among fewer pages rarity says little: a word that one lacks would be worth all others.
const PAGES_MIN: u64 = 50;
/// With fewer passages the average says nothing: all may be about one thing.
const PASSAGES_MIN: u64 = 100;

impl Strength {
    /// `nearest` and `average` are cosines, among so many passages.
    pub fn new(coverage: f32, nearest: f32, average: Option<f32>, passages: u64) -> Strength {
        let average = average.filter(|average| passages >= PASSAGES_MIN && *average < 1.0);
        Strength {
            coverage,
            nearness: average.map(|average| ((nearest - average) / (1.0 - average)).max(0.0)),
        }
    }

    /// Too little to take sentences for an answer.
    pub fn is_thin(self) -> bool {
        self.is_below(ENOUGH_TO_QUOTE, COVERED_TO_QUOTE)
    }

    /// Too little to have a model read it.
    pub fn is_hopeless(self) -> bool {
        self.is_below(ENOUGH_TO_READ, COVERED_TO_READ)
    }

    fn is_below(self, enough: f32, covered: f32) -> bool {
        match self.nearness {
            Some(nearness) => self.coverage + NEARNESS_WEIGHT * nearness < enough,
            None => self.coverage < covered,
        }
    }
}

/// The question without what only asks, for looking its words up.
pub fn telling(question: &str) -> String {
    let words = question.split(|c: char| {
        !(c.is_alphanumeric() || matches!(c, '\u{200c}' | '_' | '.' | '-' | '+' | '#'))
    });
    let telling: Vec<&str> = words
        .filter(|word| !word.is_empty() && !ASKING.contains(&word.to_lowercase().as_str()))
        .collect();
    telling.join(" ")
}

/// What each word counts among `pages` pages: the rarer the more, as in BM25.
pub fn weigh(words: Vec<WordSpread>, pages: u64) -> Vec<Word> {
    let pages = pages.max(PAGES_MIN) as f32;
    let weight = |having: usize| {
        let having = (having as f32).min(pages);
        (1.0 + (pages - having + 0.5) / (having + 0.5)).ln()
    };
    let weighed = words.into_iter().map(|word| Word {
        weight: weight(word.pages),
        spellings: word.spellings,
    });
    weighed.collect()
}

/// Share of the words, by weight, that the texts say.
pub fn coverage<'a>(
    words: &[Word],
    texts: impl IntoIterator<Item = &'a str>,
    language: Option<&str>,
    analyzer: &mut Analyzer,
) -> f32 {
    let all: f32 = words.iter().map(|word| word.weight).sum();
    if all <= 0.0 {
        return 0.0;
    }
    let wanted: HashSet<&str> = words
        .iter()
        .flat_map(|word| word.spellings.iter().map(String::as_str))
        .collect();
    let mut said: HashSet<String> = HashSet::new();
    for text in texts {
        analyzer.analyze_with(text, language, |token| {
            if wanted.contains(token.text) && !said.contains(token.text) {
                said.insert(token.text.to_owned());
            }
        });
    }
    let is_said = |word: &&Word| {
        word.spellings
            .iter()
            .any(|spelling| said.contains(spelling))
    };
    let covered: f32 = words.iter().filter(is_said).map(|word| word.weight).sum();
    covered / all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(spelling: &str, pages: usize) -> WordSpread {
        WordSpread {
            spellings: vec![spelling.to_owned()],
            pages,
        }
    }

    #[test]
    fn rare_words_count_more_and_unknown_ones_most() {
        let words = weigh(
            vec![word("the", 90), word("dome", 5), word("submarin", 0)],
            100,
        );
        assert!(words[0].weight < words[1].weight && words[1].weight < words[2].weight);
        assert!(words[0].weight > 0.0);
        let mut analyzer = Analyzer::new();
        let share = coverage(&words, ["The domes open."], Some("en"), &mut analyzer);
        assert!((0.2..0.6).contains(&share), "{share}");
        assert_eq!(coverage(&words, [], None, &mut analyzer), 0.0);
        assert_eq!(coverage(&[], ["The"], None, &mut analyzer), 0.0);
    }

    #[test]
    fn what_only_asks_is_left_out() {
        assert_eq!(
            telling("How many steps has the dome?"),
            "How steps has the dome"
        );
        assert_eq!(
            telling("What is std::vec in C++?"),
            "What is std vec in C++"
        );
        assert_eq!(telling("رصدخانه کجاست؟"), "رصدخانه");
    }
}
