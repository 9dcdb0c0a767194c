//! The tables themselves.

use super::{LEASE_S, LOCK_WAIT_MS, SEARCH_TURN, SearchTables};
use crate::error::{Failure, StoreError, StoreErrorKind};
use crate::sql::{Connection, execute, first, params};

/// The oldest pgvector that scans an index on until a filter lets enough pass.
const VECTOR_VERSION_MIN: (u32, u32) = (0, 8);

const PROGRESS: &str = "
CREATE TABLE IF NOT EXISTS search_progress (
  tables TEXT COLLATE \"C\" PRIMARY KEY,
  made_by TEXT COLLATE \"C\" NOT NULL,
  page_seq BIGINT NOT NULL DEFAULT 0,
  vector_seq BIGINT NOT NULL DEFAULT 0,
  follower TEXT COLLATE \"C\" NOT NULL DEFAULT '',
  held_until TIMESTAMPTZ NOT NULL DEFAULT '-infinity'
);";

/// A lexeme of `words` is the tenant's number, a sign and a word, so that what
/// one tenant has lies apart from what others have. The sign `~` says that the
/// word is in the page, with weights A (title), B (headings), C (words of the
/// URL) and D (body); `^` and `#` that it is in the title or a heading.
const PAGES: &str = "
CREATE TABLE search_pages (
  page_id BIGINT PRIMARY KEY,
  tenant_id BIGINT NOT NULL,
  source_id BIGINT NOT NULL,
  host TEXT COLLATE \"C\" NOT NULL,
  path TEXT COLLATE \"C\" NOT NULL,
  language TEXT COLLATE \"C\",
  published_at BIGINT,
  price DOUBLE PRECISION,
  salary_most DOUBLE PRECISION,
  salary_least DOUBLE PRECISION,
  title_tokens BIGINT NOT NULL,
  heading_tokens BIGINT NOT NULL,
  body_tokens BIGINT NOT NULL,
  url_tokens BIGINT NOT NULL,
  body_at BIGINT NOT NULL,
  chunks BYTEA NOT NULL,
  chunk_count BIGINT NOT NULL,
  structured TEXT[] COLLATE \"C\" NOT NULL,
  facets TEXT[] COLLATE \"C\" NOT NULL,
  words TSVECTOR NOT NULL
);
-- In how many pages a word is, by field: what a word is worth, and what a prefix stands for.
CREATE TABLE search_words (
  word TEXT COLLATE \"C\" PRIMARY KEY,
  title BIGINT NOT NULL,
  headings BIGINT NOT NULL,
  body BIGINT NOT NULL,
  url BIGINT NOT NULL
) WITH (fillfactor = 80);
CREATE TABLE search_corpora (
  tenant_id BIGINT NOT NULL,
  language TEXT COLLATE \"C\" NOT NULL,
  pages BIGINT NOT NULL,
  chunks BIGINT NOT NULL,
  title_tokens BIGINT NOT NULL,
  heading_tokens BIGINT NOT NULL,
  body_tokens BIGINT NOT NULL,
  url_tokens BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, language)
) WITH (fillfactor = 80);";

const PAGE_INDEXES: &[(&str, &str)] = &[
    ("search_pages_words", "search_pages USING gin (words)"),
    (
        "search_pages_structured",
        "search_pages USING gin (structured)",
    ),
    ("search_pages_source", "search_pages (source_id)"),
    ("search_pages_host", "search_pages (tenant_id, host, path)"),
    (
        "search_pages_published",
        "search_pages (tenant_id, published_at)",
    ),
];

const VECTOR_INDEXES: &[(&str, &str)] = &[
    ("search_vectors_tenant", "search_vectors (tenant_id)"),
    ("search_vectors_page", "search_vectors (page_id)"),
];

/// The graph, which comes last: over rows that are there it is built in a
/// fraction of the time in which they are added to it one by one.
const NEAR_INDEX: (&str, &str) = (
    "search_vectors_near",
    "search_vectors USING hnsw (embedding halfvec_cosine_ops) WITH (m = 16, ef_construction = 64)",
);
/// Whose turn it is to build it, as a row of `search_progress`.
const GRAPH: &str = "graph";
/// Memory that building it may take. Beyond what there is it is built on disk, far more slowly.
const NEAR_MEMORY_MAX: i64 = 1 << 30;

