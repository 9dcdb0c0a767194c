//! Citations and links of an answer, checked while it comes in.
//!
//! A model may cite a source that it was not given, or link to where a page
//! told it to. What leaves here cites only sources that exist and links only
//! to their addresses, whatever pieces the text came in: what may turn out to be
//! a citation or a link is held back until that is known.

use std::collections::HashSet;

use super::links::{URL_BYTES_MAX, find_ignoring_case, find_url, link_target, plain_url, www};

/// Bytes between the brackets of a citation or of a link's text; longer is text.
const LABEL_BYTES_MAX: usize = 300;
/// A citation of several sources names so many at most.
const RANGE_MAX: usize = 50;

/// What was found in an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Sources cited, by number, in the order in which they first are.
    pub citations: Vec<usize>,
    /// Numbers cited that no source has.
    pub dropped: Vec<usize>,
    /// Links that led elsewhere than to a source.
    pub links_removed: usize,
}

/// Reads an answer piece by piece.
#[derive(Debug)]
pub struct Checker {
    sources: usize,
    urls: HashSet<String>,
    held: String,
    /// Backticks that the code under way began with.
    code: Option<usize>,
    /// White space before what comes next.
    space: String,
    /// Something was left out after `space`.
    left_out: bool,
    /// Something was shown.
    begun: bool,
    found: Checked,
}

/// What is to be done with the beginning of what is held.
enum Step {
    /// It takes more text to say.
    Wait,
    /// So many bytes are this text.
    Text(usize, String),
    /// So many bytes are left out.
    LeaveOut(usize),
    /// So many bytes are white space.
    Space(usize),
}

