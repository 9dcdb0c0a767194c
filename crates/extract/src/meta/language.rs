//! The language of a page: what it claims, checked against its text.

use whatlang::{Lang, Script};

/// Detection reads this much of the text, from a little behind its start.
const SAMPLE_BYTES: usize = 1_000;
/// Shorter texts are not judged.
const LETTERS_MIN: usize = 40;
/// Overruling a claim within the same script takes a long, clear text.
const LETTERS_TO_OVERRULE: usize = 400;
const CONFIDENCE_TO_OVERRULE: f64 = 0.95;

/// BCP 47 primary subtag, lower case.
pub(crate) fn language(claims: &[Option<&str>], text: &str) -> Option<String> {
    let claim = claims
        .iter()
        .flatten()
        .find_map(|claim| primary_subtag(claim));
    let sample = sample(text);
    let letters = sample.chars().filter(|c| c.is_alphabetic()).count();
    if letters < LETTERS_MIN {
        return claim;
    }
    if claim.as_ref().is_none_or(|claim| claim == "en") && is_plainly_english(sample) {
        return Some("en".to_owned());
    }
    let Some(found) = whatlang::detect(sample) else {
        return claim;
    };
    let detected = match found.script() {
        Script::Arabic => arabic_script_language(sample, found.lang()),
        _ => subtag(found.lang()),
    };
    let Some(claim) = claim else {
        // Few languages share the other scripts; Latin text may be mere names.
        let clear = found.is_reliable() || found.script() != Script::Latin;
        return clear.then(|| detected.to_owned());
    };
    if claim == detected {
        return Some(claim);
    }
    let fits_script = scripts_of(&claim).is_none_or(|scripts| scripts.contains(&found.script()));
    let overruled = if found.script() == Script::Arabic && fits_script {
        // Letters tell Persian from Arabic; the other languages are rarer than a wrong claim.
        matches!(claim.as_str(), "ar" | "fa") && letters >= LETTERS_MIN * 2
    } else {
        !fits_script
            || (found.confidence() >= CONFIDENCE_TO_OVERRULE && letters >= LETTERS_TO_OVERRULE)
    };
    Some(if overruled {
        detected.to_owned()
    } else {
        claim
    })
}

/// English on most of the web: a handful of function words settles it for a
/// fraction of the cost of trigrams.
fn is_plainly_english(sample: &str) -> bool {
    let mut words = 0;
    let mut function_words = 0;
    for word in sample.split(|c: char| !c.is_alphabetic()) {
        words += usize::from(!word.is_empty());
        function_words += usize::from(matches!(
            word,
            "the"
                | "The"
                | "of"
                | "and"
                | "to"
                | "is"
                | "in"
                | "that"
                | "for"
                | "with"
                | "are"
                | "be"
        ));
    }
    words >= 20 && function_words * 8 >= words
}

fn primary_subtag(claim: &str) -> Option<String> {
    let first = claim.split([',', ';']).next()?.trim();
    let primary = first.split(['-', '_']).next()?.to_ascii_lowercase();
    let plausible =
        (2..=3).contains(&primary.len()) && primary.bytes().all(|b| b.is_ascii_lowercase());
    plausible.then(|| match primary.as_str() {
        // Three-letter codes of languages that have a two-letter one.
        "eng" => "en".to_owned(),
        "fas" | "per" | "pes" => "fa".to_owned(),
        "ara" => "ar".to_owned(),
        "deu" | "ger" => "de".to_owned(),
        "fra" | "fre" => "fr".to_owned(),
        // Superseded codes.
        "iw" => "he".to_owned(),
        "in" => "id".to_owned(),
        _ => primary,
    })
}

fn sample(text: &str) -> &str {
    // The start is often a menu line or a title in another language.
    let skip = if text.len() > 3 * SAMPLE_BYTES {
        text.floor_char_boundary(SAMPLE_BYTES / 2)
    } else {
        0
    };
    let rest = &text[skip..];
    &rest[..rest.floor_char_boundary(SAMPLE_BYTES)]
}

/// Persian, Arabic and Urdu by the letters only they use. Old Persian pages
/// are typed with Arabic yeh and kaf, so those two say little.
fn arabic_script_language(sample: &str, guess: Lang) -> &'static str {
    let (mut persian, mut arabic, mut urdu) = (0, 0, 0);
    for character in sample.chars() {
        match character {
            'پ' | 'چ' | 'ژ' | 'گ' => persian += 2,
            'ک' | 'ی' | '\u{200C}' => persian += 1,
            'ة' | 'ى' | 'إ' => arabic += 2,
            'ي' | 'ك' | 'أ' => arabic += 1,
            'ٹ' | 'ڈ' | 'ڑ' | 'ں' | 'ے' | 'ہ' => urdu += 3,
            _ => {}
        }
    }
    if urdu > persian && urdu > arabic {
        "ur"
    } else if persian > arabic {
        "fa"
    } else if arabic > persian {
        "ar"
    } else {
        subtag(guess)
    }
}

