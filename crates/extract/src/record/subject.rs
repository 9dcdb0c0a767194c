//! Which object of a page's structured data the page is about.
//!
//! Sites state far more than their subject: the publisher, breadcrumbs, related
//! articles, the twenty products of a category. The rules, in order:
//!
//! 1. Looked at are the objects at top level, of `@graph`, and what a page
//!    object names as its `mainEntity`. What is nested elsewhere (a list's
//!    items, related products, the item of a review) is not the subject.
//! 2. A `mainEntity` that is a job, a product or news is the subject.
//! 3. Else, of each kind: the only object of it, or the only one whose address
//!    is the page's. Several that bear one name state one thing twice and are
//!    read together. Several others are a listing: no record of this kind.
//! 4. A page that says it is a listing (`CollectionPage`, `SearchResultsPage`,
//!    or a list as `mainEntity`) has a record only by its address.
//! 5. Job beats product beats news. The rarer statement is the more deliberate
//!    one: content systems call every page an article, shop systems mark what
//!    is for sale, and nobody calls a page a job posting by default.

use types::RecordKind;
use url::Url;

use super::value::{LIST_MAX, Object, items, local_name, objects, text, types};

/// Objects looked at; product lists hold thousands.
const OBJECTS_MAX: usize = 200;

/// The kind of record an object states, by its `@type`.
///
/// News are articles of newspapers, magazines and blogs. Not news, though
/// schema.org derives them from `Article`: `TechArticle` and `APIReference`
/// (documentation), `ScholarlyArticle` (papers), `Report`, posts of forums and
/// social networks. An object that has such a type as well is no news either.
///
/// A product is something for sale. Rating widgets call whatever they stand
/// under a `Product`: one with ratings or reviews but neither an offer nor a
/// number is none.
pub(super) fn kind_of(object: &Object) -> Option<RecordKind> {
    let mut kind = None;
    let mut other_text = false;
    for name in types(object).take(8) {
        let found = match name {
            "JobPosting" => RecordKind::Job,
            "Product" | "ProductGroup" | "ProductModel" | "IndividualProduct" | "SomeProducts"
            | "Vehicle" | "Car" | "Motorcycle" => RecordKind::Product,
            "Article"
            | "NewsArticle"
            | "BlogPosting"
            | "LiveBlogPosting"
            | "ReportageNewsArticle"
            | "AnalysisNewsArticle"
            | "BackgroundNewsArticle"
            | "OpinionNewsArticle"
            | "ReviewNewsArticle"
            | "AskPublicNewsArticle"
            | "SatiricalArticle"
            | "AdvertiserContentArticle" => RecordKind::News,
            _ => {
                other_text |= is_other_text(name);
                continue;
            }
        };
        if kind.is_none_or(|known| rank(found) < rank(known)) {
            kind = Some(found);
        }
    }
    kind.filter(|kind| match kind {
        RecordKind::Job => true,
        RecordKind::Product => !is_only_rated(object),
        RecordKind::News => !other_text,
    })
}

fn is_only_rated(object: &Object) -> bool {
    let has = |keys: &[&str]| keys.iter().any(|key| object.contains_key(*key));
    has(&["aggregateRating", "review", "reviews"])
        && !has(&["offers", "hasVariant"])
        && !has(&super::product::NUMBERS)
}

fn is_other_text(name: &str) -> bool {
    matches!(
        name,
        "TechArticle"
            | "APIReference"
            | "ScholarlyArticle"
            | "MedicalScholarlyArticle"
            | "Report"
            | "SocialMediaPosting"
            | "DiscussionForumPosting"
    )
}

fn rank(kind: RecordKind) -> u8 {
    match kind {
        RecordKind::Job => 0,
        RecordKind::Product => 1,
        RecordKind::News => 2,
    }
}

/// What structured data says a page is about.
#[derive(Debug)]
pub(super) struct Subject<'a> {
    pub(super) kind: RecordKind,
    /// At least one; the first states most, the others fill its gaps.
    pub(super) objects: Vec<&'a Object>,
}

/// What was found out about a page's statements.
#[derive(Debug, Default)]
pub(super) struct Statements<'a> {
    objects: Vec<&'a Object>,
    main: Vec<&'a Object>,
    is_listing: bool,
    /// Says of itself that it is documentation, a paper or a forum's thread.
    pub(super) is_other_text: bool,
}

