//! The real engines that `scripts/services` starts, as a test sees them.
//!
//! `./test` starts a set for all tests and takes it down after them; they share
//! it, so each test keeps to names of its own: a database, a key prefix, a
//! subject. A test that stops or breaks a service starts a [`ServiceSet`] that
//! is its own. Nothing is skipped when services are missing: the test fails.

mod over_http;
mod postgres;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use std::{env, fs, process};

pub(crate) use over_http::try_ask;
pub use over_http::{Bucket, Opensearch};
pub use postgres::Postgres;

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
    /// `CONT` make it hang and go on. After `KILL` and `QUIT` it is gone.
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
