//! Databases.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Variables, split, unique_name};

/// A database of its own in one of the running PostgreSQL clusters, with the
/// extensions `vector`, `pg_trgm` and `unaccent`. Dropped with this value,
/// whoever is still connected.
#[derive(Debug)]
pub struct Postgres {
    name: String,
    server: String,
    bouncer: Option<String>,
    psql: PathBuf,
}

impl Postgres {
    /// In the first cluster of the shared set.
    #[must_use]
    pub fn fresh() -> Postgres {
        Postgres::fresh_in(&Variables::of_this_process(), 0)
    }

    /// One in each of the first `count` clusters, as shards; `scripts/services`
    /// starts two clusters.
    #[must_use]
    pub fn fresh_shards(count: usize) -> Vec<Postgres> {
        let variables = Variables::of_this_process();
        (0..count)
            .map(|cluster| Postgres::fresh_in(&variables, cluster))
            .collect()
    }

    /// Makes this database one that is only copied: whoever is connected to it
    /// is sent away, and nobody gets in again.
    pub fn freeze(&self) {
        let name = &self.name;
        self.administer(&format!("alter database {name} allow_connections false"));
        self.administer(&format!(
            "select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = '{name}'"
        ));
    }

    /// A database with all that this one has, which must be frozen: several
    /// times quicker than filling another one alike.
    #[must_use]
    pub fn copy(&self) -> Postgres {
        let copy = Postgres {
            name: unique_name(),
            server: self.server.clone(),
            bouncer: self.bouncer.clone(),
            psql: self.psql.clone(),
        };
        copy.administer(&format!(
            "create database {} template {}",
            copy.name, self.name
        ));
        copy
    }

    pub(super) fn fresh_in(variables: &Variables, cluster: usize) -> Postgres {
        let servers = variables.list("TEST_POSTGRES_URLS");
        let server = servers
            .get(cluster)
            .unwrap_or_else(|| panic!("there are {} PostgreSQL clusters", servers.len()));
        let bouncers = variables
            .find("TEST_PGBOUNCER_URLS")
            .map(|urls| split(&urls));
        let postgres = Postgres {
            name: unique_name(),
            server: server.clone(),
            bouncer: bouncers.and_then(|urls| urls.get(cluster).cloned()),
            psql: Path::new(&variables.get("TEST_PG_BIN")).join("psql"),
        };
        postgres.administer(&format!("create database {}", postgres.name));
        postgres
    }

    /// Straight to the server: for migrations, `LISTEN` and whatever else needs
    /// a session.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/{}", self.server, self.name)
    }

    /// Through PgBouncer in transaction mode.
    ///
    /// # Panics
    /// If the set was started without it.
    #[must_use]
    pub fn pgbouncer_url(&self) -> String {
        let bouncer = self.bouncer.as_ref();
        let bouncer = bouncer.unwrap_or_else(|| panic!("the set has no pgbouncer"));
        format!("{bouncer}/{}", self.name)
    }

    /// Runs SQL over a connection of its own and gives what it printed:
    /// unaligned, a line for each row, `|` between columns.
    pub fn sql(&self, sql: &str) -> String {
        run_psql(&self.psql, &self.url(), sql)
    }

    /// What PgBouncer has of this database now: `SHOW POOLS`, by column.
    ///
    /// # Panics
    /// If the set was started without it.
    #[must_use]
    pub fn pgbouncer_pools(&self) -> HashMap<String, usize> {
        let bouncer = self.bouncer.as_ref();
        let bouncer = bouncer.unwrap_or_else(|| panic!("the set has no pgbouncer"));
        let mut command = psql(&self.psql, &format!("{bouncer}/pgbouncer"), "SHOW POOLS");
        // With a head, unlike all else.
        let output = command.args(["-P", "tuples_only=off", "-P", "footer=off"]);
        let output = output
            .output()
            .unwrap_or_else(|error| panic!("{}: {error}", self.psql.display()));
        assert!(output.status.success(), "SHOW POOLS");
        let printed = String::from_utf8_lossy(&output.stdout);
        let mut lines = printed.lines().map(|line| line.split('|'));
        let head: Vec<&str> = lines.next().into_iter().flatten().collect();
        let row = lines.find(|row| row.clone().next() == Some(&self.name));
        let columns = head.into_iter().zip(row.into_iter().flatten());
        // Names and modes are no numbers.
        let numbers = columns.filter_map(|(name, value)| Some((name, value.parse().ok()?)));
        numbers
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    fn administer(&self, sql: &str) {
        run_psql(&self.psql, &format!("{}/postgres", self.server), sql);
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // In a test that fails anyway, or with its cluster stopped by the test
        // itself, a database left behind is of no interest.
        if !std::thread::panicking() {
            let url = format!("{}/postgres", self.server);
            let sql = format!("drop database if exists {} with (force)", self.name);
            let _ = psql(&self.psql, &url, &sql).status();
        }
    }
}

fn psql(program: &Path, url: &str, sql: &str) -> Command {
    let mut command = Command::new(program);
    command
        .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d"])
        .args([url, "-c", sql])
        .env("PGCONNECT_TIMEOUT", "10")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn run_psql(program: &Path, url: &str, sql: &str) -> String {
    let output = psql(program, url, sql)
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    assert!(
        output.status.success(),
        "{sql}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
