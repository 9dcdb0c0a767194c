//! robots.txt by RFC 9309, with `Crawl-delay` and `Sitemap`.

use std::time::Duration;

use crate::robots_rule::{PathPattern, comparable};

/// RFC 9309 §2.5 asks for at least this much; the rest is not read.
const BODY_BYTES_MAX: usize = 500 * 1024;

const SITEMAPS_MAX: usize = 1000;

/// A `Crawl-delay` above a day is read as a day; policy cuts it much shorter.
const CRAWL_DELAY_SECONDS_MAX: f64 = 86_400.0;

/// The rules of one robots.txt for one crawler.
#[derive(Clone, Debug, Default)]
pub struct Robots {
    /// Longest pattern first, `Allow` before `Disallow` of the same length, so
    /// that the first match decides.
    rules: Vec<Rule>,
    crawl_delay: Option<Duration>,
    sitemaps: Vec<String>,
}

#[derive(Clone, Debug)]
struct Rule {
    pattern: PathPattern,
    allow: bool,
}

impl Robots {
    /// Reads the groups that apply to `agent_token`, the product token of the
    /// crawler (`Gleaner`, without version); the `*` groups if none names it.
    /// Never fails: what is not understood is skipped.
    ///
    /// As Google's parser, and as RFC 9309's grammar has it, only `Allow` and
    /// `Disallow` end a run of `User-agent` lines. So a `Crawl-delay` between
    /// two agents leaves them one group: reading it otherwise could fetch what
    /// the RFC disallows. One extension is Google's too: allowing
    /// `/dir/index.html` allows `/dir/`.
    #[must_use]
    pub fn parse(body: &[u8], agent_token: &str) -> Robots {
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        let mut reader = GroupReader::new(agent_token);
        for line in lines(body) {
            if let Some((key, value)) = key_value(line) {
                reader.line(key, value);
            }
        }
        reader.finish()
    }

    #[must_use]
    pub fn allow_all() -> Robots {
        Robots::default()
    }

    #[must_use]
    pub fn disallow_all() -> Robots {
        Robots {
            rules: vec![Rule {
                pattern: PathPattern::new(b"/"),
                allow: false,
            }],
            ..Robots::default()
        }
    }

    /// May this path (with query, as in [`types::CanonicalUrl::path_and_query`])
    /// be fetched?
    #[must_use]
    pub fn allowed(&self, path_and_query: &str) -> bool {
        if self.rules.is_empty() {
            return true;
        }
        let mut path = comparable(path_and_query.as_bytes());
        if !path.starts_with('/') {
            path.insert(0, '/');
        }
        path == "/robots.txt"
            || self
                .rules
                .iter()
                .find(|rule| rule.pattern.matches(&path))
                .is_none_or(|rule| rule.allow)
    }

    /// Time to leave between requests, if the site asks for one.
    #[must_use]
    pub fn crawl_delay(&self) -> Option<Duration> {
        self.crawl_delay
    }

    /// Sitemaps named anywhere in the file, as written, in order.
    #[must_use]
    pub fn sitemaps(&self) -> &[String] {
        &self.sitemaps
    }
}

/// What came of the request for robots.txt, redirects followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RobotsFetch {
    /// A 2xx answer.
    Body(Vec<u8>),
    /// Any answer without a usable body.
    Status(u16),
    /// No answer: DNS, connection, TLS, timeout.
    Unreachable,
}

#[derive(Clone, Debug)]
pub enum RobotsVerdict {
    Rules(Robots),
    /// Nothing may be fetched until robots.txt can be read.
    Unreachable,
}

/// RFC 9309 §2.3.1: found is obeyed, "unavailable" (4xx) allows everything,
/// "unreachable" (5xx, network) disallows everything.
///
/// A redirect that led nowhere counts as unavailable (§2.3.1.2). 429 counts as
/// unreachable: it says that the server is there and wants less, not that it
/// has no rules.
#[must_use]
pub fn robots_from_fetch(fetch: &RobotsFetch, agent_token: &str) -> RobotsVerdict {
    match fetch {
        RobotsFetch::Body(body) => RobotsVerdict::Rules(Robots::parse(body, agent_token)),
        RobotsFetch::Status(429) => RobotsVerdict::Unreachable,
        RobotsFetch::Status(200..=499) => RobotsVerdict::Rules(Robots::allow_all()),
        RobotsFetch::Status(_) | RobotsFetch::Unreachable => RobotsVerdict::Unreachable,
    }
}

/// Collects rules while groups open and close.
struct GroupReader<'a> {
    agent_token: &'a str,
    /// The open group names the crawler, or `*`.
    names_us: bool,
    names_all: bool,
    /// The open group has a rule: the next `User-agent` starts another one.
    has_rule: bool,
    /// Some group named the crawler, so the `*` groups do not apply.
    named_anywhere: bool,
    ours: Collected,
    everyones: Collected,
    sitemaps: Vec<String>,
}

#[derive(Default)]
struct Collected {
    rules: Vec<Rule>,
    crawl_delay: Option<Duration>,
}

