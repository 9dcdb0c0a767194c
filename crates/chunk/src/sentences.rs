//! Where sentences end, in English, Persian, Arabic and whatever shares their
//! marks.
//!
//! Unicode Annex 29 breaks after "Dr." and "Fig." and before every capital;
//! these rules look at the word before the mark, the word after it and the
//! brackets around it instead.

use std::ops::Range;

use crate::abbreviations::{Abbreviation, abbreviation};

/// How far back an opening bracket is looked for; keeps hostile text linear.
const BRACKET_BYTES_MAX: usize = 400;

/// Byte ranges of the sentences of `text`, in order, without the white space
/// around them. Everything but white space belongs to exactly one sentence.
#[must_use]
pub fn sentences(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    each_sentence(text, |range| found.push(range));
    found
}

/// Calls `found` with the trimmed range of every sentence.
pub(crate) fn each_sentence(text: &str, mut found: impl FnMut(Range<usize>)) {
    let bytes = text.as_bytes();
    let mut start = skip_space(text, 0);
    let mut at = start;
    while at < bytes.len() {
        if !MARK_LEADS[usize::from(bytes[at])] {
            at += 1;
            continue;
        }
        let Some(mark_len) = mark_at(bytes, at) else {
            at += 1;
            continue;
        };
        let (next, end) = if bytes[at] == b'\n' {
            let end = (!wrapped_line(text, start, at)).then_some(at);
            (at + 1, end)
        } else {
            let run_end = end_of_marks(bytes, at + mark_len);
            let end = after_closers(text, run_end);
            let ends = ends_here(text, start, run_end, end);
            (run_end, ends.then_some(end))
        };
        at = next;
        if let Some(end) = end {
            let trimmed = text[start..end].trim_end();
            if !trimmed.is_empty() {
                found(start..start + trimmed.len());
            }
            start = skip_space(text, end);
            at = start;
        }
    }
    let rest = text[start..].trim_end();
    if !rest.is_empty() {
        found(start..start + rest.len());
    }
}

/// Bytes that can begin what [`mark_at`] knows.
const MARK_LEADS: [bool; 256] = {
    let mut table = [false; 256];
    let leads = [b'.', b'!', b'?', b'\n', 0xd8, 0xdb, 0xe0, 0xe2, 0xe3, 0xef];
    let mut i = 0;
    while i < leads.len() {
        table[leads[i] as usize] = true;
        i += 1;
    }
    table
};

/// Length of the sentence mark or line end at `at`.
fn mark_at(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes[at] {
        b'.' | b'!' | b'?' | b'\n' => Some(1),
        0xd8 if bytes[at + 1] == 0x9f => Some(2), // ؟
        0xdb if bytes[at + 1] == 0x94 => Some(2), // ۔
        0xe0 if matches!(bytes[at + 1..at + 3], [0xa5, 0xa4 | 0xa5]) => Some(3), // । ॥
        0xe2 => match bytes[at + 1..at + 3] {
            [0x80, 0xa6 | 0xbc] => Some(3), // … ‼
            [0x81, 0x87..=0x89] => Some(3), // ⁇ ⁈ ⁉
            _ => None,
        },
        0xe3 if bytes[at + 1..at + 3] == [0x80, 0x82] => Some(3), // 。
        0xef => match bytes[at + 1..at + 3] {
            [0xbc, 0x81 | 0x8e | 0x9f] => Some(3), // ！ ． ？
            [0xbd, 0xa1] => Some(3),               // ｡
            _ => None,
        },
        _ => None,
    }
}

fn end_of_marks(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() && bytes[at] != b'\n' {
        match mark_at(bytes, at) {
            Some(len) => at += len,
            None => break,
        }
    }
    at
}

/// Past closing quotes, brackets and footnote marks such as `[12]`.
fn after_closers(text: &str, mut at: usize) -> usize {
    let mut closers = 0;
    while let Some(c) = text[at..].chars().next() {
        let closes = matches!(
            c,
            '"' | '\'' | '”' | '’' | '»' | '›' | ')' | ']' | '}' | '」' | '』' | '）' | '*' | '_'
        );
        if closes && closers < 8 {
            at += c.len_utf8();
            closers += 1;
            continue;
        }
        let note = text[at..]
            .strip_prefix('[')
            .and_then(|rest| rest.find(']').map(|len| &rest[..len]))
            .filter(|note| note.len() <= 8 && !note.is_empty())
            .filter(|note| note.chars().all(char::is_numeric));
        match note {
            Some(note) if closers < 8 => {
                at += note.len() + 2;
                closers += 1;
            }
            _ => break,
        }
    }
    at
}

