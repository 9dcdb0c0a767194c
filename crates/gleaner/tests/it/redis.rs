//! Processes on one Redis, and what becomes of them without it.

use testkit::services::{self, ServiceSet};

use crate::http::Running;
use crate::support::{command, gleaner, ran};

/// Two settings files' worth of one deployment.
fn settings(redis: &services::Redis) -> [(&'static str, String); 4] {
    [
        ("REDIS_URL", redis.url.clone()),
        ("GLEANER__REDIS__PREFIX", redis.prefix.clone()),
        ("GLEANER__API__RATE_REQUESTS", "3".to_owned()),
        ("GLEANER__API__RATE_PER_S", "3600".to_owned()),
    ]
}

struct Server {
    running: Running,
    bearer: String,
}

impl Server {
    /// Each with a folder of its own: the key of both is the first one there.
    fn start(dir: &std::path::Path, redis: &services::Redis) -> Server {
        let args = [
            "key", "create", "--name", "test", "--scope", "admin", "--json",
        ];
        let created = gleaner(dir, &args).ok().json();
        let settings = settings(redis);
        let settings = settings
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        let server = Server {
            running: Running::serve_with(dir, &settings),
            bearer: format!("Bearer {}", created["api_key"].as_str().expect("a key")),
        };
        server.wait_for_redis(true);
        server
    }

    fn get(&self, path: &str) -> crate::http::Answer {
        let headers = [("Authorization", self.bearer.as_str())];
        self.running.ask("GET", path, &headers, None)
    }

    /// As the owner on loopback, whom no limit counts.
    fn wait_for_redis(&self, is_up: bool) {
        let line = format!("redis_up {}", u8::from(is_up));
        for _ in 0..3000 {
            let metrics = self.running.get("/metrics").is(200).body;
            if metrics.lines().any(|found| found == line) {
                return;
            }
            // The server tells nobody; a request takes some milliseconds.
            std::thread::yield_now();
        }
        panic!("never `{line}`");
    }
}

#[test]
fn servers_share_a_limit_and_have_their_own_while_redis_is_away() {
    let set = ServiceSet::start(&["redis-alone"]);
    let redis = set.redis();
    let dirs = [(); 2].map(|()| tempfile::tempdir().expect("temp dir"));
    let servers = dirs.each_ref().map(|dir| Server::start(dir.path(), &redis));
    let status = |server: usize| servers[server].get("/api/v2/sources").status;
    assert_eq!([0, 1, 0, 1].map(status), [200, 200, 200, 429]);
    assert_eq!(status(0), 429);

    set.signal("redis-a", "KILL");
    servers
        .iter()
        .for_each(|server| server.wait_for_redis(false));
    // What was used up stays so, as far as each of them knows; and both serve.
    assert_eq!(status(0), 429);
    servers[1].running.get("/ready").is(200);

    set.start_again("redis-a");
    servers
        .iter()
        .for_each(|server| server.wait_for_redis(true));
    // It came back with nothing: a new hour for both together.
    assert_eq!([0, 1, 0, 1].map(status), [200, 200, 200, 429]);
}

#[test]
fn doctor_says_whether_redis_answers() {
    let dir = tempfile::tempdir().expect("temp dir");
    let doctor = |settings: &[(&str, &str)]| {
        let mut doctor = command(dir.path(), &["doctor", "--json"]);
        doctor.env("GLEANER__EMBED__PROVIDER", "off");
        doctor.envs(settings.iter().copied());
        let json = ran(&doctor.output().expect("it runs")).json();
        let checks = json["checks"].as_array().expect("checks").clone();
        checks.into_iter().find(|check| check["name"] == "redis")
    };
    assert_eq!(doctor(&[]), None);

    let redis = services::Redis::shared();
    let sentinels = redis.sentinels.join(",");
    for settings in [
        [("REDIS_URL", redis.url.as_str()), ("IGNORED", "")],
        [
            ("GLEANER__REDIS__SENTINELS", &sentinels),
            ("GLEANER__REDIS__MASTER", &redis.master),
        ],
    ] {
        let check = doctor(&settings).expect("a check");
        assert_eq!(check["state"], "ok", "{check}");
        let address = redis.url.trim_start_matches("redis://");
        assert!(check["message"].to_string().contains(address), "{check}");
    }

    // Nobody listens on the port of a discarded listener.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("redis://:secret@{}", gone.local_addr().expect("bound"));
    drop(gone);
    let check = doctor(&[("REDIS_URL", &url)]).expect("a check");
    assert_eq!(check["state"], "failed", "{check}");
    assert!(!check.to_string().contains("secret"), "{check}");
    let check = doctor(&[("REDIS_URL", "localhost")]).expect("a check");
    assert!(check["message"].to_string().contains("redis://"), "{check}");
}
