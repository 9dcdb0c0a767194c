//! An index of an OpenSearch cluster. What runs here is a server that speaks its
//! REST protocol and keeps all in memory (see `scripts/services`).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use search::engine::{Follower, KeywordEngine as _, VectorReader};
use search::{
    LocalVectors, OpensearchConfig, OpensearchKeywords, SearchError, SearchErrorKind, SearchRequest,
};
use store::Store;
use testkit::services::{Opensearch, ServiceSet};
use testkit::{FakeWeb, Reply, RequestInfo};
use types::{Clock as _, ManualClock, Timestamp};

use crate::servers::{Beside, animals, asked};
use crate::support::{MODEL, TestPage, World, page};

struct Cluster {
    server: Arc<Opensearch>,
    config: OpensearchConfig,
    clock: Arc<ManualClock>,
    beside: Beside,
}

impl std::ops::Deref for Cluster {
    type Target = Beside;

    fn deref(&self) -> &Beside {
        &self.beside
    }
}

impl Cluster {
    fn new() -> Cluster {
        Cluster::of(Opensearch::shared())
    }

    fn of(server: Opensearch) -> Cluster {
        let url = server.url.clone();
        Cluster::at(server, url)
    }

    /// Spoken to through `url`.
    fn at(server: Opensearch, url: String) -> Cluster {
        let config = OpensearchConfig {
            urls: vec![url],
            prefix: server.prefix.clone(),
            owner: "this".to_owned(),
            retry_for: Duration::from_secs(3),
            ..OpensearchConfig::default()
        };
        let clock = Arc::new(ManualClock::at(Timestamp(1_700_000_000_000)));
        let beside = Beside {
            world: World::new(),
            engine: Arc::new(OpensearchKeywords::new(config.clone(), clock.clone())),
            vectors,
            tolerance: 1e-4,
        };
        Cluster {
            server: Arc::new(server),
            config,
            clock,
            beside,
        }
    }

    fn with(pages: &[TestPage]) -> Cluster {
        let cluster = Cluster::new();
        cluster.world.save(pages);
        cluster.sync();
        cluster
    }

    fn index(&self) -> String {
        format!("/{}-pages-v1", self.config.prefix)
    }

    fn open_error(&self) -> SearchError {
        self.engine.open().unwrap_err()
    }

    /// The lease of a writer that died ends.
    fn wait_for_lease(&self) {
        self.clock.advance(Duration::from_secs(21));
    }
}

fn vectors(store: &Store) -> Box<dyn VectorReader> {
    Box::new(LocalVectors::load(store.clone(), MODEL).unwrap())
}

crate::servers::suite!(Cluster::new());

fn numbered(pages: usize) -> Vec<TestPage> {
    let pages = (0..pages).map(|n| {
        let text = format!("word{n} common{}", " and so on".repeat(n % 7));
        page(&format!("/{n}"), &format!("Page {n}"), &text)
    });
    pages.collect()
}

#[test]
fn many_pages_rank_as_in_the_index_files() {
    let cluster = Cluster::with(&numbered(300));
    for query in [
        "common",
        "word12*",
        "page 44",
        "word3 common",
        "\"so on word\"",
    ] {
        cluster.paths(query);
    }
}

#[test]
fn all_that_match_are_counted_though_not_all_are_scored() {
    let cluster = Cluster::with(&numbered(700));
    let request = SearchRequest {
        facets: vec!["host"],
        ..asked("common")
    };
    let found = cluster.searcher().search(&request, None).unwrap();
    assert_eq!(found.total, 700);
    assert_eq!(found.facets[0].values, [("site.example".to_owned(), 700)]);
    assert_eq!(cluster.paths("word612"), ["/612"]);
    assert_eq!(cluster.found("word612 common")[0], "/612");
    // Those in which a word counts most are among those that are scored.
    cluster
        .world
        .save(&[page("/best", "Common things", "common and more")]);
    cluster.sync();
    assert_eq!(cluster.found("common")[0], "/best");
}

