-- Events for whoever asked to be told, and webhooks, which ask.

-- Written in the transaction of what they speak of, and only when somebody
-- wants them. Readers keep a place of their own, so one row serves any number.
CREATE TABLE events (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  tenant_id INTEGER NOT NULL,
  type INTEGER NOT NULL,               -- one bit
  source_id INTEGER NOT NULL,          -- 0: of no source
  created_at INTEGER NOT NULL,
  payload TEXT NOT NULL                -- JSON of schema 1
) STRICT;
CREATE INDEX events_tenant ON events (tenant_id, id, type, source_id);

-- Maintained numbers of `events`, by tenant.
CREATE TABLE outboxes (
  tenant_id INTEGER PRIMARY KEY,
  events INTEGER NOT NULL,             -- kept
  last_event INTEGER NOT NULL          -- ever written
) STRICT;

CREATE TABLE webhooks (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  tenant_id INTEGER NOT NULL REFERENCES tenants(id),
  url TEXT NOT NULL,
  description TEXT NOT NULL,
  events INTEGER NOT NULL,             -- wanted types, one bit each
  active INTEGER NOT NULL,
  secret BLOB NOT NULL,                -- 32 bytes; needed to sign, so it is no hash
  old_secret BLOB,                     -- signs as well until …
  old_secret_until INTEGER,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  disabled_at INTEGER,
  disabled_reason TEXT,
  event_cursor INTEGER NOT NULL,       -- last event that was put into a delivery, or passed over
  not_before INTEGER NOT NULL,         -- its endpoint asked to be left alone until then
  failures_in_a_row INTEGER NOT NULL,  -- attempts since the last success
  dead_since INTEGER,                  -- first dead letter since the last success
  trouble TEXT,                        -- why it is flagged
  last_delivered_at INTEGER,
  last_failed_at INTEGER,
  pending INTEGER NOT NULL,            -- its rows of `webhook_deliveries` by state, maintained
  delivered INTEGER NOT NULL,
  dead INTEGER NOT NULL
) STRICT;
CREATE INDEX webhooks_tenant ON webhooks (tenant_id);
CREATE INDEX webhooks_active ON webhooks (tenant_id, events) WHERE active = 1;

-- One POST: the events of one source (`type & types`) from the first to the last.
CREATE TABLE webhook_deliveries (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  webhook_id INTEGER NOT NULL,
  tenant_id INTEGER NOT NULL,
  source_id INTEGER NOT NULL,          -- 0: of no source
  state INTEGER NOT NULL,              -- 0 pending, 1 delivered, 2 dead
  types INTEGER NOT NULL,              -- of the events it has
  first_event INTEGER NOT NULL,
  last_event INTEGER NOT NULL,
  event_count INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  next_at INTEGER,                     -- null: behind another delivery of its source
  created_at INTEGER NOT NULL,
  last_attempt_at INTEGER,
  finished_at INTEGER,
  status INTEGER,                      -- HTTP, of the last attempt
  duration_ms INTEGER,
  error TEXT,
  response TEXT                        -- its first bytes
) STRICT;
CREATE INDEX webhook_deliveries_state ON webhook_deliveries (webhook_id, state);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook_id, next_at)
  WHERE state = 0 AND next_at IS NOT NULL;
CREATE INDEX webhook_deliveries_source ON webhook_deliveries (webhook_id, source_id)
  WHERE state = 0;
CREATE INDEX webhook_deliveries_finished ON webhook_deliveries (finished_at) WHERE state > 0;
