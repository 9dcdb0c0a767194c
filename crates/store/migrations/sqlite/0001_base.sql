-- Times are milliseconds since 1970, hashes are BLAKE3 cut to the width given.

CREATE TABLE schema_migrations (
  version INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  checksum TEXT NOT NULL,
  applied_at INTEGER NOT NULL
) STRICT;

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- Maintained numbers: nothing that a list or a progress bar shows is counted by a scan.
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE tenants (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE sources (
  id INTEGER PRIMARY KEY,
  tenant_id INTEGER NOT NULL REFERENCES tenants(id),
  name TEXT NOT NULL,
  seeds TEXT NOT NULL,                 -- JSON array, sorted, without repeats
  seeds_hash BLOB NOT NULL,            -- 16 bytes
  policy TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  pages_live INTEGER NOT NULL DEFAULT 0,
  UNIQUE (tenant_id, seeds_hash)
) STRICT;

CREATE TABLE crawls (
  id INTEGER PRIMARY KEY,
  tenant_id INTEGER NOT NULL REFERENCES tenants(id),
  source_id INTEGER NOT NULL REFERENCES sources(id),
  status TEXT NOT NULL,
  started_at INTEGER NOT NULL,
  finished_at INTEGER,
  found INTEGER NOT NULL DEFAULT 0,
  fetched INTEGER NOT NULL DEFAULT 0,
  added INTEGER NOT NULL DEFAULT 0,
  updated INTEGER NOT NULL DEFAULT 0,
  unchanged INTEGER NOT NULL DEFAULT 0,
  failed INTEGER NOT NULL DEFAULT 0,
  skipped INTEGER NOT NULL DEFAULT 0,
  queued INTEGER NOT NULL DEFAULT 0,
  bytes INTEGER NOT NULL DEFAULT 0,
  active_ms INTEGER NOT NULL DEFAULT 0,
  policy TEXT NOT NULL,
  error TEXT
) STRICT;
CREATE INDEX crawls_source ON crawls (source_id, id);

CREATE TABLE crawl_reasons (
  crawl_id INTEGER NOT NULL REFERENCES crawls(id),
  class TEXT NOT NULL,
  reason TEXT NOT NULL,
  count INTEGER NOT NULL,
  examples TEXT NOT NULL,              -- JSON array of at most five URLs
  PRIMARY KEY (crawl_id, class, reason)
) STRICT, WITHOUT ROWID;

-- Politeness knows no tenants: a host is asked as one visitor.
CREATE TABLE hosts (
  id INTEGER PRIMARY KEY,
  key TEXT NOT NULL UNIQUE,
  robots_status INTEGER,
  robots_body BLOB,                    -- zstd
  robots_fetched_at INTEGER,
  lease_owner TEXT,
  lease_until INTEGER,
  breaker TEXT
) STRICT;
CREATE INDEX hosts_lease ON hosts (lease_owner) WHERE lease_owner IS NOT NULL;

-- No foreign keys here: two look-ups for each of a page's links would be
-- spent on ids that one transaction has just read.
CREATE TABLE frontier (
  id INTEGER PRIMARY KEY,
  tenant_id INTEGER NOT NULL,
  crawl_id INTEGER NOT NULL,
  host_id INTEGER NOT NULL,
  state INTEGER NOT NULL,              -- 0 queued, 1 done
  kind INTEGER NOT NULL,               -- 0 page, 1 sitemap, 2 feed
  depth INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  not_before INTEGER NOT NULL,
  url_hash INTEGER NOT NULL,           -- 64 bits: two of a million URLs meet by chance once in 37 million crawls
  url TEXT NOT NULL,
  status INTEGER,
  class TEXT,
  reason TEXT,
  detail TEXT,
  redirect_to TEXT
) STRICT;
CREATE UNIQUE INDEX frontier_url ON frontier (crawl_id, url_hash);
CREATE INDEX frontier_queued ON frontier (crawl_id, host_id, id) WHERE state = 0;

-- One row for each distinct content of a tenant. `holder_page_id` is the live
-- page that has the chunks of it; other live pages with the same content are
-- its duplicates. One column to move when the holder changes or goes, however
-- many duplicates there are.
CREATE TABLE contents (
  id INTEGER PRIMARY KEY,
  tenant_id INTEGER NOT NULL,
  content_hash BLOB NOT NULL,          -- 32 bytes, of normalised title and text
  body_hash BLOB NOT NULL,             -- 16 bytes, of the exact text, Markdown and blocks
  holder_page_id INTEGER,
  text_bytes INTEGER NOT NULL,
  body BLOB NOT NULL,                  -- zstd
  UNIQUE (tenant_id, content_hash)
) STRICT;

CREATE TABLE pages (
  id INTEGER PRIMARY KEY,
  tenant_id INTEGER NOT NULL,
  source_id INTEGER NOT NULL REFERENCES sources(id),
  content_id INTEGER NOT NULL REFERENCES contents(id),
  status INTEGER NOT NULL,             -- 0 gone, 1 live
  url TEXT NOT NULL,
  host TEXT NOT NULL,
  title TEXT NOT NULL,
  description TEXT,
  author TEXT,
  published_at INTEGER,
  modified_at INTEGER,
  language TEXT,
  canonical TEXT,
  content_hash BLOB NOT NULL,
  simhash INTEGER NOT NULL,
  version INTEGER NOT NULL,
  etag TEXT,
  last_modified TEXT,
  content_type TEXT,
  fetched_at INTEGER NOT NULL,
  changed_at INTEGER NOT NULL,
  first_seen_at INTEGER NOT NULL,
  near_duplicate_of INTEGER,
  chunk_count INTEGER NOT NULL,
  meta_hash INTEGER NOT NULL,          -- of all that an index may show or filter by
  links_hash INTEGER NOT NULL,
  change_seq INTEGER NOT NULL,
  UNIQUE (tenant_id, url)
) STRICT;
CREATE INDEX pages_change ON pages (change_seq);
CREATE INDEX pages_content ON pages (content_id) WHERE status = 1;
CREATE INDEX pages_tenant ON pages (tenant_id);
CREATE INDEX pages_source ON pages (source_id);
CREATE INDEX pages_host ON pages (tenant_id, host);
CREATE INDEX pages_published ON pages (tenant_id, published_at) WHERE published_at IS NOT NULL;
CREATE INDEX pages_near ON pages (near_duplicate_of) WHERE near_duplicate_of IS NOT NULL;

-- Beside `pages`, so that lists do not read past them.
CREATE TABLE page_details (
  page_id INTEGER PRIMARY KEY REFERENCES pages(id),
  facts BLOB,                          -- zstd JSON: OpenGraph and structured data; NULL when none
  links BLOB NOT NULL                  -- zstd JSON: links and images
) STRICT;

CREATE TABLE page_versions (
  page_id INTEGER NOT NULL REFERENCES pages(id),
  version INTEGER NOT NULL,
  content_id INTEGER NOT NULL REFERENCES contents(id),
  title TEXT NOT NULL,
  seen_at INTEGER NOT NULL,
  PRIMARY KEY (page_id, version)
) STRICT, WITHOUT ROWID;

-- SimHashes of pages that are no near duplicate themselves, under each of
-- their four 16-bit bands: hashes at most 3 bits apart share a whole band.
CREATE TABLE simhash_bands (
  tenant_id INTEGER NOT NULL,
  band INTEGER NOT NULL,               -- band number × 65536 + bits
  page_id INTEGER NOT NULL,
  simhash INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, band, page_id)
) STRICT, WITHOUT ROWID;