/// Whether the marks ending at `marks_end` end the sentence that began at
/// `start`; `end` lies past its closing quotes and brackets.
fn ends_here(text: &str, start: usize, marks_end: usize, end: usize) -> bool {
    let mark = text[..marks_end].chars().next_back().unwrap_or('.');
    let before = text[start..marks_end].trim_end_matches(is_mark);
    let Some(after) = text[end..].chars().next() else {
        return true;
    };
    let spaced = after.is_whitespace();
    if matches!(mark, '。' | '！' | '？' | '｡' | '।' | '॥' | '۔') {
        return true;
    }
    if !spaced {
        return match mark {
            // A question mark of its own script occurs in no URL or code.
            '؟' => after.is_alphanumeric(),
            // Persian typed without the space after the mark.
            '.' | '!' | '…' => end == marks_end && arabic_letters(text, before, end),
            _ => false,
        };
    }
    let rest = text[end..].trim_start();
    if rest.is_empty() || line_ends(text, end) {
        return true;
    }
    if closes_inner_bracket(&text[start..end], &text[marks_end..end]) {
        return false;
    }
    let next = first_letter(rest);
    let quoted = end > marks_end;
    let lower_next = next.is_some_and(char::is_lowercase);
    if quoted && (lower_next || continues_quote(rest)) {
        return false;
    }
    let single_full_stop = mark == '.' && text[..marks_end].len() - (start + before.len()) == 1;
    match mark {
        '!' | '?' | '؟' | '‼' | '⁇' | '⁈' | '⁉' => true,
        _ if single_full_stop => full_stop_ends(before, rest, next),
        _ => !lower_next,
    }
}

fn full_stop_ends(before: &str, rest: &str, next: Option<char>) -> bool {
    let word = last_word(before);
    let alone = before.len() - word.len() <= 8
        && before[..before.len() - word.len()].chars().all(is_opener);
    let lower_next = next.is_some_and(char::is_lowercase);
    let number_next = next.is_some_and(char::is_numeric);
    // A list number: "1. First", "۲. دوم", "a. alpha".
    if alone && word.chars().count() <= 3 && word.chars().all(|c| c.is_numeric() || c == '.') {
        return false;
    }
    match abbreviation(word) {
        Some(Abbreviation::Joins) => return false,
        Some(Abbreviation::JoinsNumber) if number_next => return false,
        Some(Abbreviation::JoinsNumber) if lower_next && word.len() < 4 => return false,
        Some(Abbreviation::MayEnd) => return !lower_next && !number_next,
        _ => {}
    }
    let mut letters = word.chars();
    if let (Some(only), None) = (letters.next(), letters.next()) {
        // Initials: "J. R. R. Tolkien", "م. امید". "I" is a word far more often.
        if only.is_uppercase() && only != 'I' && (alone || next.is_some_and(char::is_uppercase)) {
            return false;
        }
        if is_arabic(only) || (only.is_lowercase() && (alone || lower_next)) {
            return false;
        }
        if only.is_numeric() && lower_next {
            return false;
        }
    }
    if is_dotted_initials(word) {
        // "the U.S. Navy", but "in the U.S. The next".
        return !word.contains(is_arabic) && !number_next && begins_like_a_sentence(rest);
    }
    if lower_next {
        // Documentation starts sentences with names such as `psql` or `pg_dump`;
        // an unknown abbreviation is rarely longer than three letters.
        return word.chars().count() >= 4 || looks_like_identifier(rest);
    }
    true
}

/// A line break inside a paragraph of hard-wrapped text: a long line without a
/// mark at its end, continued in lower case.
fn wrapped_line(text: &str, start: usize, newline: usize) -> bool {
    let line_start = text[start..newline]
        .rfind('\n')
        .map_or(start, |i| start + i + 1);
    let line = text[line_start..newline].trim_end();
    let continued = text[newline + 1..].trim_start_matches([' ', '\t']);
    line.len() >= 40
        && !line.ends_with(|c| is_mark(c) || c == ':')
        && continued.chars().next().is_some_and(char::is_lowercase)
}

