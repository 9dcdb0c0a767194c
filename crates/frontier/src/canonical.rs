//! One spelling per page, including the rules that are a matter of policy.

use std::fmt;

use types::{CanonicalUrl, UrlError};
use url::Url;

use crate::percent;

/// How URLs are spelled before they are compared and stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlPolicy {
    /// Query parameters to remove, compared decoded and without regard to case:
    /// - `name`, or `prefix*`;
    /// - `name:token`: only when the value looks like a random token, for names
    ///   that some sites use for a session and others for content (`sid`);
    /// - `;name`: a path parameter (`/a;name=x/b`) instead of a query parameter.
    pub strip_params: Vec<String>,
    /// Sort the query by parameter name. Off by default: order can matter.
    pub sort_query: bool,
    /// Longest URL accepted, in bytes, after canonicalisation.
    pub url_bytes_max: usize,
}

impl Default for UrlPolicy {
    fn default() -> UrlPolicy {
        UrlPolicy {
            strip_params: DEFAULT_STRIP_PARAMS
                .iter()
                .map(ToString::to_string)
                .collect(),
            sort_query: false,
            // RFC 9110 §4.1 asks for 8000 octets at least from servers; links
            // to content are far shorter, and sitemaps.org caps `loc` at 2048.
            url_bytes_max: 2048,
        }
    }
}

/// Parameters that tell where a visitor came from or which visit it is; none
/// selects content. Each is documented by the service that appends it.
const DEFAULT_STRIP_PARAMS: &[&str] = &[
    // Campaign tags: Urchin and Google Analytics, Matomo, HubSpot, Adobe, Marketo, Oracle.
    "utm_*",
    "mtm_*",
    "pk_campaign",
    "pk_kwd",
    "pk_source",
    "pk_medium",
    "hsa_*",
    "_hsenc",
    "_hsmi",
    "__hstc",
    "__hssc",
    "__hsfp",
    "hsctatracking",
    "s_kwcid",
    "ef_id",
    "mkt_tok",
    "elqtrack",
    "elqtrackid",
    // Click ids: Google, Facebook, Microsoft, Yandex, TikTok, X, LinkedIn, Instagram, ….
    "gclid",
    "gclsrc",
    "gbraid",
    "wbraid",
    "dclid",
    "srsltid",
    "_ga",
    "_gl",
    "_gac",
    "fbclid",
    "fb_action_ids",
    "fb_action_types",
    "fb_source",
    "msclkid",
    "yclid",
    "_openstat",
    "ysclid",
    "ttclid",
    "twclid",
    "li_fat_id",
    "igshid",
    "igsh",
    "epik",
    "irclickid",
    "irgwc",
    "wickedid",
    "rb_clickid",
    // Mailings: Mailchimp, Klaviyo, Vero, Drip, Olytics.
    "mc_cid",
    "mc_eid",
    "_ke",
    "_kx",
    "vero_id",
    "vero_conv",
    "__s",
    "oly_anon_id",
    "oly_enc_id",
    // Sessions carried in the URL.
    "phpsessid",
    "jsessionid",
    "aspsessionid*",
    "asp.net_sessionid",
    "cfid:token",
    "cftoken",
    "sessionid",
    "session_id",
    "sid:token",
    "s:token",
    "session:token",
    "oscsid",
    "zenid",
    "xtc_session",
    ";jsessionid",
    ";phpsessid",
    ";sid",
];

/// Why a string is no URL of a crawl.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CanonicalError {
    Url(UrlError),
    /// Longer than [`UrlPolicy::url_bytes_max`].
    TooLong,
}

impl fmt::Display for CanonicalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CanonicalError::Url(error) => error.fmt(f),
            CanonicalError::TooLong => f.write_str("URL is longer than the configured limit"),
        }
    }
}

impl std::error::Error for CanonicalError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            CanonicalError::Url(error) => Some(error),
            CanonicalError::TooLong => None,
        }
    }
}

impl UrlPolicy {
    /// The canonical form of an absolute URL, or why there is none.
    ///
    /// Beyond the URL Standard's serialisation and what [`CanonicalUrl`] drops
    /// (fragment, credentials): escapes are upper-case, unreserved characters
    /// not escaped, stripped and empty query parts gone, and with them a `?`
    /// that nothing follows. Applying it twice changes nothing more.
    pub fn canonical(&self, input: &str) -> Result<CanonicalUrl, CanonicalError> {
        let input = input.trim();
        // Parsing is linear, but a megabyte in an href need not be parsed to
        // be refused. The slack is for a fragment or tracking that will go.
        if input.len() > self.url_bytes_max.saturating_mul(4) {
            return Err(CanonicalError::TooLong);
        }
        let url = Url::parse(input).map_err(|_| CanonicalError::Url(UrlError::Malformed))?;
        self.canonical_url(url)
    }

