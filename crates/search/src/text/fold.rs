//! Spelling differences that must not matter: case, compatibility forms,
//! Arabic/Persian letter variants, marks and digits.

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

/// Appends `word` with its spelling folded. Diacritics of Latin letters are
/// kept here, because stemmers need them; [`strip_diacritics`] drops them after.
pub(crate) fn fold_into(word: &str, out: &mut String) {
    if word.is_ascii() {
        out.extend(word.chars().map(|c| c.to_ascii_lowercase()));
        return;
    }
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
