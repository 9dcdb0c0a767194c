//! Facts of a schema.org article that is news.

use types::{Record, RecordKind};

use super::value::{Object, date, first_text, names, text};

pub(super) fn facts(article: &Object) -> Record {
    Record {
        name: first_text(article, &["headline", "name"]),
        category: text(article.get("articleSection")),
        author: names(article.get("author"))
            .or_else(|| names(article.get("creator")))
            .and_then(|names| byline(&names)),
        published_at: date(article.get("datePublished")),
        ..Record::new(RecordKind::News)
    }
}

/// Authors without the `By` that stands before them.
pub(super) fn byline(names: &str) -> Option<String> {
    let names = names.strip_prefix("By ").unwrap_or(names).trim();
    (!names.is_empty()).then(|| names.to_owned())
}
