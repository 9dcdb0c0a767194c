//! Facts about a page beside its content.

mod dates;
mod directives;
mod json_ld;
mod language;
mod microdata;
mod title;

use html5ever::local_name;
use serde_json::Value;
use types::Timestamp;
use url::Url;

use crate::html::{Dom, PageScan, Tag};
use crate::limits::ExtractLimits;

pub(crate) use dates::parse_date;
pub(crate) use directives::{directives, refresh_target};
pub(crate) use language::language;
use title::TitleSources;

/// A byline is a name or a few.
const AUTHOR_BYTES_MAX: usize = 200;

#[derive(Debug, Default)]
pub(crate) struct Metadata {
    pub(crate) title: String,
    pub(crate) description: Option<String>,
    pub(crate) author: Option<String>,
    pub(crate) published_at: Option<Timestamp>,
    pub(crate) modified_at: Option<Timestamp>,
    pub(crate) open_graph: Vec<(String, String)>,
    pub(crate) structured: Option<String>,
}

/// Structured data of a page, parsed once for all who ask.
#[derive(Debug, Default)]
pub(crate) struct Structured {
    values: Vec<Value>,
    /// How many of them come from JSON-LD; the others are microdata.
    json_ld: usize,
}

impl Structured {
    pub(crate) fn read(dom: &Dom, bytes_max: usize) -> Structured {
        let mut values: Vec<Value> = Vec::new();
        let mut script_bytes = 0;
        for script in dom.json_ld() {
            script_bytes += script.len();
            if script_bytes > bytes_max {
                break;
            }
            values.extend(json_ld::parse(script));
        }
        let json_ld = values.len();
        values.extend(microdata::items(dom, bytes_max));
        Structured { values, json_ld }
    }

    pub(crate) fn json_ld(&self) -> &[Value] {
        &self.values[..self.json_ld]
    }

    /// In the shape of JSON-LD.
    pub(crate) fn microdata(&self) -> &[Value] {
        &self.values[self.json_ld..]
    }
}

/// Gathers everything but the content. `first_heading` is the content's.
pub(crate) fn metadata(
    dom: &Dom,
    scan: &PageScan,
    structured: &Structured,
    first_heading: Option<&str>,
    url: &Url,
    limits: &ExtractLimits,
) -> Metadata {
    let facts = json_ld::facts(structured.json_ld());
    let meta = |names: &[&str]| find_meta(scan, names);
    let heading = page_heading(dom).or_else(|| first_heading.map(str::to_owned));
    let title = title::title(
        &TitleSources {
            open_graph: meta(&["og:title", "twitter:title"]),
            headline: facts.headline.as_deref(),
            title_element: &dom.title,
            first_heading: heading.as_deref(),
            site_name: meta(&["og:site_name", "application-name"]),
        },
        url,
    );
    let description = meta(&[
        "og:description",
        "description",
        "twitter:description",
        "dc.description",
    ])
    .map(str::to_owned)
    .or(facts.description)
    .map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "))
    .filter(|text| !text.is_empty());
    let author = meta(&[
        "author",
        "article:author",
        "parsely-author",
        "dc.creator",
        "byl",
        "citation_author",
    ])
    .filter(|name| !name.starts_with("http"))
    .map(|name| name.strip_prefix("By ").unwrap_or(name).to_owned())
    .or(facts.author)
    .or_else(|| byline(dom))
    .map(|name| {
        name[..name.floor_char_boundary(AUTHOR_BYTES_MAX)]
            .trim()
            .to_owned()
    })
    .filter(|name| !name.is_empty());
    let published_at = first_date(
        scan,
        &[
            "article:published_time",
            "datepublished",
            "og:published_time",
            "parsely-pub-date",
            "sailthru.date",
            "citation_publication_date",
            "dcterms.created",
            "dcterms.issued",
            "dc.date.issued",
            "dc.date",
            "dcterms.date",
            "pubdate",
            "publishdate",
            "publish-date",
            "date",
            "article.published",
        ],
    )
    .or_else(|| facts.published.as_deref().and_then(parse_date))
    .or_else(|| time_element(dom, "datepublished"));
    let modified_at = first_date(
        scan,
        &[
            "article:modified_time",
            "datemodified",
            "og:updated_time",
            "dcterms.modified",
            "last-modified",
            "lastmod",
            "article.updated",
        ],
    )
    .or_else(|| facts.modified.as_deref().and_then(parse_date))
    .or_else(|| time_element(dom, "datemodified"));
    Metadata {
        title,
        description,
        author,
        published_at,
        modified_at,
        open_graph: open_graph(scan, limits.open_graph_max),
        structured: serialise(&structured.values, limits.structured_bytes_max),
    }
}

