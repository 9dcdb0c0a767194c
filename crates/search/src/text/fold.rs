//! Spelling differences that must not matter: case, compatibility forms,
//! Arabic/Persian letter variants, marks and digits.

use std::sync::LazyLock;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use unicode_normalization::{IsNormalized, is_nfkc_quick};

/// Zero-width non-joiner: joins the parts of one Persian word visibly apart.
pub(crate) const ZWNJ: char = '\u{200c}';
pub(crate) const TATWEEL: char = '\u{640}';

/// The writing systems that words are treated differently by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Script {
    Latin,
    Arabic,
    Cyrillic,
    Greek,
    /// Written without blanks between words: indexed by character pairs.
    Dense,
    Digit,
    Other,
}

pub(crate) fn script_of(c: char) -> Script {
    match c as u32 {
        0x30..=0x39 => Script::Digit,
        0x41..=0x5a
        | 0x61..=0x7a
        | 0xaa
        | 0xba
        | 0xc0..=0x24f
        | 0x1e00..=0x1eff
        | 0xff21..=0xff5a => Script::Latin,
        0x370..=0x3ff | 0x1f00..=0x1fff => Script::Greek,
        0x400..=0x52f | 0x1c80..=0x1c8f => Script::Cyrillic,
        0x600..=0x6ff | 0x750..=0x77f | 0x8a0..=0x8ff | 0xfb50..=0xfdff | 0xfe70..=0xfefc => {
            Script::Arabic
        }
        0xe00..=0xeff
        | 0x1000..=0x109f
        | 0x1100..=0x11ff
        | 0x1780..=0x17ff
        | 0x2e80..=0x2fdf
        | 0x3005..=0x3007
        | 0x3040..=0x30ff
        | 0x3130..=0x318f
        | 0x31f0..=0x31ff
        | 0x3400..=0x4dbf
        | 0x4e00..=0x9fff
        | 0xac00..=0xd7af
        | 0xf900..=0xfaff
        | 0xff66..=0xff9f
        | 0x20000..=0x3ffff => Script::Dense,
        _ => Script::Other,
    }
}

/// What folding makes of one character, looked up instead of computed: most
/// text is below U+0800 (Latin, Greek, Cyrillic, Hebrew, Arabic).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Folded {
    To(char),
    Dropped,
    /// More than one character, or dependent on its neighbours.
    Computed,
}

const TABLE_CHARS: usize = 0x800;

static TABLE: LazyLock<Vec<(bool, Folded)>> = LazyLock::new(|| {
    let entry = |code: u32| match char::from_u32(code) {
        Some(c) => (computed_is_word_char(c), folded_alone(c)),
        None => (false, Folded::Computed),
    };
    (0..TABLE_CHARS as u32).map(entry).collect()
});

/// Letters, digits, `_`, marks, and characters inside words that show nothing.
pub(crate) fn is_word_char(c: char) -> bool {
    match TABLE.get(c as usize) {
        Some((is_word, _)) => *is_word,
        None => computed_is_word_char(c),
    }
}

fn computed_is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || continues_word(c)
}

/// Marks, and characters that show nothing: soft hyphen, zero-width joiner, word joiner.
pub(crate) fn continues_word(c: char) -> bool {
    (c as u32) >= 0x80 && (matches!(c, '\u{ad}' | '\u{200d}' | '\u{2060}') || is_combining_mark(c))
}

fn folded_alone(c: char) -> Folded {
    let in_arabic = script_of(c) == Script::Arabic;
    // Marks of Arabic are dropped and what they compose with folds to the bare
    // letter, so composing first changes nothing. Elsewhere it can.
    let plain =
        is_nfkc_quick(std::iter::once(c)) == IsNormalized::Yes || (in_arabic && is_mark_to_drop(c));
    if !plain || (is_mark_to_drop(c) && !in_arabic) {
        return Folded::Computed;
    }
    let mut folded = String::new();
    fold_char(c, &mut folded);
    let mut chars = folded.chars();
    match (chars.next(), chars.next()) {
        (None, _) => Folded::Dropped,
        (Some(folded), None) => Folded::To(folded),
        _ => Folded::Computed,
    }
}

/// Appends `word` with its spelling folded. Diacritics of Latin letters are
/// kept here, because stemmers need them; [`strip_diacritics`] drops them after.
pub(crate) fn fold_into(word: &str, out: &mut String) {
    let start = out.len();
    for c in word.chars() {
        match TABLE.get(c as usize) {
            Some((_, Folded::To(folded))) => out.push(*folded),
            Some((_, Folded::Dropped)) => {}
            _ if c == ZWNJ => {}
            _ => {
                out.truncate(start);
                fold_composed(word, out);
                return;
            }
        }
    }
}