    /// As [`UrlPolicy::canonical`], for a URL already parsed (a resolved link).
    pub fn canonical_url(&self, mut url: Url) -> Result<CanonicalUrl, CanonicalError> {
        if url.cannot_be_a_base() {
            // No path to edit: `mailto:`, `data:`; refused below.
            return CanonicalUrl::from_url(url).map_err(CanonicalError::Url);
        }
        url.set_fragment(None);
        if let Some(path) = self.canonical_path(url.path()) {
            url.set_path(&path);
        }
        if let Some(query) = url.query() {
            let changed = self.canonical_query(query);
            if changed.as_deref() != Some(query) {
                url.set_query(changed.as_deref());
            }
        }
        let url = CanonicalUrl::from_url(url).map_err(CanonicalError::Url)?;
        if url.as_str().len() > self.url_bytes_max {
            return Err(CanonicalError::TooLong);
        }
        Ok(url)
    }

    fn canonical_path(&self, path: &str) -> Option<String> {
        let stripped = path.contains(';').then(|| self.strip_path_params(path));
        match percent::normalise(stripped.as_deref().unwrap_or(path)) {
            Some(path) => Some(path),
            None => stripped.filter(|stripped| stripped != path),
        }
    }

    fn strip_path_params(&self, path: &str) -> String {
        let mut out = String::with_capacity(path.len());
        for (index, segment) in path.split('/').enumerate() {
            if index > 0 {
                out.push('/');
            }
            for (index, part) in segment.split(';').enumerate() {
                let name = part.split('=').next().unwrap_or_default();
                if index > 0 && self.strips_path_param(name) {
                    continue;
                }
                if index > 0 {
                    out.push(';');
                }
                out.push_str(part);
            }
        }
        out
    }

    fn strips_path_param(&self, name: &str) -> bool {
        let name = percent::decode_lossy(name);
        self.strip_params
            .iter()
            .filter_map(|pattern| pattern.strip_prefix(';'))
            .any(|pattern| pattern.eq_ignore_ascii_case(&name))
    }

    fn canonical_query(&self, query: &str) -> Option<String> {
        let mut parts: Vec<String> = Vec::new();
        for part in query.split('&') {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            if part.is_empty() || self.strips_query_param(name, value) {
                continue;
            }
            parts.push(percent::normalise(part).unwrap_or_else(|| part.to_owned()));
        }
        if self.sort_query {
            // Stable: values of a repeated parameter keep their order.
            parts.sort_by(|a, b| param_name(a).cmp(param_name(b)));
        }
        (!parts.is_empty()).then(|| parts.join("&"))
    }

    fn strips_query_param(&self, name: &str, value: &str) -> bool {
        if name.is_empty() {
            return false;
        }
        let decoded = name.contains('%').then(|| percent::decode_lossy(name));
        let name = decoded.as_deref().unwrap_or(name);
        self.strip_params.iter().any(|pattern| {
            if pattern.starts_with(';') {
                return false;
            }
            if let Some(prefix) = pattern.strip_suffix('*') {
                return name
                    .get(..prefix.len())
                    .is_some_and(|start| start.eq_ignore_ascii_case(prefix));
            }
            match pattern.strip_suffix(":token") {
                Some(exact) => name.eq_ignore_ascii_case(exact) && is_random_token(value),
                None => name.eq_ignore_ascii_case(pattern),
            }
        })
    }
}

/// Looks like a generated id: at least 16 letters and digits, mixed as only
/// chance mixes them. Words, dates and numbers joined by `-` or `_` are not:
/// within each part of a slug letters and digits seldom change places.
pub(crate) fn is_random_token(value: &str) -> bool {
    const CHARS_MIN: usize = 16;
    // Hexadecimal changes sides about every second character, base64 every fourth.
    const CHARS_PER_CHANGE_MAX: usize = 6;
    let mut chars = 0;
    let mut changes = 0;
    let mut previous_is_digit = None;
    for byte in value.bytes() {
        if matches!(byte, b'-' | b'_') {
            previous_is_digit = None;
            continue;
        }
        if !byte.is_ascii_alphanumeric() {
            return false;
        }
        let is_digit = byte.is_ascii_digit();
        chars += 1;
        changes += usize::from(previous_is_digit == Some(!is_digit));
        previous_is_digit = Some(is_digit);
    }
    chars >= CHARS_MIN && changes * CHARS_PER_CHANGE_MAX >= chars
}

fn param_name(part: &str) -> &str {
    part.split('=').next().unwrap_or_default()
}