fn find_meta<'a>(scan: &'a PageScan, names: &[&str]) -> Option<&'a str> {
    names.iter().find_map(|name| {
        scan.metas
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, content)| content.as_str())
    })
}

fn first_date(scan: &PageScan, names: &[&str]) -> Option<Timestamp> {
    names.iter().find_map(|name| {
        scan.metas
            .iter()
            .filter(|(key, _)| key == name)
            .find_map(|(_, content)| parse_date(content))
    })
}

fn open_graph(scan: &PageScan, count_max: usize) -> Vec<(String, String)> {
    scan.metas
        .iter()
        .filter(|(key, _)| {
            [
                "og:", "twitter:", "article:", "book:", "product:", "profile:", "video:", "music:",
            ]
            .iter()
            .any(|prefix| key.starts_with(prefix))
        })
        .take(count_max)
        .cloned()
        .collect()
}

/// The only `<h1>` with text, or the first.
fn page_heading(dom: &Dom) -> Option<String> {
    (0..dom.len())
        .filter(|node| dom.tag(*node) == Tag::H1)
        .take(5)
        .map(|node| dom.folded_text(node, 1_000))
        .map(|text| text.trim_end_matches(['¶', '#', '§', ' ']).to_owned())
        .find(|text| !text.is_empty())
}

fn byline(dom: &Dom) -> Option<String> {
    (0..dom.len())
        .filter(|node| dom.tag(*node) != Tag::Text)
        .find(|node| {
            dom.attribute(*node, &local_name!("rel")) == Some("author")
                || dom
                    .attribute(*node, &local_name!("itemprop"))
                    .is_some_and(|property| {
                        property.split_ascii_whitespace().any(|p| p == "author")
                    })
        })
        .map(|node| dom.folded_text(node, AUTHOR_BYTES_MAX))
        .map(|name| name.strip_prefix("By ").unwrap_or(&name).to_owned())
}

/// `<time>` that says it is the date; for publication also the first `<time
/// datetime>` of the page if it is the only one of its kind near the top.
fn time_element(dom: &Dom, property: &str) -> Option<Timestamp> {
    let mut first = None;
    for node in 0..dom.len() {
        let tag = dom.tag(node);
        if tag == Tag::Text {
            continue;
        }
        let says_so = dom
            .attribute(node, &local_name!("itemprop"))
            .is_some_and(|value| {
                value
                    .split_ascii_whitespace()
                    .any(|word| word.eq_ignore_ascii_case(property))
            });
        if !says_so && tag != Tag::Time {
            continue;
        }
        let date = dom
            .attribute(node, &local_name!("datetime"))
            .or_else(|| dom.attribute(node, &local_name!("content")))
            .and_then(parse_date)
            .or_else(|| parse_date(&dom.folded_text(node, 64)));
        if says_so && date.is_some() {
            return date;
        }
        let marked = dom.attribute(node, &"pubdate".into()).is_some() || in_article_head(dom, node);
        if first.is_none() && marked {
            first = date;
        }
    }
    first.filter(|_| property == "datepublished")
}

/// Within an `<article>` or its `<header>`: the date of this text, not of a teaser list.
fn in_article_head(dom: &Dom, node: usize) -> bool {
    let articles = (0..dom.len())
        .filter(|n| dom.tag(*n) == Tag::Article)
        .count();
    articles == 1
        && std::iter::successors(dom.parent(node), |node| dom.parent(*node))
            .any(|ancestor| dom.tag(ancestor) == Tag::Article)
}

/// One JSON array of as many values as fit.
fn serialise(values: &[Value], bytes_max: usize) -> Option<String> {
    let mut json = String::from("[");
    for value in values {
        let one = value.to_string();
        if json.len() + one.len() + 2 > bytes_max {
            continue;
        }
        if json.len() > 1 {
            json.push(',');
        }
        json.push_str(&one);
    }
    json.push(']');
    (json.len() > 2).then_some(json)
}
