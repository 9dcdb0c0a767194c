-- When sources are crawled again, and what became of it.
ALTER TABLE sources ADD COLUMN kind TEXT NOT NULL DEFAULT 'web';
ALTER TABLE sources ADD COLUMN active INTEGER NOT NULL DEFAULT 1;
ALTER TABLE sources ADD COLUMN every_ms INTEGER;
ALTER TABLE sources ADD COLUMN cron TEXT;
ALTER TABLE sources ADD COLUMN interval_min_ms INTEGER;    -- adaptive when both bounds are set
ALTER TABLE sources ADD COLUMN interval_max_ms INTEGER;
ALTER TABLE sources ADD COLUMN interval_ms INTEGER;        -- what it has arrived at
ALTER TABLE sources ADD COLUMN next_due_at INTEGER;
ALTER TABLE sources ADD COLUMN last_crawled_at INTEGER;
ALTER TABLE sources ADD COLUMN failures_in_a_row INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sources ADD COLUMN trouble TEXT;               -- why it is flagged
ALTER TABLE sources ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';  -- JSON object: overrides for its crawls
ALTER TABLE sources ADD COLUMN removed_at INTEGER;
ALTER TABLE sources ADD COLUMN purging INTEGER NOT NULL DEFAULT 0;   -- 1 while its pages are being deleted
CREATE INDEX sources_due ON sources (next_due_at) WHERE active = 1 AND next_due_at IS NOT NULL;
CREATE INDEX sources_purging ON sources (id) WHERE purging = 1;

-- Someone wants the crawl to end. That it should rest is its status.
ALTER TABLE crawls ADD COLUMN cancel_requested INTEGER NOT NULL DEFAULT 0;
-- The task that runs it, or ran it last.
ALTER TABLE crawls ADD COLUMN task_id INTEGER;
ALTER TABLE crawls ADD COLUMN listed INTEGER NOT NULL DEFAULT 0;     -- 1: of given URLs, not of the whole source
CREATE INDEX crawls_task ON crawls (task_id) WHERE task_id IS NOT NULL;

-- A page whose version is 0 was deleted with its source: the row only tells
-- indexes that it is gone. Deleting contents asks who refers to them.
DROP INDEX pages_content;
CREATE INDEX pages_content ON pages (content_id);
CREATE INDEX page_versions_content ON page_versions (content_id);