/// `embedding` has the codes of the vector; `scale` makes components of them,
/// and matters to no angle. The id is that of the vector in `vectors`.
fn vectors(dims: usize) -> String {
    // Beside the row rather than elsewhere, where a block has room for it.
    let inline = if dims <= 3_000 {
        "ALTER TABLE search_vectors ALTER COLUMN embedding SET STORAGE PLAIN;"
    } else {
        ""
    };
    format!(
        "CREATE TABLE search_vectors (
           id BIGINT PRIMARY KEY,
           tenant_id BIGINT NOT NULL,
           page_id BIGINT NOT NULL,
           scale DOUBLE PRECISION NOT NULL,
           embedding halfvec({dims}) NOT NULL
         );
         {inline}
         -- Vectors of full texts and of all, by tenant.
         CREATE TABLE search_passages (
           tenant_id BIGINT PRIMARY KEY,
           passages BIGINT NOT NULL,
           vectors BIGINT NOT NULL
         ) WITH (fillfactor = 80);"
    )
}

pub(super) fn exists(connection: &Connection, name: &str) -> Result<bool, Failure> {
    let sql = "SELECT to_regclass(?1) IS NOT NULL";
    Ok(first(connection, sql, [name], |row| row.get(0))?.unwrap_or(false))
}

pub(super) fn extension_version(connection: &Connection) -> Result<Option<String>, Failure> {
    let sql = "SELECT CAST(extversion AS TEXT) FROM pg_extension WHERE extname = 'vector'";
    first(connection, sql, [], |row| row.get(0))
}

/// Makes what is missing; see [`crate::Store::search_writer`].
pub(super) fn make(
    connection: &Connection,
    tables: SearchTables,
    made_by: &str,
    dims: usize,
) -> Result<(), Failure> {
    if !is_made(connection, tables, made_by)? {
        let server = server(connection)?;
        server.begin_alone(SEARCH_TURN, LOCK_WAIT_MS)?;
        let made =
            make_tables(connection, tables, made_by, dims).and_then(|()| connection.commit(false));
        if made.is_err() {
            connection.roll_back();
        }
        made?;
    }
    let indexes = match tables {
        SearchTables::Pages => PAGE_INDEXES,
        SearchTables::Vectors => VECTOR_INDEXES,
    };
    for (name, on) in indexes {
        make_index(connection, name, on)?;
    }
    Ok(())
}

fn server(connection: &Connection) -> Result<&crate::postgres::Connection, Failure> {
    match connection {
        Connection::Postgres(server) => Ok(server),
        Connection::Sqlite(_) => Err(Failure::bug("search tables of an embedded database")),
    }
}

fn is_made(connection: &Connection, tables: SearchTables, made_by: &str) -> Result<bool, Failure> {
    if !exists(connection, "search_progress")? {
        return Ok(false);
    }
    let progress = super::progress(connection, tables)?;
    let table = match tables {
        SearchTables::Pages => "search_pages",
        SearchTables::Vectors => "search_vectors",
    };
    Ok(progress.is_some_and(|p| p.made_by == made_by) && exists(connection, table)?)
}

/// In one transaction, with the turn: whoever comes second finds them made.
fn make_tables(
    connection: &Connection,
    tables: SearchTables,
    made_by: &str,
    dims: usize,
) -> Result<(), Failure> {
    if is_made(connection, tables, made_by)? {
        return Ok(());
    }
    let server = server(connection)?;
    server.run_batch(PROGRESS)?;
    match tables {
        SearchTables::Pages => {
            server.run_batch("DROP TABLE IF EXISTS search_pages, search_words, search_corpora")?;
            server.run_batch(PAGES)?;
            for (name, on) in PAGE_INDEXES {
                server.run_batch(&format!("CREATE INDEX {name} ON {on}"))?;
            }
        }
        SearchTables::Vectors => {
            check_extension(connection)?;
            server.run_batch("DROP TABLE IF EXISTS search_vectors, search_passages")?;
            server.run_batch(&vectors(dims))?;
            for (name, on) in VECTOR_INDEXES {
                server.run_batch(&format!("CREATE INDEX {name} ON {on}"))?;
            }
        }
    }
    let sql = "INSERT INTO search_progress (tables, made_by) VALUES (?1, ?2)
               ON CONFLICT (tables) DO UPDATE SET made_by = excluded.made_by,
                 page_seq = 0, vector_seq = 0, follower = '', held_until = '-infinity'";
    execute(connection, sql, params![tables.name(), made_by])?;
    Ok(())
}