fn scripts_of(language: &str) -> Option<&'static [Script]> {
    Some(match language {
        "ar" | "fa" | "ur" | "ps" | "ckb" => &[Script::Arabic],
        "he" | "yi" => &[Script::Hebrew],
        "el" => &[Script::Greek],
        "ru" | "uk" | "bg" | "be" | "mk" => &[Script::Cyrillic],
        "sr" => &[Script::Cyrillic, Script::Latin],
        "zh" => &[Script::Mandarin],
        "ja" => &[Script::Hiragana, Script::Katakana, Script::Mandarin],
        "ko" => &[Script::Hangul],
        "th" => &[Script::Thai],
        "hi" | "mr" | "ne" => &[Script::Devanagari],
        "en" | "de" | "fr" | "es" | "it" | "pt" | "nl" | "pl" | "tr" | "sv" | "da" | "nb"
        | "no" | "fi" | "cs" | "sk" | "hu" | "ro" | "vi" | "id" | "ca" | "hr" | "sl" | "et"
        | "lv" | "lt" => &[Script::Latin],
        _ => return None,
    })
}

#[rustfmt::skip]
fn subtag(language: Lang) -> &'static str {
    match language.code() {
        "epo" => "eo", "eng" => "en", "rus" => "ru", "cmn" => "zh", "spa" => "es", "por" => "pt",
        "ita" => "it", "ben" => "bn", "fra" => "fr", "deu" => "de", "ukr" => "uk", "kat" => "ka",
        "ara" => "ar", "hin" => "hi", "jpn" => "ja", "heb" => "he", "yid" => "yi", "pol" => "pl",
        "amh" => "am", "jav" => "jv", "kor" => "ko", "nob" => "nb", "dan" => "da", "swe" => "sv",
        "fin" => "fi", "tur" => "tr", "nld" => "nl", "hun" => "hu", "ces" => "cs", "ell" => "el",
        "bul" => "bg", "bel" => "be", "mar" => "mr", "kan" => "kn", "ron" => "ro", "slv" => "sl",
        "hrv" => "hr", "srp" => "sr", "mkd" => "mk", "lit" => "lt", "lav" => "lv", "est" => "et",
        "tam" => "ta", "vie" => "vi", "urd" => "ur", "tha" => "th", "guj" => "gu", "uzb" => "uz",
        "pan" => "pa", "aze" => "az", "ind" => "id", "tel" => "te", "pes" => "fa", "mal" => "ml",
        "ori" => "or", "mya" => "my", "nep" => "ne", "sin" => "si", "khm" => "km", "tuk" => "tk",
        "aka" => "ak", "zul" => "zu", "sna" => "sn", "afr" => "af", "lat" => "la", "slk" => "sk",
        "cat" => "ca", "tgl" => "tl", "hye" => "hy", "cym" => "cy",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(claim: Option<&str>, text: &str, expected: Option<&str>) {
        assert_eq!(
            language(&[claim], text).as_deref(),
            expected,
            "{claim:?} {text}"
        );
    }

    #[test]
    fn claims_are_checked() {
        let english = "The quick brown fox jumps over the lazy dog, and the dog is not amused by it \
            at all, because that is what dogs are for in the stories of the old people.";
        let persian = "زبان فارسی یکی از زبان‌های ایرانی است که در ایران، افغانستان و تاجیکستان به آن \
            گفت‌وگو می‌شود و پیشینه‌ای بسیار کهن دارد.";
        let arabic = "اللغة العربية هي أكثر اللغات السامية تحدثا وإحدى أكثر اللغات انتشارا في العالم، \
            يتحدثها أكثر من أربعمائة مليون نسمة.";
        check(Some("en-US"), english, Some("en"));
        check(Some("fa-IR"), english, Some("en"));
        check(None, english, Some("en"));
        check(Some("fa"), persian, Some("fa"));
        check(Some("ar"), persian, Some("fa"));
        check(Some("en"), persian, Some("fa"));
        check(Some("fa"), arabic, Some("ar"));
        check(None, arabic, Some("ar"));
        check(Some("DE_at"), "Kurz.", Some("de"));
        check(Some("x-klingon"), "Kurz.", None);
        check(None, "", None);
    }
}
