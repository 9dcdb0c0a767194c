-- Many tenants behind one service: keys, limits, use, and what people note on pages.

-- What a tenant may have; NULL means no limit. How many of its tasks may run
-- at a time is in `tenant_shares`, where claims read it.
ALTER TABLE tenants ADD COLUMN active INTEGER NOT NULL DEFAULT 1;
ALTER TABLE tenants ADD COLUMN pages_max INTEGER;          -- live pages
ALTER TABLE tenants ADD COLUMN sources_max INTEGER;
ALTER TABLE tenants ADD COLUMN requests_per_minute INTEGER;
ALTER TABLE tenants ADD COLUMN tokens_per_day INTEGER;

-- Maintained numbers: what a tenant has, changed with the rows they count.
ALTER TABLE tenants ADD COLUMN pages INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tenants ADD COLUMN pages_live INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tenants ADD COLUMN chunks INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tenants ADD COLUMN sources INTEGER NOT NULL DEFAULT 0;  -- without removed ones
UPDATE tenants SET pages = n.pages, pages_live = n.live
  FROM (SELECT tenant_id, count(*) AS pages, sum(status) AS live
        FROM pages WHERE version > 0 GROUP BY tenant_id) AS n
  WHERE n.tenant_id = tenants.id;
UPDATE tenants SET chunks = n.chunks
  FROM (SELECT tenant_id, count(*) AS chunks FROM chunks GROUP BY tenant_id) AS n
  WHERE n.tenant_id = tenants.id;
UPDATE tenants SET sources = n.sources
  FROM (SELECT tenant_id, count(*) AS sources
        FROM sources WHERE removed_at IS NULL GROUP BY tenant_id) AS n
  WHERE n.tenant_id = tenants.id;

-- The key itself is nowhere: who has the database cannot call the service.
-- Ids are never used twice, so a log line names one key for ever.
CREATE TABLE api_keys (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  tenant_id INTEGER NOT NULL REFERENCES tenants(id),
  hash BLOB NOT NULL UNIQUE,           -- 32 bytes
  prefix TEXT NOT NULL,                -- shown, to tell keys apart
  name TEXT NOT NULL,
  scopes INTEGER NOT NULL,             -- 1 read, 2 write, 4 admin
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  revoked_at INTEGER,
  last_used_at INTEGER
) STRICT;
CREATE INDEX api_keys_tenant ON api_keys (tenant_id, revoked_at);
-- Keys that were not revoked.
INSERT INTO counters (name, value) VALUES ('api_keys', 0);

CREATE TABLE usage (
  tenant_id INTEGER NOT NULL REFERENCES tenants(id),
  day INTEGER NOT NULL,                -- since 1970, UTC
  metric TEXT NOT NULL,
  amount INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, day, metric)
) STRICT, WITHOUT ROWID;

-- Beside `pages`: crawls write those, people write these.
CREATE TABLE page_notes (
  page_id INTEGER PRIMARY KEY REFERENCES pages(id),
  tenant_id INTEGER NOT NULL,
  favorite INTEGER NOT NULL,
  applied INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  status TEXT NOT NULL,
  tags TEXT NOT NULL,                  -- JSON array
  notes TEXT NOT NULL
) STRICT;
CREATE INDEX page_notes_favorite ON page_notes (tenant_id) WHERE favorite = 1;
CREATE INDEX page_notes_applied ON page_notes (tenant_id) WHERE applied = 1;
CREATE INDEX page_notes_status ON page_notes (tenant_id, status) WHERE status <> '';

-- The tags of `page_notes` once more, to be looked up by.
CREATE TABLE page_tags (
  tenant_id INTEGER NOT NULL,
  tag TEXT NOT NULL,
  page_id INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, tag, page_id)
) STRICT, WITHOUT ROWID;

-- Lists of pages: a tenant's pages of one status in each order, so that no
-- list sorts more than a few of them. The source is there so that a list of one source
-- passes over the others' entries without looking at their rows. Deleted
-- pages, of version 0, are in none of them.
DROP INDEX pages_tenant;
DROP INDEX pages_source;
DROP INDEX pages_host;
DROP INDEX pages_published;
CREATE INDEX pages_tenant ON pages (tenant_id, status) WHERE version > 0;
CREATE INDEX pages_source ON pages (source_id) WHERE version > 0;
CREATE INDEX pages_host ON pages (tenant_id, host) WHERE version > 0;
CREATE INDEX pages_published ON pages (tenant_id, status, published_at, source_id)
  WHERE version > 0;
CREATE INDEX pages_fetched ON pages (tenant_id, status, fetched_at, source_id)
  WHERE version > 0;
CREATE INDEX pages_changed ON pages (tenant_id, status, changed_at, source_id)
  WHERE version > 0;
-- Cut, as a title may be of any length and its start goes into cursors.
CREATE INDEX pages_title ON pages (tenant_id, status, substr(title, 1, 48), source_id)
  WHERE version > 0;

CREATE INDEX sources_tenant ON sources (tenant_id) WHERE removed_at IS NULL;
CREATE INDEX crawls_tenant ON crawls (tenant_id);
