//! Everything that a deployment consists of is killed once, in the middle of
//! crawls: workers, the Redis master, a shard, a pooler, the event stream.
//!
//! `GLEANER_CHAOS=full` makes it 5,000 pages of 200 hosts and kills a worker
//! again and again; without it the same happens to a small part of that.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::services::{Postgres, ServiceSet};
use testkit::{FakeWeb, Reply};
use tokio::runtime::Runtime;

use crate::postgres::Worker;
use crate::stream::{Read, Reader, without_repeats};
use crate::support::{command, page, paragraphs, ran};

const DELAY: Duration = Duration::from_millis(100);
const WORKERS: usize = 3;
/// Far longer than all crawls take.
const PATIENCE: Duration = Duration::from_secs(900);

/// How much is crawled, and how often a worker is killed.
#[derive(Clone, Copy)]
struct Scale {
    sources: usize,
    hosts_of_source: usize,
    pages_of_host: usize,
    kills: usize,
}

impl Scale {
    fn asked() -> Scale {
        match std::env::var("GLEANER_CHAOS").as_deref() {
            Ok("full") => Scale {
                sources: 20,
                hosts_of_source: 10,
                pages_of_host: 25,
                kills: 20,
            },
            Ok(other) => panic!("GLEANER_CHAOS is `full` or not set, not `{other}`"),
            Err(_) => Scale {
                sources: 4,
                hosts_of_source: 3,
                pages_of_host: 12,
                kills: 3,
            },
        }
    }

    fn pages(self) -> usize {
        self.sources * self.hosts_of_source * self.pages_of_host
    }
}

/// Web sites on loopback, each a host of its own by its port.
struct Hosts {
    webs: Vec<FakeWeb>,
    _runtime: Runtime,
}

impl Hosts {
    fn start(scale: Scale) -> Hosts {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let count = scale.sources * scale.hosts_of_source;
        let webs = runtime.block_on(async {
            let mut webs = Vec::new();
            for _ in 0..count {
                webs.push(FakeWeb::start().await);
            }
            webs
        });
        for (host, web) in webs.iter().enumerate() {
            site(web, host, scale.pages_of_host);
        }
        Hosts {
            webs,
            _runtime: runtime,
        }
    }

    /// Requests so far, of all hosts.
    fn requests(&self) -> usize {
        self.webs.iter().map(|web| web.log().len()).sum()
    }
}

/// A start page that links to all others, and to one that nobody may have.
fn site(web: &FakeWeb, host: usize, pages: usize) {
    let slow = Duration::from_millis(20 + host as u64 % 40);
    web.route(
        "/robots.txt",
        Reply::text("User-agent: *\nDisallow: /private/").delayed(slow),
    );
    let links: String = (1..pages)
        .map(|n| format!("<a href=/p{n}>p{n}</a> "))
        .collect();
    let start = paragraphs(&format!("beginnings of host {host}"));
    let start = format!("{start}{links}<a href=/private/diary>diary</a>");
    web.route("/", page("Start", &start).delayed(slow));
    for n in 1..pages {
        let body = paragraphs(&format!("topic {n} of host {host}"));
        web.route(
            &format!("/p{n}"),
            page(&format!("Page {n}"), &body).delayed(slow),
        );
    }
}

/// What all processes of the deployment are told.
struct Deployment {
    set: ServiceSet,
    shards: Vec<Postgres>,
    env: Vec<(String, String)>,
}

impl Deployment {
    fn start() -> Deployment {
        let set = ServiceSet::start(&["pg", "pgbouncer", "redis", "nats"]);
        let shards = set.postgres_shards(2);
        let (redis, nats) = (set.redis(), set.nats());
        let mut env = vec![
            ("GLEANER__REDIS__SENTINELS", redis.sentinels.join(",")),
            ("GLEANER__REDIS__MASTER", redis.master),
            ("GLEANER__REDIS__PREFIX", redis.prefix),
            ("GLEANER__EVENTS__NATS_URL", nats.url),
            ("GLEANER__EVENTS__STREAM", nats.prefix.clone()),
            ("GLEANER__EVENTS__SUBJECT", nats.prefix),
            ("GLEANER__EVENTS__MAX_MB", "64".to_owned()),
            ("GLEANER__EVENTS__TIMEOUT_MS", "2000".to_owned()),
            ("GLEANER__EVENTS__RETRY_S", "1".to_owned()),
            ("GLEANER__EMBED__PROVIDER", "off".to_owned()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect::<Vec<_>>();
        for (number, shard) in shards.iter().enumerate() {
            env.push((
                format!("DATABASE_URL_SHARD_{number}"),
                shard.pgbouncer_url(),
            ));
        }
        Deployment { set, shards, env }
    }

    fn run(&self, machine: &Path, args: &[&str]) -> Value {
        let mut command = command(machine, args);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        let ran = ran(&command.output().expect("the program starts"));
        ran.ok().json()
    }

    fn worker(&self) -> Worker {
        Worker::start_with(&self.env)
    }

    /// What a query gives, row by row, of all shards.
    fn rows(&self, sql: &str) -> Vec<String> {
        let printed = self.shards.iter().map(|shard| shard.sql(sql));
        let lines = printed.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>());
        lines.filter(|line| !line.is_empty()).collect()
    }

    fn number(&self, sql: &str) -> usize {
        let rows = self.rows(sql);
        rows.iter()
            .map(|row| row.parse::<usize>().expect("a number"))
            .sum()
    }
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never {what}");
        std::thread::park_timeout(Duration::from_millis(100));
    }
}

