-- Lists begin with the newest by time: ids of several databases do not tell.
DROP INDEX crawls_tenant;
CREATE INDEX crawls_tenant ON crawls (tenant_id, started_at, id);
DROP INDEX crawls_source;
CREATE INDEX crawls_source ON crawls (source_id, started_at, id);
DROP INDEX tasks_list;
CREATE INDEX tasks_list ON tasks (tenant_id, kind, state, enqueued_at, id);