#[test]
fn one_process_writes_and_another_goes_on_where_it_stopped() {
    let cluster = Cluster::new();
    cluster.world.save(&numbered(300));
    let mut first = Follower::new(cluster.engine.open_writer().unwrap());
    let report = first.sync(cluster.store(), 100).unwrap();
    assert_eq!((report.pages, report.more), (100, true));
    first.commit().unwrap();
    let report = first.sync(cluster.store(), 100).unwrap();
    assert_eq!(report.pages, 100);
    let error = cluster.engine.open_writer().unwrap_err();
    assert_eq!(error.kind(), SearchErrorKind::Busy);
    // Killed between its second batch and what says so: that is repeated.
    drop(first);
    cluster.wait_for_lease();
    let mut second = Follower::new(cluster.engine.open_writer().unwrap());
    assert_eq!(second.sync(cluster.store(), 1000).unwrap().pages, 200);
    second.close().unwrap();
    cluster.world.sync();
    assert_eq!(cluster.paths("common").len(), 50);
    assert_eq!(cluster.paths("word123"), ["/123"]);
    assert_eq!(cluster.engine.open().unwrap().page_count().unwrap(), 300);
}

#[test]
fn who_lost_the_lease_overwrites_nothing() {
    let cluster = Cluster::with(&animals());
    cluster
        .world
        .save(&[page("/dogs", "Wolves", "A wolf howls.")]);
    // As it was when it lost the lease; its own clock has not gone on.
    let stale_clock = Arc::new(ManualClock::at(cluster.clock.now()));
    let stale = OpensearchKeywords::new(cluster.config.clone(), stale_clock);
    let mut stale = stale.open_writer().unwrap();
    cluster.wait_for_lease();
    cluster.sync();
    assert_eq!(cluster.found("wolf"), ["/dogs"]);
    let dogs = cluster
        .searcher()
        .search(&asked("wolf"), None)
        .unwrap()
        .hits[0]
        .page;
    let error = stale.apply(search::engine::Batch {
        shard: store::ShardNumber::HOME,
        seq: 99,
        changed: vec![dogs],
        pages: Vec::new(),
    });
    assert_eq!(error.unwrap_err().kind(), SearchErrorKind::Busy);
    assert_eq!(cluster.found("wolf"), ["/dogs"]);
}

#[test]
fn an_index_that_is_lost_is_noticed_and_filled_again() {
    let cluster = Cluster::with(&animals());
    // By somebody who searches already, too.
    let searcher = cluster.searcher();
    cluster.server.ask("DELETE", &cluster.index(), b"");
    let error = searcher.search(&asked("cat"), None).unwrap_err();
    assert_eq!(error.kind(), SearchErrorKind::NotFound);
    assert_eq!(cluster.open_error().kind(), SearchErrorKind::NotFound);
    cluster.sync();
    assert_eq!(cluster.paths("cat").len(), 3);
    // Progress alone.
    let progress = format!("/{}-progress", cluster.config.prefix);
    cluster.server.ask("DELETE", &progress, b"");
    assert_eq!(
        searcher.refresh().unwrap_err().kind(),
        SearchErrorKind::NotFound
    );
    assert_eq!(cluster.open_error().kind(), SearchErrorKind::NotFound);
    cluster.sync();
    assert_eq!(cluster.paths("cat").len(), 3);
    // While it is written: what comes then does not make half an index.
    let mut follower = Follower::new(cluster.engine.open_writer().unwrap());
    cluster
        .world
        .save(&[page("/dogs", "Wolves", "A wolf howls.")]);
    follower.sync(cluster.store(), 1000).unwrap();
    cluster.server.ask("DELETE", &cluster.index(), b"");
    assert!(follower.commit().is_err());
    drop(follower);
    cluster.wait_for_lease();
    cluster.sync();
    assert_eq!(cluster.found("cat").len(), 2);
    assert_eq!(cluster.found("wolf"), ["/dogs"]);
}