fn skip_space(text: &str, from: usize) -> usize {
    from + (text[from..].len() - text[from..].trim_start().len())
}

fn line_ends(text: &str, at: usize) -> bool {
    text[at..]
        .trim_start_matches([' ', '\t', '\r'])
        .starts_with('\n')
}

fn is_mark(c: char) -> bool {
    matches!(
        c,
        '.' | '!'
            | '?'
            | '؟'
            | '۔'
            | '…'
            | '‼'
            | '⁇'
            | '⁈'
            | '⁉'
            | '。'
            | '！'
            | '？'
            | '．'
            | '｡'
            | '।'
            | '॥'
    )
}

fn is_opener(c: char) -> bool {
    matches!(
        c,
        '"' | '\'' | '“' | '‘' | '«' | '‹' | '(' | '[' | '{' | '*' | '_' | '-' | '•'
    ) || c.is_whitespace()
}

fn is_arabic(c: char) -> bool {
    matches!(c, '\u{620}'..='\u{64a}' | '\u{671}'..='\u{6d3}' | '\u{6d5}')
}

/// The last word of a text, with its inner dots: `U.S`, `e.g`, `v1.2`.
fn last_word(before: &str) -> &str {
    let tail = before
        .char_indices()
        .rev()
        .take(40)
        .take_while(|(_, c)| !c.is_whitespace())
        .last()
        .map_or("", |(i, _)| &before[i..]);
    let opened = tail.trim_start_matches(is_opener);
    opened
        .rsplit(['(', '[', '«', '“', '/', '–', '—'])
        .next()
        .unwrap_or(opened)
}

/// The first letter or digit of what follows, past opening quotes and brackets.
fn first_letter(rest: &str) -> Option<char> {
    rest.trim_start_matches(is_opener).chars().next()
}

/// `U.S.A`: single letters between dots.
fn is_dotted_initials(word: &str) -> bool {
    word.contains('.') && word.split('.').all(|part| part.chars().count() == 1)
}

/// A capitalised word that opens sentences far more often than names.
fn begins_like_a_sentence(rest: &str) -> bool {
    const OPENERS: [&str; 28] = [
        "A", "After", "Also", "An", "And", "As", "At", "But", "By", "For", "From", "He", "His",
        "However", "I", "If", "In", "It", "Its", "On", "She", "The", "There", "These", "They",
        "This", "We", "When",
    ];
    let word = rest.split(|c: char| !c.is_alphabetic()).next();
    word.is_some_and(|word| OPENERS.contains(&word))
}

fn looks_like_identifier(rest: &str) -> bool {
    let word = rest.split_whitespace().next().unwrap_or_default();
    word.contains(['_', '(', '`'])
        || word
            .chars()
            .skip(1)
            .any(|c| c.is_uppercase() || c.is_numeric())
}

/// The closers shut a bracket that was opened within the sentence: "so (really!) it".
fn closes_inner_bracket(sentence: &str, closers: &str) -> bool {
    let Some(open) = closers.chars().find_map(|c| match c {
        ')' => Some('('),
        ']' if !closers.contains('[') => Some('['),
        '）' => Some('（'),
        _ => None,
    }) else {
        return false;
    };
    let from = sentence.floor_char_boundary(sentence.len().saturating_sub(BRACKET_BYTES_MAX));
    sentence[from..].rfind(open).is_some_and(|at| from + at > 0)
}

/// Persian has no capitals to tell «چرا؟» پرسید from a new sentence.
fn continues_quote(rest: &str) -> bool {
    let word = rest.split(|c: char| c.is_whitespace() || c == '،').next();
    matches!(
        word,
        Some(
            "و" | "که"
                | "را"
                | "گفت"
                | "پرسید"
                | "گفتند"
                | "پرسیدند"
                | "قال"
                | "قالت"
                | "سأل"
        )
    )
}

/// Two Persian or Arabic words of at least three letters touch at the mark.
fn arabic_letters(text: &str, before: &str, after: usize) -> bool {
    let left = before
        .chars()
        .rev()
        .take(3)
        .filter(|c| is_arabic(*c))
        .count();
    let right = text[after..]
        .chars()
        .take(3)
        .filter(|c| is_arabic(*c))
        .count();
    left == 3 && right == 3
}
