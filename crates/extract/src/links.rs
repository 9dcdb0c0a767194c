//! Raw hrefs -> absolute links.

use types::{Directives, Link};
use url::Url;

use crate::html::PageScan;
use crate::meta::{directives, refresh_target};

/// What a links-only visit needs to know of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageLinks {
    /// Every link of the page, absolute, in order.
    pub links: Vec<Link>,
    pub directives: Directives,
    pub canonical: Option<String>,
    /// Target of an immediate `<meta http-equiv=refresh>`.
    pub refresh: Option<String>,
    /// Feeds that the page names, absolute.
    pub feeds: Vec<String>,
}

pub(crate) fn page_links(
    scan: PageScan,
    url: &Url,
    x_robots_tag: &[String],
    link_canonical: Option<&str>,
) -> PageLinks {
    let base = base_url(&scan, url);
    let absolute = |href: &str| {
        base.join(href)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"))
            .map(String::from)
    };
    PageLinks {
        directives: directives(&scan.metas, x_robots_tag),
        canonical: link_canonical
            .and_then(|href| url.join(href.trim()).ok().map(String::from))
            .or_else(|| scan.canonical.as_deref().and_then(absolute)),
        refresh: scan
            .refresh
            .as_deref()
            .and_then(refresh_target)
            .and_then(absolute),
        feeds: scan
            .feeds
            .iter()
            .filter_map(|href| absolute(href))
            .collect(),
        links: scan
            .links
            .into_iter()
            .filter_map(|raw| {
                Some(Link {
                    url: absolute(&raw.href)?,
                    text: raw.text,
                    nofollow: raw.nofollow,
                })
            })
            .collect(),
    }
}

/// `<base href>` if it makes sense, else the page's own address.
pub(crate) fn base_url(scan: &PageScan, url: &Url) -> Url {
    scan.base
        .as_deref()
        .and_then(|base| url.join(base).ok())
        .filter(|base| !base.cannot_be_a_base())
        .unwrap_or_else(|| url.clone())
}
