//! Where addresses are in a text, whatever form they have.

use std::ops::Range;

/// Bytes of an address; what is longer is removed unread.
pub const URL_BYTES_MAX: usize = 2048;

/// To compare addresses by: what leads to the same page is the same.
pub fn plain_url(url: &str) -> String {
    let url = url.split('#').next().unwrap_or_default();
    url.strip_suffix('/').unwrap_or(url).to_owned()
}

/// Where the address is in the `(…)` at `open`, and where that ends. `None`: its end has not come.
pub fn link_target(text: &str, open: usize, is_all: bool) -> Option<(Range<usize>, usize)> {
    let start = open + 1;
    let mut deep = 1;
    for (at, c) in text[start..].char_indices() {
        let at = start + at;
        match c {
            '(' => deep += 1,
            ')' => deep -= 1,
            _ => {}
        }
        let is_cut_off = c == '\n' || at - start > URL_BYTES_MAX;
        if deep > 0 && !is_cut_off {
            continue;
        }
        let end = if deep == 0 { at + 1 } else { at };
        return Some((address(text, start..at), end));
    }
    is_all.then(|| (address(text, start..text.len()), text.len()))
}

/// `<url> "title"` without what is around the address.
fn address(text: &str, target: Range<usize>) -> Range<usize> {
    let inside = &text[target.clone()];
    let blank = inside.len() - inside.trim_start().len();
    let start = target.start + blank;
    let word = text[start..target.end].split_whitespace().next();
    let word = word.unwrap_or_default();
    let end = start + word.len();
    if word.len() > 1 && word.starts_with('<') && word.ends_with('>') {
        return start + 1..end - 1;
    }
    start..end
}

/// The first address in a word: what a reader's program may make a link of.
pub fn find_url(word: &str) -> Option<Range<usize>> {
    let is_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    let by_scheme = word.match_indices("//").find_map(|(at, _)| {
        let before = &word[..at];
        let Some(named) = before.strip_suffix(':') else {
            // `//host/path`, where a word begins.
            let begins = !before.ends_with(|c: char| c.is_alphanumeric() || c == '/');
            let is_host = word[at + 2..].starts_with(char::is_alphanumeric);
            return (begins && is_host && word[at..].contains('.')).then_some(at);
        };
        let start = named.trim_end_matches(is_scheme).len();
        (start < named.len()).then_some(start)
    });
    let by_mail = find_ignoring_case(word, "mailto:");
    let start = [by_scheme, by_mail, www(word)]
        .into_iter()
        .flatten()
        .min()?;
    let rest = &word[start..];
    let ends = |c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"' | '»' | '”' | '|');
    let mut url = &rest[..rest.find(ends).unwrap_or(rest.len())];
    loop {
        let closes_nothing = url.ends_with(')') && !url.contains('(');
        let trailing = ['.', ',', ';', ':', '!', '?', '\'', '*', '،', '؛', '؟', ']'];
        if !closes_nothing && !url.ends_with(trailing) {
            break;
        }
        let mut chars = url.chars();
        chars.next_back();
        url = chars.as_str();
    }
    Some(start..start + url.len().max(1))
}

/// `www.` at the beginning of a word within `word`.
pub fn www(word: &str) -> Option<usize> {
    let at = find_ignoring_case(word, "www.")?;
    (!word[..at].ends_with(|c: char| c.is_alphanumeric())).then_some(at)
}

pub fn find_ignoring_case(text: &str, ascii: &str) -> Option<usize> {
    let wanted = ascii.as_bytes();
    let mut windows = text.as_bytes().windows(wanted.len());
    windows.position(|window| window.eq_ignore_ascii_case(wanted))
}
