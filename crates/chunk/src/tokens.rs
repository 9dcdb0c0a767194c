//! Estimates how many SentencePiece tokens a text has, without a vocabulary.
//!
//! XLM-R pieces never cross white space, so a text's tokens are the sum over its
//! space-separated words. A word is cut into runs of one kind (lower case,
//! capitals, digits, one script, one punctuation mark) and each run costs what
//! runs of its kind and length cost on average. The averages are least-squares
//! fits over 187,000 distinct words (English and Persian prose, manuals with
//! code, mixed web pages) against the real multilingual-e5-small vocabulary;
//! scripts not in that sample were fitted on paragraphs.

use crate::scan::{Class, Script, class, script};

/// Estimated tokens of `text` in the default model's vocabulary, without the
/// model's prefix and end marks.
///
/// Prose is estimated within about 10 %; code, tables and rare scripts within
/// about 25 %. `tests/it/tokens.rs` holds the comparison with exact counts.
#[must_use]
pub fn estimate_tokens(text: &str) -> u32 {
    centitokens(text, true).div_ceil(100)
}

/// Hundredths of a token. `after_space` is false for a text that continues a
/// word: its first run then has no leading space to share.
pub(crate) fn centitokens(text: &str, after_space: bool) -> u32 {
    let bytes = text.as_bytes();
    let mut total = 0u32;
    let mut run = Run {
        kind: Kind::Space,
        first: after_space,
        ..Run::default()
    };
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        let (c, kind) = if byte < 0x80 {
            at += 1;
            (char::from(byte), ASCII_KINDS[usize::from(byte)])
        } else {
            let Some(c) = text[at..].chars().next() else {
                break;
            };
            at += c.len_utf8();
            (c, kind(c))
        };
        run.push(c, kind, &mut total);
    }
    run.flush(&mut total);
    total
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Kind {
    #[default]
    Space,
    Lower,
    Upper,
    /// One capital, then lower case.
    Title,
    Digit,
    Arabic,
    Cyrillic,
    /// Greek, Hebrew, Devanagari.
    Greek,
    Hangul,
    Han,
    Kana,
    Thai,
    /// Letters of scripts the vocabulary hardly knows.
    Rare,
    Quote,
    Mark,
    Symbol,
    /// Part of the character before.
    Extend,
}

#[derive(Default)]
struct Run {
    kind: Kind,
    chars: u32,
    mark: char,
    beyond_ascii: bool,
    /// Nothing but space stands before the run.
    first: bool,
}

impl Run {
    #[inline]
    fn push(&mut self, c: char, kind: Kind, total: &mut u32) {
        match kind {
            Kind::Extend => {
                // Harakat and accents are mostly pieces of their own. Joiners are
                // free, and vowel signs come with their consonants.
                let mark = !matches!(c, '\u{200c}'..='\u{200f}' | '\u{ad}' | '\u{fe0f}');
                if mark && !matches!(self.kind, Kind::Greek | Kind::Thai) {
                    *total = total.saturating_add(60);
                }
                return;
            }
            Kind::Lower => {
                if self.kind == Kind::Upper {
                    if self.chars > 1 {
                        // `ABCdef` is `AB` and `Cdef`.
                        self.chars -= 1;
                        self.flush(total);
                        self.first = false;
                        self.chars = 1;
                    }
                    self.kind = Kind::Title;
                    self.chars += 1;
                    self.beyond_ascii |= !c.is_ascii();
                    return;
                }
                if matches!(self.kind, Kind::Lower | Kind::Title) {
                    self.chars += 1;
                    self.beyond_ascii |= !c.is_ascii();
                    return;
                }
            }
            Kind::Mark | Kind::Quote | Kind::Symbol if self.kind == kind && self.mark == c => {
                self.chars += 1;
                return;
            }
            Kind::Mark | Kind::Quote | Kind::Symbol => {}
            _ if kind == self.kind => {
                self.chars += 1;
                return;
            }
            _ => {}
        }
        let first = match self.kind {
            Kind::Space => self.first || self.chars > 0,
            _ => false,
        };
        self.flush(total);
        *self = Run {
            kind,
            chars: 1,
            mark: c,
            beyond_ascii: !c.is_ascii(),
            first,
        };
    }

