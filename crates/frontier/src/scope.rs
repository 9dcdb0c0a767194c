//! Which URLs belong to a crawl.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use globset::{GlobBuilder, GlobMatcher};
use regex::Regex;
use types::{CanonicalUrl, HostKey};

use crate::percent;

/// How far from its seeds a crawl may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScopeKind {
    /// The seed's host name. `http` and `https` on their default ports are one
    /// host; another explicit port is another host.
    Host,
    /// The registrable domain by the Public Suffix List, on any port. IP
    /// addresses and names without one (`localhost`) compare as host names.
    Domain,
    /// Same scheme, host and port, and below the seed's directory.
    Subpath,
}

impl ScopeKind {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ScopeKind::Host => "host",
            ScopeKind::Domain => "domain",
            ScopeKind::Subpath => "subpath",
        }
    }
}

impl fmt::Display for ScopeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ScopeKind {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<ScopeKind, ScopeError> {
        match text {
            "host" => Ok(ScopeKind::Host),
            "domain" => Ok(ScopeKind::Domain),
            "subpath" => Ok(ScopeKind::Subpath),
            _ => Err(ScopeError {
                kind: ScopeErrorKind::Kind,
                pattern: text.to_owned(),
                reason: "not one of host, domain, subpath".to_owned(),
            }),
        }
    }
}

/// The configured limits of a crawl.
///
/// A pattern is one of
/// - `regex:…`, searched in the full URL;
/// - a glob with `://` in it, against the full URL;
/// - any other glob, against the path: `/docs/*`, `*.pdf`. A leading `/` is
///   implied before a letter (`docs/*`).
///
/// `*` and `**` match any characters, `/` included; `?`, `[…]` and `{a,b}` work
/// as usual. Patterns may be written percent-encoded or as plain Unicode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeRules {
    pub kind: ScopeKind,
    /// Empty: everything. Otherwise at least one must match. Seeds need not.
    pub include: Vec<String>,
    /// None may match. Stronger than `include`.
    pub exclude: Vec<String>,
    /// Links away from a seed; 0 is the seeds alone, `None` no limit.
    pub depth_max: Option<u32>,
}

impl Default for ScopeRules {
    fn default() -> ScopeRules {
        ScopeRules {
            kind: ScopeKind::Host,
            include: Vec::new(),
            exclude: Vec::new(),
            depth_max: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScopeErrorKind {
    /// No [`ScopeKind`] of that name.
    Kind,
    Glob,
    Regex,
}

/// A rule that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeError {
    kind: ScopeErrorKind,
    pattern: String,
    reason: String,
}

impl ScopeError {
    #[must_use]
    pub fn kind(&self) -> ScopeErrorKind {
        self.kind
    }

    /// The rule as it was written.
    #[must_use]
    pub fn pattern(&self) -> &str {
        &self.pattern
    }
}

impl fmt::Display for ScopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            ScopeErrorKind::Kind => "scope",
            ScopeErrorKind::Glob => "glob",
            ScopeErrorKind::Regex => "regex",
        };
        write!(f, "invalid {what} '{}': {}", self.pattern, self.reason)
    }
}

impl std::error::Error for ScopeError {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScopeVerdict {
    In,
    /// Outside of what the scope kind spans around the seeds.
    OtherHost,
    Excluded,
    NotIncluded,
    TooDeep,
}

/// The scope of one crawl.
#[derive(Debug)]
pub struct Scope {
    kind: ScopeKind,
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
    depth_max: Option<u32>,
    seeds: HashSet<CanonicalUrl>,
    areas: HashSet<Area>,
}

impl Scope {
    pub fn new(seeds: &[CanonicalUrl], rules: &ScopeRules) -> Result<Scope, ScopeError> {
        let patterns = |texts: &[String]| -> Result<Vec<Pattern>, ScopeError> {
            texts.iter().map(|text| Pattern::new(text)).collect()
        };
        let mut scope = Scope {
            kind: rules.kind,
            include: patterns(&rules.include)?,
            exclude: patterns(&rules.exclude)?,
            depth_max: rules.depth_max,
            seeds: HashSet::new(),
            areas: HashSet::new(),
        };
        for seed in seeds {
            scope.add_seed(seed);
        }
        Ok(scope)
    }

    /// Widens the scope by a seed: also where a seed redirected to.
    pub fn add_seed(&mut self, seed: &CanonicalUrl) {
        self.seeds.insert(seed.clone());
        self.areas.insert(Area::around(self.kind, seed));
    }

    /// Does a URL found `depth` links away from a seed belong to the crawl?
    #[must_use]
    pub fn verdict(&self, url: &CanonicalUrl, depth: u32) -> ScopeVerdict {
        if !self.spans(url) {
            return ScopeVerdict::OtherHost;
        }
        if self.depth_max.is_some_and(|depth_max| depth > depth_max) {
            return ScopeVerdict::TooDeep;
        }
        if self.include.is_empty() && self.exclude.is_empty() {
            return ScopeVerdict::In;
        }
        let subject = Subject::new(url);
        if self.exclude.iter().any(|pattern| pattern.matches(&subject)) {
            return ScopeVerdict::Excluded;
        }
        let included = self.include.is_empty()
            || self.include.iter().any(|pattern| pattern.matches(&subject))
            || self.seeds.contains(url);
        if included {
            ScopeVerdict::In
        } else {
            ScopeVerdict::NotIncluded
        }
    }

