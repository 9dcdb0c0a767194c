//! One path pattern of robots.txt, and the spelling in which paths compare.

use crate::percent;

/// A pattern with `*` for any characters and a final `$` for the end
/// (RFC 9309 §2.2.3), split at its stars.
#[derive(Clone, Debug)]
pub(crate) struct PathPattern {
    /// Literals between stars, normalised; the first is anchored at the start.
    literals: Vec<String>,
    anchored_end: bool,
    octets: usize,
}

impl PathPattern {
    pub(crate) fn new(pattern: &[u8]) -> PathPattern {
        let (body, anchored_end) = match pattern {
            [body @ .., b'$'] => (body, true),
            body => (body, false),
        };
        let stars = body.iter().filter(|&&b| b == b'*').count();
        let mut index = 0;
        let mut literals: Vec<String> = body.split(|&b| b == b'*').map(comparable).collect();
        // Between two stars nothing is no condition; `/****…` stays small.
        literals.retain(|literal| {
            let at_either_end = index == 0 || index == stars;
            index += 1;
            at_either_end || !literal.is_empty()
        });
        PathPattern {
            octets: literals.iter().map(String::len).sum::<usize>()
                + stars
                + usize::from(anchored_end),
            literals,
            anchored_end,
        }
    }

    /// How specific the pattern is: the longest match wins (RFC 9309 §2.2.2).
    pub(crate) fn octets(&self) -> usize {
        self.octets
    }

    /// Does it match a path in the spelling of [`comparable`]?
    ///
    /// Taking the leftmost place for each literal is enough: nothing after a
    /// star depends on where before it matched. So it is one pass, without
    /// the backtracking that hostile patterns (`/*a*a*a*…`) aim at.
    pub(crate) fn matches(&self, path: &str) -> bool {
        let (first, rest) = self
            .literals
            .split_first()
            .expect("bug: splitting gives at least one part");
        let Some(mut left) = path.strip_prefix(first.as_str()) else {
            return false;
        };
        let Some((last, middle)) = rest.split_last() else {
            return !self.anchored_end || left.is_empty();
        };
        for literal in middle {
            match left.find(literal.as_str()) {
                Some(at) => left = &left[at + literal.len()..],
                None => return false,
            }
        }
        if self.anchored_end {
            left.ends_with(last.as_str())
        } else {
            left.contains(last.as_str())
        }
    }
}

/// Spells a path so that equal resources compare equal (RFC 9309 §2.2.2):
/// unreserved characters plain, reserved ones as given, all else escaped.
/// `*` and `$` are escaped, because as pattern signs they cannot stand for
/// themselves; so is `'`, which the URL Standard escapes in queries only.
pub(crate) fn comparable(path: &[u8]) -> String {
    let mut out = String::with_capacity(path.len() + 8);
    let mut at = 0;
    while at < path.len() {
        let (byte, escaped) = match percent::escape_at(&path[at..]) {
            Some(byte) => (byte, true),
            None => (path[at], false),
        };
        let plain = percent::is_unreserved(byte) || (!escaped && is_reserved(byte));
        if plain {
            out.push(char::from(byte));
        } else {
            percent::push_escape(&mut out, byte);
        }
        at += if escaped { 3 } else { 1 };
    }
    out
}

/// RFC 3986 §2.2 without `*`, `$`, `'`.
fn is_reserved(byte: u8) -> bool {
    matches!(
        byte,
        b':' | b'/'
            | b'?'
            | b'#'
            | b'['
            | b']'
            | b'@'
            | b'!'
            | b'&'
            | b'('
            | b')'
            | b'+'
            | b','
            | b';'
            | b'='
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, path: &str, expected: bool) {
        let got = PathPattern::new(pattern.as_bytes()).matches(&comparable(path.as_bytes()));
        assert_eq!(got, expected, "{pattern} on {path}");
    }

    #[test]
    fn stars_and_ends() {
        check("/a*c$", "/abc", true);
        check("/a*c$", "/abcd", false);
        check("/a*c$", "/abcxc", true);
        check("/*aa$", "/aaa", true);
        check("/a*$", "/abc", true);
        check("/$", "/", true);
        check("/$", "/a", false);
        check("*", "/x", true);
        check("*/x*y", "/a/x/b/y/c", true);
        check("/ab*ab$", "/ab", false);
        check("/a$b", "/a$b", true);
        check("/a$b", "/a", false);
    }

    #[test]
    fn stars_written_as_escapes_are_literal() {
        check(
            "/path/file-with-a-%2A.html",
            "/path/file-with-a-*.html",
            true,
        );
        check(
            "/path/file-with-a-%2A.html",
            "/path/file-with-a-x.html",
            false,
        );
        check("/path/foo-%24", "/path/foo-$", true);
        check("/path/foo-%24", "/path/foo-", false);
    }

    #[test]
    fn many_stars_stay_quick() {
        let pattern = "/".to_owned() + &"*a".repeat(2000) + "*b$";
        let path = "/".to_owned() + &"a".repeat(8000);
        check(&pattern, &path, false);
    }
}
