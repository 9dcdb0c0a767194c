//! Rows of pages, and what is counted of them.

use types::{PageId, SourceId, TenantId};

use super::{LIST_SEPARATOR, SearchTables, SearchWriter, ids, list};
use crate::StoreError;
use crate::error::Failure;
use crate::sql::{Connection, execute, params, send};

/// A page as its row has it.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchPage {
    pub page: PageId,
    pub tenant: TenantId,
    pub source: SourceId,
    pub host: String,
    pub path: String,
    pub language: Option<String>,
    /// Milliseconds since 1970.
    pub published_at: Option<i64>,
    pub price: Option<f64>,
    pub salary_most: Option<f64>,
    pub salary_least: Option<f64>,
    /// Tokens of title, headings, body and words of the URL.
    pub tokens: [u64; 4],
    /// Position of the first token of the body in `words`.
    pub body_at: u32,
    /// For each chunk its id, and where its tokens begin and end in the body:
    /// 8, 4 and 4 bytes, big-endian.
    pub chunks: Vec<u8>,
    pub chunk_count: usize,
    /// What is filtered by; each begins with the tenant's number.
    pub structured: Vec<String>,
    pub facets: Vec<String>,
    /// A `tsvector` as text.
    pub words: String,
}

impl SearchWriter {
    /// Replaces what the tables have of `changed` by `pages`, and notes that all
    /// page changes up to `seq` are applied. A conflict when they did not stand
    /// at `from`, or another process follows by now: nothing is written then.
    pub fn apply_pages(
        &self,
        from: i64,
        seq: i64,
        changed: &[PageId],
        pages: &[SearchPage],
    ) -> Result<(), StoreError> {
        self.batch(SearchTables::Pages, (from, 0), (seq, 0), |connection| {
            let changed = ids(changed.iter().map(|page| page.0));
            take_out(connection, &changed)?;
            for page in pages {
                insert(connection, page)?;
            }
            let added = ids(pages.iter().map(|page| page.page.0));
            execute(connection, COUNT_WORDS_IN, [&added])?;
            execute(connection, COUNT_PAGES_IN, [&added])?;
            Ok(())
        })
    }

    /// Drops all rows; following begins anew.
    pub fn clear_pages(&self) -> Result<(), StoreError> {
        self.alone("empty search tables", |connection| {
            for table in ["search_pages", "search_words", "search_corpora"] {
                execute(connection, &format!("DELETE FROM {table}"), [])?;
            }
            let sql = "UPDATE search_progress SET page_seq = 0 WHERE tables = ?1";
            execute(connection, sql, [SearchTables::Pages.name()])?;
            Ok(())
        })
    }
}

/// Drops the rows of pages, and what is counted of them.
pub(super) fn take_out(connection: &Connection, gone: &str) -> Result<(), Failure> {
    execute(connection, COUNT_WORDS_OUT, [gone])?;
    execute(connection, COUNT_PAGES_OUT, [gone])?;
    execute(connection, REMOVE, [gone])?;
    Ok(())
}

const REMOVE: &str = "
    DELETE FROM search_pages
    WHERE page_id = ANY(CAST(string_to_array(?1, ',') AS BIGINT[]))";

/// Signs but `~` stand in lexemes without positions, hence without weights.
macro_rules! count_words {
    ($sign:literal) => {
        concat!(
            "INSERT INTO search_words AS w (word, title, headings, body, url)
             SELECT l.lexeme, ",
            $sign,
            "count(*) FILTER (WHERE 'A' = ANY(l.weights)), ",
            $sign,
            "count(*) FILTER (WHERE 'B' = ANY(l.weights)), ",
            $sign,
            "count(*) FILTER (WHERE 'D' = ANY(l.weights)), ",
            $sign,
            "count(*) FILTER (WHERE 'C' = ANY(l.weights))
             FROM search_pages p JOIN LATERAL unnest(p.words) l ON TRUE
             WHERE p.page_id = ANY(CAST(string_to_array(?1, ',') AS BIGINT[]))
               AND l.weights IS NOT NULL
             GROUP BY l.lexeme
             ON CONFLICT (word) DO UPDATE SET title = w.title + excluded.title,
               headings = w.headings + excluded.headings, body = w.body + excluded.body,
               url = w.url + excluded.url"
        )
    };
}

macro_rules! count_pages {
    ($sign:literal) => {
        concat!(
            "INSERT INTO search_corpora AS c (tenant_id, language, pages, chunks, title_tokens,
               heading_tokens, body_tokens, url_tokens)
             SELECT tenant_id, coalesce(language, ''), ",
            $sign,
            "count(*), ",
            $sign,
            "sum(chunk_count), ",
            $sign,
            "sum(title_tokens), ",
            $sign,
            "sum(heading_tokens), ",
            $sign,
            "sum(body_tokens), ",
            $sign,
            "sum(url_tokens)
             FROM search_pages
             WHERE page_id = ANY(CAST(string_to_array(?1, ',') AS BIGINT[]))
             GROUP BY 1, 2
             ON CONFLICT (tenant_id, language) DO UPDATE SET pages = c.pages + excluded.pages,
               chunks = c.chunks + excluded.chunks,
               title_tokens = c.title_tokens + excluded.title_tokens,
               heading_tokens = c.heading_tokens + excluded.heading_tokens,
               body_tokens = c.body_tokens + excluded.body_tokens,
               url_tokens = c.url_tokens + excluded.url_tokens"
        )
    };
}

const COUNT_WORDS_OUT: &str = count_words!("-");
const COUNT_WORDS_IN: &str = count_words!("");
const COUNT_PAGES_OUT: &str = count_pages!("-");
const COUNT_PAGES_IN: &str = count_pages!("");

fn insert(connection: &Connection, page: &SearchPage) -> Result<(), Failure> {
    debug_assert_eq!(LIST_SEPARATOR, '\u{1e}', "as the statement splits");
    let tokens = page
        .tokens
        .map(|count| i64::try_from(count).unwrap_or(i64::MAX));
    send(
        connection,
        "INSERT INTO search_pages (page_id, tenant_id, source_id, host, path, language,
           published_at, price, salary_most, salary_least, title_tokens,
           heading_tokens, body_tokens, url_tokens, body_at, chunks, chunk_count, structured,
           facets, words)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,
           string_to_array(?18, chr(30)), string_to_array(?19, chr(30)),
           CAST(CAST(?20 AS TEXT) AS tsvector))",
        params![
            page.page.0,
            page.tenant.0,
            page.source.0,
            page.host,
            page.path,
            page.language,
            page.published_at,
            page.price,
            page.salary_most,
            page.salary_least,
            tokens[0],
            tokens[1],
            tokens[2],
            tokens[3],
            page.body_at,
            page.chunks,
            u32::try_from(page.chunk_count).unwrap_or(u32::MAX),
            list(&page.structured),
            list(&page.facets),
            page.words
        ],
    )
}