-- Ids come from a counter and are never used twice, so an index that lags
-- behind cannot take a new chunk for an old one. The text is not stored here:
-- it is the content's text from start_byte to end_byte.
CREATE TABLE chunks (
  id INTEGER PRIMARY KEY,
  tenant_id INTEGER NOT NULL,
  page_id INTEGER NOT NULL REFERENCES pages(id),
  position INTEGER NOT NULL,
  start_byte INTEGER NOT NULL,
  end_byte INTEGER NOT NULL,
  tokens INTEGER NOT NULL,
  embed_state INTEGER NOT NULL,        -- 0 pending, 1 done, 2 failed
  hash BLOB NOT NULL,                  -- 16 bytes
  language TEXT,
  section TEXT NOT NULL,
  heading_path TEXT NOT NULL,          -- JSON array
  keywords TEXT NOT NULL,              -- JSON array
  tldr TEXT,
  embed_error TEXT
) STRICT;
CREATE INDEX chunks_page ON chunks (page_id, position);
CREATE INDEX chunks_pending ON chunks (id) WHERE embed_state = 0;
CREATE INDEX chunks_failed ON chunks (id) WHERE embed_state = 2;

-- id = chunk id × 2 + kind (0 full text, 1 TL;DR). All of one model, named in `meta`.
CREATE TABLE vectors (
  id INTEGER PRIMARY KEY,
  tenant_id INTEGER NOT NULL,
  page_id INTEGER NOT NULL,
  change_seq INTEGER NOT NULL,
  scale REAL NOT NULL,
  codes BLOB NOT NULL
) STRICT;
CREATE INDEX vectors_change ON vectors (change_seq);

CREATE TABLE vector_cache (
  id INTEGER PRIMARY KEY,
  model TEXT NOT NULL,
  text_hash BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  scale REAL NOT NULL,
  codes BLOB NOT NULL,
  UNIQUE (model, text_hash)
) STRICT;
CREATE INDEX vector_cache_age ON vector_cache (created_at);

INSERT INTO counters (name, value) VALUES
  ('change_seq', 0), ('chunk_id', 0), ('page_id', 0), ('pages', 0), ('pages_live', 0),
  ('chunks_pending', 0), ('chunks_done', 0), ('chunks_failed', 0), ('vectors', 0);
