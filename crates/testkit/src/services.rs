//! The real engines that `scripts/services` starts, as a test sees them.
//!
//! `./test` starts a set for all tests and takes it down after them; they share
//! it, so each test keeps to names of its own: a database, a key prefix, a
//! subject. A test that stops or breaks a service starts a [`ServiceSet`] that
//! is its own. Nothing is skipped when services are missing: the test fails.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{env, fs, process};

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

    fn fresh_in(variables: &Variables, cluster: usize) -> Postgres {
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

/// A Redis master with a replica, watched by three Sentinels.
#[derive(Clone, Debug)]
pub struct Redis {
    /// `redis://127.0.0.1:PORT` of the server that began as the master.
    pub url: String,
    /// `127.0.0.1:PORT` of each Sentinel; none of `redis-alone`.
    pub sentinels: Vec<String>,
    /// What the Sentinels call the master.
    pub master: String,
    /// For the keys of this one test.
    pub prefix: String,
}

impl Redis {
    /// Of the shared set.
    #[must_use]
    pub fn shared() -> Redis {
        Redis::of(&Variables::of_this_process())
    }

    fn of(variables: &Variables) -> Redis {
        Redis {
            url: variables.get("TEST_REDIS_URL"),
            sentinels: variables.list("TEST_REDIS_SENTINELS"),
            master: variables.get("TEST_REDIS_MASTER"),
            prefix: unique_name(),
        }
    }
}

/// A NATS server with JetStream.
#[derive(Clone, Debug)]
pub struct Nats {
    pub url: String,
    /// For the streams and subjects of this one test.
    pub prefix: String,
}

impl Nats {
    /// Of the shared set.
    #[must_use]
    pub fn shared() -> Nats {
        Nats::of(&Variables::of_this_process())
    }

    fn of(variables: &Variables) -> Nats {
        Nats {
            url: variables.get("TEST_NATS_URL"),
            prefix: unique_name(),
        }
    }
}

/// A bucket of its own on the S3 server.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// `http://127.0.0.1:PORT`. Any key and secret will do.
    pub endpoint: String,
    pub name: String,
}

impl Bucket {
    /// Of the shared set.
    #[must_use]
    pub fn fresh() -> Bucket {
        Bucket::fresh_in(&Variables::of_this_process())
    }

    fn fresh_in(variables: &Variables) -> Bucket {
        let bucket = Bucket {
            endpoint: variables.get("TEST_S3_ENDPOINT"),
            name: unique_name().replace('_', "-"),
        };
        bucket.make();
        bucket
    }

    fn make(&self) {
        let address = self.endpoint.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).expect("the S3 server listens");
        let name = &self.name;
        let request = format!(
            "PUT /{name} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200"), "{name}: {answer}");
    }
}

/// A server of OpenSearch's REST protocol, with indexes of one test, which are
/// deleted with this value.
#[derive(Debug)]
pub struct Opensearch {
    pub url: String,
    /// For the names of indexes of this one test.
    pub prefix: String,
}

impl Opensearch {
    /// Of the shared set.
    #[must_use]
    pub fn shared() -> Opensearch {
        Opensearch::of(&Variables::of_this_process())
    }

    fn of(variables: &Variables) -> Opensearch {
        Opensearch {
            url: variables.get("TEST_OPENSEARCH_URL"),
            prefix: unique_name(),
        }
    }

    /// Status and body of an answer; `body` is JSON, or empty.
    ///
    /// # Panics
    /// If there is none.
    pub fn ask(&self, method: &str, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
        self.try_ask(method, path, body)
            .unwrap_or_else(|error| panic!("{method} {}{path}: {error}", self.url))
    }

    /// Returns once it answers, as after [`ServiceSet::start_again`].
    ///
    /// # Panics
    /// If it takes half a minute.
    pub fn wait(&self) {
        let since = Instant::now();
        let (_never, pause) = std::sync::mpsc::channel::<()>();
        while self.try_ask("GET", "/", b"").is_err() {
            assert!(since.elapsed().as_secs() < 30, "{} is away", self.url);
            let _ = pause.recv_timeout(Duration::from_millis(20));
        }
    }

    fn try_ask(&self, method: &str, path: &str, body: &[u8]) -> std::io::Result<(u16, Vec<u8>)> {
        let address = self.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address)?;
        // The older protocol has neither chunks nor connections that stay.
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
        let status = answer.get(9..12).map(String::from_utf8_lossy);
        match (end, status.and_then(|status| status.parse().ok())) {
            (Some(end), Some(status)) => Ok((status, answer.split_off(end + 4))),
            _ => Err(std::io::Error::other("no HTTP answer")),
        }
    }
}