    fn flush(&mut self, total: &mut u32) {
        let n = self.chars;
        // A run inside a word never costs less than the same run at its start, so
        // that cutting a text can only make the sum of its parts larger.
        let [at_start, inside] = match self.kind {
            Kind::Space | Kind::Extend => return,
            Kind::Lower => [by_length(&LOWER, n, 24), by_length(&LOWER_INSIDE, n, 26)],
            Kind::Title => [by_length(&TITLE, n, 24), by_length(&TITLE, n, 24) + 60],
            Kind::Upper => [by_length(&UPPER, n, 45), by_length(&UPPER, n, 45) + 20],
            Kind::Digit => [by_length(&DIGIT, n, 36), by_length(&DIGIT, n, 36) + 10],
            Kind::Arabic => [by_length(&ARABIC, n, 34), by_length(&ARABIC_INSIDE, n, 36)],
            Kind::Cyrillic => [
                by_length(&CYRILLIC, n, 22),
                by_length(&CYRILLIC, n, 22) + 20,
            ],
            Kind::Greek => [by_length(&CYRILLIC, n, 22) + 12; 2],
            Kind::Hangul => [70 + 55 * n; 2],
            Kind::Han => [50 + 60 * n; 2],
            Kind::Kana => [40 + 50 * n; 2],
            Kind::Thai => [50 + 32 * n; 2],
            Kind::Rare => [80 + 60 * n; 2],
            // Runs of one mark (`----`, `....`) are few pieces, whatever their length.
            Kind::Quote | Kind::Mark => [97 + 6 * (n - 1); 2],
            Kind::Symbol => [135 + 50 * (n - 1); 2],
        };
        let latin = matches!(self.kind, Kind::Lower | Kind::Title);
        let accents = if latin && self.beyond_ascii { 35 } else { 0 };
        let cost = if self.first { at_start } else { inside };
        *total = total.saturating_add(cost + accents);
        self.chars = 0;
    }
}

/// Costs of runs of 1, 2, … characters; longer ones add `each` per character.
fn by_length<const N: usize>(table: &[u16; N], chars: u32, each: u32) -> u32 {
    let chars = chars as usize;
    match table.get(chars.saturating_sub(1)) {
        Some(&cost) => u32::from(cost),
        None => u32::from(table[N - 1]).saturating_add(each * (chars - N) as u32),
    }
}

const LOWER: [u16; 20] = [
    100, 101, 101, 105, 115, 128, 139, 154, 170, 182, 190, 211, 222, 240, 290, 330, 355, 400, 440,
    480,
];
const LOWER_INSIDE: [u16; 16] = [
    114, 123, 141, 150, 177, 198, 224, 239, 252, 277, 290, 330, 350, 375, 409, 450,
];
const TITLE: [u16; 16] = [
    100, 100, 103, 115, 133, 145, 156, 176, 193, 200, 227, 250, 262, 285, 325, 360,
];
const UPPER: [u16; 12] = [102, 108, 158, 193, 230, 240, 287, 324, 335, 385, 400, 440];
const DIGIT: [u16; 10] = [60, 74, 112, 98, 206, 235, 290, 295, 350, 400];
const ARABIC: [u16; 14] = [
    100, 101, 109, 126, 150, 179, 206, 250, 285, 325, 360, 390, 425, 460,
];
const ARABIC_INSIDE: [u16; 12] = [145, 130, 164, 202, 239, 283, 316, 358, 399, 435, 475, 511];
const CYRILLIC: [u16; 12] = [100, 101, 108, 132, 154, 172, 200, 215, 240, 262, 275, 295];

const ASCII_KINDS: [Kind; 128] = {
    let mut table = [Kind::Mark; 128];
    let mut byte = 0;
    while byte < 128u8 {
        table[byte as usize] = match byte {
            b'a'..=b'z' => Kind::Lower,
            b'A'..=b'Z' => Kind::Upper,
            b'0'..=b'9' => Kind::Digit,
            b'"' | b'(' | b')' => Kind::Quote,
            0..=b' ' | 0x7f => Kind::Space,
            _ => Kind::Mark,
        };
        byte += 1;
    }
    table
};

fn kind(c: char) -> Kind {
    match class(c) {
        Class::Extend => Kind::Extend,
        Class::Digit => Kind::Digit,
        Class::Letter | Class::Single | Class::Kata => match script(c) {
            Script::Latin if c.is_uppercase() => Kind::Upper,
            Script::Latin => Kind::Lower,
            Script::Arabic => Kind::Arabic,
            Script::Cyrillic => Kind::Cyrillic,
            Script::Greek | Script::Hebrew | Script::Devanagari => Kind::Greek,
            Script::Hangul => Kind::Hangul,
            Script::Han => Kind::Han,
            Script::Kana => Kind::Kana,
            Script::Thai => Kind::Thai,
            Script::Other => Kind::Rare,
            Script::Number => Kind::Digit,
        },
        _ if c.is_whitespace() => Kind::Space,
        _ if u32::from(c) < 0x2100 => Kind::Quote,
        _ => Kind::Symbol,
    }
}
