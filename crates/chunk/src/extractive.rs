//! Extractive summaries of whole texts: what a text says about itself when no
//! language model is there to say it.
//!
//! A sentence's score is the sum of
//! - its place: 1 for the first, half of it after [`PLACE_HALVES_AT`] sentences.
//!   Reporters put the news first, and other authors what they write about;
//! - the share of the title's words it has (Edmundson, "New Methods in Automatic
//!   Extracting", 1969, found place and title the strongest signs);
//! - how central it is among all sentences ([`crate::centrality`]). The weight grows with the number of sentences: in a report of twenty, what is
//!   central hardly differs from what comes first; in an article of two hundred,
//!   the first sentences are background.
//!
//! Fragments, quotes, questions and very short or long sentences count less.
//! Sentences are then taken by maximal marginal relevance (Carbonell and
//! Goldstein 1998), so that none repeats another.
//!
//! The weights were found on development halves of six sets (English and Persian
//! news, papers, web pages and articles on health) and round numbers taken
//! where figures did not differ by more than chance; docs/guides/summaries.md
//! has the figures of the halves held out. What did not pay is not here: the
//! first sentence of each paragraph as such, a longer walk.

use std::ops::Range;

use crate::centrality::Matrix;
use crate::sentences::each_sentence;
use crate::stopwords::Languages;
use crate::summary::{count_words, cut_range, join};
use crate::terms::{Terms, stop_languages};

/// Most sentences that one summary can have: choosing each costs a pass over
/// those left.
pub(crate) const CHOSEN_MAX: usize = 200;

/// Sentences that are chosen from, the best ones.
const CONSIDERED_MAX: usize = 2_000;

/// Sentences before a sentence whose place counts half.
const PLACE_HALVES_AT: f32 = 1.5;

/// Sentences of a text in which centrality counts half of what place does.
const CENTRAL_HALF_AT: f32 = 100.0;

/// Share of a score that full likeness to a chosen sentence takes away.
const REDUNDANCY: f32 = 0.25;

/// Cosine from which a sentence counts as said already.
const SAME: f32 = 0.8;

/// Words below which and above which a sentence counts less, in proportion.
const WORDS: std::ops::RangeInclusive<f32> = 5.0..=35.0;

/// Ends without a mark: a heading, an item of a list.
const FRAGMENT: f32 = 0.9;
const QUOTE: f32 = 0.7;
const QUESTION: f32 = 0.8;

/// A sentence and how much it says about its text.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    /// Bytes of the text, without the white space around the sentence.
    pub range: Range<usize>,
    /// From 0; comparable within one call only.
    pub score: f32,
}

/// What a summary should be like.
#[derive(Clone, Copy, Debug)]
pub struct SummaryOptions<'a> {
    /// BCP 47 primary subtag; picks the stop words. `None` uses all lists.
    pub language: Option<&'a str>,
    /// The title of the text, if it has one.
    pub title: &'a str,
    /// Most words. Where no sentence is that short the best one is cut.
    pub words_max: usize,
    /// Most sentences; over 200 counts as 200.
    pub sentences_max: usize,
}

/// Sentences of a text that stand for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtractiveSummary {
    /// Bytes of the text, in text order. A sentence that had to be cut ends
    /// where it was cut.
    pub sentences: Vec<Range<usize>>,
    /// The sentences as one paragraph, white space folded.
    pub text: String,
}

/// Every sentence of `text`, in text order, with its score.
#[must_use]
pub fn rank_sentences(text: &str, language: Option<&str>) -> Vec<Ranked> {
    let outline = Outline::of(text, "", stop_languages(language));
    let scores = outline.scores();
    outline
        .sentences
        .into_iter()
        .zip(scores)
        .map(|(sentence, score)| Ranked {
            range: sentence.range,
            score,
        })
        .collect()
}

/// The sentences of `text` that say most of it in the space there is. A text
/// that fits is returned whole. Where no sentence fits, the best one is cut at
/// a word boundary and the summary ends in `…`. The time grows with the length
/// of the text, which must be below 4 GiB.
#[must_use]
pub fn extract_summary(text: &str, options: &SummaryOptions<'_>) -> ExtractiveSummary {
    if options.words_max == 0 || options.sentences_max == 0 {
        return ExtractiveSummary::default();
    }
    let outline = Outline::of(text, options.title, stop_languages(options.language));
    let all = &outline.sentences;
    let words: usize = all.iter().map(|sentence| sentence.words).sum();
    if words <= options.words_max && all.len() <= options.sentences_max {
        let sentences: Vec<_> = all.iter().map(|sentence| sentence.range.clone()).collect();
        let text = join(text, &sentences);
        return ExtractiveSummary { sentences, text };
    }
    let scores = outline.scores();
    let mut chosen = outline.choose(&scores, options);
    if chosen.is_empty() {
        let best = &all[order(&scores)[0]].range;
        let (cut, has_words) = cut_range(text, best, options.words_max);
        let sentences = vec![cut];
        let mut text = join(text, &sentences);
        if has_words {
            text.push('…');
        }
        return ExtractiveSummary { sentences, text };
    }
    chosen.sort_unstable();
    let sentences: Vec<_> = chosen.into_iter().map(|i| all[i].range.clone()).collect();
    let text = join(text, &sentences);
    ExtractiveSummary { sentences, text }
}

