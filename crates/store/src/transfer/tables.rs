//! Every table of the schema: its columns, and to whom its rows belong.
//!
//! A table or a column that is missing here fails a test. Tables stand in the
//! order in which they are written: what is referred to comes first.

use super::belongs::Belongs;
use crate::sql::Kind;

/// A table with durable state.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    /// The first so many columns are the primary key: integers and texts,
    /// which both engines order alike.
    pub(super) key: usize,
    pub(super) columns: &'static [Column],
    pub(super) belongs: Belongs,
}

#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
}

impl Table {
    /// What the rows have to be; the others are about the database itself.
    pub(super) fn only(&self) -> Option<&'static str> {
        (self.name == "meta").then_some("key NOT IN ('database_id', 'move', 'compatible_from')")
    }

    /// The columns as a statement lists them.
    pub(super) fn column_list(&self) -> String {
        names(self.columns)
    }

    /// The columns of the primary key.
    pub(super) fn key_list(&self) -> String {
        names(&self.columns[..self.key])
    }
}

fn names(columns: &[Column]) -> String {
    let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
    names.join(", ")
}

/// Tables that describe one database, or the processes that have it open.
#[cfg(test)]
pub(super) const TABLES_LEFT_OUT: &[&str] = &[
    "schema_migrations",
    "schema_steps",
    "task_leases",
    "commits",
    "instances",
];

/// Columns that say which process is at work on a row: they arrive empty.
#[cfg(test)]
pub(super) const COLUMNS_LEFT_OUT: &[(&str, &str)] =
    &[("hosts", "lease_owner"), ("hosts", "lease_until")];

macro_rules! tables {
    ($($name:ident $key:literal $belongs:expr => { $($column:ident $kind:ident,)* })*) => {
        &[$(Table {
            name: stringify!($name),
            key: $key,
            belongs: $belongs,
            columns: &[$(Column { name: stringify!($column), kind: tables!(kind $kind) },)*],
        },)*]
    };
    (kind int) => { Kind::Integer };
    (kind real) => { Kind::Real };
    (kind text) => { Kind::Text };
    (kind bytes) => { Kind::Bytes };
}

use Belongs::{ByTask, Database, Shared, Source, Tenant, Through};

/// Rows that belong to the source of the page that they name.
const PAGE: Belongs = Through("page_id", "pages");

