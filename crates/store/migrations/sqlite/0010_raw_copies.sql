-- Raw copies of pages, which lie as objects elsewhere.

-- The object that has what the server answered; NULL without one.
ALTER TABLE page_versions ADD COLUMN raw_key TEXT;

-- Objects that no version of a page refers to: those about to be stored, until
-- a version takes them, and those to be removed.
CREATE TABLE raw_removals (
  key TEXT PRIMARY KEY,
  due_at INTEGER NOT NULL,             -- not removed before
  doomed INTEGER NOT NULL              -- no version may take it any more
) STRICT, WITHOUT ROWID;
CREATE INDEX raw_removals_due ON raw_removals (due_at);
