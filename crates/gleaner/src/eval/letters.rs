//! Persian typed with the other letters.
//!
//! Yeh and kaf have an Arabic and a Persian code point each, keyboards and
//! sites use either, and a word's inner gap is typed as ZWNJ or as a blank. A
//! query must rank the same however it is typed.

const ARABIC_YEH: char = '\u{64a}';
const ARABIC_KAF: char = '\u{643}';
const PERSIAN_YEH: char = '\u{6cc}';
const PERSIAN_KEHEH: char = '\u{6a9}';
const ZWNJ: char = '\u{200c}';

/// Which of the two spellings a corpus has more of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Letters {
    Arabic,
    Persian,
}

impl Letters {
    pub fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Letters {
        let (mut arabic, mut persian) = (0u64, 0u64);
        for c in texts.into_iter().flat_map(str::chars) {
            match c {
                ARABIC_YEH | ARABIC_KAF => arabic += 1,
                PERSIAN_YEH | PERSIAN_KEHEH => persian += 1,
                _ => {}
            }
        }
        if arabic > persian {
            Letters::Arabic
        } else {
            Letters::Persian
        }
    }

    /// A query as someone with the other keyboard types it.
    pub fn swap(self, query: &str) -> String {
        let swapped = |c: char| match (self, c) {
            (Letters::Arabic, ARABIC_YEH) => PERSIAN_YEH,
            (Letters::Arabic, ARABIC_KAF) => PERSIAN_KEHEH,
            (Letters::Persian, PERSIAN_YEH) => ARABIC_YEH,
            (Letters::Persian, PERSIAN_KEHEH) => ARABIC_KAF,
            (Letters::Persian, ZWNJ) => ' ',
            _ => c,
        };
        query.chars().map(swapped).collect()
    }
}

/// True when most letters are of the Arabic script, as Persian's are.
pub fn is_arabic_script<'a>(texts: impl IntoIterator<Item = &'a str>) -> bool {
    let (mut arabic, mut letters) = (0u64, 0u64);
    for c in texts
        .into_iter()
        .flat_map(str::chars)
        .filter(|c| c.is_alphabetic())
    {
        letters += 1;
        arabic += u64::from(matches!(c, '\u{600}'..='\u{6ff}' | '\u{750}'..='\u{77f}'));
    }
    arabic * 2 > letters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_swap_to_the_other_keyboard() {
        assert_eq!(Letters::of(["كتاب علي", "کتاب"]), Letters::Arabic);
        assert_eq!(Letters::of(["کتاب‌های ایران"]), Letters::Persian);
        assert_eq!(Letters::Arabic.swap("برگزيدگان كتاب"), "برگزیدگان کتاب");
        assert_eq!(
            Letters::Persian.swap("کتاب\u{200c}های ایران"),
            "كتاب هاي ايران"
        );
        assert_eq!(Letters::Persian.swap("plain 1"), "plain 1");
    }

    #[test]
    fn script_of_most_letters() {
        assert!(is_arabic_script(["کتاب SQL"]));
        assert!(!is_arabic_script(["a book (کتاب)"]));
        assert!(!is_arabic_script(["123"]));
    }
}