#[test]
fn a_server_that_dies_is_told_and_filled_again_when_it_is_back() {
    let set = ServiceSet::start(&["search"]);
    let cluster = Cluster::of(set.opensearch());
    cluster.world.save(&animals());
    cluster.sync();
    let searcher = cluster.searcher();
    set.signal("search", "KILL");
    let error = searcher.search(&asked("cat"), None).unwrap_err();
    assert_eq!(error.kind(), SearchErrorKind::Unavailable);
    assert!(error.to_string().contains("cannot be reached"), "{error}");
    let error = cluster.engine.open_writer().unwrap_err();
    assert_eq!(error.kind(), SearchErrorKind::Unavailable);
    set.start_again("search");
    cluster.server.wait();
    // It kept all in memory.
    assert_eq!(
        searcher.refresh().unwrap_err().kind(),
        SearchErrorKind::NotFound
    );
    cluster.sync();
    assert_eq!(cluster.paths("cat").len(), 3);
    searcher.refresh().unwrap();
    assert_eq!(searcher.search(&asked("cat"), None).unwrap().total, 3);
}

#[test]
fn the_second_node_is_asked_when_the_first_cannot_be_reached() {
    let mut cluster = Cluster::new();
    // Nobody listens on a port that was just given back.
    let nobody = FakeWeb::start_blocking().url("");
    cluster.config.urls.insert(0, nobody);
    let engine = OpensearchKeywords::new(cluster.config.clone(), cluster.clock.clone());
    cluster.beside.engine = Arc::new(engine);
    cluster.world.save(&animals());
    cluster.sync();
    assert_eq!(cluster.paths("cat").len(), 3);
}

#[test]
fn anothers_index_is_left_alone() {
    let cluster = Cluster::with(&animals());
    let config = OpensearchConfig {
        owner: "that".to_owned(),
        ..cluster.config.clone()
    };
    let that = OpensearchKeywords::new(config, cluster.clock.clone());
    for error in [that.open().unwrap_err(), that.open_writer().unwrap_err()] {
        assert_eq!(error.kind(), SearchErrorKind::Refused);
        assert!(
            error.to_string().contains("belongs to another database"),
            "{error}"
        );
    }
    assert_eq!(cluster.paths("cat").len(), 3);
}

/// Passes on to the server what `answer` has no answer to.
fn moody(
    answer: impl Fn(&RequestInfo) -> Option<Reply> + Send + Sync + 'static,
) -> (FakeWeb, Cluster) {
    let web = FakeWeb::start_blocking();
    let cluster = Cluster::at(Opensearch::shared(), web.url(""));
    let server = Arc::clone(&cluster.server);
    web.handler(move |request| {
        answer(request).unwrap_or_else(|| {
            let (status, body) = server.ask(&request.method, &request.path, &request.body);
            let mut reply = Reply::body("application/json", body);
            reply.status = status;
            reply
        })
    });
    (web, cluster)
}

fn is_bulk(request: &RequestInfo) -> bool {
    request.path.ends_with("/_bulk")
}

