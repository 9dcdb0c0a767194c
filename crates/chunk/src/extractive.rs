//! Extractive summaries of whole texts.

use std::ops::Range;

use crate::centrality::{Matrix, centrality};
use crate::sentences::each_sentence;
use crate::stopwords::Languages;
use crate::summary::{count_words, cut_range, join};
use crate::terms::{Terms, stop_languages};

/// Most sentences that one summary can have: choosing each costs a pass over
/// those left.
pub(crate) const CHOSEN_MAX: usize = 200;

/// Sentences that redundancy control looks at, the best ones first.
const CONSIDERED_MAX: usize = 2_000;

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
    /// The title of the text, if it has one: its words tell what the text is about.
    pub title: &'a str,
    /// Most words. Below the shortest sentence the best one is cut.
    pub words_max: usize,
    /// Most sentences; over 200 counts as 200.
    pub sentences_max: usize,
}

impl Default for SummaryOptions<'_> {
    fn default() -> Self {
        SummaryOptions {
            language: None,
            title: "",
            words_max: 100,
            sentences_max: 3,
        }
    }
}

/// Whole sentences of a text that stand for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtractiveSummary {
    /// Bytes of the text, in text order. One that had to be cut ends where it was cut.
    pub sentences: Vec<Range<usize>>,
    /// The sentences as one paragraph, white space folded.
    pub text: String,
}

/// Every sentence of `text` in text order with its score.
#[must_use]
pub fn rank_sentences(text: &str, language: Option<&str>) -> Vec<Ranked> {
    let mut terms = Terms::of(text);
    let outline = Outline::of(text, &mut terms, "", stop_languages(language));
    let scores = outline.scores(&WEIGHTS);
    let ranked = outline.sentences.into_iter().zip(scores);
    ranked
        .map(|(sentence, score)| Ranked {
            range: sentence.range,
            score,
        })
        .collect()
}

/// The sentences of `text` that say most of it in the space there is. A text
/// that fits is returned whole. Where no sentence fits, the best one is cut at
/// a word boundary and the summary ends in `…`.
#[must_use]
pub fn extract_summary(text: &str, options: &SummaryOptions<'_>) -> ExtractiveSummary {
    extract_with(text, options, &WEIGHTS)
}

#[doc(hidden)]
pub fn extract_with(
    text: &str,
    options: &SummaryOptions<'_>,
    weights: &Weights,
) -> ExtractiveSummary {
    if options.words_max == 0 || options.sentences_max == 0 {
        return ExtractiveSummary::default();
    }
    let mut terms = Terms::of(text);
    let languages = stop_languages(options.language);
    let outline = Outline::of(text, &mut terms, options.title, languages);
    let words: usize = outline.sentences.iter().map(|s| s.words).sum();
    let mut chosen: Vec<usize> =
        if words <= options.words_max && outline.sentences.len() <= options.sentences_max {
            (0..outline.sentences.len()).collect()
        } else {
            outline.choose(options, weights)
        };
    chosen.sort_unstable();
    let mut sentences: Vec<Range<usize>> = chosen
        .into_iter()
        .map(|i| outline.sentences[i].range.clone())
        .collect();
    let mut is_cut = false;
    if sentences.is_empty()
        && let Some(best) = outline.best(weights)
    {
        let (cut, has_words) = cut_range(text, &best, options.words_max);
        sentences.push(cut);
        is_cut = has_words;
    }
    let mut joined = join(text, &sentences);
    if is_cut {
        joined.push('…');
    }
    ExtractiveSummary {
        sentences,
        text: joined,
    }
}

/// How much each sign counts. Found by search on the development halves of
/// the sets named above.
#[derive(Clone, Debug)]
pub struct Weights {
    pub central: f32,
    pub position: f32,
    /// Sentences after which the position counts half.
    pub half_at: f32,
    pub title: f32,
    pub opens_paragraph: f32,
    /// Exponent of the rarity of a term among sentences.
    pub rarity: f32,
    /// Share of the score that a chosen sentence's likeness takes away.
    pub redundancy: f32,
    /// Words below which a sentence counts less.
    pub short: f32,
    /// Words above which it counts less.
    pub long: f32,
    pub fragment: f32,
    pub quote: f32,
    pub question: f32,
    /// Added to `central` as a text grows long.
    pub central_long: f32,
    /// Sentences at which half of that is added.
    pub adapt: f32,
}

pub const WEIGHTS: Weights = Weights {
    central: 0.25,
    position: 1.0,
    half_at: 1.5,
    title: 0.7,
    opens_paragraph: 0.0,
    rarity: 1.0,
    redundancy: 0.5,
    short: 5.0,
    long: 35.0,
    fragment: 0.9,
    quote: 0.7,
    question: 0.8,
    central_long: 1.0,
    adapt: 50.0,
};

struct Sentence {
    range: Range<usize>,
    /// As a reader counts them.
    words: usize,
    opens_paragraph: bool,
}

/// A text as rows of terms.
struct Outline<'a> {
    text: &'a str,
    sentences: Vec<Sentence>,
    matrix: Matrix,
    /// Content terms of the title, sorted.
    title: Vec<u32>,
}

