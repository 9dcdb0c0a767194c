//! Robots directives and immediate refreshes.

use types::Directives;

/// Our name in `<meta name=…>` and `X-Robots-Tag: name: …`.
const AGENT: &str = "gleaner";
/// A refresh after this long is meant for readers who stay on the page.
const REFRESH_DELAY_S_MAX: f64 = 5.0;

/// Directives of meta tags and headers together: any `noindex` counts.
pub(crate) fn directives(metas: &[(String, String)], x_robots_tag: &[String]) -> Directives {
    let mut directives = Directives::default();
    for (name, content) in metas {
        if name == "robots" || name == AGENT {
            for word in content.split(',') {
                apply(&mut directives, word);
            }
        }
    }
    for header in x_robots_tag {
        apply_header(&mut directives, header);
    }
    directives
}

/// `noindex, nofollow` or `agent: noindex`; an agent's name holds for the
/// directives after it.
fn apply_header(directives: &mut Directives, header: &str) {
    let mut for_us = true;
    for part in header.split(',') {
        let mut directive = part.trim();
        if let Some((name, rest)) = directive.split_once(':')
            && !takes_value(name.trim())
        {
            let name = name.trim();
            for_us = name == "*" || name.eq_ignore_ascii_case(AGENT);
            directive = rest.trim();
        }
        if for_us {
            apply(directives, directive);
        }
    }
}

/// Directives that hold a colon themselves.
fn takes_value(name: &str) -> bool {
    [
        "unavailable_after",
        "max-snippet",
        "max-image-preview",
        "max-video-preview",
    ]
    .iter()
    .any(|known| name.eq_ignore_ascii_case(known))
}

fn apply(directives: &mut Directives, word: &str) {
    let word = word.trim();
    let is = |known: &str| word.eq_ignore_ascii_case(known);
    directives.noindex |= is("noindex") || is("none");
    directives.nofollow |= is("nofollow") || is("none");
}

/// Target of `<meta http-equiv=refresh>` when it is meant as a redirect.
pub(crate) fn refresh_target(content: &str) -> Option<&str> {
    let content = content.trim();
    let end = content
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(content.len());
    let delay_s: f64 = match &content[..end] {
        "" => 0.0,
        digits => digits.parse().ok()?,
    };
    if delay_s > REFRESH_DELAY_S_MAX {
        return None;
    }
    let rest = content[end..].trim_start();
    let rest = rest.strip_prefix([';', ',']).unwrap_or(rest).trim_start();
    let target = match rest.get(..3) {
        Some(word) if word.eq_ignore_ascii_case("url") => {
            let after = rest[3..].trim_start();
            after.strip_prefix('=').map_or(rest, str::trim_start)
        }
        _ => rest,
    };
    let target = match target.chars().next()? {
        quote @ ('"' | '\'') => target[1..].split(quote).next()?,
        _ => target,
    };
    let target = target.trim();
    (!target.is_empty()).then_some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(metas: &[(&str, &str)], headers: &[&str], noindex: bool, nofollow: bool) {
        let metas: Vec<_> = metas
            .iter()
            .map(|(name, content)| ((*name).to_owned(), (*content).to_owned()))
            .collect();
        let headers: Vec<_> = headers.iter().map(|header| (*header).to_owned()).collect();
        assert_eq!(
            directives(&metas, &headers),
            Directives { noindex, nofollow },
            "{metas:?} {headers:?}"
        );
    }

    #[test]
    fn sources_add_up() {
        check(&[], &[], false, false);
        check(&[("robots", "NOINDEX , follow")], &[], true, false);
        check(&[("robots", "none")], &[], true, true);
        check(&[("googlebot", "noindex")], &[], false, false);
        check(&[("gleaner", "nofollow")], &["noindex"], true, true);
        check(&[], &["googlebot: noindex, nofollow"], false, false);
        check(&[], &["googlebot: nofollow, gleaner: noindex"], true, false);
        check(
            &[],
            &["unavailable_after: 25 Jun 2030 15:00:00 PST, nofollow"],
            false,
            true,
        );
    }

    #[test]
    fn refreshes() {
        let check = |content: &str, expected: Option<&str>| {
            assert_eq!(refresh_target(content), expected, "{content}");
        };
        check("0; url=/new", Some("/new"));
        check("0;URL='https://a.org/x'", Some("https://a.org/x"));
        check("5, /new", Some("/new"));
        check("0.5;url=\"a b\"", Some("a b"));
        check("30; url=/new", None);
        check("0", None);
        check("", None);
        check("5; url=", None);
    }
}