fn refusal(status: u16, kind: &str, reason: &str) -> Reply {
    let body = format!(r#"{{"error":{{"type":"{kind}","reason":"{reason}"}},"status":{status}}}"#);
    let mut reply = Reply::body("application/json", body);
    reply.status = status;
    reply
}

/// Each page of a bulk request refused for itself.
fn items(request: &RequestInfo, status: u16, kind: &str) -> Reply {
    let pages = request.body.split(|byte| *byte == b'\n');
    let pages = pages.filter(|line| line.starts_with(br#"{"index"#)).count();
    let item = format!(
        r#"{{"index":{{"_id":"7","status":{status},"error":{{"type":"{kind}","reason":"so it is"}}}}}}"#
    );
    let body = format!(
        r#"{{"errors":true,"items":[{}]}}"#,
        vec![item; pages].join(",")
    );
    Reply::body("application/json", body)
}

#[test]
fn a_cluster_that_is_busy_is_asked_again() {
    let asked = AtomicUsize::new(0);
    let (_web, cluster) = moody(move |request| {
        if !is_bulk(request) {
            return None;
        }
        match asked.fetch_add(1, Ordering::SeqCst) {
            0 => Some(refusal(429, "es_rejected_execution_exception", "full")),
            1 => Some(refusal(503, "unavailable_shards_exception", "away")),
            2 => Some(items(request, 429, "es_rejected_execution_exception")),
            _ => None,
        }
    });
    cluster.world.save(&animals());
    cluster.sync();
    assert_eq!(cluster.paths("cat").len(), 3);
}

/// What is said when every bulk request is answered so.
fn check_refused(
    answer: impl Fn(&RequestInfo) -> Reply + Send + Sync + 'static,
    kind: SearchErrorKind,
    says: &str,
) {
    let (_web, cluster) = moody(move |request| is_bulk(request).then(|| answer(request)));
    cluster.world.save(&animals());
    let mut follower = Follower::new(cluster.engine.open_writer().unwrap());
    let error = follower.sync(cluster.store(), 1000).unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(says), "{error}");
    // Nothing counts as applied.
    follower.close().unwrap();
    let reader = cluster.engine.open().unwrap();
    assert_eq!(reader.committed().to_string(), "0");
}

#[test]
fn refusals_are_told_for_what_they_are() {
    let flood =
        "index [x] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark]";
    check_refused(
        move |_| refusal(429, "cluster_block_exception", flood),
        SearchErrorKind::Unavailable,
        "takes no writes: index [x] blocked by",
    );
    check_refused(
        |request| items(request, 400, "strict_dynamic_mapping_exception"),
        SearchErrorKind::Index,
        "strict_dynamic_mapping_exception: so it is",
    );
    check_refused(
        |request| items(request, 409, "version_conflict_engine_exception"),
        SearchErrorKind::Busy,
        "written by another process",
    );
    check_refused(
        |_| refusal(403, "security_exception", "no permissions"),
        SearchErrorKind::Refused,
        "does not allow that: no permissions",
    );
    check_refused(
        |_| Reply::body("application/json", r#"{"errors":false,"items":[]}"#),
        SearchErrorKind::Index,
        "answered 0 of 5 pages",
    );
}

#[test]
fn wrong_credentials_are_told() {
    let check = |config: OpensearchConfig, header: &str| {
        let header = header.to_owned();
        let (web, cluster) = moody(move |request| {
            let is_known = request.header("authorization") == Some(header.as_str());
            (!is_known).then(|| {
                let mut reply = Reply::text("Unauthorized");
                reply.status = 401;
                reply
            })
        });
        let error = cluster.open_error();
        assert_eq!(error.kind(), SearchErrorKind::Refused);
        assert!(
            error.to_string().contains("refuses the credentials"),
            "{error}"
        );
        let config = OpensearchConfig {
            urls: vec![web.url("")],
            prefix: cluster.config.prefix.clone(),
            ..config
        };
        let engine = OpensearchKeywords::new(config, cluster.clock.clone());
        assert_eq!(engine.open().unwrap_err().kind(), SearchErrorKind::NotFound);
        assert!(engine.state().unwrap().version.starts_with("opensearch "));
    };
    let user = OpensearchConfig {
        username: "ada".to_owned(),
        password: "secret".to_owned(),
        ..OpensearchConfig::default()
    };
    check(user, "Basic YWRhOnNlY3JldA==");
    let key = OpensearchConfig {
        api_key: "a2V5".to_owned(),
        ..OpensearchConfig::default()
    };
    check(key, "ApiKey a2V5");
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let (_web, cluster) = moody(|_| Some(Reply::silence()));
    let config = OpensearchConfig {
        timeout: Duration::from_millis(50),
        ..cluster.config.clone()
    };
    let engine = OpensearchKeywords::new(config, cluster.clock.clone());
    let error = engine.open().unwrap_err();
    assert_eq!(error.kind(), SearchErrorKind::Unavailable);
    assert!(
        error.to_string().contains("did not answer within 0.05 s"),
        "{error}"
    );
}
