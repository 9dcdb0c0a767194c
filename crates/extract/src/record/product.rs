//! Facts of a schema.org `Product` or `ProductGroup`.

use serde_json::Value;
use types::{Availability, Record, RecordKind, Timestamp};

use super::currency::{Unit, currency};
use super::money::{Money, amount_in, checked};
use super::value::{LIST_MAX, Object, date, first_text, fold, local_name, objects, text};

/// Properties that hold a product's number, the seller's own first.
pub(super) const NUMBERS: [&str; 10] = [
    "sku",
    "productID",
    "gtin",
    "gtin13",
    "gtin14",
    "gtin12",
    "gtin8",
    "isbn",
    "mpn",
    "productGroupID",
];

pub(super) fn facts(product: &Object) -> Record {
    let mut offers = Offers::default();
    offers.add_all(product);
    // A group of variants is as cheap as its cheapest variant.
    if offers.offers.is_empty() {
        for variant in objects(product.get("hasVariant")) {
            offers.add_all(variant);
        }
    }
    let best = offers.best();
    Record {
        name: first_text(product, &["name", "title"]),
        category: text(product.get("category")).and_then(|category| category_name(&category)),
        brand: first_text(product, &["brand", "manufacturer"]),
        sku: first_text(product, &NUMBERS).or_else(|| offers.sku.take()),
        price: best
            .as_ref()
            .and_then(|offer| Some(offer.money.as_ref()?.amount)),
        currency: best
            .as_ref()
            .and_then(|offer| offer.money.as_ref()?.currency.map(str::to_owned)),
        availability: offers.availability(),
        expires_at: best.as_ref().and_then(|offer| offer.ends),
        ..Record::new(RecordKind::Product)
    }
}

/// A number alone is a row of some taxonomy, a long address likewise.
pub(super) fn category_name(category: &str) -> Option<String> {
    let named = category.chars().any(char::is_alphabetic) && !super::value::is_address(category);
    named.then(|| category.to_owned())
}

#[derive(Clone, Debug)]
struct Offer {
    money: Option<Money>,
    availability: Option<Availability>,
    ends: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct Offers {
    offers: Vec<Offer>,
    sku: Option<String>,
}

impl Offers {
    fn add_all(&mut self, product: &Object) {
        for offer in objects(product.get("offers")) {
            let nested: Vec<&Object> = objects(offer.get("offers")).collect();
            let stated = own_currency(offer);
            let before = self.offers.len();
            for offer in nested {
                self.add(offer, stated);
            }
            // The lowest price of all counts only when they state none of their own.
            let priced = self.offers[before..].iter().any(|o| o.money.is_some());
            if !priced {
                self.add(offer, None);
            }
        }
    }

    fn add(&mut self, offer: &Object, outer: Option<Unit>) {
        if self.offers.len() >= LIST_MAX {
            return;
        }
        if self.sku.is_none() {
            self.sku = text(offer.get("sku"));
        }
        self.offers.push(Offer {
            money: money(offer, outer),
            availability: text(offer.get("availability")).and_then(|text| availability(&text)),
            ends: date(offer.get("priceValidUntil")).or_else(|| date(offer.get("validThrough"))),
        });
    }

    /// The lowest price of what can be had, in the first currency named; of
    /// all offers when none can.
    fn best(&self) -> Option<Offer> {
        let priced = || self.offers.iter().filter(|offer| offer.money.is_some());
        let currency = priced().find_map(|offer| offer.money.as_ref()?.currency);
        let mut best: Option<((bool, f64), &Offer)> = None;
        for offer in priced() {
            let Some(money) = &offer.money else { continue };
            if money.currency != currency {
                continue;
            }
            let gone = matches!(
                offer.availability,
                Some(Availability::OutOfStock | Availability::Discontinued)
            );
            let rank = (gone, money.amount);
            if best.as_ref().is_none_or(|(lowest, _)| rank < *lowest) {
                best = Some((rank, offer));
            }
        }
        best.map(|(_, offer)| offer.clone())
    }

