//! Words folded to the terms that keywords, TL;DRs and the language guess
//! count, each distinct term once.

use std::sync::LazyLock;

use crate::scan::{Script, Word, WordScanner};
use crate::stopwords::{self, Languages, StopWords};

/// Half-full tables of honest pages need fewer than 40 probes. A page crafted to
/// collide loses keywords instead of costing quadratic time.
const PROBES_MAX: u32 = 128;

/// The term of words that found no slot: never content.
const UNCOUNTED: u32 = 0;

static STOP_WORDS: LazyLock<StopWords> = LazyLock::new(StopWords::new);

/// One word of the text.
#[derive(Clone, Copy)]
pub(crate) struct Occurrence {
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) term: u32,
    pub(crate) script: Script,
    pub(crate) capital: bool,
}

pub(crate) struct Term {
    start: u32,
    end: u32,
    hash: u32,
    /// Languages in which this is a stop word.
    pub(crate) stop: Languages,
    /// Says something by itself: two letters or more, and no bare number.
    pub(crate) content: bool,
}

/// Words of a text and their distinct folded forms.
pub(crate) struct Terms {
    pub(crate) words: Vec<Occurrence>,
    pub(crate) terms: Vec<Term>,
    folded: String,
    /// Open addressing over `terms`, by hash; 0 is empty, else term + 1.
    slots: Vec<u32>,
}

impl Terms {
    pub(crate) fn of(text: &str) -> Terms {
        let mut all = Terms {
            words: Vec::with_capacity(text.len() / 6),
            terms: vec![Term {
                start: 0,
                end: 0,
                hash: 0,
                stop: 0,
                content: false,
            }],
            folded: String::with_capacity(text.len() / 2),
            slots: vec![0; 1024],
        };
        for word in WordScanner::new(text) {
            let term = all.intern(&text[word.start..word.end], &word);
            all.words.push(Occurrence {
                start: word.start as u32,
                end: word.end as u32,
                term,
                script: word.script,
                capital: word.capital,
            });
        }
        all
    }

    /// Terms of the words of another text (a title, a question), which join
    /// those known; in order, as often as they occur.
    pub(crate) fn also(&mut self, text: &str) -> Vec<u32> {
        let words = WordScanner::new(text);
        words
            .map(|word| self.intern(&text[word.start..word.end], &word))
            .collect()
    }

    pub(crate) fn text(&self, term: u32) -> &str {
        let term = &self.terms[term as usize];
        &self.folded[term.start as usize..term.end as usize]
    }

    /// Index range of the words that begin within a byte range.
    pub(crate) fn within(&self, range: &std::ops::Range<usize>) -> std::ops::Range<usize> {
        let first = self
            .words
            .partition_point(|w| (w.start as usize) < range.start);
        let count = self.words[first..].partition_point(|w| (w.start as usize) < range.end);
        first..first + count
    }

    fn intern(&mut self, surface: &str, word: &Word) -> u32 {
        let start = self.folded.len();
        if word.plain {
            self.folded.push_str(surface);
        } else {
            fold_into(surface, &mut self.folded);
        }
        let hash = hash(&self.folded.as_bytes()[start..]);
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        for probe in 0.. {
            let entry = self.slots[slot];
            if entry == 0 {
                break;
            }
            if probe == PROBES_MAX {
                self.folded.truncate(start);
                return UNCOUNTED;
            }
            let known = &self.terms[entry as usize - 1];
            if known.hash == hash
                && self.folded[known.start as usize..known.end as usize] == self.folded[start..]
            {
                self.folded.truncate(start);
                return entry - 1;
            }
            slot = (slot + 1) & mask;
        }
        let folded = &self.folded[start..];
        let id = self.terms.len() as u32;
        self.terms.push(Term {
            start: start as u32,
            end: self.folded.len() as u32,
            hash,
            stop: STOP_WORDS.languages(folded),
            content: word.script != Script::Number && is_content(folded, word.script),
        });
        self.slots[slot] = id + 1;
        if self.terms.len() * 2 > self.slots.len() {
            self.grow();
        }
        id
    }

    fn grow(&mut self) {
        let mut slots = vec![0u32; self.slots.len() * 4];
        let mask = slots.len() - 1;
        for (id, term) in self.terms.iter().enumerate().skip(1) {
            let mut slot = term.hash as usize & mask;
            while slots[slot] != 0 {
                slot = (slot + 1) & mask;
            }
            slots[slot] = id as u32 + 1;
        }
        self.slots = slots;
    }

    /// Digits only: nothing by itself, but something to ask for ("1969").
    pub(crate) fn is_number(&self, term: u32) -> bool {
        self.text(term).starts_with(|c: char| c.is_ascii_digit())
    }