    fn spans(&self, url: &CanonicalUrl) -> bool {
        match self.kind {
            ScopeKind::Host | ScopeKind::Domain => {
                self.areas.contains(&Area::around(self.kind, url))
            }
            ScopeKind::Subpath => {
                let host = url.host_key();
                let path = url.as_url().path();
                self.areas.iter().any(|area| match area {
                    Area::Below(area_host, directory) => {
                        *area_host == host && path.starts_with(directory.as_str())
                    }
                    Area::Name(..) => false,
                })
            }
        }
    }
}

/// Should `rel=canonical` be followed instead of storing the page that has it?
///
/// Only on the same host (or from its `http` to its `https`), and not when a
/// deeper page names the site's root: templates that print the home page as
/// everyone's canonical are common, and believing them would lose the site.
#[must_use]
pub fn canonical_link_verdict(page: &CanonicalUrl, canonical: &CanonicalUrl) -> bool {
    if page == canonical {
        return false;
    }
    let upgraded = page.as_url().scheme() == "http"
        && canonical.as_url().scheme() == "https"
        && page.host() == canonical.host()
        && page.as_url().port().is_none()
        && canonical.as_url().port().is_none();
    if !upgraded && page.host_key() != canonical.host_key() {
        return false;
    }
    canonical.path_and_query() != "/" || is_root_page(page.as_url().path())
}

/// The root itself, or the file name by which servers also answer it.
fn is_root_page(path: &str) -> bool {
    let name = path.trim_start_matches('/').to_ascii_lowercase();
    let stem = name.split('.').next().unwrap_or_default();
    !name.contains('/') && matches!(stem, "" | "index" | "default" | "home")
}

/// What one seed spans.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Area {
    /// Host name or registrable domain, with a port that is not a default one.
    Name(String, Option<u16>),
    /// A directory of a host.
    Below(HostKey, String),
}

impl Area {
    fn around(kind: ScopeKind, url: &CanonicalUrl) -> Area {
        // `example.org.` is the same host, spelled fully qualified.
        let host = url.host().trim_end_matches('.');
        match kind {
            ScopeKind::Host => Area::Name(host.to_owned(), url.as_url().port()),
            ScopeKind::Domain => Area::Name(registrable_domain(url, host).to_owned(), None),
            ScopeKind::Subpath => {
                let path = url.as_url().path();
                let directory = &path[..path.rfind('/').map_or(0, |slash| slash + 1)];
                Area::Below(url.host_key(), directory.to_owned())
            }
        }
    }
}

fn registrable_domain<'a>(url: &CanonicalUrl, host: &'a str) -> &'a str {
    match url.as_url().host() {
        Some(url::Host::Domain(_)) => psl::domain_str(host).unwrap_or(host),
        _ => host,
    }
}

/// The spellings of a URL that patterns are tried on.
struct Subject<'a> {
    url: &'a str,
    path: &'a str,
    url_decoded: Option<String>,
    path_decoded: Option<String>,
}

impl<'a> Subject<'a> {
    fn new(url: &'a CanonicalUrl) -> Subject<'a> {
        let decoded = |text: &str| text.contains('%').then(|| percent::decode_lossy(text));
        let path = url.as_url().path();
        Subject {
            url: url.as_str(),
            path,
            url_decoded: decoded(url.as_str()),
            path_decoded: decoded(path),
        }
    }
}

#[derive(Debug)]
enum Pattern {
    Path(GlobMatcher),
    Url(GlobMatcher),
    Regex(Regex),
}

impl Pattern {
    fn new(text: &str) -> Result<Pattern, ScopeError> {
        let error = |kind, reason: String| ScopeError {
            kind,
            pattern: text.to_owned(),
            reason,
        };
        if let Some(expression) = text.strip_prefix("regex:") {
            // The regex crate is linear in the URL and bounds its own compiled size.
            return Regex::new(expression)
                .map(Pattern::Regex)
                .map_err(|e| error(ScopeErrorKind::Regex, e.to_string()));
        }
        if text.is_empty() {
            return Err(error(ScopeErrorKind::Glob, "empty pattern".to_owned()));
        }
        let glob = |glob: &str| {
            GlobBuilder::new(glob)
                .literal_separator(false)
                .build()
                .map(|glob| glob.compile_matcher())
                .map_err(|e| error(ScopeErrorKind::Glob, e.kind().to_string()))
        };
        if text.contains("://") {
            return Ok(Pattern::Url(glob(text)?));
        }
        let rooted = text.starts_with(['/', '*', '?', '[', '{']);
        let path = if rooted {
            glob(text)?
        } else {
            glob(&format!("/{text}"))?
        };
        Ok(Pattern::Path(path))
    }

    fn matches(&self, subject: &Subject<'_>) -> bool {
        let either = |matches: &dyn Fn(&str) -> bool, raw: &str, decoded: &Option<String>| {
            matches(raw) || decoded.as_deref().is_some_and(matches)
        };
        match self {
            Pattern::Path(glob) => {
                either(&|s| glob.is_match(s), subject.path, &subject.path_decoded)
            }
            Pattern::Url(glob) => either(&|s| glob.is_match(s), subject.url, &subject.url_decoded),
            Pattern::Regex(regex) => {
                either(&|s| regex.is_match(s), subject.url, &subject.url_decoded)
            }
        }
    }
}