    /// A product can be had when any offer of it can.
    fn availability(&self) -> Option<Availability> {
        Availability::ALL.into_iter().find(|wanted| {
            self.offers
                .iter()
                .any(|offer| offer.availability == Some(*wanted))
        })
    }
}

fn own_currency(offer: &Object) -> Option<Unit> {
    text(offer.get("priceCurrency")).and_then(|text| currency(&text))
}

fn money(offer: &Object, outer: Option<Unit>) -> Option<Money> {
    let stated = own_currency(offer).or(outer);
    let direct = ["lowPrice", "price"]
        .iter()
        .find_map(|key| amount(offer.get(*key), stated));
    direct.or_else(|| {
        objects(offer.get("priceSpecification"))
            .filter(|specification| !is_former(specification))
            .filter_map(|specification| {
                let unit = own_currency(specification).or(stated);
                ["price", "minPrice"]
                    .iter()
                    .find_map(|key| amount(specification.get(*key), unit))
            })
            .min_by(|a, b| a.amount.total_cmp(&b.amount))
    })
}

/// A list price or a price struck through is not what it costs.
fn is_former(specification: &Object) -> bool {
    text(specification.get("priceType")).is_some_and(|kind| {
        matches!(
            local_name(&kind),
            "ListPrice" | "StrikethroughPrice" | "SRP" | "MSRP" | "RegularPrice"
        )
    })
}

fn amount(value: Option<&Value>, unit: Option<Unit>) -> Option<Money> {
    match value? {
        Value::Number(number) => {
            let amount = number.as_f64()? * unit.map_or(1.0, |unit| unit.factor);
            Some(Money {
                amount: checked(amount)?,
                currency: unit.map(|unit| unit.code),
            })
        }
        Value::String(text) => amount_in(&fold(text)?, unit),
        // Microdata and language-tagged values of a repeated property.
        Value::Array(values) => values
            .iter()
            .take(LIST_MAX)
            .filter(|value| !value.is_array())
            .find_map(|value| amount(Some(value), unit)),
        Value::Object(object) => amount(object.get("@value").filter(|v| !v.is_object()), unit),
        Value::Null | Value::Bool(_) => None,
    }
}

/// schema.org's `ItemAvailability`, with or without its address, and what meta
/// tags and people write instead.
pub(super) fn availability(text: &str) -> Option<Availability> {
    let name: String = local_name(text)
        .chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect();
    Some(match name.as_str() {
        "instock" | "onlineonly" | "instoreonly" | "available" | "auflager" | "موجود" => {
            Availability::InStock
        }
        "limitedavailability" | "limited" | "lowstock" => Availability::Limited,
        "preorder" | "presale" => Availability::PreOrder,
        "backorder" | "madetoorder" | "availablefororder" => Availability::BackOrder,
        "outofstock" | "soldout" | "oos" | "reserved" | "unavailable" | "ناموجود" => {
            Availability::OutOfStock
        }
        "discontinued" => Availability::Discontinued,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn availabilities() {
        for (text, expected) in [
            ("https://schema.org/InStock", Some(Availability::InStock)),
            (
                "http://schema.org/OutOfStock/",
                Some(Availability::OutOfStock),
            ),
            ("InStock", Some(Availability::InStock)),
            ("in stock", Some(Availability::InStock)),
            ("schema:PreOrder", Some(Availability::PreOrder)),
            ("pre_order", Some(Availability::PreOrder)),
            ("Sold out", Some(Availability::OutOfStock)),
            ("ناموجود", Some(Availability::OutOfStock)),
            ("soon", None),
        ] {
            assert_eq!(availability(text), expected, "{text}");
        }
        for known in Availability::ALL {
            assert_eq!(availability(known.as_str()), Some(known));
        }
    }
}
