//! Text to tokens. One analyser serves indexing, querying and highlighting,
//! so that the three can never disagree about what a word is.
//!
//! Every word yields its folded and stemmed form. Compounds
//! (`pg_stat_activity`, `foo.bar`, `CamelCase`, Persian words with ZWNJ)
//! yield the whole and, at consecutive positions, their parts.

mod fold;
mod split;
mod stem;
mod stop;

use std::ops::Range;

use frostem::Algorithm;

use fold::{Script, fold_into, script_of};
use split::{Part, RawWord};
use stem::StemCache;
pub(crate) use stop::is_stop_word;

/// Bytes of one token; the rest is cut off, alike for pages and queries.
const TOKEN_BYTES_MAX: usize = 96;

/// One token of an analysed text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub text: String,
    /// 0-based; a compound and its first part share one.
    pub position: u32,
    /// Where it came from in the analysed text.
    pub range: Range<usize>,
    /// The whole of a compound whose parts follow.
    pub whole: bool,
}

/// Turns text into tokens. Cheap to keep, worth keeping: it caches stems.
#[derive(Debug, Default)]
pub struct Analyzer {
    stems: StemCache,
    scratch: String,
}

impl Analyzer {
    #[must_use]
    pub fn new() -> Analyzer {
        Analyzer::default()
    }

    /// Calls `sink` with each token of `text`, in order of position. `language`
    /// (BCP 47 primary subtag) picks the stemmer among those of a word's script.
    pub fn analyze_with(
        &mut self,
        text: &str,
        language: Option<&str>,
        mut sink: impl FnMut(TokenRef<'_>),
    ) {
        let language = language.and_then(stem::algorithm_for);
        let mut position = 0;
        let mut parts = Vec::new();
        for word in split::words(text) {
            position = self.word(text, &word, language, position, &mut parts, &mut sink);
        }
    }

    /// Collects the tokens of `text`.
    pub fn analyze(&mut self, text: &str, language: Option<&str>) -> Vec<Token> {
        let mut tokens = Vec::new();
        self.analyze_with(text, language, |t| {
            tokens.push(Token {
                text: t.text.to_owned(),
                position: t.position,
                range: t.range,
                whole: t.whole,
            });
        });
        tokens
    }

    /// Emits one word's tokens and returns the next free position.
    fn word(
        &mut self,
        text: &str,
        word: &RawWord,
        language: Option<Algorithm>,
        position: u32,
        parts: &mut Vec<Part>,
        sink: &mut impl FnMut(TokenRef<'_>),
    ) -> u32 {
        parts.clear();
        split::parts(text, word, parts);
        let dense = parts.first().is_some_and(|part| part.dense);
        if parts.len() > 1 && !dense {
            self.scratch.clear();
            fold_into(&text[word.range.clone()], &mut self.scratch);
            // Humps and ZWNJ join words, so the whole is a word too;
            // `_` and `.` make it a name, which has no inflection.
            if !self.scratch.contains(['_', '.']) {
                self.stem_scratch(language);
            }
            self.emit(position, word.range.clone(), true, sink);
        }
        let mut next = position;
        for part in parts.iter() {
            self.scratch.clear();
            fold_into(&text[part.range.clone()], &mut self.scratch);
            if !part.dense {
                self.stem_scratch(language);
            }
            if self.emit(next, part.range.clone(), false, sink) {
                next += 1;
            }
        }
        next
    }

    fn stem_scratch(&mut self, language: Option<Algorithm>) {
        let script = self.scratch.chars().next().map_or(Script::Other, script_of);
        if let Some(algorithm) = stem::algorithm_of_word(script, language) {
            self.stems.stem(algorithm, &mut self.scratch);
        }
    }

    /// Whether anything was left to emit.
    fn emit(
        &mut self,
        position: u32,
        range: Range<usize>,
        whole: bool,
        sink: &mut impl FnMut(TokenRef<'_>),
    ) -> bool {
        if self.scratch.len() > TOKEN_BYTES_MAX {
            let end = self.scratch.floor_char_boundary(TOKEN_BYTES_MAX);
            self.scratch.truncate(end);
        }
        if self.scratch.is_empty() {
            return false;
        }
        sink(TokenRef {
            text: &self.scratch,
            position,
            range,
            whole,
        });
        true
    }
}

/// A token that borrows the analyser's buffer.
#[derive(Clone, Debug)]
pub struct TokenRef<'a> {
    pub text: &'a str,
    pub position: u32,
    pub range: Range<usize>,
    pub whole: bool,
}

/// The folded letters of one word, unstemmed.
pub(crate) fn fold_word(word: &str, out: &mut String) {
    fold_into(word, out);
    fold::strip_diacritics(out);
}

/// Whether two neighbouring words are a Persian word and its affix, which are
/// also written as one word.
pub(crate) fn is_persian_affix_pair(first: &str, second: &str) -> bool {
    const PREFIXES: [&str; 3] = ["می", "نمی", "بی"];
    const SUFFIXES: [&str; 12] = [
        "ها", "های", "هایی", "هایم", "هایت", "هایش", "تر", "ترین", "ام", "ات", "اش", "اند",
    ];
    let mut folded = String::new();
    let mut is_one_of = |word: &str, list: &[&str]| {
        folded.clear();
        fold_into(word, &mut folded);
        list.contains(&folded.as_str())
    };
    let arabic = |word: &str| {
        word.chars()
            .next()
            .is_some_and(|c| script_of(c) == Script::Arabic)
    };
    arabic(first) && arabic(second) && (is_one_of(first, &PREFIXES) || is_one_of(second, &SUFFIXES))
}

/// Whether pages of `language` are stemmed otherwise than by their script alone.
pub(crate) fn changes_stems(language: &str) -> bool {
    stem::algorithm_for(language).is_some_and(stem::is_special)
}
