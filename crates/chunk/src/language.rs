//! The language of one chunk: the page's, unless the letters disagree.

use crate::scan::Script;
use crate::stopwords::{self, Languages};
use crate::terms::{Occurrence, Terms};

/// BCP 47 primary subtag of a chunk, from the page's language, the scripts of
/// the chunk's words and the stop words among them. `None` when its script rules
/// the page's language out and too little speaks for another.
pub(crate) fn language(
    text: &str,
    terms: &Terms,
    words: &[Occurrence],
    page_language: Option<&str>,
) -> Option<String> {
    let page = page_language
        .map(|tag| {
            tag.split(['-', '_'])
                .next()
                .unwrap_or_default()
                .to_ascii_lowercase()
        })
        .filter(|tag| !tag.is_empty());
    let Some(main) = main_script(words) else {
        return page;
    };
    let fits = page.as_deref().is_some_and(|tag| written_in(tag, main));
    match main {
        Script::Arabic => arabic_script(text, terms, words, page.filter(|_| fits)),
        Script::Latin => latin_script(terms, words, page.filter(|_| fits)),
        _ if fits => page,
        Script::Greek => Some("el".to_owned()),
        Script::Hebrew => Some("he".to_owned()),
        Script::Hangul => Some("ko".to_owned()),
        Script::Kana => Some("ja".to_owned()),
        Script::Thai => Some("th".to_owned()),
        Script::Han => Some("zh".to_owned()),
        Script::Other => page,
        _ => None,
    }
}

/// BCP 47 primary subtag of a text, of which `hint` says what it probably is;
/// `None` when the text is in another script and too little speaks for any.
#[must_use]
pub fn language_of(text: &str, hint: Option<&str>) -> Option<String> {
    let terms = Terms::of(text);
    language(text, &terms, &terms.words, hint)
}

/// The script of at least six in ten words that have letters.
fn main_script(words: &[Occurrence]) -> Option<Script> {
    const SCRIPTS: [Script; 11] = [
        Script::Latin,
        Script::Arabic,
        Script::Cyrillic,
        Script::Greek,
        Script::Hebrew,
        Script::Devanagari,
        Script::Kana,
        Script::Han,
        Script::Hangul,
        Script::Thai,
        Script::Other,
    ];
    let mut counts = [0usize; SCRIPTS.len()];
    for word in words {
        if let Some(i) = SCRIPTS.iter().position(|s| *s == word.script) {
            counts[i] += 1;
        }
    }
    // Japanese is Kana with Han; Han alone is Chinese.
    let (kana, han) = (6, 7);
    if counts[kana] * 5 > counts[han] {
        counts[kana] += std::mem::take(&mut counts[han]);
    }
    let total: usize = counts.iter().sum();
    let (best, count) = counts
        .iter()
        .enumerate()
        .max_by_key(|(i, n)| (**n, usize::MAX - i))?;
    (total > 0 && count * 10 >= total * 6).then(|| SCRIPTS[best])
}

fn written_in(language: &str, script: Script) -> bool {
    let home = match language {
        "fa" | "ar" | "ur" | "ps" | "ckb" | "sd" | "ug" | "prs" | "pnb" | "bal" => Script::Arabic,
        "ru" | "uk" | "be" | "bg" | "mk" | "sr" | "kk" | "ky" | "tg" | "mn" | "tt" => {
            Script::Cyrillic
        }
        "el" => Script::Greek,
        "he" | "iw" | "yi" => Script::Hebrew,
        "hi" | "mr" | "ne" | "sa" => Script::Devanagari,
        "zh" => Script::Han,
        "ja" => return matches!(script, Script::Kana | Script::Han),
        "ko" => Script::Hangul,
        "th" => Script::Thai,
        "am" | "hy" | "ka" | "bn" | "ta" | "te" | "kn" | "ml" | "gu" | "pa" | "si" | "km"
        | "lo" | "my" | "bo" | "or" => Script::Other,
        _ => Script::Latin,
    };
    home == script || (language == "sr" && script == Script::Latin)
}

/// Persian or Arabic (or another language of the script that the page names).
fn arabic_script(
    text: &str,
    terms: &Terms,
    words: &[Occurrence],
    page: Option<String>,
) -> Option<String> {
    if page
        .as_deref()
        .is_some_and(|tag| !matches!(tag, "fa" | "ar"))
    {
        return page;
    }
    let [persian, arabic] = evidence(terms, words, [stopwords::FA, stopwords::AR]);
    let mut persian = persian * 2;
    let mut arabic = arabic * 2;
    for word in words.iter().filter(|w| w.script == Script::Arabic) {
        let word = &text[word.start as usize..word.end as usize];
        // Old Persian pages are typed with Arabic yeh and kaf, so only letters
        // that the other language never uses count.
        persian += usize::from(word.contains(['پ', 'چ', 'ژ', 'گ', '\u{200c}']));
        arabic += usize::from(word.contains(['ة', 'إ']) || word.starts_with("ال"));
    }
    let guess = match persian.cmp(&arabic) {
        std::cmp::Ordering::Greater => "fa",
        std::cmp::Ordering::Less => "ar",
        std::cmp::Ordering::Equal => return page,
    };
    // Another language than the page's needs more than a quoted phrase.
    let strong = persian.max(arabic) >= 4 && persian.max(arabic) >= 3 * persian.min(arabic).max(1);
    match page {
        Some(tag) if tag != guess && !strong => Some(tag),
        _ => Some(guess.to_owned()),
    }
}

fn latin_script(terms: &Terms, words: &[Occurrence], page: Option<String>) -> Option<String> {
    const CANDIDATES: [Languages; 4] = [stopwords::EN, stopwords::DE, stopwords::FR, stopwords::ES];
    const TAGS: [&str; 4] = ["en", "de", "fr", "es"];
    let hits = evidence(terms, words, CANDIDATES);
    let best = (0..4).rev().max_by_key(|&i| hits[i]).unwrap_or(0);
    let second = (0..4)
        .filter(|&i| i != best)
        .map(|i| hits[i])
        .max()
        .unwrap_or(0);
    let clear = hits[best] >= 3 && hits[best] >= 2 * second && hits[best] * 8 >= words.len();
    let Some(page) = page else {
        return clear.then(|| TAGS[best].to_owned());
    };
    // Only a page language with a list of its own can be outvoted.
    let own = TAGS.iter().position(|tag| *tag == page).map(|i| hits[i]);
    match own {
        Some(own) if clear && hits[best] >= 8 && hits[best] >= 4 * own.max(1) => {
            Some(TAGS[best].to_owned())
        }
        _ => Some(page),
    }
}

/// How many words are stop words of each language.
fn evidence<const N: usize>(
    terms: &Terms,
    words: &[Occurrence],
    languages: [Languages; N],
) -> [usize; N] {
    let mut hits = [0; N];
    for word in words {
        let stop = terms.terms[word.term as usize].stop;
        if stop != 0 {
            for (hit, language) in hits.iter_mut().zip(languages) {
                *hit += usize::from(stop & language != 0);
            }
        }
    }
    hits
}