impl Checker {
    /// `urls` are those of the sources, in the order of their numbers.
    pub fn new<'a>(urls: impl IntoIterator<Item = &'a str>) -> Checker {
        let urls: Vec<&str> = urls.into_iter().collect();
        Checker {
            sources: urls.len(),
            urls: urls.into_iter().map(plain_url).collect(),
            held: String::new(),
            code: None,
            space: String::new(),
            left_out: false,
            begun: false,
            found: Checked::default(),
        }
    }

    /// The text that can be shown after this piece.
    pub fn push(&mut self, piece: &str) -> String {
        self.held.push_str(piece);
        self.drain(false)
    }

    /// The rest of the text, and what was found in all of it.
    pub fn finish(mut self) -> (String, Checked) {
        let rest = self.drain(true);
        (rest, self.found)
    }

    /// All at once.
    pub fn check(mut self, text: &str) -> (String, Checked) {
        let mut checked = self.push(text);
        let (rest, found) = self.finish();
        checked.push_str(&rest);
        (checked, found)
    }

    fn drain(&mut self, is_all: bool) -> String {
        let held = std::mem::take(&mut self.held);
        let mut out = String::new();
        let mut at = 0;
        while at < held.len() {
            let step = self.step(&held[at..], is_all);
            match step {
                Step::Wait => break,
                Step::Space(len) => {
                    let space = &held[at..at + len];
                    // Of two gaps around what was left out one stays, that with a line's end.
                    let breaks = space.contains('\n');
                    if self.left_out && breaks && !self.space.contains('\n') {
                        self.space.clear();
                    }
                    if !self.left_out || breaks || self.space.is_empty() {
                        self.space.push_str(space);
                    }
                    at += len;
                }
                Step::LeaveOut(len) => {
                    self.left_out = true;
                    at += len;
                }
                Step::Text(len, text) => {
                    at += len;
                    if text.is_empty() {
                        self.left_out = true;
                        continue;
                    }
                    let closes = text
                        .starts_with(['.', ',', ';', ':', '!', '?', ')', '،', '؛', '؟', '。', '»']);
                    if self.begun && !(self.left_out && closes) {
                        out.push_str(&self.space);
                    }
                    self.space.clear();
                    self.left_out = false;
                    self.begun = true;
                    out.push_str(&text);
                }
            }
        }
        self.held = held[at..].to_owned();
        out
    }

    fn step(&mut self, text: &str, is_all: bool) -> Step {
        let Some(first) = text.chars().next() else {
            return Step::Wait;
        };
        if first.is_whitespace() {
            let len = text.find(|c: char| !c.is_whitespace());
            let len = len.unwrap_or(text.len());
            // Code within a line does not outlive it.
            if text[..len].contains('\n') && self.code.is_some_and(|ticks| ticks < 3) {
                self.code = None;
            }
            return Step::Space(len);
        }
        if first == '`' {
            let ticks = text.bytes().take_while(|byte| *byte == b'`').count();
            if ticks == text.len() && !is_all {
                return Step::Wait;
            }
            match self.code {
                None => self.code = Some(ticks),
                Some(open) if open == ticks => self.code = None,
                Some(_) => {}
            }
            return Step::Text(ticks, text[..ticks].to_owned());
        }
        if self.code.is_none() {
            let is_image = first == '!';
            if is_image && text.len() == 1 && !is_all {
                return Step::Wait;
            }
            let label = text.strip_prefix('!').unwrap_or(text);
            if label.starts_with(['[', '【']) {
                return self.bracket(text, is_image, is_all);
            }
            if first == ']' {
                return self.stray_close(text, is_all);
            }
        }
        self.word(text, is_all)
    }

    /// `[…`: a citation, a link or just a bracket; with `!` before it an image.
    fn bracket(&mut self, text: &str, is_image: bool, is_all: bool) -> Step {
        let open = usize::from(is_image);
        let bracket = if text[open..].starts_with('[') { 1 } else { 3 };
        let inside = open + bracket;
        let literally = Step::Text(inside, text[..inside].to_owned());
        let end = text[inside..].find(['[', ']', '【', '】', '\n']);
        let close = match end {
            Some(end) if end <= LABEL_BYTES_MAX => inside + end,
            None if text.len() - inside <= LABEL_BYTES_MAX && !is_all => return Step::Wait,
            _ => return literally,
        };
        let closing = text[close..].chars().next().unwrap_or(']');
        if !matches!(closing, ']' | '】') {
            return literally;
        }
        let label = &text[inside..close];
        let after = close + closing.len_utf8();
        let numbers = numbers(label);
        match text[after..].chars().next() {
            None if !is_all => return Step::Wait,
            Some('(') => {
                let Some((target, end)) = link_target(text, after, is_all) else {
                    return Step::Wait;
                };
                if let Some(numbers) = numbers {
                    return Step::Text(end, self.cited(&numbers));
                }
                if !is_image && self.is_source(&text[target]) {
                    return Step::Text(end, text[..end].to_owned());
                }
                self.found.links_removed += 1;
                return Step::Text(end, self.without_links(label));
            }
            _ => {}
        }
        match numbers {
            Some(numbers) => {
                let mark = if is_image { "!" } else { "" };
                Step::Text(after, format!("{mark}{}", self.cited(&numbers)))
            }
            None => literally,
        }
    }

    /// `]` of a bracket that was none: what follows may be a link all the same.
    fn stray_close(&mut self, text: &str, is_all: bool) -> Step {
        match text[1..].chars().next() {
            None if !is_all => Step::Wait,
            Some('(') => match link_target(text, 1, is_all) {
                None => Step::Wait,
                Some((target, end)) if self.is_source(&text[target.clone()]) => {
                    Step::Text(end, text[..end].to_owned())
                }
                Some((_, end)) => {
                    self.found.links_removed += 1;
                    Step::Text(end, "]".to_owned())
                }
            },
            _ => Step::Text(1, "]".to_owned()),
        }
    }

    /// Everything up to white space or the next mark.
    fn word(&mut self, text: &str, is_all: bool) -> Step {
        let ends = |(at, c): (usize, char)| {
            let is_mark = c == '`' || (self.code.is_none() && matches!(c, '[' | ']' | '【'));
            let is_image = c == '!' && text[at + 1..].starts_with('[') && self.code.is_none();
            at > 0 && (c.is_whitespace() || is_mark || is_image)
        };
        let end = text.char_indices().find(|found| ends(*found));
        let mut end = end.map_or(text.len(), |(at, _)| at);
        if end == text.len() && !is_all && end <= URL_BYTES_MAX {
            if text.contains("//") || www(text).is_some() {
                return Step::Wait;
            }
            // What addresses begin with is ASCII; no need to wait for the rest.
            end = text.trim_end_matches(|c: char| c.is_ascii()).len();
            if end == 0 {
                return Step::Wait;
            }
        }
        let word = &text[..end];
        let kept = self.without_links(word);
        self.left_out |= kept.len() < word.len();
        // Nothing is left but what stood around a link.
        let is_left_over = kept.len() < word.len() && matches!(kept.as_str(), "" | "()" | "<>");
        if is_left_over {
            return Step::LeaveOut(end);
        }
        Step::Text(end, kept)
    }

    /// The numbers that exist, as citations.
    fn cited(&mut self, numbers: &[usize]) -> String {
        let mut text = String::new();
        for number in numbers {
            let exists = (1..=self.sources).contains(number);
            let list = if exists {
                &mut self.found.citations
            } else {
                &mut self.found.dropped
            };
            if !list.contains(number) {
                list.push(*number);
            }
            if exists {
                text.push_str(&format!("[{number}]"));
            }
        }
        text
    }

    /// `word` without the addresses in it that are no source's.
    fn without_links(&mut self, word: &str) -> String {
        let mut kept = String::new();
        let mut rest = word;
        while let Some(url) = find_url(rest) {
            kept.push_str(&rest[..url.start]);
            if self.is_source(&rest[url.clone()]) {
                kept.push_str(&rest[url.clone()]);
            } else {
                self.found.links_removed += 1;
            }
            rest = &rest[url.end..];
        }
        kept.push_str(rest);
        kept
    }

    fn is_source(&self, url: &str) -> bool {
        self.urls.contains(&plain_url(url))
    }
}

