-- Publishing: events of all tenants go to one stream elsewhere.

-- One row at most: whether anybody publishes, so that every process that
-- writes knows it. Kept when it is off, for the origin.
CREATE TABLE publisher (
  id BIGINT PRIMARY KEY CHECK (id = 1),
  origin TEXT COLLATE "C" NOT NULL,  -- part of the ids of what is published
  active BIGINT NOT NULL,
  since BIGINT NOT NULL,              -- switched on at
  wanted_until BIGINT NOT NULL        -- off then, unless somebody wants it on
);

-- How far it is, by tenant. None of a tenant without events since it is on.
CREATE TABLE publications (
  tenant_id BIGINT PRIMARY KEY,
  event_cursor BIGINT NOT NULL,        -- last event that was published or dropped
  waiting BIGINT NOT NULL,            -- events behind it, maintained
  dropped BIGINT NOT NULL,            -- ever, because they waited too long
  gap BIGINT NOT NULL,                -- of these, what readers have not been told of
  gap_at BIGINT NOT NULL              -- when the last of them were dropped
);
