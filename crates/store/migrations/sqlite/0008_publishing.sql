-- Publishing: events of all tenants go to one stream elsewhere.

-- One row at most: whether anybody publishes, so that every process that
-- writes knows it. Kept when it is off, for the origin.
CREATE TABLE publisher (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  origin TEXT NOT NULL,                -- part of the ids of what is published
  active INTEGER NOT NULL,
  since INTEGER NOT NULL,              -- switched on at
  wanted_until INTEGER NOT NULL        -- off then, unless somebody wants it on
) STRICT;

-- How far it is, by tenant. None of a tenant without events since it is on.
CREATE TABLE publications (
  tenant_id INTEGER PRIMARY KEY,
  event_cursor INTEGER NOT NULL,       -- last event that was published or dropped
  waiting INTEGER NOT NULL,            -- events behind it, maintained
  dropped INTEGER NOT NULL,            -- ever, because they waited too long
  gap INTEGER NOT NULL,                -- of these, what readers have not been told of
  gap_at INTEGER NOT NULL              -- when the last of them were dropped
) STRICT;