impl<'a> Statements<'a> {
    pub(super) fn read(values: &'a [serde_json::Value]) -> Statements<'a> {
        let mut read = Statements::default();
        for value in values {
            if read.objects.len() >= OBJECTS_MAX {
                break;
            }
            // `[{…}]` and `{"@graph": […]}`, the latter within the former too.
            for object in objects(Some(value)) {
                read.add(object);
                for inner in objects(object.get("@graph")) {
                    read.add(inner);
                }
            }
        }
        let pages: Vec<&Object> = read
            .objects
            .iter()
            .copied()
            .filter(|object| object.contains_key("mainEntity"))
            .collect();
        for page in pages {
            for entity in objects(page.get("mainEntity")).take(LIST_MAX) {
                let entity = read.resolved(entity);
                read.is_listing |= is_listing(entity);
                read.main.push(entity);
            }
        }
        read
    }

    fn add(&mut self, object: &'a Object) {
        if self.objects.len() >= OBJECTS_MAX {
            return;
        }
        self.is_listing |= is_listing_page(object);
        self.is_other_text |= types(object).take(8).any(is_other_text);
        self.objects.push(object);
    }

    /// `{"@id": "#product"}` stands for the object of that name.
    fn resolved(&self, object: &'a Object) -> &'a Object {
        let id = object.get("@id").and_then(|id| id.as_str());
        let is_reference = !object.contains_key("@type");
        id.filter(|_| is_reference)
            .and_then(|id| {
                self.objects.iter().copied().find(|known| {
                    known.contains_key("@type")
                        && known.get("@id").and_then(|own| own.as_str()) == Some(id)
                })
            })
            .unwrap_or(object)
    }

    /// The subject, by the rules at the top of this file. `addresses` are the
    /// page's own.
    pub(super) fn subject(&self, addresses: &[Url]) -> Option<Subject<'a>> {
        let kinds = [RecordKind::Job, RecordKind::Product, RecordKind::News];
        kinds
            .into_iter()
            .find_map(|kind| one_of(&self.main, kind, addresses, false))
            .or_else(|| {
                kinds
                    .into_iter()
                    .find_map(|kind| one_of(&self.objects, kind, addresses, self.is_listing))
            })
    }
}

fn one_of<'a>(
    objects: &[&'a Object],
    kind: RecordKind,
    addresses: &[Url],
    by_address_only: bool,
) -> Option<Subject<'a>> {
    let of_kind: Vec<&Object> = objects
        .iter()
        .copied()
        .filter(|object| kind_of(object) == Some(kind))
        .collect();
    let groups: Vec<&Object> = of_kind
        .iter()
        .copied()
        .filter(|object| types(object).any(|name| name == "ProductGroup"))
        .collect();
    // Beside their group, products are its variants.
    let candidates = if groups.is_empty() { of_kind } else { groups };
    let same = |objects: Vec<&'a Object>| {
        let first = name_of(objects.first()?);
        let alike = objects.iter().all(|object| name_of(object) == first);
        (objects.len() == 1 || (alike && first.is_some())).then_some(objects)
    };
    let here = || {
        candidates
            .iter()
            .copied()
            .filter(|object| is_at(object, addresses))
            .collect()
    };
    let objects = if by_address_only {
        same(here())
    } else {
        same(candidates.clone()).or_else(|| same(here()))
    }?;
    Some(Subject { kind, objects })
}

fn name_of(object: &Object) -> Option<String> {
    ["headline", "title", "name"]
        .iter()
        .find_map(|key| text(object.get(*key)))
}

/// Whether an object says that its address is one of these.
fn is_at(object: &Object, addresses: &[Url]) -> bool {
    let page = objects(object.get("mainEntityOfPage")).next();
    let stated = ["url", "@id", "mainEntityOfPage"]
        .iter()
        .flat_map(|key| items(object.get(*key)))
        .filter_map(|value| value.as_str())
        .chain(
            page.into_iter()
                .flat_map(|page| ["@id", "url"].map(|key| page.get(key)))
                .flatten()
                .filter_map(|value| value.as_str()),
        );
    let mut stated = stated.take(8);
    stated.any(|address| {
        addresses.iter().any(|own| {
            // `#product` is an object's name within any page.
            !address.trim().starts_with('#')
                && !address.trim().is_empty()
                && own
                    .join(address.trim())
                    .is_ok_and(|url| same_page(&url, own))
        })
    })
}

/// The same host, path and query; a trailing `/` and the scheme aside.
fn same_page(a: &Url, b: &Url) -> bool {
    a.host_str() == b.host_str()
        && a.path().trim_end_matches('/') == b.path().trim_end_matches('/')
        && a.query() == b.query()
}

fn is_listing_page(object: &Object) -> bool {
    types(object)
        .take(8)
        .any(|name| matches!(local_name(name), "CollectionPage" | "SearchResultsPage"))
}

fn is_listing(object: &Object) -> bool {
    types(object).take(8).any(|name| {
        matches!(
            name,
            "ItemList" | "OfferCatalog" | "ProductCollection" | "Blog"
        )
    })
}