/// Indices by falling score; of equals the earlier one first.
pub(crate) fn order(scores: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b)));
    order
}

struct Sentence {
    range: Range<usize>,
    /// As a reader counts them.
    words: usize,
}

/// A text as sentences, and those as rows of content terms.
struct Outline<'a> {
    text: &'a str,
    sentences: Vec<Sentence>,
    matrix: Matrix,
    /// Content terms of the title, sorted.
    title: Vec<u32>,
}

impl<'a> Outline<'a> {
    fn of(text: &'a str, title: &str, languages: Languages) -> Outline<'a> {
        let mut terms = Terms::of(text);
        let mut title = terms.also(title);
        title.retain(|term| terms.is_content(*term, languages));
        title.sort_unstable();
        title.dedup();
        let mut sentences = Vec::new();
        let mut matrix = Matrix::new(terms.terms.len());
        let mut first = 0;
        each_sentence(text, |range| {
            let count = terms.words[first..].partition_point(|w| (w.start as usize) < range.end);
            let words = &terms.words[first..first + count];
            first += count;
            let content = words.iter().map(|word| word.term);
            matrix.push(content.filter(|term| terms.is_content(*term, languages)));
            sentences.push(Sentence {
                words: count_words(text, &range, words),
                range,
            });
        });
        matrix.weigh();
        Outline {
            text,
            sentences,
            matrix,
            title,
        }
    }

    fn scores(&self) -> Vec<f32> {
        let mut central = self.matrix.degrees();
        let most = central.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
        central.iter_mut().for_each(|share| *share /= most);
        let count = self.sentences.len() as f32;
        let central_weight = count / (count + CENTRAL_HALF_AT);
        let mut before = 0.0;
        let mut scores = Vec::with_capacity(self.sentences.len());
        for (i, sentence) in self.sentences.iter().enumerate() {
            let text = &self.text[sentence.range.clone()];
            let is_fragment = text.ends_with(char::is_alphanumeric);
            let of_title = self.matrix.row(i).iter();
            let of_title = of_title.filter(|(term, _)| self.title.binary_search(term).is_ok());
            let of_title = of_title.count() as f32 / self.title.len().max(1) as f32;
            let place = PLACE_HALVES_AT / (PLACE_HALVES_AT + before);
            let mut score = place + of_title + central_weight * central[i];
            let words = sentence.words as f32;
            if words < *WORDS.start() {
                score *= words / WORDS.start();
            } else if words > *WORDS.end() {
                score *= WORDS.end() / words;
            }
            if is_fragment {
                score *= FRAGMENT;
            }
            if text.starts_with(['"', '“', '«', '‘', '\'']) {
                score *= QUOTE;
            }
            if text.ends_with(['?', '؟']) {
                score *= QUESTION;
            }
            // A heading does not push the sentence below it back.
            if !is_fragment || words >= *WORDS.start() {
                before += 1.0;
            }
            scores.push(score);
        }
        scores
    }

    /// Indices of the sentences taken, in the order they were taken.
    fn choose(&self, scores: &[f32], options: &SummaryOptions<'_>) -> Vec<usize> {
        let mut left = order(scores);
        left.truncate(CONSIDERED_MAX);
        let mut likeness = vec![0.0f32; left.len()];
        let mut of_taken = vec![0.0f32; self.matrix.terms()];
        let mut words_left = options.words_max;
        let mut chosen = Vec::new();
        while chosen.len() < options.sentences_max.min(CHOSEN_MAX) {
            let worth = |at: usize| scores[left[at]] * (1.0 - REDUNDANCY * likeness[at]);
            let best = (0..left.len())
                .filter(|at| self.sentences[left[*at]].words <= words_left)
                .filter(|at| likeness[*at] < SAME)
                .max_by(|a, b| {
                    let by_worth = worth(*a).total_cmp(&worth(*b));
                    by_worth.then(left[*b].cmp(&left[*a]))
                });
            let Some(at) = best else {
                break;
            };
            let taken = left.swap_remove(at);
            likeness.swap_remove(at);
            words_left -= self.sentences[taken].words;
            chosen.push(taken);
            for (term, weight) in self.matrix.row(taken) {
                of_taken[*term as usize] = *weight;
            }
            for (likeness, other) in likeness.iter_mut().zip(&left) {
                let products = self.matrix.row(*other).iter();
                let cosine: f32 = products.map(|(t, w)| w * of_taken[*t as usize]).sum();
                *likeness = likeness.max(cosine);
            }
            for (term, _) in self.matrix.row(taken) {
                of_taken[*term as usize] = 0.0;
            }
        }
        chosen
    }
}
