-- Raw copies of pages, which lie as objects elsewhere.

-- The object that has what the server answered; NULL without one.
ALTER TABLE page_versions ADD COLUMN raw_key TEXT COLLATE "C";

-- Objects that no version of a page refers to: those about to be stored, until
-- a version takes them, and those to be removed.
CREATE TABLE raw_removals (
  key TEXT COLLATE "C" PRIMARY KEY,
  due_at BIGINT NOT NULL,              -- not removed before
  doomed BIGINT NOT NULL               -- no version may take it any more
);
CREATE INDEX raw_removals_due ON raw_removals (due_at);
