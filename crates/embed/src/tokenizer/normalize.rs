//! SentencePiece's normaliser with the `nmt_nfkc` rules.
//!
//! The model file holds the replacements of single code points. The rules for
//! sequences (220,267 of them in the original, nearly all Hangul jamo) all say
//! the same thing: characters that are exactly the full canonical decomposition
//! of one character become it. They are computed instead of stored; a sequence
//! in any other order stays as it is, as in the original.

use unicode_normalization::char::{compose, decompose_canonical};

use crate::model::CharacterMap;

/// SentencePiece's stand-in for a space, U+2581.
pub(crate) const SPACE_MARKER: char = '▁';

/// The longest canonical decomposition among the rules.
const SEQUENCE_MAX: usize = 4;

const PAGE: usize = 256;
const UNCHANGED: u16 = u16::MAX;

#[derive(Debug)]
pub(crate) struct Normalizer {
    /// Page of each block of 256 code points; 0 is the page without entries.
    pages: Vec<u16>,
    /// Index into `spans`, by page and low byte.
    entries: Vec<u16>,
    spans: Vec<(u32, u8)>,
    replacements: Vec<char>,
}

impl Normalizer {
    pub(crate) fn new(map: &CharacterMap) -> Normalizer {
        let mut normalizer = Normalizer {
            pages: vec![0; 0x11_0000 / PAGE],
            entries: vec![UNCHANGED; PAGE],
            spans: Vec::with_capacity(map.len()),
            replacements: Vec::new(),
        };
        // A span's index must stay below the mark for "unchanged".
        for (code, to) in map.iter().take(usize::from(UNCHANGED)) {
            let block = *code as usize / PAGE;
            if normalizer.pages[block] == 0 {
                normalizer.pages[block] = (normalizer.entries.len() / PAGE) as u16;
                normalizer
                    .entries
                    .resize(normalizer.entries.len() + PAGE, UNCHANGED);
            }
            let page = normalizer.pages[block] as usize;
            normalizer.entries[page * PAGE + *code as usize % PAGE] = normalizer.spans.len() as u16;
            normalizer
                .spans
                .push((normalizer.replacements.len() as u32, to.len() as u8));
            normalizer.replacements.extend(to);
        }
        normalizer
    }

    /// Appends the normal form of `text`: white space as [`SPACE_MARKER`], one
    /// before each word, none at the end. Stops early once `out` has grown past
    /// `bytes_max`; what is cut off then is whole words, if there is more than one.
    pub(crate) fn normalize(&self, text: &str, bytes_max: usize, out: &mut String) {
        let limit = out.len().saturating_add(bytes_max);
        let start = out.len();
        // SentencePiece puts a space before the first word and folds runs of
        // spaces, so "a space is owed" describes both.
        let mut space_owed = true;
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let taken = if first.is_ascii() && next_is_simple(rest) {
                self.replace(first, &mut space_owed, out);
                1
            } else if let Some((composed, bytes)) = self.sequence(rest) {
                push(composed, &mut space_owed, out);
                bytes
            } else {
                self.replace(first, &mut space_owed, out);
                first.len_utf8()
            };
            rest = &rest[taken..];
            if out.len() > limit && !rest.is_empty() {
                if let Some(cut) = out[start..].rfind(SPACE_MARKER).filter(|cut| *cut > 0) {
                    out.truncate(start + cut);
                }
                break;
            }
        }
        while out[start..].ends_with(SPACE_MARKER) {
            out.truncate(out.len() - SPACE_MARKER.len_utf8());
        }
    }

    fn lookup(&self, c: char) -> Option<&[char]> {
        let code = u32::from(c) as usize;
        let page = self.pages[code / PAGE] as usize;
        let entry = self.entries[page * PAGE + code % PAGE];
        let (start, len) = *self.spans.get(usize::from(entry))?;
        Some(&self.replacements[start as usize..start as usize + usize::from(len)])
    }

    fn replace(&self, c: char, space_owed: &mut bool, out: &mut String) {
        match self.lookup(c) {
            None => push(c, space_owed, out),
            Some(to) => to.iter().for_each(|c| push(*c, space_owed, out)),
        }
    }

    /// The replacement of `c` when it is one character.
    fn single(&self, c: char) -> Option<char> {
        match self.lookup(c) {
            None => Some(c),
            Some([one]) => Some(*one),
            Some(_) => None,
        }
    }

    /// The longest run of characters at the start of `text` that is the
    /// decomposition of one character, and its length in bytes.
    fn sequence(&self, text: &str) -> Option<(char, usize)> {
        let mut parts = ['\0'; SEQUENCE_MAX];
        let mut composed = None;
        let mut found = None;
        for (n, (at, c)) in text.char_indices().take(SEQUENCE_MAX).enumerate() {
            parts[n] = self.single(c)?.to_owned();
            composed = match composed {
                None => Some(parts[0]),
                Some(before) => compose(before, parts[n]),
            };
            let Some(whole) = composed else { break };
            if n > 0 && decomposes_to(whole, &parts[..=n]) {
                found = Some((whole, at + c.len_utf8()));
            }
            // Most characters cannot start a sequence; the next one settles it.
            if n == 0 && next_is_simple(text) {
                break;
            }
        }
        found
    }
}

/// Whether the character after the first cannot join it: nothing below U+0300
/// combines with what stands before it.
fn next_is_simple(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next();
    chars.next().is_none_or(|c| c < '\u{300}')
}

fn decomposes_to(c: char, parts: &[char]) -> bool {
    let mut index = 0;
    let mut same = true;
    decompose_canonical(c, |d| {
        same &= parts.get(index) == Some(&d);
        index += 1;
    });
    same && index == parts.len()
}

fn push(c: char, space_owed: &mut bool, out: &mut String) {
    if c == ' ' {
        *space_owed = true;
        return;
    }
    if *space_owed {
        out.push(SPACE_MARKER);
        *space_owed = false;
    }
    out.push(c);
}
