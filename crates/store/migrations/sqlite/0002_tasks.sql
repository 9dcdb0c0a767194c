-- The task queue. No foreign keys, as in `frontier`: every write has just read
-- what it refers to. Ids are never used twice, so whoever still holds the id of
-- a task that was cleared away cannot meet another one under it.
CREATE TABLE tasks (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  tenant_id INTEGER NOT NULL,
  state INTEGER NOT NULL,              -- 0 scheduled, 1 queued, 2 running, 3 succeeded, 4 failed, 5 cancelled, 6 dead
  rank INTEGER NOT NULL,               -- 0 to 29, 0 first
  run_at INTEGER NOT NULL,
  epoch INTEGER NOT NULL,              -- claims so far: the fencing token of the one that runs it
  attempt INTEGER NOT NULL,            -- attempts begun, without those that were given back
  attempts_max INTEGER NOT NULL,
  timeout_ms INTEGER NOT NULL,
  rescues INTEGER NOT NULL,            -- since it last got further
  rescue_completed INTEGER NOT NULL,   -- how far it was at the last rescue
  cancel_requested INTEGER NOT NULL,
  enqueued_at INTEGER NOT NULL,
  started_at INTEGER,
  finished_at INTEGER,
  parent_id INTEGER,
  kind TEXT NOT NULL,
  owner TEXT,                          -- who runs it, or ran it last
  dedupe TEXT,
  error TEXT,
  waiting_for TEXT,
  payload TEXT NOT NULL,               -- JSON
  result TEXT                          -- JSON
) STRICT;
-- The next task of a tenant and kind is the first entry, however long the queue is.
CREATE INDEX tasks_queued ON tasks (tenant_id, kind, rank, run_at) WHERE state = 1;
CREATE INDEX tasks_scheduled ON tasks (run_at) WHERE state = 0;
CREATE INDEX tasks_running ON tasks (owner) WHERE state = 2;
CREATE UNIQUE INDEX tasks_dedupe ON tasks (tenant_id, dedupe) WHERE state < 2 AND dedupe IS NOT NULL;
CREATE INDEX tasks_dedupe_running ON tasks (tenant_id, dedupe) WHERE state = 2 AND dedupe IS NOT NULL;
CREATE INDEX tasks_finished ON tasks (state, finished_at) WHERE state > 2;
CREATE INDEX tasks_parent ON tasks (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX tasks_list ON tasks (tenant_id, kind, state);

-- Beside `tasks`: written several times a second, and a payload may be large.
CREATE TABLE task_progress (
  task_id INTEGER PRIMARY KEY,
  seq INTEGER NOT NULL,
  completed INTEGER NOT NULL,
  total INTEGER,
  errors INTEGER NOT NULL,
  current TEXT
) STRICT;

-- A lease belongs to an owner and covers all that it runs: a heartbeat is one row.
CREATE TABLE task_leases (
  owner TEXT PRIMARY KEY,
  lease_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Maintained numbers. Tenant 0 is the total of all tenants. `…_ever` only grows.
CREATE TABLE task_counts (
  tenant_id INTEGER NOT NULL,
  kind TEXT NOT NULL,
  scheduled INTEGER NOT NULL,
  queued INTEGER NOT NULL,
  running INTEGER NOT NULL,
  succeeded INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  cancelled INTEGER NOT NULL,
  dead INTEGER NOT NULL,
  enqueued_ever INTEGER NOT NULL,
  succeeded_ever INTEGER NOT NULL,
  failed_ever INTEGER NOT NULL,
  cancelled_ever INTEGER NOT NULL,
  dead_ever INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, kind)
) STRICT, WITHOUT ROWID;

-- Stride scheduling: the tenant with the smallest pass goes first.
CREATE TABLE tenant_shares (
  tenant_id INTEGER PRIMARY KEY,
  weight INTEGER NOT NULL,
  running_max INTEGER NOT NULL,        -- 0 means no limit
  pass INTEGER NOT NULL,
  queued INTEGER NOT NULL,
  running INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX tenant_shares_turn ON tenant_shares (pass, tenant_id) WHERE queued > 0;

CREATE TABLE paused_queues (
  kind TEXT PRIMARY KEY,               -- empty: all kinds
  paused_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The pass of the tenant that last had its turn.
INSERT INTO counters (name, value) VALUES ('task_pass', 0);