impl<'a> Outline<'a> {
    fn of(text: &'a str, terms: &mut Terms, title: &str, languages: Languages) -> Outline<'a> {
        let mut title = terms.also(title);
        title.retain(|term| terms.is_content(*term, languages));
        title.sort_unstable();
        title.dedup();
        let mut sentences: Vec<Sentence> = Vec::new();
        let mut matrix = Matrix::new(terms.terms.len());
        let mut first_word = 0;
        let mut end = 0;
        each_sentence(text, |range| {
            let after =
                terms.words[first_word..].partition_point(|w| (w.start as usize) < range.end);
            let words = &terms.words[first_word..first_word + after];
            first_word += after;
            sentences.push(Sentence {
                words: count_words(text, &range, words),
                opens_paragraph: sentences.is_empty() || text[end..range.start].contains('\n'),
                range: range.clone(),
            });
            end = range.end;
            let content = words.iter().map(|word| word.term);
            matrix.push(content.filter(|term| terms.is_content(*term, languages)));
        });
        Outline {
            text,
            sentences,
            matrix,
            title,
        }
    }

    fn scores(&self, weights: &Weights) -> Vec<f32> {
        let matrix = self.matrix.weighted(weights.rarity);
        let mut central = centrality(&matrix);
        let most = central.iter().copied().fold(0.0, f32::max);
        if most > 0.0 {
            central.iter_mut().for_each(|c| *c /= most);
        }
        let count = self.sentences.len() as f32;
        let central_weight = weights.central + weights.central_long * count / (count + weights.adapt);
        let mut place = 0.0;
        let mut scores = Vec::with_capacity(self.sentences.len());
        for (i, sentence) in self.sentences.iter().enumerate() {
            let text = &self.text[sentence.range.clone()];
            let is_fragment = text.ends_with(char::is_alphanumeric);
            let terms = matrix.row(i);
            let in_title = terms
                .iter()
                .filter(|(term, _)| self.title.binary_search(term).is_ok())
                .count();
            let title = in_title as f32 / self.title.len().max(1) as f32;
            let position = weights.half_at / (weights.half_at + place);
            let words = sentence.words as f32;
            let mut score = central_weight * central[i]
                + weights.position * position
                + weights.title * title
                + weights.opens_paragraph * f32::from(u8::from(sentence.opens_paragraph));
            if words < weights.short {
                score *= words / weights.short;
            }
            if words > weights.long {
                score *= weights.long / words;
            }
            if is_fragment {
                score *= weights.fragment;
            }
            if text.starts_with(['"', '“', '«', '‘', '\'']) {
                score *= weights.quote;
            }
            if text.ends_with(['?', '؟']) {
                score *= weights.question;
            }
            // Headings and list items do not push the first sentence back.
            if !is_fragment || words >= weights.short {
                place += 1.0;
            }
            scores.push(score);
        }
        scores
    }

    /// Best sentence, for a budget that none fits.
    fn best(&self, weights: &Weights) -> Option<Range<usize>> {
        let scores = self.scores(weights);
        let best = order(&scores).into_iter().next()?;
        Some(self.sentences[best].range.clone())
    }

    /// Maximal marginal relevance (Carbonell and Goldstein 1998): each sentence
    /// taken lowers the score of those like it.
    fn choose(&self, options: &SummaryOptions<'_>, weights: &Weights) -> Vec<usize> {
        let scores = self.scores(weights);
        let matrix = self.matrix.weighted(weights.rarity);
        let mut left = order(&scores);
        left.truncate(CONSIDERED_MAX);
        let mut likeness = vec![0.0f32; left.len()];
        let mut of_chosen = vec![0.0f32; matrix.terms()];
        let mut chosen = Vec::new();
        let mut words_left = options.words_max;
        while chosen.len() < options.sentences_max.min(CHOSEN_MAX) {
            let fits = |i: usize| self.sentences[i].words <= words_left;
            let worth = |at: usize| scores[left[at]] * (1.0 - weights.redundancy * likeness[at]);
            let best = (0..left.len())
                .filter(|at| fits(left[*at]) && likeness[*at] < SAME)
                .max_by(|a, b| {
                    worth(*a)
                        .total_cmp(&worth(*b))
                        .then(left[*b].cmp(&left[*a]))
                });
            let Some(at) = best else { break };
            let taken = left.swap_remove(at);
            likeness.swap_remove(at);
            words_left -= self.sentences[taken].words;
            chosen.push(taken);
            for (term, weight) in matrix.row(taken) {
                of_chosen[*term as usize] = *weight;
            }
            for (at, other) in left.iter().enumerate() {
                let product: f32 = matrix
                    .row(*other)
                    .iter()
                    .map(|(term, weight)| weight * of_chosen[*term as usize])
                    .sum();
                likeness[at] = likeness[at].max(product);
            }
            for (term, _) in matrix.row(taken) {
                of_chosen[*term as usize] = 0.0;
            }
        }
        chosen
    }
}

/// Cosine from which a sentence counts as said already.
const SAME: f32 = 0.8;

/// Indices by falling score; of equals the earlier one first.
pub(crate) fn order(scores: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b)));
    order
}
