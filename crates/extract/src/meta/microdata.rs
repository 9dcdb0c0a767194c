//! Microdata -> JSON in the shape of JSON-LD.

use html5ever::{LocalName, local_name};
use serde_json::{Map, Value};

use crate::html::{Dom, NodeIndex, Tag};

const ITEMS_MAX: usize = 500;
const VALUE_BYTES_MAX: usize = 4 * 1024;

/// Top-level items in document order, at most `bytes_max` bytes of values.
pub(crate) fn items(dom: &Dom, bytes_max: usize) -> Vec<Value> {
    let mut finished: Vec<Value> = Vec::new();
    if !dom.has_microdata {
        return finished;
    }
    let mut open: Vec<OpenItem> = Vec::new();
    let mut count = 0;
    let mut bytes = 0;
    for node in 0..dom.len() {
        while open.last().is_some_and(|item| item.end <= node) {
            close(&mut open, &mut finished);
        }
        if dom.tag(node) == Tag::Text {
            continue;
        }
        let property = dom.attribute(node, &local_name!("itemprop"));
        if dom.attribute(node, &local_name!("itemscope")).is_some() {
            count += 1;
            if count > ITEMS_MAX || bytes > bytes_max {
                break;
            }
            let mut object = Map::new();
            if let Some(kind) = dom.attribute(node, &local_name!("itemtype")) {
                let kind = kind.trim();
                let name = kind
                    .strip_prefix("http://schema.org/")
                    .or_else(|| kind.strip_prefix("https://schema.org/"))
                    .unwrap_or(kind);
                object.insert("@type".to_owned(), Value::String(name.to_owned()));
            }
            open.push(OpenItem {
                end: dom.end(node),
                // Without an enclosing item the property belongs to nothing.
                property: property.filter(|_| !open.is_empty()).map(str::to_owned),
                object,
            });
        } else if let (Some(property), Some(item)) = (property, open.last_mut()) {
            let value = value_of(dom, node);
            bytes += value.len() + property.len();
            if bytes > bytes_max {
                break;
            }
            add(&mut item.object, property, Value::String(value));
        }
    }
    while !open.is_empty() {
        close(&mut open, &mut finished);
    }
    finished
}

struct OpenItem {
    end: NodeIndex,
    property: Option<String>,
    object: Map<String, Value>,
}

fn close(open: &mut Vec<OpenItem>, finished: &mut Vec<Value>) {
    let Some(item) = open.pop() else {
        return;
    };
    let value = Value::Object(item.object);
    match (item.property, open.last_mut()) {
        (Some(property), Some(parent)) => add(&mut parent.object, &property, value),
        _ => finished.push(value),
    }
}

fn add(object: &mut Map<String, Value>, properties: &str, value: Value) {
    for property in properties.split_ascii_whitespace().take(4) {
        match object.get_mut(property) {
            None => {
                object.insert(property.to_owned(), value.clone());
            }
            Some(Value::Array(values)) => values.push(value.clone()),
            Some(single) => {
                let first = single.take();
                *single = Value::Array(vec![first, value.clone()]);
            }
        }
    }
}

/// HTML Standard, "values": by element, else the text.
fn value_of(dom: &Dom, node: NodeIndex) -> String {
    let attribute = |name: LocalName| dom.attribute(node, &name);
    let value = match dom.tag(node) {
        Tag::A | Tag::Area | Tag::Link => attribute(local_name!("href")),
        Tag::Img | Tag::Audio | Tag::Video | Tag::Embed | Tag::Source => {
            attribute(local_name!("src"))
        }
        Tag::Object => attribute(local_name!("data")),
        Tag::Meter => attribute(local_name!("value")),
        Tag::Other if dom.unusual_name(node) == Some(&local_name!("data")) => {
            attribute(local_name!("value"))
        }
        Tag::Time => attribute(local_name!("datetime")),
        _ => None,
    };
    match value.or_else(|| attribute(local_name!("content"))) {
        Some(value) => {
            let value = value.trim();
            value[..value.floor_char_boundary(VALUE_BYTES_MAX)].to_owned()
        }
        None => dom.folded_text(node, VALUE_BYTES_MAX),
    }
}
