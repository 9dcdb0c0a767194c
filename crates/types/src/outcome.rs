//! How the visit of one URL ended. Invariant Q2 counts these: a finished
//! crawl has found = added + updated + unchanged + failed + skipped.

/// What a visit did to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    Added,
    Updated,
    Unchanged,
}

/// The end of one URL within one crawl.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UrlOutcome {
    Stored(Change),
    Failed(FailReason),
    Skipped(SkipReason),
}

macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident => $code:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// Stable code, as stored and as shown in reports.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self { $($name::$variant => $code,)* }
            }

            #[must_use]
            pub fn from_code(code: &str) -> Option<$name> {
                match code { $($code => Some($name::$variant),)* _ => None }
            }
        }
    };
}

reasons! {
    /// Why a URL was left out on purpose.
    SkipReason {
        /// robots.txt disallows it.
        Robots => "robots",
        /// It redirects; the target is a URL of its own.
        Redirect => "redirect",
        /// The page asks not to be indexed.
        Noindex => "noindex",
        /// Neither HTML, text, Markdown nor PDF.
        ContentType => "content_type",
        /// A feed or sitemap; what it lists is crawled instead.
        Listing => "listing",
        /// `rel=canonical` names another URL, which is crawled instead.
        Canonical => "canonical",
        /// The crawl's page limit was reached first.
        PageLimit => "page_limit",
        /// The crawl was cancelled first.
        Cancelled => "cancelled",
        /// A new page, and its tenant has as many pages as it may.
        Quota => "quota",
        /// No text left after extraction.
        Empty => "empty",
    }
}

reasons! {
    /// Why a visit failed for good, after its retries.
    FailReason {
        Dns => "dns",
        Connect => "connect",
        Tls => "tls",
        Timeout => "timeout",
        /// 404 or 410: the page is gone.
        NotFound => "not_found",
        /// Any other 4xx.
        ClientError => "client_error",
        /// 5xx.
        ServerError => "server_error",
        /// 429 or 503 with `Retry-After`, still after the last retry.
        Throttled => "throttled",
        /// Body, header or URL over the configured limit.
        TooLarge => "too_large",
        /// Redirects to itself, in a circle, too often or to no URL.
        RedirectLoop => "redirect_loop",
        /// The address is private and not allow-listed.
        PrivateAddress => "private_address",
        /// Broken encoding, cut connection, invalid HTTP.
        Protocol => "protocol",
        /// robots.txt could not be read (5xx or unreachable), so nothing may be fetched.
        RobotsUnreachable => "robots_unreachable",
        /// The host failed too often; its circuit breaker is open.
        BreakerOpen => "breaker_open",
        /// The bytes could not be extracted (broken PDF, limits of the extractor).
        Extract => "extract",
    }
}

impl UrlOutcome {
    /// `added`, `updated`, `unchanged`, `failed` or `skipped`.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            UrlOutcome::Stored(Change::Added) => "added",
            UrlOutcome::Stored(Change::Updated) => "updated",
            UrlOutcome::Stored(Change::Unchanged) => "unchanged",
            UrlOutcome::Failed(_) => "failed",
            UrlOutcome::Skipped(_) => "skipped",
        }
    }

    /// The reason's code; empty for stored pages.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            UrlOutcome::Stored(_) => "",
            UrlOutcome::Failed(r) => r.code(),
            UrlOutcome::Skipped(r) => r.code(),
        }
    }
}