    /// Whether a term carries meaning in a text of these languages.
    pub(crate) fn is_content(&self, term: u32, languages: Languages) -> bool {
        let term = &self.terms[term as usize];
        term.content && term.stop & languages == 0
    }
}

/// Languages whose stop words are left out of a text in `language`.
pub(crate) fn stop_languages(language: Option<&str>) -> Languages {
    match language.map(stopwords::bit) {
        // Pages in other scripts quote English; a Latin-script page's own
        // words may be another's stop words (German "war", "die").
        Some(bit @ (stopwords::FA | stopwords::AR)) => bit | stopwords::EN,
        Some(bit) if bit != 0 => bit,
        _ => stopwords::ALL,
    }
}

fn is_content(folded: &str, script: Script) -> bool {
    let single_character_words = matches!(script, Script::Han);
    // Persian verbs with the durative prefix are as common as they are vague.
    let durative = folded.starts_with("می\u{200c}") || folded.starts_with("نمی\u{200c}");
    folded.len() <= 64 && !durative && (single_character_words || folded.chars().nth(1).is_some())
}

/// Spelling differences that do not make another term: case, Arabic and Persian
/// code points for the same letter, harakat, tatweel, digits, an English
/// genitive, a Persian plural or ezafe joined by ZWNJ.
pub(crate) fn fold_into(surface: &str, out: &mut String) {
    let start = out.len();
    for c in surface.chars() {
        match c {
            'a'..='z' | '0'..='9' | '_' => out.push(c),
            'A'..='Z' => out.push(c.to_ascii_lowercase()),
            'ي' | 'ى' => out.push('ی'),
            'ك' => out.push('ک'),
            'ۀ' => out.push('ه'),
            'أ' | 'إ' | 'ٱ' => out.push('ا'),
            '۰'..='۹' => out.push(ascii_digit(c, '۰')),
            '٠'..='٩' => out.push(ascii_digit(c, '٠')),
            'ـ' | '\u{64b}'..='\u{65f}' | '\u{670}' | '\u{ad}' | '\u{200d}'..='\u{200f}' => {}
            '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => {}
            '’' => out.push('\''),
            'ا'..='ی' | '\u{200c}' => out.push(c),
            _ => out.extend(c.to_lowercase()),
        }
    }
    let kept = strip_ending(&out[start..]).len();
    out.truncate(start + kept);
}

fn strip_ending(folded: &str) -> &str {
    let mut word = folded.trim_end_matches('\u{200c}');
    if let Some(stem) = word.strip_suffix("'s") {
        word = stem;
    }
    for ending in [
        "\u{200c}هایی",
        "\u{200c}های",
        "\u{200c}ها",
        "\u{200c}ای",
        "\u{200c}ی",
    ] {
        if let Some(stem) = word.strip_suffix(ending)
            && stem.chars().nth(1).is_some()
        {
            return stem;
        }
    }
    word
}

fn ascii_digit(c: char, zero: char) -> char {
    char::from_digit(u32::from(c) - u32::from(zero), 10).unwrap_or(c)
}

/// Multiply and rotate over eight bytes at a time. Not keyed: see [`PROBES_MAX`].
pub(crate) fn hash(bytes: &[u8]) -> u32 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut hash = bytes.len() as u64;
    let mut mix = |word: u64| hash = (hash.rotate_left(5) ^ word).wrapping_mul(FACTOR);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        mix(u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    mix(u64::from_le_bytes(last));
    (hash ^ (hash >> 32)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(surface: &str, expected: &str) {
        let mut folded = String::new();
        fold_into(surface, &mut folded);
        assert_eq!(folded, expected, "{surface}");
    }

    #[test]
    fn spellings_fold_together() {
        check("PostgreSQL", "postgresql");
        check("observatory’s", "observatory");
        check("Übergröße", "übergröße");
        check("كتابي", "کتابی");
        check("کتاب\u{200c}های", "کتاب");
        check("ستاره\u{200c}ها", "ستاره");
        check("آینه\u{200c}ی", "آینه");
        check("مُحَمَّد", "محمد");
        check("سـلام", "سلام");
        check("۱۴۰۵", "1405");
        check("٤٥", "45");
    }

    #[test]
    fn plain_words_are_already_folded() {
        for code in 0..=0x2fff {
            let Some(c) = char::from_u32(code) else {
                continue;
            };
            let surface = format!("x{c}");
            let plain = WordScanner::new(&surface)
                .next()
                .is_some_and(|w| w.plain && w.end == surface.len());
            if plain {
                check(&surface, &surface);
            }
        }
    }
}
