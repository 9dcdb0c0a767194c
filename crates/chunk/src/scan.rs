//! Words of a text, by Unicode Annex 29 (default rules), in one forward pass.
//!
//! `unicode-segmentation` gives the same words (a test compares the two), but a
//! crawl spends its time here: this pass costs a fraction of it, mostly because
//! Arabic and ASCII are told apart by ranges instead of a table search.

use crate::scan::Class::{Digit, Extend, Kata, Letter, MidLetter, MidNum, MidNumLet, Other};
use crate::scan::Class::{Single, Underscore};

/// Words of `text` in order: letters, digits of every script and what joins
/// them (`don't`, `3.14`, `snake_case`, `می‌شود`). Scripts written without
/// spaces (Han, Hiragana, Thai) give one word per character.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    WordScanner::new(text).map(move |w| &text[w.start..w.end])
}

/// Writing system of a word, as far as chunking cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Script {
    Latin,
    Arabic,
    Cyrillic,
    Greek,
    Hebrew,
    Devanagari,
    Han,
    Kana,
    Hangul,
    Thai,
    Other,
    /// No letters at all.
    Number,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Word {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Script of the first letter.
    pub(crate) script: Script,
    /// Every character folds to itself and nothing is stripped (see `terms`).
    pub(crate) plain: bool,
    /// Begins with a capital.
    pub(crate) capital: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Letter,
    Digit,
    /// A word of its own.
    Single,
    Kata,
    Underscore,
    /// Combining marks, ZWNJ, ZWJ and format characters: part of what they follow.
    Extend,
    MidLetter,
    MidNum,
    MidNumLet,
    Other,
}

pub(crate) struct WordScanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> WordScanner<'a> {
    pub(crate) fn new(text: &'a str) -> WordScanner<'a> {
        WordScanner { text, at: 0 }
    }

    fn peek(&self, at: usize) -> Option<(char, Class, usize)> {
        let byte = *self.text.as_bytes().get(at)?;
        if byte < 0x80 {
            return Some((char::from(byte), ASCII_CLASSES[usize::from(byte)], at + 1));
        }
        let c = self.text[at..].chars().next()?;
        Some((c, class(c), at + c.len_utf8()))
    }

    /// Class and end of the first character at or after `at` that is no Extend.
    fn peek_past_extends(&self, mut at: usize) -> Option<(char, Class, usize)> {
        loop {
            let (c, class, next) = self.peek(at)?;
            if class != Extend {
                return Some((c, class, next));
            }
            at = next;
        }
    }
}

impl Iterator for WordScanner<'_> {
    type Item = Word;

    fn next(&mut self) -> Option<Word> {
        loop {
            let start = self.at;
            let (first, first_class, mut end) = self.peek(start)?;
            self.at = end;
            if !matches!(first_class, Letter | Digit | Single | Kata | Underscore) {
                continue;
            }
            let mut word = Word {
                start,
                end,
                script: Script::Number,
                plain: folds_to_itself(first),
                capital: first_class == Letter && is_capital(first),
            };
            if matches!(first_class, Letter | Single | Kata) {
                word.script = script(first);
            }
            let mut counts = first_class != Underscore;
            let mut last = first_class;
            if first_class == Letter {
                // Most bytes of most pages are here.
                let bytes = self.text.as_bytes();
                while bytes.get(end).is_some_and(u8::is_ascii_lowercase) {
                    end += 1;
                }
            }
            while let Some((c, class, next)) = self.peek(end) {
                let joined = match (last, class) {
                    (_, Extend) => {
                        // Marks never change what the word is joined by.
                        word.plain = false;
                        end = next;
                        continue;
                    }
                    (Single, _) => None,
                    (Letter | Digit | Underscore, Letter | Digit)
                    | (Kata | Underscore, Kata)
                    | (Letter | Digit | Kata | Underscore, Underscore) => Some((class, next)),
                    (Letter, MidLetter | MidNumLet) => self
                        .peek_past_extends(next)
                        .filter(|(_, after, _)| *after == Letter)
                        .map(|(_, after, next)| (after, next)),
                    (Digit, MidNum | MidNumLet) => self
                        .peek_past_extends(next)
                        .filter(|(_, after, _)| *after == Digit)
                        .map(|(_, after, next)| (after, next)),
                    _ => None,
                };
                let Some((class_after, next)) = joined else {
                    break;
                };
                word.plain &= folds_to_itself(c);
                if word.script == Script::Number && class_after == Letter {
                    word.script = script(c);
                }
                counts |= class_after != Underscore;
                last = class_after;
                end = next;
            }
            self.at = end;
            if counts {
                word.end = end;
                return Some(word);
            }
        }
    }
}