fn check_extension(connection: &Connection) -> Result<(), Failure> {
    let missing =
        |message: String| Failure::Store(StoreError::new(StoreErrorKind::Conflict, message));
    let advice = "install pgvector 0.8 or newer on the server and run `CREATE EXTENSION vector` \
                  in the database, or set search.vectors = \"local\"";
    let version = match extension_version(connection)? {
        Some(version) => version,
        None => {
            server(connection)?
                .run_batch("CREATE EXTENSION IF NOT EXISTS vector")
                .map_err(|_| missing(format!("the extension vector is not there; {advice}")))?;
            extension_version(connection)?.unwrap_or_default()
        }
    };
    let mut numbers = version.split('.').map(|part| part.parse().unwrap_or(0));
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if found < VECTOR_VERSION_MIN {
        return Err(missing(format!(
            "the extension vector is of version {version}; {advice}"
        )));
    }
    Ok(())
}

/// True when the graph is there and searches use it.
pub(super) fn has_near_index(connection: &Connection) -> Result<bool, Failure> {
    Ok(is_valid(connection, NEAR_INDEX.0)? == Some(true))
}

/// Memory for building the graph over what is there now, in kilobytes; `None`
/// where what the server gives is enough.
pub(super) fn near_memory_kb(connection: &Connection) -> Result<Option<i64>, Failure> {
    // The rows, their neighbours in the graph, and as much as half of that to spare.
    let sql = "SELECT 2 * pg_relation_size('search_vectors'),
                 (SELECT CAST(setting AS BIGINT) * 1024 FROM pg_settings
                  WHERE name = 'maintenance_work_mem')";
    let found: Option<(i64, i64)> =
        first(connection, sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (wanted, given) = found.unwrap_or_default();
    let wanted = wanted.min(NEAR_MEMORY_MAX);
    Ok((wanted > given).then_some(wanted / 1024))
}

/// Builds the graph where it is missing; `connection` may take its time. False
/// while somebody else builds it: two at a time would wait for each other.
pub(super) fn make_near_index(connection: &Connection, builder: &str) -> Result<bool, Failure> {
    let sql = "INSERT INTO search_progress (tables, made_by) VALUES (?1, '')
               ON CONFLICT (tables) DO NOTHING";
    execute(connection, sql, [GRAPH])?;
    // Whoever has just taken it has not begun yet.
    let sql = format!(
        "UPDATE search_progress SET follower = ?2,
           held_until = now() + make_interval(secs => {LEASE_S})
         WHERE tables = ?1 AND held_until < now() AND NOT EXISTS (
           SELECT 1 FROM pg_stat_progress_create_index
           WHERE relid = to_regclass('search_vectors'))
         RETURNING 1"
    );
    if first(connection, &sql, [GRAPH, builder], |_| Ok(()))?.is_none() {
        return Ok(false);
    }
    let made = make_index(connection, NEAR_INDEX.0, NEAR_INDEX.1);
    let sql = "UPDATE search_progress SET held_until = '-infinity'
               WHERE tables = ?1 AND follower = ?2";
    execute(connection, sql, [GRAPH, builder])?;
    made?;
    // After so many rows at once, rather than when the server gets round to it.
    server(connection)?.run_batch("ANALYZE search_vectors")?;
    Ok(true)
}

fn is_valid(connection: &Connection, index: &str) -> Result<Option<bool>, Failure> {
    let sql = "SELECT i.indisvalid FROM pg_index i WHERE i.indexrelid = to_regclass(?1)";
    first(connection, sql, [index], |row| row.get(0))
}

/// One that somebody dropped, or that was not completed, while there are rows:
/// nobody who writes has to wait for it.
fn make_index(connection: &Connection, name: &str, on: &str) -> Result<(), Failure> {
    let valid = is_valid(connection, name)?;
    if valid == Some(true) {
        return Ok(());
    }
    let server = server(connection)?;
    if valid == Some(false) {
        let sql = "SELECT 1 FROM pg_stat_progress_create_index
                   WHERE index_relid = to_regclass(?1)";
        if first(connection, sql, [name], |_| Ok(()))?.is_some() {
            // Somebody is making it right now.
            return Ok(());
        }
        server.run_batch(&format!("DROP INDEX CONCURRENTLY IF EXISTS {name}"))?;
    }
    server.run_batch(&format!(
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {on}"
    ))
}
