//! What migrations there are, and what they consist of.
//!
//! A change that the running programs survive goes in three parts: what is new
//! is added (`Expand`, `Index`), what is there already is brought into its form
//! (`Backfill`), and what is not needed any more goes when no program that
//! needs it is left (`Contract`).

use crate::codec::schema_checksum;

/// The changes from one version of the schema to the next.
#[derive(Debug)]
pub(super) struct Migration {
    /// That of the embedded engine's schema with the same tables.
    pub(super) version: i64,
    pub(super) name: &'static str,
    /// Programs that know this version or a later one may use the database, as
    /// long as nothing is contracted. The version itself: all older ones have
    /// to be stopped before.
    pub(super) compatible_from: i64,
    /// Contracting ones come last.
    pub(super) steps: &'static [Step],
}

/// A part of a migration, done as a whole or not at all, and noted when done.
#[derive(Debug)]
pub(super) enum Step {
    /// Statements of one transaction that older programs do not mind: a table,
    /// a column that may be empty or has a default, a trigger that fills it.
    Expand(&'static str),
    /// An index that is built while others write.
    Index {
        name: &'static str,
        unique: bool,
        /// What follows `ON`: `pages (tenant_id, url)`.
        on: &'static str,
    },
    /// One statement that changes at most `?1` rows, those not yet changed;
    /// run in transactions of its own until it finds none.
    #[cfg_attr(not(test), expect(dead_code, reason = "no migration needed one yet"))]
    Backfill { sql: &'static str, rows: u32 },
    /// Statements of one transaction, after which no program may use the
    /// database that does not know this version.
    Contract(&'static str),
}

/// All there are, oldest first. What is released never changes.
pub(super) const MIGRATIONS: &[Migration] = &[
    Migration {
        version: BASE,
        name: "base",
        compatible_from: BASE,
        steps: &[Step::Expand(include_str!(
            "../../../migrations/postgres/0001_base.sql"
        ))],
    },
    Migration {
        version: 8,
        name: "publishing",
        compatible_from: 8,
        steps: &[Step::Expand(include_str!(
            "../../../migrations/postgres/0002_publishing.sql"
        ))],
    },
    // Lists begin with the newest by time: ids of several databases do not tell.
    Migration {
        version: 9,
        name: "newest",
        compatible_from: 8,
        steps: &[
            Step::Index {
                name: "crawls_tenant_newest",
                unique: false,
                on: "crawls (tenant_id, started_at, id)",
            },
            Step::Index {
                name: "crawls_source_newest",
                unique: false,
                on: "crawls (source_id, started_at, id)",
            },
            Step::Index {
                name: "tasks_newest",
                unique: false,
                on: "tasks (tenant_id, kind, state, enqueued_at, id)",
            },
            Step::Contract("DROP INDEX crawls_tenant, crawls_source, tasks_list"),
        ],
    },
    // Older programs store versions without a raw copy.
    Migration {
        version: 10,
        name: "raw_copies",
        compatible_from: 8,
        steps: &[Step::Expand(include_str!(
            "../../../migrations/postgres/0003_raw_copies.sql"
        ))],
    },
    // To older programs a page is what it was: they change its content, and it
    // waits for a summary by that alone. What they delete or move leaves its
    // summary behind, which is then of no page.
    Migration {
        version: 11,
        name: "summaries",
        compatible_from: 8,
        steps: &[
            Step::Expand(include_str!(
                "../../../migrations/postgres/0004_summaries.sql"
            )),
            Step::Index {
                name: "pages_to_summarize",
                unique: false,
                on: "pages (tenant_id, id) WHERE status = 1 AND version > 0 \
                     AND summarized_hash IS DISTINCT FROM content_hash",
            },
            Step::Index {
                name: "pages_to_summarize_source",
                unique: false,
                on: "pages (source_id, id) WHERE status = 1 AND version > 0 \
                     AND summarized_hash IS DISTINCT FROM content_hash",
            },
        ],
    },
];

/// The first version that servers had.
pub(super) const BASE: i64 = 7;

impl Migration {
    /// Tells this form of the migration from any other.
    pub(super) fn checksum(&self) -> String {
        let texts: Vec<String> = self.steps.iter().map(Step::text).collect();
        schema_checksum(&texts.join("\n"))
    }

    /// Those that make the database fit for programs of this version.
    pub(super) fn opening(&self) -> impl Iterator<Item = (usize, &'static Step)> {
        let steps = self.steps.iter().enumerate();
        steps.filter(|(_, step)| !step.contracts())
    }

    pub(super) fn contracting(&self) -> impl Iterator<Item = (usize, &'static Step)> {
        let steps = self.steps.iter().enumerate();
        steps.filter(|(_, step)| step.contracts())
    }

    /// For people.
    pub(super) fn describe(&self, step: usize) -> String {
        let (version, name) = (self.version, self.name);
        match &self.steps[step] {
            Step::Expand(_) => format!("{version} ({name}): expand"),
            Step::Index { name: index, .. } => format!("{version} ({name}): index {index}"),
            Step::Backfill { .. } => format!("{version} ({name}): backfill"),
            Step::Contract(_) => format!("{version} ({name}): contract"),
        }
    }
}

impl Step {
    pub(super) fn contracts(&self) -> bool {
        matches!(self, Step::Contract(_))
    }

    /// The statement that builds an index, alongside writes or in a transaction.
    pub(super) fn build(name: &str, unique: bool, on: &str, concurrently: bool) -> String {
        let unique = if unique { "UNIQUE " } else { "" };
        let concurrently = if concurrently { "CONCURRENTLY " } else { "" };
        format!("CREATE {unique}INDEX {concurrently}{name} ON {on}")
    }

    fn text(&self) -> String {
        match self {
            Step::Expand(sql) | Step::Contract(sql) | Step::Backfill { sql, .. } => {
                (*sql).to_owned()
            }
            Step::Index { name, unique, on } => Step::build(name, *unique, on, true),
        }
    }
}

/// What a list of migrations has to be.
#[cfg(test)]
pub(super) fn check_list(migrations: &[Migration]) {
    let mut before = 0;
    for migration in migrations {
        let what = migration.name;
        assert!(migration.version > before, "{what}: versions ascend");
        before = migration.version;
        let from = migration.compatible_from;
        assert!((BASE..=migration.version).contains(&from), "{what}");
        let first_contract = migration.steps.iter().position(Step::contracts);
        let opening = migration.opening().count();
        assert!(opening > 0, "{what}: it does something before it contracts");
        let is_last = first_contract.is_none_or(|at| at == opening);
        assert!(is_last, "{what}: contracting steps come last");
        for step in migration.steps {
            if let Step::Backfill { sql, rows } = step {
                let sql = sql.to_uppercase();
                assert!(sql.contains("LIMIT ?1") && *rows > 0, "{what}: in batches");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_migrations_are_in_order_and_as_they_were_released() {
        check_list(MIGRATIONS);
        let sums: Vec<(i64, String)> = MIGRATIONS
            .iter()
            .map(|migration| (migration.version, migration.checksum()))
            .collect();
        let of = |sql: &str| schema_checksum(sql);
        // One expanding step: the checksum is that of its file.
        assert_eq!(
            sums[0].1,
            of(include_str!("../../../migrations/postgres/0001_base.sql"))
        );
        assert_eq!(sums[1].0, 8);
    }
}