/// What happens while crawls go on, one after the other.
#[derive(Clone, Copy)]
enum Blow {
    KillWorker(usize),
    /// The Sentinels make its replica the master. It stays away.
    KillRedisMaster,
    RestartShard,
    RestartPooler,
    KillStream,
}

impl Blow {
    fn all(scale: Scale) -> Vec<Blow> {
        let kills = (0..scale.kills).map(|kill| Blow::KillWorker(kill % WORKERS));
        let mut all: Vec<Blow> = kills.collect();
        let others = [
            Blow::RestartShard,
            Blow::KillRedisMaster,
            Blow::RestartPooler,
            Blow::KillStream,
        ];
        // Spread among the others, none of them first.
        let apart = all.len().div_ceil(others.len()).max(1);
        for (n, blow) in others.into_iter().enumerate() {
            let at = (1 + n * (apart + 1)).min(all.len());
            all.insert(at, blow);
        }
        all
    }

    fn fall(self, deployment: &Deployment, workers: &mut [Worker]) {
        let set = &deployment.set;
        match self {
            Blow::KillWorker(number) => workers[number] = deployment.worker(),
            Blow::KillRedisMaster => set.signal("redis-a", "KILL"),
            // As a crash: every connection is cut, whatever was under way.
            Blow::RestartShard => {
                set.signal("pg-1", "QUIT");
                set.start_again("pg-1");
            }
            Blow::RestartPooler => {
                set.signal("pgbouncer-0", "KILL");
                set.start_again("pgbouncer-0");
            }
            Blow::KillStream => {
                set.signal("nats", "KILL");
                set.start_again("nats");
            }
        }
    }
}

#[test]
fn q1_q2_p1_p2_hold_whatever_is_killed() {
    let scale = Scale::asked();
    let hosts = Hosts::start(scale);
    let deployment = Deployment::start();
    let machine = tempfile::tempdir().expect("temp dir");
    deployment.run(machine.path(), &["upgrade", "--json"]);
    let mut workers: Vec<Worker> = (0..WORKERS).map(|_| deployment.worker()).collect();
    // Before anything happens, so that all of it is told.
    let publishers = "SELECT count(*) FROM publisher WHERE active = 1";
    until("published", || {
        deployment.number(publishers) == deployment.shards.len()
    });
    let delay = DELAY.as_millis().to_string();
    let began = Instant::now();
    for webs in hosts.webs.chunks(scale.hosts_of_source) {
        let urls: Vec<String> = webs.iter().map(|web| web.url("/")).collect();
        let mut args = vec![
            "source",
            "add",
            "--json",
            "--concurrency",
            "1",
            "--delay-ms",
            &delay,
        ];
        args.extend(urls.iter().map(String::as_str));
        let id = deployment.run(machine.path(), &args)["id"].to_string();
        deployment.run(machine.path(), &["source", "crawl", &id, "--json"]);
    }
    let blows = Blow::all(scale);
    let expected = scale.pages() + hosts.webs.len();
    for (n, blow) in blows.iter().enumerate() {
        let enough = expected * (n + 1) / (blows.len() + 2);
        until("half done", || hosts.requests() >= enough);
        blow.fall(&deployment, &mut workers);
    }
    let unfinished = "SELECT count(*) FROM crawls WHERE status <> 'completed'";
    let all = "SELECT count(*) FROM crawls";
    until("done", || {
        let crawls = deployment.number(all);
        assert!(crawls <= scale.sources, "Q1: a source was crawled twice");
        crawls == scale.sources && deployment.number(unfinished) == 0
    });
    let took = began.elapsed();
    check_store(&deployment, scale);
    let gap = check_requests(&hosts, scale);
    let events = check_events(&deployment, scale);
    let requests = hosts.requests();
    println!(
        "{} pages of {} hosts in {:.1} s, {} blows: {requests} requests, least gap {} ms, \
         {events} events read",
        scale.pages(),
        hosts.webs.len(),
        took.as_secs_f64(),
        blows.len(),
        gap.as_millis(),
    );
}