/// A quoted text without the numbers of its own footnotes, which would be read as
/// citations.
pub fn without_notes(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('[') {
        let label = rest[open + 1..].split(']').next().unwrap_or_default();
        let end = open + label.len() + 2;
        let is_note =
            label.len() <= LABEL_BYTES_MAX && end <= rest.len() && numbers(label).is_some();
        let shown = if is_note { open } else { open + 1 };
        kept.push_str(&rest[..shown]);
        rest = &rest[if is_note { end } else { shown }..];
    }
    kept.push_str(rest);
    kept
}

/// The numbers of `1`, `1, 2`, `1-3`, `Source 1` or `۱`; `None`: it is no citation.
fn numbers(label: &str) -> Option<Vec<usize>> {
    let label = label.trim().trim_start_matches(['^', '#']);
    let names = ["sources", "source", "منابع", "منبع"];
    let named = names.iter().find_map(|name| {
        let at = find_ignoring_case(label, name)?;
        (at == 0).then(|| &label[name.len()..])
    });
    let label = named.unwrap_or(label).trim_start_matches([':', '#', ' ']);
    let mut numbers = Vec::new();
    let mut number: Option<usize> = None;
    let mut from: Option<usize> = None;
    for c in label.chars().chain(std::iter::once(',')) {
        if let Some(digit) = digit(c) {
            let longer = number.unwrap_or(0) * 10 + digit;
            // A year is no citation.
            if longer > 999 {
                return None;
            }
            number = Some(longer);
            continue;
        }
        match c {
            '-' | '–' => from = Some(number.take()?),
            ' ' | ',' | ';' | '،' | '؛' | '&' | '\u{a0}' => {
                let Some(last) = number.take() else {
                    continue;
                };
                let first = from.take().unwrap_or(last);
                // Zero counts places in a list, not sources.
                if first == 0 {
                    return None;
                }
                if first <= last && last - first < RANGE_MAX {
                    numbers.extend(first..=last);
                } else {
                    numbers.extend([first, last]);
                }
            }
            _ => return None,
        }
    }
    (!numbers.is_empty() && numbers.len() <= RANGE_MAX).then_some(numbers)
}