pub(super) const TABLES: &[Table] = tables! {
    meta 1 Database => { key text, value text, }
    counters 1 Database => { name text, value int, }
    paused_queues 1 Database => { kind text, paused_at int, }
    publisher 1 Database => { id int, origin text, active int, since int, wanted_until int, }
    tenants 1 Tenant => {
        id int, name text, created_at int, active int, pages_max int, sources_max int,
        requests_per_minute int, tokens_per_day int, pages int, pages_live int, chunks int,
        sources int, data_version int, tokens_warned_day int, tokens_exhausted_day int,
    }
    tenant_shares 1 Tenant => {
        tenant_id int, weight int, running_max int, pass int, queued int, running int,
    }
    task_counts 2 Tenant => {
        tenant_id int, kind text, scheduled int, queued int, running int, succeeded int,
        failed int, cancelled int, dead int, enqueued_ever int, succeeded_ever int,
        failed_ever int, cancelled_ever int, dead_ever int,
    }
    api_keys 1 Tenant => {
        id int, tenant_id int, hash bytes, prefix text, name text, scopes int, created_at int,
        expires_at int, revoked_at int, last_used_at int,
    }
    usage 3 Tenant => { tenant_id int, day int, metric text, amount int, }
    llm_use 4 Tenant => {
        tenant_id int, day int, model text, purpose text, requests int, succeeded int,
        failed int, fallback int, retries int, tokens_in int, tokens_out int, took_ms int,
    }
    llm_reservations 1 Tenant => {
        id int, tenant_id int, tokens int, live_until int, settled int,
    }
    sources 1 Source("id") => {
        id int, tenant_id int, name text, seeds text, seeds_hash bytes, policy text,
        created_at int, pages_live int, kind text, active int, every_ms int, cron text,
        interval_min_ms int, interval_max_ms int, interval_ms int, next_due_at int,
        last_crawled_at int, failures_in_a_row int, trouble text, settings text,
        removed_at int, purging int,
    }
    crawls 1 Source("source_id") => {
        id int, tenant_id int, source_id int, status text, started_at int, finished_at int,
        found int, fetched int, added int, updated int, unchanged int, failed int, skipped int,
        queued int, bytes int, active_ms int, policy text, error text, cancel_requested int,
        task_id int, listed int,
    }
    crawl_reasons 3 Through("crawl_id", "crawls") => {
        crawl_id int, class text, reason text, count int, examples text,
    }
    hosts 1 Shared(&[("frontier", "host_id")]) => {
        id int, key text, robots_status int, robots_body bytes, robots_fetched_at int,
    }
    host_breakers 2 Tenant => {
        tenant_id int, host text, broken_since int, open_until int,
    }
    frontier 1 Through("crawl_id", "crawls") => {
        id int, tenant_id int, crawl_id int, host_id int, state int, kind int, depth int,
        attempt int, not_before int, url_hash int, url text, status int, class text,
        reason text, detail text, redirect_to text,
    }
    contents 1 Shared(&[("pages", "content_id"), ("page_versions", "content_id")]) => {
        id int, tenant_id int, content_hash bytes, body_hash bytes, holder_page_id int,
        text_bytes int, body bytes,
    }
    pages 1 Source("source_id") => {
        id int, tenant_id int, source_id int, content_id int, status int, url text, host text,
        title text, description text, author text, published_at int, modified_at int,
        language text, canonical text, content_hash bytes, simhash int, version int, etag text,
        last_modified text, content_type text, fetched_at int, changed_at int,
        first_seen_at int, near_duplicate_of int, chunk_count int, meta_hash int,
        links_hash int, change_seq int, summarized_hash bytes,
    }
    page_details 1 PAGE => { page_id int, facts bytes, links bytes, }
    page_versions 2 PAGE => {
        page_id int, version int, content_id int, title text, seen_at int, raw_key text,
    }
    raw_removals 1 Database => { key text, due_at int, doomed int, }
    simhash_bands 3 PAGE => { tenant_id int, band int, page_id int, simhash int, }
    chunks 1 PAGE => {
        id int, tenant_id int, page_id int, position int, start_byte int, end_byte int,
        tokens int, embed_state int, hash bytes, language text, section text,
        heading_path text, keywords text, tldr text, embed_error text,
    }
    vectors 1 PAGE => {
        id int, tenant_id int, page_id int, change_seq int, scale real, codes bytes,
    }
    vector_cache 1 Database => {
        id int, model text, text_hash bytes, created_at int, scale real, codes bytes,
    }
    page_notes 1 PAGE => {
        page_id int, tenant_id int, favorite int, applied int, updated_at int, status text,
        tags text, notes text,
    }
    page_tags 3 PAGE => { tenant_id int, tag text, page_id int, }
    summaries 1 PAGE => {
        page_id int, tenant_id int, state int, created_at int, content_hash bytes,
        prompt_version int, tokens_in int, tokens_out int, took_ms int, calls int, model text,
        language text, category text, error text, title text, summary text, key_points text,
        entities text,
    }
    records 3 Source("source_id") => {
        tenant_id int, kind int, page_id int, source_id int, published_at int, expires_at int,
        price real, salary_year_min real, salary_year_max real, remote int, availability int,
        category text, brand text, company text, location text, employment_type text,
        currency text, salary_currency text, author text, name text, sku text,
        salary_min real, salary_max real, salary_period int, skills text,
    }
    tasks 1 ByTask => {
        id int, tenant_id int, state int, rank int, run_at int, epoch int, attempt int,
        attempts_max int, timeout_ms int, rescues int, rescue_completed int,
        cancel_requested int, enqueued_at int, started_at int, finished_at int, parent_id int,
        kind text, owner text, dedupe text, error text, waiting_for text, payload text,
        result text,
    }
    task_progress 1 Through("task_id", "tasks") => {
        task_id int, seq int, completed int, total int, errors int, current text,
    }
    outboxes 1 Tenant => { tenant_id int, events int, last_event int, }
    publications 1 Tenant => {
        tenant_id int, event_cursor int, waiting int, dropped int, gap int, gap_at int,
    }
    events 1 Source("source_id") => {
        id int, tenant_id int, type int, source_id int, created_at int, payload text,
    }
    webhooks 1 Tenant => {
        id int, tenant_id int, url text, description text, events int, active int,
        secret bytes, old_secret bytes, old_secret_until int, created_at int, updated_at int,
        disabled_at int, disabled_reason text, event_cursor int, not_before int,
        failures_in_a_row int, dead_since int, trouble text, last_delivered_at int,
        last_failed_at int, pending int, delivered int, dead int,
    }
    webhook_deliveries 1 Source("source_id") => {
        id int, webhook_id int, tenant_id int, source_id int, state int, types int,
        first_event int, last_event int, event_count int, attempts int, next_at int,
        created_at int, last_attempt_at int, finished_at int, status int, duration_ms int,
        error text, response text,
    }
};
