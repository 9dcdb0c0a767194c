//! Word boundaries: which characters make up a word, and which parts it has.

use std::ops::Range;

use super::fold::{Script, ZWNJ, continues_word, is_word_char, script_of};

/// Parts of one compound, and characters of one word; longer runs are no words.
const PARTS_MAX: usize = 16;
const WORD_BYTES_MAX: usize = 512;

/// A maximal run of word characters.
#[derive(Clone, Debug)]
pub(crate) struct RawWord {
    pub(crate) range: Range<usize>,
    /// Nothing but ASCII letters of one case, or digits: has no parts.
    simple: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) range: Range<usize>,
    /// A character pair of a script without blanks.
    pub(crate) dense: bool,
}

pub(crate) fn words(text: &str) -> impl Iterator<Item = RawWord> {
    Words { text, at: 0 }
}

struct Words<'a> {
    text: &'a str,
    at: usize,
}

impl Iterator for Words<'_> {
    type Item = RawWord;

    fn next(&mut self) -> Option<RawWord> {
        let bytes = self.text.as_bytes();
        // Skip to the start of a word.
        let start = loop {
            let byte = *bytes.get(self.at)?;
            if byte.is_ascii() {
                if byte.is_ascii_alphanumeric() || byte == b'_' {
                    break self.at;
                }
                self.at += 1;
                continue;
            }
            let c = self.text[self.at..].chars().next()?;
            if is_word_char(c) && !continues_word(c) {
                break self.at;
            }
            self.at += c.len_utf8();
        };
        let mut word = RawWord {
            range: start..start,
            simple: true,
        };
        let mut at = start;
        let mut dense = None;
        while at < bytes.len() && at - start < WORD_BYTES_MAX {
            let byte = bytes[at];
            if byte.is_ascii_lowercase() || byte.is_ascii_digit() {
                if dense == Some(true) {
                    break;
                }
                dense = Some(false);
                at += 1;
                continue;
            }
            if byte.is_ascii() {
                let continues = byte.is_ascii_alphabetic()
                    || byte == b'_'
                    || (byte == b'.' && joins_around(self.text, at));
                if !continues || dense == Some(true) {
                    break;
                }
                dense = Some(false);
                word.simple &= byte.is_ascii_alphabetic() && at == start;
                at += 1;
                continue;
            }
            let Some(c) = self.text[at..].chars().next() else {
                break;
            };
            if c == ZWNJ {
                let after = self.text[at + c.len_utf8()..].chars().next();
                if !after.is_some_and(|next| is_word_char(next) && next != ZWNJ) {
                    break;
                }
            } else if !is_word_char(c) {
                break;
            } else if !continues_word(c) {
                // A run never mixes scripts with and without blanks.
                let is_dense = script_of(c) == Script::Dense;
                if dense.is_some_and(|dense| dense != is_dense) {
                    break;
                }
                dense = Some(is_dense);
            }
            word.simple = false;
            at += c.len_utf8();
        }
        word.range.end = at;
        self.at = at;
        // The possessive `'s` belongs to the word before it and says nothing.
        let rest = &self.text[at..];
        for possessive in ["'s", "’s", "'S", "’S"] {
            if rest.starts_with(possessive)
                && !rest[possessive.len()..].starts_with(|c: char| is_word_char(c))
            {
                self.at += possessive.len();
            }
        }
        Some(word)
    }
}

/// The parts of a word, at least one: itself when it is not compound.
pub(crate) fn parts(text: &str, word: &RawWord, out: &mut Vec<Part>) {
    let raw = &text[word.range.clone()];
    if word.simple {
        out.push(Part {
            range: word.range.clone(),
            dense: false,
        });
        return;
    }
    if raw
        .chars()
        .next()
        .is_some_and(|c| script_of(c) == Script::Dense)
    {
        dense_pairs(word.range.start, raw, out);
        return;
    }
    let base = word.range.start;
    let mut start = 0;
    let mut push = |range: Range<usize>| {
        if !range.is_empty() && out.len() < PARTS_MAX {
            out.push(Part {
                range: base + range.start..base + range.end,
                dense: false,
            });
        }
    };
    let mut before: Option<char> = None;
    let mut chars = raw.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c == '_' || c == '.' || c == ZWNJ {
            push(start..at);
            start = at + c.len_utf8();
            before = None;
            continue;
        }
        if let Some(previous) = before
            && c.is_uppercase()
        {
            let lower_follows = chars.peek().is_some_and(|(_, next)| next.is_lowercase());
            // fooBar and HTTPServer, but not SQLs nor IDs.
            let hump = previous.is_lowercase()
                || (previous.is_uppercase() && lower_follows && raw[at..].chars().nth(2).is_some());
            if hump {
                push(start..at);
                start = at;
            }
        }
        before = Some(c);
    }
    push(start..raw.len());
    if out.is_empty() {
        // Only connectors, e.g. `__`.
        out.push(Part {
            range: word.range.clone(),
            dense: false,
        });
    }
}

/// Overlapping pairs, the usual unit for scripts without blanks; a single
/// character stands alone.
fn dense_pairs(base: usize, raw: &str, out: &mut Vec<Part>) {
    let starts: Vec<usize> = raw
        .char_indices()
        .filter(|(_, c)| !continues_word(*c))
        .map(|(at, _)| at)
        .collect();
    let end_of = |n: usize| starts.get(n).copied().unwrap_or(raw.len());
    let pairs = starts.len().saturating_sub(1).max(1);
    for (n, start) in starts.iter().enumerate().take(pairs) {
        out.push(Part {
            range: base + start..base + end_of(n + 2),
            dense: true,
        });
    }
}

fn joins_around(text: &str, at: usize) -> bool {
    let before = text[..at].chars().next_back();
    let after = text[at + 1..].chars().next();
    before.is_some_and(char::is_alphanumeric) && after.is_some_and(char::is_alphanumeric)
}