fn digit(c: char) -> Option<usize> {
    let zeros = ['0', '۰', '٠', '０'];
    let zero = zeros.into_iter().find(|zero| {
        let nine = u32::from(*zero) + 9;
        (u32::from(*zero)..=nine).contains(&u32::from(c))
    })?;
    usize::try_from(u32::from(c) - u32::from(zero)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const URLS: [&str; 3] = [
        "https://a.example/one",
        "https://a.example/two/",
        "http://b.example/?id=3",
    ];

    /// Whatever pieces it comes in, the same is shown and found.
    #[track_caller]
    fn check(text: &str, shown: &str, citations: &[usize], dropped: &[usize], links: usize) {
        let chars: Vec<char> = text.chars().collect();
        for size in [1, 2, 3, 5, 8, 1000] {
            let mut checker = Checker::new(URLS);
            let mut seen = String::new();
            for piece in chars.chunks(size) {
                let piece: String = piece.iter().collect();
                seen.push_str(&checker.push(&piece));
            }
            let (rest, found) = checker.finish();
            seen.push_str(&rest);
            assert_eq!(seen, shown, "in pieces of {size}");
            assert_eq!(found.citations, citations, "{text}");
            assert_eq!(found.dropped, dropped, "{text}");
            assert_eq!(found.links_removed, links, "{text}");
        }
    }

    #[test]
    fn citations_are_found_in_every_form_and_those_of_nothing_dropped() {
        check("Yes [1].", "Yes [1].", &[1], &[], 0);
        check(
            "Both [2, 1] and [2].",
            "Both [2][1] and [2].",
            &[2, 1],
            &[],
            0,
        );
        check("All[1][2][3]", "All[1][2][3]", &[1, 2, 3], &[], 0);
        check("All [1-3].", "All [1][2][3].", &[1, 2, 3], &[], 0);
        check("بله [۱، ۲].", "بله [1][2].", &[1, 2], &[], 0);
        check("بله [٣]", "بله [3]", &[3], &[], 0);
        check("Yes [Source 2], 【3】", "Yes [2], [3]", &[2, 3], &[], 0);
        check("No [4], yes [1, 9].", "No, yes [1].", &[1], &[4, 9], 0);
        check("No [7] more.", "No more.", &[], &[7], 0);
        check("Words [7]\n\nmore", "Words\n\nmore", &[], &[7], 0);
        check(
            "In [2024] or [x] or [0].",
            "In [2024] or [x] or [0].",
            &[],
            &[],
            0,
        );
        check(
            "`a[1]` and ```\nb[9]\n``` [1]",
            "`a[1]` and ```\nb[9]\n``` [1]",
            &[1],
            &[],
            0,
        );
        check("Unclosed [1", "Unclosed [1", &[], &[], 0);
        check("Not `code\n[2]", "Not `code\n[2]", &[2], &[], 0);
    }

    #[test]
    fn links_lead_to_sources_or_nowhere() {
        check(
            "See [the page](https://a.example/one#part).",
            "See [the page](https://a.example/one#part).",
            &[],
            &[],
            0,
        );
        check(
            "See [this](http://evil.example/x).",
            "See this.",
            &[],
            &[],
            1,
        );
        check(
            "See [http://evil.example](http://evil.example) now",
            "See now",
            &[],
            &[],
            2,
        );
        check("![seen](https://a.example/one)", "seen", &[], &[], 1);
        check("[1](http://evil.example)", "[1]", &[1], &[], 0);
        check("[[1]](http://evil.example) end", "[[1]] end", &[1], &[], 1);
        check("Go to http://evil.example/a?b=c.", "Go to.", &[], &[], 1);
        check("Go to HTTPS://evil.example, now", "Go to, now", &[], &[], 1);
        check("<http://evil.example> end", "end", &[], &[], 1);
        check("برو به http://evil.example؟", "برو به؟", &[], &[], 1);
        check("سلامhttp://evil.example", "سلام", &[], &[], 1);
        check("www.evil.example is bad", "is bad", &[], &[], 1);
        check("[x]: //evil.example/y", "[x]:", &[], &[], 1);
        check("[a](javascript:alert(1)) b", "a b", &[], &[], 1);
        check("[a](//evil.example \"t\")", "a", &[], &[], 1);
        check(
            "[never closed](http://evil.example/",
            "never closed",
            &[],
            &[],
            1,
        );
        check(
            "At https://a.example/two or",
            "At https://a.example/two or",
            &[],
            &[],
            0,
        );
        check(
            "At http://b.example/?id=3.",
            "At http://b.example/?id=3.",
            &[],
            &[],
            0,
        );
        // What a page may have asked to be sent away.
        check("https://a.example/one?secret=1", "", &[], &[], 1);
        check(
            "The data: all of it. a // b",
            "The data: all of it. a // b",
            &[],
            &[],
            0,
        );
    }

    #[test]
    fn a_quoted_text_loses_its_own_numbers() {
        let told = "It was built in 1998.[12] See [a] and [3";
        assert_eq!(without_notes(told), "It was built in 1998. See [a] and [3");
    }

    #[test]
    fn nothing_is_held_back_for_ever() {
        let mut checker = Checker::new(URLS);
        let long = format!("[{}", "a".repeat(LABEL_BYTES_MAX + 2));
        assert!(checker.push(&long).starts_with('['));
        let mut checker = Checker::new(URLS);
        let long = format!("http://e/{}", "a".repeat(URL_BYTES_MAX));
        checker.push(&long);
        assert!(checker.held.is_empty(), "{} bytes", checker.held.len());
        let (_, found) = checker.finish();
        assert_eq!(found.links_removed, 1);
    }
}
