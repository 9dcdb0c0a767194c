//! The services that tests talk to are there, and each test has its own part.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use testkit::services::{Nats, Postgres, Redis, ServiceSet};

#[test]
fn each_database_is_fresh_has_the_extensions_and_is_reached_through_pgbouncer() {
    let shards = Postgres::fresh_shards(2);
    for shard in &shards {
        let extensions = shard.sql("select extname from pg_extension order by 1");
        assert_eq!(extensions, "pg_trgm\nplpgsql\nunaccent\nvector\n");
        shard.sql("create table pages (id int); insert into pages values (1), (2)");
        let psql = std::process::Command::new(std::env::var("TEST_PG_BIN").expect("set") + "/psql")
            .args(["-XAtd", &shard.pgbouncer_url()])
            .args(["-c", "select count(*) from pages"])
            .output()
            .expect("psql runs");
        assert_eq!(
            String::from_utf8_lossy(&psql.stdout),
            "2\n",
            "{}",
            String::from_utf8_lossy(&psql.stderr)
        );
    }
    assert_ne!(shards[0].url(), shards[1].url());

    let other = Postgres::fresh();
    let count = |name: &str| {
        other.sql(&format!(
            "select count(*) from pg_database where datname = '{name}'"
        ))
    };
    let url = shards[0].url();
    let name = url.rsplit('/').next().expect("a database");
    assert_eq!(count(name), "1\n");
    drop(shards);
    assert_eq!(count(name), "0\n");
}

/// What a server of a line protocol answers first.
fn ask(address: &str, command: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    let patience = Some(Duration::from_secs(10));
    stream.set_read_timeout(patience).expect("a socket");
    stream.write_all(command.as_bytes()).expect("it reads");
    let mut answer = vec![0; 4096];
    let length = stream.read(&mut answer).expect("it answers");
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

fn address(url: &str) -> &str {
    url.split_once("://").expect("a URL").1
}

#[test]
fn redis_its_sentinels_and_nats_answer() {
    let redis = Redis::shared();
    assert_eq!(ask(address(&redis.url), "PING\r\n"), "+PONG\r\n");
    assert_eq!(redis.sentinels.len(), 3);
    for sentinel in &redis.sentinels {
        let command = format!("SENTINEL GET-MASTER-ADDR-BY-NAME {}\r\n", redis.master);
        let (_, port) = redis.url.rsplit_once(':').expect("a port");
        assert!(ask(sentinel, &command).contains(port));
    }
    assert_ne!(redis.prefix, Redis::shared().prefix);
    let nats = Nats::shared();
    assert!(ask(address(&nats.url), "").contains("\"jetstream\":true"));
}

#[test]
fn a_set_of_ones_own_is_killed_and_started_again_and_goes_with_its_value() {
    let set = ServiceSet::start(&["nats"]);
    let nats = set.nats();
    assert_ne!(nats.url, Nats::shared().url);
    set.signal("nats", "KILL");
    let gone = |url: &str| TcpStream::connect(address(url)).is_err();
    eventually(|| gone(&nats.url));
    set.start_again("nats");
    eventually(|| !gone(&nats.url));
    drop(set);
    assert!(gone(&nats.url));
}

fn eventually(mut holds: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        // The kernel has no signal for "another process closed its port".
        std::thread::park_timeout(Duration::from_millis(10));
    }
    panic!("not within 10 s");
}
