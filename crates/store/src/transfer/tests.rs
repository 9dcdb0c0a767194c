//! That the list of tables has all of the schema, on both engines.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use testkit::services::Postgres;
use types::{ManualClock, SourceId};

use super::batch::{Walk, statement};
use super::belongs::{Selection, condition};
use super::tables::{COLUMNS_LEFT_OUT, TABLES, TABLES_LEFT_OUT};
use crate::sql::{Connection, Kind, ValueRef, collect, execute, first};
use crate::{Access, Store, StoreOptions};

/// Table to column, what it holds and its place in the primary key, or 0.
type Schema = BTreeMap<String, BTreeMap<String, (Kind, i64)>>;

fn kind(declared: &str) -> Kind {
    match declared.to_ascii_lowercase().as_str() {
        "integer" | "bigint" => Kind::Integer,
        "real" | "double precision" => Kind::Real,
        "text" => Kind::Text,
        "blob" | "bytea" => Kind::Bytes,
        other => panic!("a column of type {other}"),
    }
}

/// What a query says: table, column, type and place in the primary key.
fn schema(store: &Store, sql: &str) -> Schema {
    let mut schema = Schema::new();
    let rows = store.first().read("read the schema", |connection| {
        collect(connection, sql, [], |row| {
            let (table, column, declared): (String, String, String) =
                (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok((table, column, declared, row.get::<i64>(3)?))
        })
    });
    for (table, column, declared, place) in rows.unwrap() {
        if !TABLES_LEFT_OUT.contains(&table.as_str()) {
            let columns = schema.entry(table).or_default();
            columns.insert(column, (kind(&declared), place));
        }
    }
    schema
}

fn listed() -> Schema {
    let mut schema = Schema::new();
    for table in TABLES {
        let columns = table.columns.iter().enumerate().map(|(index, column)| {
            let place = if index < table.key { index + 1 } else { 0 };
            (column.name.to_owned(), (column.kind, place as i64))
        });
        let earlier = schema.insert(table.name.to_owned(), columns.collect());
        assert_eq!(earlier, None, "{} is listed twice", table.name);
    }
    schema
}

/// Without the columns that are left out, each of which has to be there.
fn without_left_out(mut schema: Schema) -> Schema {
    for (table, column) in COLUMNS_LEFT_OUT {
        let removed = schema.get_mut(*table).and_then(|c| c.remove(*column));
        assert!(removed.is_some(), "{table}.{column} is no more");
    }
    schema
}

fn server() -> (Postgres, Store) {
    let database = Postgres::fresh();
    let (url, clock) = (database.url(), Arc::new(ManualClock::default()));
    let store = Store::open_server(&url, Access::Write, &StoreOptions::default(), clock);
    (database, store.unwrap())
}

fn memory() -> Store {
    Store::open_memory(Arc::new(ManualClock::default())).unwrap()
}

#[test]
fn every_table_and_column_of_the_embedded_engine_is_listed() {
    let sql = "SELECT t.name, c.name, c.type, c.pk
               FROM sqlite_schema t, pragma_table_info(t.name) c
               WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%'";
    assert_eq!(without_left_out(schema(&memory(), sql)), listed());
}

#[test]
fn every_table_and_column_of_a_server_is_listed() {
    let (_database, store) = server();
    let sql = "SELECT c.table_name::text, c.column_name::text, c.data_type::text,
                 coalesce(k.ordinal_position, 0)::bigint
               FROM information_schema.columns c
               LEFT JOIN information_schema.table_constraints p
                 ON p.table_schema = c.table_schema AND p.table_name = c.table_name
                 AND p.constraint_type = 'PRIMARY KEY'
               LEFT JOIN information_schema.key_column_usage k
                 ON k.constraint_name = p.constraint_name AND k.table_schema = c.table_schema
                 AND k.table_name = c.table_name AND k.column_name = c.column_name
               WHERE c.table_schema = current_schema()";
    assert_eq!(without_left_out(schema(&store, sql)), listed());
}

#[test]
fn tables_left_out_are_tables() {
    let (_database, store) = server();
    for name in TABLES_LEFT_OUT {
        let sql = format!("SELECT count(*) FROM {name}");
        let rows = store
            .first()
            .read("count", |c| first(c, &sql, [], |row| row.get::<i64>(0)));
        assert!(rows.is_ok(), "{name}: {rows:?}");
    }
}

/// A table is never read as a whole to find the next rows, and never sorted.
#[test]
fn batches_walk_the_primary_key() {
    let (database, _server) = server();
    let store = memory();
    for table in TABLES {
        for key_values in [0, table.key] {
            let sql = statement(table, Selection::Everything, key_values);
            let values = vec![ValueRef::Integer(1); key_values + 1];
            let plan = |connection: &Connection| {
                let sql = format!("EXPLAIN QUERY PLAN {sql}");
                collect(connection, &sql, values.as_slice(), |row| {
                    row.get::<String>(3)
                })
            };
            let plan = store.first().read("explain", plan).unwrap().join("; ");
            assert!(!plan.contains("TEMP B-TREE"), "{sql}\n{plan}");
            assert_eq!(plan.contains("SEARCH"), key_values > 0, "{sql}\n{plan}");
            let sql = crate::postgres::translate(&sql);
            let plan = database.sql(&format!(
                "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off;
                 EXPLAIN (GENERIC_PLAN, COSTS OFF) {sql}"
            ));
            assert!(plan.contains("_pkey"), "{sql}\n{plan}");
            assert!(!plan.contains("Sort"), "{sql}\n{plan}");
        }
    }
}

#[test]
fn large_rows_make_small_batches() {
    let store = memory();
    let fill = store.first().write("fill", |connection| {
        for id in 1..=5i64 {
            let sql =
                "INSERT INTO contents (id, tenant_id, content_hash, body_hash, text_bytes, body)
                       VALUES (?1, 1, randomblob(32), x'00', 0, zeroblob(5000000))";
            execute(connection, sql, [id])?;
        }
        Ok(())
    });
    fill.unwrap();
    let table = TABLES.iter().find(|table| table.name == "contents");
    let mut walk = Walk::new(table.unwrap(), Selection::Everything, Vec::new());
    let mut rows = Vec::new();
    while !walk.is_done {
        let batch = store
            .first()
            .read("read", |connection| walk.batch(connection));
        let batch = batch.unwrap();
        rows.push(batch.rows());
        walk.pass(&batch);
    }
    assert_eq!(rows, [2, 1, 1, 1, 0]);
}

/// Whatever a table says of how its rows belong to a source, both engines can ask.
#[test]
fn what_belongs_to_a_source_can_be_asked() {
    let (_database, server) = server();
    let selection = Selection::Source(SourceId(7));
    for store in [memory(), server] {
        let sizes = store.table_sizes(selection).unwrap();
        let named: BTreeSet<&str> = sizes.iter().map(|size| size.table).collect();
        assert_eq!(named.len(), TABLES.len());
        assert!(sizes.iter().all(|size| size.rows == 0), "{sizes:?}");
    }
    let details = TABLES.iter().find(|table| table.name == "page_details");
    assert_eq!(
        condition(details.unwrap(), selection).as_deref(),
        Some("page_id IN (SELECT id FROM pages WHERE source_id = 7)")
    );
}