/// Q1, Q2: every crawl ended once and with exact counts, and every page is there once.
fn check_store(deployment: &Deployment, scale: Scale) {
    let hosts = scale.sources * scale.hosts_of_source;
    // The page that nobody may have is found on each host, and skipped.
    let exact = format!(
        "SELECT count(*) FROM crawls WHERE found = added + skipped AND added = {} AND skipped = {}
           AND queued = 0",
        scale.pages() / scale.sources,
        hosts / scale.sources
    );
    let shown = "SELECT id, found, added, updated, unchanged, failed, skipped, queued FROM crawls";
    assert_eq!(
        deployment.number(&exact),
        scale.sources,
        "Q2: {:#?}",
        deployment.rows(shown)
    );
    let mut urls = deployment.rows("SELECT url FROM pages WHERE version > 0");
    assert_eq!(urls.len(), scale.pages());
    urls.sort();
    urls.dedup();
    assert_eq!(urls.len(), scale.pages(), "each page once");
    let tasks = "SELECT count(*) FROM tasks WHERE kind = 'crawl'";
    let succeeded = format!("{tasks} AND state = 3");
    assert_eq!(
        (deployment.number(tasks), deployment.number(&succeeded)),
        (scale.sources, scale.sources),
        "Q1: {:#?}",
        deployment.rows("SELECT id, state, error FROM tasks WHERE kind = 'crawl'")
    );
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(deployment.number(deadlocks), 0);
}

/// P1, P2 in the logs of the hosts themselves; the least time between two requests.
fn check_requests(hosts: &Hosts, scale: Scale) -> Duration {
    let mut least = Duration::MAX;
    for web in &hosts.webs {
        assert_eq!(web.hits("/private/diary"), 0, "P2");
        assert_eq!(web.in_flight_max(), 1, "P1: one at a time");
        let mut log = web.log();
        log.sort_by_key(|request| request.received_at);
        let gaps = log
            .windows(2)
            .map(|pair| pair[1].received_at - pair[0].received_at);
        least = gaps.min().map_or(least, |gap| gap.min(least));
        // When a request arrives is seen late on a busy machine, but late ones
        // do not make the whole any shorter.
        let span = log[log.len() - 1].received_at - log[0].received_at;
        let least_span = DELAY * (log.len() as u32 - 1);
        assert!(span >= least_span - DELAY, "P1: {} in {span:?}", log.len());
        for n in 1..scale.pages_of_host {
            assert!(web.hits(&format!("/p{n}")) > 0);
        }
    }
    least
}

/// What was published, once repeats are left out: exactly what happened.
fn check_events(deployment: &Deployment, scale: Scale) -> usize {
    let nats = deployment.set.nats();
    let stream = deployment
        .env
        .iter()
        .find(|(name, _)| name == "GLEANER__EVENTS__STREAM");
    let reader = Reader::connect(&nats.url, &stream.expect("a stream").1);
    // Asked with each message, so the thousands before it are not looked at again.
    let finished = |all: &[Read]| {
        let is_finished = |one: &&Read| one.kind() == "crawl.finished";
        let ends = all.last().as_ref().is_some_and(is_finished);
        ends && {
            let ids = all.iter().filter(is_finished).map(|one| &one.id);
            ids.collect::<std::collections::BTreeSet<_>>().len() >= scale.sources
        }
    };
    let all = reader.until("", finished);
    let new = without_repeats(&all);
    let of = |kind: &str, part: &str| {
        let of_kind = new.iter().filter(|one| one.kind() == kind);
        let mut ids: Vec<String> = of_kind
            .map(|one| one.body["data"][part].to_string())
            .collect();
        let events = ids.len();
        ids.sort();
        ids.dedup();
        (events, ids.len())
    };
    assert_eq!(of("page.added", "url"), (scale.pages(), scale.pages()));
    assert_eq!(
        of("crawl.finished", "crawl_id"),
        (scale.sources, scale.sources)
    );
    assert_eq!(
        of("crawl.started", "crawl_id"),
        (scale.sources, scale.sources)
    );
    all.len()
}
