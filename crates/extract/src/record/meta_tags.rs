//! Facts of OpenGraph's `product:` and `article:` properties.

use types::{Record, RecordKind};

use super::currency::currency;
use super::money::amount_in;
use super::news::byline;
use super::product::{availability, category_name};
use super::value::{fold, is_address};
use crate::html::PageScan;
use crate::meta::parse_date;

/// What `og:type` and its properties state.
///
/// Many systems call every page an `article`, manuals and imprints too, so an
/// article must also have a date of publication, and the page must not be
/// documentation.
pub(super) fn facts(scan: &PageScan, is_documentation: bool) -> Option<Record> {
    let kind = raw(scan, &["og:type"])?.to_ascii_lowercase();
    match kind.trim() {
        "product" | "product.item" | "og:product" => Some(product(scan)),
        "article" | "og:article" | "blog" if !is_documentation => {
            let published_at = parse_date(raw(
                scan,
                &[
                    "article:published_time",
                    "article:published",
                    "og:published_time",
                ],
            )?)?;
            Some(Record {
                name: first(scan, &["og:title"]),
                category: first(scan, &["article:section"]),
                author: first(scan, &["article:author", "author"])
                    .filter(|name| !is_address(name))
                    .and_then(|names| byline(&names)),
                published_at: Some(published_at),
                ..Record::new(RecordKind::News)
            })
        }
        _ => None,
    }
}

fn product(scan: &PageScan) -> Record {
    let unit = first(
        scan,
        &[
            "product:sale_price:currency",
            "product:price:currency",
            "og:price:currency",
        ],
    )
    .and_then(|text| currency(&text));
    let money = first(
        scan,
        &[
            "product:sale_price:amount",
            "product:price:amount",
            "product:price",
            "og:price:amount",
        ],
    )
    .and_then(|text| amount_in(&text, unit));
    Record {
        name: first(scan, &["og:title"]),
        category: first(scan, &["product:category"]).and_then(|name| category_name(&name)),
        brand: first(scan, &["product:brand", "og:brand"]),
        sku: first(
            scan,
            &[
                "product:retailer_item_id",
                "product:sku",
                "product:mfr_part_no",
            ],
        ),
        currency: money
            .as_ref()
            .and_then(|money| money.currency.map(str::to_owned)),
        price: money.map(|money| money.amount),
        availability: first(scan, &["product:availability", "og:availability"])
            .and_then(|text| availability(&text)),
        ..Record::new(RecordKind::Product)
    }
}

fn raw<'a>(scan: &'a PageScan, names: &[&str]) -> Option<&'a str> {
    names.iter().find_map(|name| {
        scan.metas
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, content)| content.as_str())
    })
}

fn first(scan: &PageScan, names: &[&str]) -> Option<String> {
    fold(raw(scan, names)?)
}
