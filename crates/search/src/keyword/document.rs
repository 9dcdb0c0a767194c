//! The tantivy document of a page.

use tantivy::TantivyDocument;

use super::schema::Fields;
use crate::engine::IndexedPage;

pub(crate) fn build(page: &IndexedPage, fields: &Fields) -> TantivyDocument {
    let mut document = TantivyDocument::new();
    document.add_i64(fields.page, page.page.0);
    document.add_i64(fields.tenant, page.tenant.0);
    document.add_i64(fields.source, page.source.0);
    document.add_text(fields.host, &page.host);
    document.add_text(fields.path, &page.path);
    if let Some(language) = &page.language {
        document.add_text(fields.language, language);
    }
    if let Some(published) = page.published_at {
        document.add_i64(fields.published, published.0);
    }
    for pair in &page.structured {
        document.add_text(fields.structured, pair);
    }
    for entry in &page.facets {
        document.add_text(fields.facet, entry);
    }
    let amounts = [
        (fields.price, page.price),
        (fields.salary_most, page.salary_most),
        (fields.salary_least, page.salary_least),
    ];
    for (field, amount) in amounts {
        if let Some(amount) = amount {
            document.add_f64(field, amount);
        }
    }
    let texts = [
        (fields.title, &page.title),
        (fields.url_words, &page.url_words),
        (fields.body, &page.body),
    ];
    for (field, tokens) in texts {
        if !tokens.is_empty() {
            document.add_text(field, tokens.as_str());
        }
    }
    for heading in &page.headings {
        document.add_text(fields.headings, heading.as_str());
    }
    // In the order of `Fields::searched`.
    for tokens in page.token_counts() {
        document.add_u64(fields.tokens, tokens);
    }
    for (chunk, span) in &page.chunks {
        document.add_i64(fields.chunk, chunk.0);
        document.add_u64(
            fields.chunk_span,
            u64::from(span.start) << 32 | u64::from(span.end),
        );
    }
    document
}
