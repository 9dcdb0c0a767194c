-- Circuit breakers of hosts, as each tenant's own crawls found them: what one
-- tenant met says nothing to another.

ALTER TABLE hosts DROP COLUMN breaker;

CREATE TABLE host_breakers (
  tenant_id INTEGER NOT NULL REFERENCES tenants(id),
  host TEXT NOT NULL,
  broken_since INTEGER NOT NULL,
  open_until INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, host)
) STRICT, WITHOUT ROWID;
CREATE INDEX host_breakers_open ON host_breakers (tenant_id, open_until);
