//! Stemming by script and language, with a cache: a page repeats its words.

use std::collections::HashMap;

use frostem::{Algorithm, Stemmer};

use super::fold::{Script, strip_diacritics};

/// Distinct words remembered per stemmer; a full cache is emptied. 32 k words
/// of ~40 bytes each keep it near 2 MB.
const CACHE_WORDS_MAX: usize = 32_768;
/// Longer words are rarely inflected words, and stemming cost grows with length.
const STEMMED_CHARS_MAX: usize = 40;

/// Languages with a stemmer, by BCP 47 primary subtag.
pub(crate) fn algorithm_for(language: &str) -> Option<Algorithm> {
    Some(match language {
        "ar" => Algorithm::Arabic,
        "da" => Algorithm::Danish,
        "de" => Algorithm::German,
        "el" => Algorithm::Greek,
        "en" => Algorithm::English,
        "es" => Algorithm::Spanish,
        "fi" => Algorithm::Finnish,
        "fr" => Algorithm::French,
        "hu" => Algorithm::Hungarian,
        "it" => Algorithm::Italian,
        "nb" | "nn" | "no" => Algorithm::Norwegian,
        "nl" => Algorithm::Dutch,
        "pt" => Algorithm::Portuguese,
        "ro" => Algorithm::Romanian,
        "ru" => Algorithm::Russian,
        "sv" => Algorithm::Swedish,
        "tr" => Algorithm::Turkish,
        _ => return None,
    })
}

fn script_of_algorithm(algorithm: Algorithm) -> Script {
    match algorithm {
        Algorithm::Arabic => Script::Arabic,
        Algorithm::Greek => Script::Greek,
        Algorithm::Russian => Script::Cyrillic,
        _ => Script::Latin,
    }
}

/// The stemmer of a word: its page's language decides among the languages of
/// the word's script; another script falls back to that script's usual one.
/// Persian is not stemmed: Snowball's Persian stemmer lowers nDCG@10 on both
/// Persian development sets (hamshahri 0.887 -> 0.874, pquad 0.976 -> 0.973).
pub(crate) fn algorithm_of_word(script: Script, language: Option<Algorithm>) -> Option<Algorithm> {
    if let Some(language) = language
        && script_of_algorithm(language) == script
    {
        return Some(language);
    }
    match script {
        Script::Latin => Some(Algorithm::English),
        Script::Cyrillic => Some(Algorithm::Russian),
        Script::Greek => Some(Algorithm::Greek),
        Script::Arabic | Script::Dense | Script::Digit | Script::Other => None,
    }
}

/// Stems by word.
type Stems = HashMap<Box<str>, Box<str>>;

#[derive(Default)]
pub(crate) struct StemCache {
    stemmers: Vec<(Algorithm, Stemmer, Stems)>,
}

impl StemCache {
    /// Replaces `word` (folded) by its stem, diacritics dropped.
    pub(crate) fn stem(&mut self, algorithm: Algorithm, word: &mut String) {
        if word.len() > 4 * STEMMED_CHARS_MAX || word.chars().count() > STEMMED_CHARS_MAX {
            strip_diacritics(word);
            return;
        }
        let at = match self.stemmers.iter().position(|(a, _, _)| *a == algorithm) {
            Some(at) => at,
            None => {
                self.stemmers
                    .push((algorithm, Stemmer::new(algorithm), HashMap::new()));
                self.stemmers.len() - 1
            }
        };
        let (_, stemmer, cache) = &mut self.stemmers[at];
        if let Some(stem) = cache.get(word.as_str()) {
            word.clear();
            word.push_str(stem);
            return;
        }
        let mut stem = if algorithm == Algorithm::Arabic {
            stemmer
                .stem(&to_arabic(word))
                .chars()
                .map(persian_letter)
                .collect()
        } else {
            stemmer.stem(word).into_owned()
        };
        // A stem of nothing would make the word unfindable.
        if stem.is_empty() {
            stem.push_str(word);
        }
        strip_diacritics(&mut stem);
        if cache.len() >= CACHE_WORDS_MAX {
            cache.clear();
        }
        cache.insert(word.as_str().into(), stem.as_str().into());
        *word = stem;
    }
}

/// The spelling that the Arabic stemmer knows: folding made the letters
/// Persian, and a final teh marbuta a heh.
fn to_arabic(word: &str) -> String {
    let mut arabic: String = word
        .chars()
        .map(|c| match c {
            'ی' => 'ي',
            'ک' => 'ك',
            c => c,
        })
        .collect();
    if arabic.ends_with('ه') {
        arabic.pop();
        arabic.push('ة');
    }
    arabic
}

fn persian_letter(c: char) -> char {
    match c {
        'ي' | 'ى' => 'ی',
        'ك' => 'ک',
        'ة' => 'ه',
        c => c,
    }
}

impl std::fmt::Debug for StemCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StemCache")
            .field("stemmers", &self.stemmers.len())
            .finish()
    }
}

/// Whether a script's words are stemmed otherwise on pages of this language.
pub(crate) fn is_special(algorithm: Algorithm) -> bool {
    let script = script_of_algorithm(algorithm);
    algorithm_of_word(script, None) != Some(algorithm)
}
