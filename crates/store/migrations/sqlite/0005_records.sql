-- What live pages are about: articles, products and jobs, with the facts that
-- people filter and count by. Beside `pages`, as most pages have none. The
-- rows of one tenant and kind lie together, and what is filtered by comes
-- first: a filter that no index serves, or a count of values, reads them all.
CREATE TABLE records (
  tenant_id INTEGER NOT NULL,
  kind INTEGER NOT NULL,               -- 0 news, 1 product, 2 job
  page_id INTEGER NOT NULL,
  source_id INTEGER NOT NULL,
  published_at INTEGER,
  expires_at INTEGER,
  price REAL,
  salary_year_min REAL,                -- for a year, to be compared
  salary_year_max REAL,
  remote INTEGER,
  availability INTEGER,
  category TEXT,
  brand TEXT,
  company TEXT,
  location TEXT,
  employment_type TEXT,
  currency TEXT,                       -- of the price
  salary_currency TEXT,
  author TEXT,
  name TEXT,
  sku TEXT,
  salary_min REAL,                     -- as stated
  salary_max REAL,
  salary_period INTEGER,
  skills TEXT NOT NULL,                -- JSON array
  PRIMARY KEY (tenant_id, kind, page_id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX records_page ON records (page_id);
-- Newest first; those without a date come last.
CREATE INDEX records_newest ON records (tenant_id, kind, ifnull(published_at, -8640000000000000));

-- Grows with each write of the tenant's pages, records or notes: an answer
-- made of them is good for as long as it stays.
ALTER TABLE tenants ADD COLUMN data_version INTEGER NOT NULL DEFAULT 0;