fn fold_composed(word: &str, out: &mut String) {
    if is_nfkc_quick(word.chars()) == IsNormalized::Yes {
        word.chars().for_each(|c| fold_char(c, out));
    } else {
        word.nfkc().for_each(|c| fold_char(c, out));
    }
}

fn fold_char(c: char, out: &mut String) {
    let folded = match c {
        // Yeh: Arabic, Maksura, with hamza, and the Urdu and Kurdish relatives.
        'ي' | 'ى' | 'ئ' | 'ې' | 'ۍ' | 'ێ' | 'ے' => 'ی',
        'ك' | 'ڪ' | 'ګ' => 'ک',
        'أ' | 'إ' | 'آ' | 'ٱ' => 'ا',
        'ؤ' | 'ۆ' => 'و',
        'ة' | 'ۀ' | 'ە' | 'ۂ' | 'ۃ' | 'ہ' | 'ھ' => 'ه',
        'ء' | TATWEEL | ZWNJ | '\u{200b}' | '\u{200d}' | '\u{feff}' | '\u{ad}' => return,
        _ => c,
    };
    if folded != c {
        out.push(folded);
        return;
    }
    if matches!(c, 'ß' | 'ẞ') {
        out.push_str("ss");
        return;
    }
    if is_mark_to_drop(c) {
        return;
    }
    if let Some(digit) = decimal_digit(c) {
        out.push(digit);
    } else if c.is_alphanumeric() || c == '_' || c == '.' || is_combining_mark(c) {
        out.extend(c.to_lowercase());
    }
}

/// Harakat, Quranic signs, and marks of cased scripts that have no composed form.
fn is_mark_to_drop(c: char) -> bool {
    matches!(c as u32, 0x300..=0x36f | 0x610..=0x61a | 0x64b..=0x65f | 0x670 | 0x6d6..=0x6dc | 0x6df..=0x6e8 | 0x6ea..=0x6ed | 0x8d3..=0x8ff)
}

/// Decimal digits of the scripts in common use, as ASCII.
fn decimal_digit(c: char) -> Option<char> {
    const ZEROS: [u32; 12] = [
        0x660, 0x6f0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xe50,
    ];
    let code = c as u32;
    let zero = ZEROS
        .iter()
        .find(|zero| (**zero..**zero + 10).contains(&code))?;
    char::from_digit(code - zero, 10)
}

/// `café` -> `cafe`: what is left of diacritics after stemming.
pub(crate) fn strip_diacritics(word: &mut String) {
    if word.is_ascii() || !word.chars().any(has_latin_or_greek_diacritic) {
        return;
    }
    *word = word
        .chars()
        .flat_map(|c| match c {
            'ø' => vec!['o'],
            'ł' => vec!['l'],
            'đ' | 'ð' => vec!['d'],
            'ı' => vec!['i'],
            'æ' => vec!['a', 'e'],
            'œ' => vec!['o', 'e'],
            'ς' => vec!['σ'],
            c if has_latin_or_greek_diacritic(c) => std::iter::once(c)
                .nfd()
                .filter(|d| !is_mark_to_drop(*d))
                .collect(),
            c => vec![c],
        })
        .collect();
}

fn has_latin_or_greek_diacritic(c: char) -> bool {
    matches!(c as u32, 0xdf..=0x24f | 0x370..=0x3ff | 0x1e00..=0x1fff)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fold(word: &str, how: fn(&str, &mut String)) -> String {
        let mut folded = String::new();
        how(word, &mut folded);
        folded
    }

    #[test]
    fn the_table_says_what_is_computed() {
        for c in (0..TABLE_CHARS as u32).filter_map(char::from_u32) {
            assert_eq!(is_word_char(c), computed_is_word_char(c), "{c:?}");
            let word = c.to_string();
            assert_eq!(fold(&word, fold_into), fold(&word, fold_composed), "{c:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

        #[test]
        fn folding_by_table_composes_alike(
            word in "([a-zA-Zà-ÿ]|[\u{300}-\u{30f}]|[\u{621}-\u{655}]|[\u{670}-\u{6d3}]|\u{200c}|ｶ|ﬁ|[Ѐ-ӿ]){1,12}"
        ) {
            prop_assert_eq!(fold(&word, fold_into), fold(&word, fold_composed));
        }
    }
}