const ASCII_CLASSES: [Class; 128] = {
    let mut table = [Other; 128];
    let mut byte = 0;
    while byte < 128u8 {
        table[byte as usize] = match byte {
            b'a'..=b'z' | b'A'..=b'Z' => Letter,
            b'0'..=b'9' => Digit,
            b'_' => Underscore,
            b':' => MidLetter,
            b',' | b';' => MidNum,
            b'.' | b'\'' => MidNumLet,
            _ => Other,
        };
        byte += 1;
    }
    table
};

pub(crate) fn class(c: char) -> Class {
    match u32::from(c) {
        code @ 0..0x80 => ASCII_CLASSES[code as usize],
        0xad => Extend,
        0xb7 => MidLetter,
        0xb2 | 0xb3 | 0xb9 | 0xbc..=0xbe => Single,
        0xaa | 0xb5 | 0xba | 0xc0..=0xd6 | 0xd8..=0xf6 | 0xf8..0x300 => letter_if(c),
        0x80..0xc0 | 0xd7 | 0xf7 => Other,
        0x620..=0x64a | 0x66e..=0x66f | 0x671..=0x6d3 => Letter,
        0x6d5 | 0x6e5 | 0x6e6 | 0x6ee | 0x6ef | 0x6fa..=0x6fc | 0x6ff => Letter,
        0x660..=0x669 | 0x66b | 0x6f0..=0x6f9 => Digit,
        0x600..=0x605 | 0x610..=0x61a | 0x61c | 0x64b..=0x65f | 0x670 => Extend,
        0x6d6..=0x6dd | 0x6df..=0x6e4 | 0x6e7 | 0x6e8 | 0x6ea..=0x6ed => Extend,
        0x60c | 0x60d | 0x66c => MidNum,
        0x606..0x700 => Other,
        0x200c | 0x200d => Extend,
        0x2018 | 0x2019 | 0x2024 => MidNumLet,
        0x2027 => MidLetter,
        0x2044 => MidNum,
        0x203f | 0x2040 | 0x2054 | 0x202f => Underscore,
        0x200e | 0x200f | 0x202a..=0x202e | 0x2060..=0x2064 | 0x2066..=0x206f => Extend,
        0x2000..0x2070 => Other,
        _ => class_rare(c),
    }
}

fn class_rare(c: char) -> Class {
    match u32::from(c) {
        0x387 | 0x55f | 0x5f4 | 0xfe13 | 0xfe55 | 0xff1a => MidLetter,
        0x37e | 0x589 | 0x7f8 | 0xfe10 | 0xfe14 | 0xfe50 | 0xfe54 | 0xff0c | 0xff1b => MidNum,
        0xfe52 | 0xff07 | 0xff0e => MidNumLet,
        0xfe33 | 0xfe34 | 0xfe4d..=0xfe4f | 0xff3f => Underscore,
        0xfeff => Extend,
        code if is_mark(code) => Extend,
        code if is_decimal_digit(code) => Digit,
        0x30a0 | 0x30fb => Other,
        0x3031..=0x3035 | 0x309b | 0x309c | 0x30a1..=0x30ff | 0x31f0..=0x31ff => Kata,
        0x32d0..=0x32fe | 0x3300..=0x3357 | 0xff66..=0xff9d => Kata,
        // Hiragana, Han, Thai, Lao, Myanmar, Khmer: no spaces between words.
        0x3041..=0x3096 | 0x309d..=0x309f | 0x3005..=0x3007 | 0x3400..=0x4dbf => Single,
        0x4e00..=0x9fff | 0xf900..=0xfaff | 0x2_0000..=0x3_ffff => Single,
        0xe01..=0xe30 | 0xe32 | 0xe33 | 0xe40..=0xe46 | 0xe81..=0xeb0 => Single,
        0xeb2..=0xedf | 0x1000..=0x109f | 0x1780..=0x17ff => Single,
        _ => letter_if(c),
    }
}

