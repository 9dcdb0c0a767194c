//! To whom the rows of a table belong, and which of them are meant.

use types::SourceId;

use super::tables::{TABLES, Table};

/// How the rows of a table belong to a source, or to what is above sources.
#[derive(Clone, Copy, Debug)]
pub(super) enum Belongs {
    /// To the database as a whole.
    Database,
    /// To the tenant whose row it is, or who is named in it.
    Tenant,
    /// To the source in this column; where it is 0, to the tenant.
    Source(&'static str),
    /// To the source of the row of that table whose id this column has.
    Through(&'static str, &'static str),
    /// To each source whose rows have its id in one of these tables and columns.
    Shared(&'static [(&'static str, &'static str)]),
    /// Tasks: to the source that they crawl, when they crawl one.
    ByTask,
}

/// Which rows are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    Everything,
    /// What belongs to this source alone, and what it shares with others
    /// (hosts, contents of its tenant).
    Source(SourceId),
}

/// The condition that rows of `table` have to meet; `None` when all are meant.
pub(super) fn condition(table: &Table, selection: Selection) -> Option<String> {
    let belonging = match selection {
        Selection::Everything => None,
        Selection::Source(source) => Some(of_source(table, source)),
    };
    match (table.only(), belonging) {
        (Some(only), Some(belonging)) => Some(format!("{only} AND {belonging}")),
        (only, belonging) => belonging.or_else(|| only.map(str::to_owned)),
    }
}

fn of_source(table: &Table, source: SourceId) -> String {
    match table.belongs {
        Belongs::Database | Belongs::Tenant => "1 = 0".to_owned(),
        Belongs::Source(column) => format!("{column} = {source}"),
        Belongs::Through(column, above) => {
            let above = named(above);
            let condition = of_source(above, source);
            format!(
                "{column} IN (SELECT id FROM {} WHERE {condition})",
                above.name
            )
        }
        Belongs::Shared(used_by) => {
            let used = used_by.iter().map(|(user, column)| {
                let condition = of_source(named(user), source);
                format!("SELECT {column} FROM {user} WHERE {condition}")
            });
            format!("id IN ({})", used.collect::<Vec<_>>().join(" UNION "))
        }
        // One that waits has the source in its payload only, as the first field.
        Belongs::ByTask => format!(
            "(id IN (SELECT task_id FROM crawls WHERE source_id = {source})
              OR (kind = 'crawl' AND (payload LIKE '{{\"source\":{source},%'
                                      OR payload LIKE '{{\"source\":{source}}}')))"
        ),
    }
}

fn named(name: &str) -> &'static Table {
    TABLES
        .iter()
        .find(|table| table.name == name)
        .expect("bug: the list of tables refers to a table that it lacks")
}
