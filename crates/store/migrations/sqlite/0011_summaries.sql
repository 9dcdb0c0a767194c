-- Summaries of pages, and what tenants use of language models.

-- The content that was last summarised, whatever came of it; NULL: none was.
-- A page whose content is another waits, and nobody has to say so: programs of
-- an older version change pages as they always did.
ALTER TABLE pages ADD COLUMN summarized_hash BLOB;
CREATE INDEX pages_to_summarize ON pages (tenant_id, id)
  WHERE status = 1 AND version > 0 AND summarized_hash IS DISTINCT FROM content_hash;
CREATE INDEX pages_to_summarize_source ON pages (source_id, id)
  WHERE status = 1 AND version > 0 AND summarized_hash IS DISTINCT FROM content_hash;

-- One row for each page that ever was summarised: its newest summary. Beside
-- `pages`, so that lists do not read past them.
CREATE TABLE summaries (
  page_id INTEGER PRIMARY KEY,
  tenant_id INTEGER NOT NULL,
  state INTEGER NOT NULL,              -- 0 done, 1 failed, 2 fallback
  created_at INTEGER NOT NULL,
  content_hash BLOB NOT NULL,          -- of the text that it is of
  prompt_version INTEGER NOT NULL,
  tokens_in INTEGER NOT NULL,
  tokens_out INTEGER NOT NULL,
  took_ms INTEGER NOT NULL,
  calls INTEGER NOT NULL,
  model TEXT NOT NULL,
  language TEXT,
  category TEXT,
  error TEXT,
  title TEXT NOT NULL,
  summary TEXT NOT NULL,
  key_points TEXT NOT NULL,            -- JSON array
  entities TEXT NOT NULL               -- JSON array of [name, kind]
) STRICT;
CREATE INDEX summaries_newest ON summaries (tenant_id, created_at, page_id);
CREATE INDEX summaries_state ON summaries (tenant_id, state, created_at, page_id);
-- Those that may be tried again.
CREATE INDEX summaries_again ON summaries (tenant_id, page_id) WHERE state <> 0;
-- Another page of the same text.
CREATE INDEX summaries_content ON summaries (tenant_id, content_hash) WHERE state = 0;

-- What language models were asked for, by day.
CREATE TABLE llm_use (
  tenant_id INTEGER NOT NULL REFERENCES tenants(id),
  day INTEGER NOT NULL,                -- since 1970, UTC
  model TEXT NOT NULL,
  purpose TEXT NOT NULL,
  requests INTEGER NOT NULL,           -- sent, repeats included
  succeeded INTEGER NOT NULL,          -- calls, of one request or several
  failed INTEGER NOT NULL,
  fallback INTEGER NOT NULL,           -- answered without the model
  retries INTEGER NOT NULL,            -- requests beyond the first of each call
  tokens_in INTEGER NOT NULL,
  tokens_out INTEGER NOT NULL,
  took_ms INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, day, model, purpose)
) STRICT, WITHOUT ROWID;
CREATE INDEX llm_use_day ON llm_use (day);

-- Tokens that calls under way may use. Ids are never used twice, and a row
-- stays for a while after it was settled, so that it is settled once.
CREATE TABLE llm_reservations (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  tenant_id INTEGER NOT NULL REFERENCES tenants(id),
  tokens INTEGER NOT NULL,
  live_until INTEGER NOT NULL,         -- does not count afterwards
  settled INTEGER NOT NULL
) STRICT;
CREATE INDEX llm_reservations_live ON llm_reservations (tenant_id, live_until) WHERE settled = 0;
CREATE INDEX llm_reservations_until ON llm_reservations (live_until);

-- The last days on which the tenant was told of its tokens.
ALTER TABLE tenants ADD COLUMN tokens_warned_day INTEGER;
ALTER TABLE tenants ADD COLUMN tokens_exhausted_day INTEGER;
