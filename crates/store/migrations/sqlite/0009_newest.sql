-- Lists begin with the newest by time: ids of several databases do not tell.
DROP INDEX crawls_tenant;
CREATE INDEX crawls_tenant_newest ON crawls (tenant_id, started_at, id);
DROP INDEX crawls_source;
CREATE INDEX crawls_source_newest ON crawls (source_id, started_at, id);
DROP INDEX tasks_list;
CREATE INDEX tasks_newest ON tasks (tenant_id, kind, state, enqueued_at, id);