impl Drop for Opensearch {
    fn drop(&mut self) {
        // With its server stopped by the test there is nothing left behind.
        for path in ["", "_index_template/"] {
            let _ = self.try_ask("DELETE", &format!("/{path}{}*", self.prefix), b"");
        }
    }
}

/// Services of one test alone, which it may kill and start again. Stopped with
/// this value.
#[derive(Debug)]
pub struct ServiceSet {
    folder: PathBuf,
    variables: Variables,
}

impl ServiceSet {
    /// `words` as `scripts/services` knows them, e.g. `&["redis"]`. Takes 1-3 s.
    ///
    /// # Panics
    /// If they do not start.
    #[must_use]
    pub fn start(words: &[&str]) -> ServiceSet {
        let folder = env::temp_dir().join(format!("gleaner-{}", unique_name()));
        let mut arguments = vec!["up", text(&folder)];
        arguments.extend(words);
        let printed = services(&arguments);
        ServiceSet {
            variables: Variables::parse(&printed),
            folder,
        }
    }

    /// Sends a signal to one process, e.g. `("redis-a", "KILL")`; `STOP` and
    /// `CONT` make it hang and go on.
    pub fn signal(&self, name: &str, signal: &str) {
        services(&["signal", text(&self.folder), name, signal]);
    }

    /// Starts a process again that was stopped, with the same port and files.
    pub fn start_again(&self, name: &str) {
        services(&["start", text(&self.folder), name]);
    }

    #[must_use]
    pub fn postgres(&self) -> Postgres {
        Postgres::fresh_in(&self.variables, 0)
    }

    /// As [`Postgres::fresh_shards`].
    #[must_use]
    pub fn postgres_shards(&self, count: usize) -> Vec<Postgres> {
        (0..count)
            .map(|cluster| Postgres::fresh_in(&self.variables, cluster))
            .collect()
    }

    #[must_use]
    pub fn redis(&self) -> Redis {
        Redis::of(&self.variables)
    }

    #[must_use]
    pub fn bucket(&self) -> Bucket {
        Bucket::fresh_in(&self.variables)
    }

    #[must_use]
    pub fn nats(&self) -> Nats {
        Nats::of(&self.variables)
    }

    #[must_use]
    pub fn opensearch(&self) -> Opensearch {
        Opensearch::of(&self.variables)
    }

    /// A variable of the set, for services that have no type here.
    #[must_use]
    pub fn variable(&self, name: &str) -> String {
        self.variables.get(name)
    }
}

impl Drop for ServiceSet {
    fn drop(&mut self) {
        let down = script().args(["down", text(&self.folder)]).status();
        // Logs of what could not be stopped are worth a look.
        if down.is_ok_and(|status| status.success()) {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

fn script() -> Command {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/services");
    let mut command = Command::new(path);
    command.stdin(Stdio::null());
    command
}

fn services(arguments: &[&str]) -> String {
    let output = script()
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("scripts/services: {error}"));
    assert!(
        output.status.success(),
        "scripts/services {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary folder of plain text")
}

/// Where a set is: the variables that `scripts/services` gives.
#[derive(Debug)]
struct Variables(Option<HashMap<String, String>>);

impl Variables {
    fn of_this_process() -> Variables {
        Variables(None)
    }

    /// Lines such as `export NAME=VALUE`, the value quoted by backslashes; an
    /// empty one by a pair of quotes.
    fn parse(printed: &str) -> Variables {
        let pairs = printed
            .lines()
            .filter_map(|line| line.strip_prefix("export ")?.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.replace(['\\', '\''], "")));
        Variables(Some(pairs.collect()))
    }

    fn find(&self, name: &str) -> Option<String> {
        match &self.0 {
            Some(variables) => variables.get(name).cloned(),
            None => env::var(name).ok(),
        }
    }

    fn get(&self, name: &str) -> String {
        self.find(name).unwrap_or_else(|| {
            panic!(
                "{name} is not set, so this test has no service to talk to: use `./test`, \
                 or `scripts/services run -- cargo test …`"
            )
        })
    }

    fn list(&self, name: &str) -> Vec<String> {
        split(&self.get(name))
    }
}

fn split(list: &str) -> Vec<String> {
    let items = list.split(',').filter(|item| !item.is_empty());
    items.map(str::to_owned).collect()
}

/// Unlike that of any other test, in this process or another one, now or left
/// behind by an earlier run.
fn unique_name() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    #[expect(
        clippy::disallowed_methods,
        reason = "names of tests of all runs differ"
    )]
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis());
    format!("test_{now:x}_{:x}_{count}", process::id())
}