impl<'a> GroupReader<'a> {
    fn new(agent_token: &'a str) -> GroupReader<'a> {
        GroupReader {
            agent_token,
            names_us: false,
            names_all: false,
            has_rule: false,
            named_anywhere: false,
            ours: Collected::default(),
            everyones: Collected::default(),
            sitemaps: Vec::new(),
        }
    }

    fn line(&mut self, key: &[u8], value: &[u8]) {
        if key.eq_ignore_ascii_case(b"user-agent") {
            self.user_agent(value);
        } else if key.eq_ignore_ascii_case(b"allow") {
            self.rule(value, true);
        } else if key.eq_ignore_ascii_case(b"disallow") {
            self.rule(value, false);
        } else if key.eq_ignore_ascii_case(b"crawl-delay") {
            self.crawl_delay(value);
        } else if key.eq_ignore_ascii_case(b"sitemap")
            && !value.is_empty()
            && self.sitemaps.len() < SITEMAPS_MAX
        {
            self.sitemaps
                .push(String::from_utf8_lossy(value).into_owned());
        }
    }

    fn user_agent(&mut self, value: &[u8]) {
        if self.has_rule {
            self.has_rule = false;
            self.names_us = false;
            self.names_all = false;
        }
        if value == b"*" || value.starts_with(b"* ") || value.starts_with(b"*\t") {
            self.names_all = true;
            return;
        }
        // RFC 9309 §2.2.1: the product token is letters, `_` and `-`; authors
        // also write the version or a comment behind it.
        let token_bytes = value
            .iter()
            .take_while(|b| b.is_ascii_alphabetic() || matches!(b, b'_' | b'-'))
            .count();
        let token = &value[..token_bytes];
        if !token.is_empty() && token.eq_ignore_ascii_case(self.agent_token.as_bytes()) {
            self.names_us = true;
            self.named_anywhere = true;
        }
    }

    fn rule(&mut self, value: &[u8], allow: bool) {
        self.has_rule = true;
        // An empty `Disallow` forbids nothing (RFC 9309 §2.2.2).
        if value.is_empty() || !(self.names_us || self.names_all) {
            return;
        }
        let index_directory = allow.then(|| directory_of_index(value)).flatten();
        for pattern in std::iter::once(value.to_vec()).chain(index_directory) {
            let rule = Rule {
                pattern: PathPattern::new(&pattern),
                allow,
            };
            self.collect(|group| group.rules.push(rule.clone()));
        }
    }

    fn crawl_delay(&mut self, value: &[u8]) {
        let seconds = std::str::from_utf8(value)
            .ok()
            .and_then(|text| text.parse::<f64>().ok())
            .filter(|seconds| seconds.is_finite() && *seconds >= 0.0);
        if let Some(seconds) = seconds {
            let delay = Duration::from_secs_f64(seconds.min(CRAWL_DELAY_SECONDS_MAX));
            // Of several the largest: slower is never wrong.
            self.collect(|group| group.crawl_delay = group.crawl_delay.max(Some(delay)));
        }
    }

    fn collect(&mut self, add: impl Fn(&mut Collected)) {
        if self.names_us {
            add(&mut self.ours);
        }
        if self.names_all {
            add(&mut self.everyones);
        }
    }

    fn finish(self) -> Robots {
        let Collected {
            mut rules,
            crawl_delay,
        } = if self.named_anywhere {
            self.ours
        } else {
            self.everyones
        };
        rules.sort_by_key(|rule| (std::cmp::Reverse(rule.pattern.octets()), !rule.allow));
        Robots {
            rules,
            crawl_delay,
            sitemaps: self.sitemaps,
        }
    }
}

/// `/dir/index.html…` (or `.htm`) also stands for exactly `/dir/`.
fn directory_of_index(pattern: &[u8]) -> Option<Vec<u8>> {
    let slash = pattern.iter().rposition(|&b| b == b'/')?;
    pattern[slash + 1..]
        .starts_with(b"index.htm")
        .then(|| [&pattern[..=slash], b"$"].concat())
}

fn lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let cut = &body[..body.len().min(BODY_BYTES_MAX)];
    let complete = if cut.len() < body.len() {
        // A rule cut in half would be another, shorter rule.
        let end = cut.iter().rposition(|b| matches!(b, b'\n' | b'\r'));
        &cut[..end.unwrap_or(0)]
    } else {
        cut
    };
    complete.split(|b| matches!(b, b'\n' | b'\r'))
}

/// `key: value # comment`. As real parsers do, `key value` is taken too, when
/// there is nothing third that would make it prose.
fn key_value(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = line.split(|&b| b == b'#').next()?.trim_ascii();
    if let Some(colon) = line.iter().position(|&b| b == b':') {
        return Some((line[..colon].trim_ascii(), line[colon + 1..].trim_ascii()));
    }
    let mut words = line
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    match (words.next(), words.next(), words.next()) {
        (Some(key), Some(value), None) => Some((key, value)),
        _ => None,
    }
}