fn letter_if(c: char) -> Class {
    if c.is_alphabetic() {
        Letter
    } else if c.is_numeric() {
        Single
    } else {
        Other
    }
}

/// Grapheme_Extend and spacing marks of the scripts a web crawl meets.
fn is_mark(code: u32) -> bool {
    matches!(code,
        0x300..=0x36f | 0x483..=0x489 | 0x591..=0x5bd | 0x5bf | 0x5c1 | 0x5c2 | 0x5c4 | 0x5c5
        | 0x5c7 | 0x711 | 0x730..=0x74a | 0x8d3..=0x8ff | 0x900..=0x903 | 0x93a..=0x93c
        | 0x93e..=0x94f | 0x951..=0x957 | 0x962 | 0x963 | 0x981..=0x983 | 0x9bc
        | 0x9be..=0x9cd | 0xa01..=0xa03 | 0xa3c..=0xa51 | 0xa81..=0xa83 | 0xabc
        | 0xabe..=0xacd | 0xb01..=0xb03 | 0xb3c | 0xb3e..=0xb57 | 0xb82 | 0xbbe..=0xbcd
        | 0xc00..=0xc04 | 0xc3e..=0xc56 | 0xc81..=0xc83 | 0xcbc | 0xcbe..=0xccd
        | 0xd00..=0xd03 | 0xd3e..=0xd4d | 0xe31 | 0xe34..=0xe3a | 0xe47..=0xe4e | 0xeb1
        | 0xeb4..=0xebc | 0xec8..=0xecd | 0x102b..=0x103e | 0x17b4..=0x17d3
        | 0x1ab0..=0x1aff | 0x1dc0..=0x1dff | 0x20d0..=0x20f0 | 0x302a..=0x302f | 0x3099
        | 0x309a | 0xfe00..=0xfe0f | 0xfe20..=0xfe2f | 0x1_f3fb..=0x1_f3ff
        | 0xe_0020..=0xe_007f | 0xe_0100..=0xe_01ef)
}

fn is_decimal_digit(code: u32) -> bool {
    const ZEROS: [u32; 21] = [
        0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xe50, 0xed0, 0xf20,
        0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0xa620, 0xff10,
    ];
    ZEROS.iter().any(|&zero| (zero..zero + 10).contains(&code))
}

fn is_capital(c: char) -> bool {
    let caseless = matches!(c, '\u{590}'..='\u{109f}');
    c.is_ascii_uppercase() || (!c.is_ascii() && !caseless && c.is_uppercase())
}

/// Most letters of most pages. Must be a subset of what `terms::fold_into` keeps.
fn folds_to_itself(c: char) -> bool {
    match c {
        'a'..='z' | '0'..='9' | '_' => true,
        'ي' | 'ى' | 'ك' | 'ـ' | 'ۀ' => false,
        'ا'..='ي' | 'ٲ'..='ی' => true,
        _ => false,
    }
}

pub(crate) fn script(c: char) -> Script {
    match u32::from(c) {
        0x30..=0x39 => Script::Number,
        0..0x250 | 0x1e00..0x1f00 | 0x2c60..0x2c80 | 0xa720..0xa800 | 0xff21..0xff5b => {
            Script::Latin
        }
        0x600..0x780 | 0x8a0..0x900 | 0xfb50..0xfe00 | 0xfe70..0xff00 => Script::Arabic,
        0x370..0x400 | 0x1f00..0x2000 => Script::Greek,
        0x400..0x530 | 0x1c80..0x1c90 | 0x2de0..0x2e00 => Script::Cyrillic,
        0x590..0x600 | 0xfb1d..0xfb50 => Script::Hebrew,
        0x900..0x980 => Script::Devanagari,
        0xe00..0xe80 => Script::Thai,
        0x1100..0x1200 | 0x3130..0x3190 | 0xac00..0xd7b0 => Script::Hangul,
        0x3040..0x3100 | 0x31f0..0x3200 | 0xff66..0xffa0 => Script::Kana,
        0x3005..0x3008 | 0x3400..0x4dc0 | 0x4e00..0xa000 | 0xf900..0xfb00 | 0x2_0000..0x4_0000 => {
            Script::Han
        }
        _ => Script::Other,
    }
}
