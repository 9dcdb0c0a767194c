//! The embedding backlog against an endpoint on loopback: one that is down, one
//! that cannot take a text, and how often it is worked at during a crawl.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use store::{Access, EmbeddingProgress, Store, StoreOptions, TaskFilter, TaskRow};
use testkit::{FakeWeb, Reply, RequestInfo};
use types::{SystemClock, TaskState, TenantId};

use crate::http::Running;
use crate::support::{Ran, command, gleaner, page, paragraphs, ran, site};

const DIMS: usize = 4;
/// No endpoint of these tests can embed it.
const POISON: &str = "poison";

/// An OpenAI-compatible endpoint with a switch.
struct Endpoint {
    web: FakeWeb,
    is_up: Arc<AtomicBool>,
}

impl Endpoint {
    fn start(is_up: bool) -> Endpoint {
        let web = FakeWeb::start_blocking();
        let is_up = Arc::new(AtomicBool::new(is_up));
        let switch = is_up.clone();
        web.handler(move |request| {
            let texts = inputs(request);
            let fails = texts.iter().any(|text| text.contains(POISON));
            if fails || !switch.load(Ordering::SeqCst) {
                return Reply::status(503).header("retry-after", "0");
            }
            let vectors = texts.iter().enumerate().map(|(index, text)| {
                let embedding = [1.0, text.len() as f32, text.chars().count() as f32, 0.5];
                json!({"index": index, "embedding": embedding})
            });
            let body = json!({"data": vectors.collect::<Vec<Value>>()});
            Reply::body("application/json", body.to_string())
        });
        Endpoint { web, is_up }
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("GLEANER__EMBED__PROVIDER", "http".to_owned()),
            ("GLEANER__EMBED__BASE_URL", self.web.url("")),
            ("GLEANER__EMBED__MODEL", "m".to_owned()),
            ("GLEANER__EMBED__DIMS", DIMS.to_string()),
            ("GLEANER__EMBED__BREAKER_FAILURES", "1".to_owned()),
            ("GLEANER__EMBED__BREAKER_OPEN_S", "1".to_owned()),
        ]
    }

    fn run(&self, dir: &Path, args: &[&str]) -> Ran {
        let output = command(dir, args).envs(self.settings()).output();
        ran(&output.expect("the program starts"))
    }

    fn serve(&self, dir: &Path) -> Running {
        let settings = self.settings();
        let settings: Vec<(&str, &str)> = settings
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        Running::serve_with(dir, &settings)
    }
}

fn inputs(request: &RequestInfo) -> Vec<String> {
    let body: Value = serde_json::from_slice(&request.body).expect("JSON");
    let inputs = body["input"].as_array().expect("a list").iter();
    inputs
        .map(|text| text.as_str().expect("text").to_owned())
        .collect()
}

fn web_with(pages: usize, more: &str) -> FakeWeb {
    let web = FakeWeb::start_blocking();
    site(&web, pages);
    if !more.is_empty() {
        web.route("/p0", page("Another", &paragraphs(more)));
    }
    web
}

fn store(dir: &Path) -> Store {
    let options = StoreOptions::default();
    Store::open(dir, Access::Write, &options, Arc::new(SystemClock)).expect("store")
}

fn vectors(store: &Store) -> EmbeddingProgress {
    store.embedding_progress().expect("progress")
}

fn embed_tasks(store: &Store, states: &[TaskState]) -> Vec<TaskRow> {
    let filter = TaskFilter {
        kind: Some("embed".to_owned()),
        states: states.to_vec(),
        limit: 500,
        ..TaskFilter::default()
    };
    store.tasks(TenantId::DEFAULT, &filter).expect("tasks")
}

/// Looks until it is so, at most two minutes.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !holds() {
        assert!(Instant::now() < deadline, "never {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

fn crawl_by_server(dir: &Path, web: &FakeWeb) {
    let added = gleaner(dir, &["source", "add", &web.url("/"), "--json"]).ok();
    let id = added.json()["id"].as_i64().expect("source id").to_string();
    gleaner(dir, &["source", "crawl", &id, "--json"]).ok();
}

#[test]
fn chunks_stay_pending_while_the_endpoint_is_down() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (web, endpoint) = (web_with(3, ""), Endpoint::start(false));
    let crawled = endpoint.run(dir.path(), &["crawl", &web.url("/"), "--json"]);
    assert_eq!(crawled.code, 3, "{}", crawled.stderr);
    let told = crawled.json();
    assert_eq!(told["vectors"]["done"], 0, "{told}");
    let EmbeddingProgress {
        pending, failed, ..
    } = vectors(&store(dir.path()));
    assert_eq!(failed, 0);
    assert!(pending >= 4, "{pending} of four pages");
    // A person at the terminal is not kept waiting for an endpoint that is down.
    let embedded = endpoint.run(dir.path(), &["embed", "--json"]);
    assert_eq!(embedded.code, 3, "{}", embedded.stderr);
    assert_eq!(embedded.json()["pending"], pending);
    assert!(
        embedded.stderr.contains("does not answer"),
        "{}",
        embedded.stderr
    );
    endpoint.is_up.store(true, Ordering::SeqCst);
    let embedded = endpoint.run(dir.path(), &["embed", "--json"]).ok().json();
    assert_eq!(embedded["failed"], 0, "{embedded}");
    assert_eq!(embedded["chunks"], pending, "{embedded}");
}

#[test]
fn a_server_puts_its_backlog_off_until_the_endpoint_is_back() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (web, endpoint) = (web_with(3, ""), Endpoint::start(false));
    let server = endpoint.serve(dir.path());
    crawl_by_server(dir.path(), &web);
    let store = store(dir.path());
    until("put off", || {
        let scheduled = embed_tasks(&store, &[TaskState::Scheduled]);
        scheduled.iter().any(|task| task.waiting_for.is_some())
    });
    let status = server.get("/api/v2/system/status").is(200).json();
    let service = &status["services"][0];
    assert_ne!(service["failures_in_a_row"], 0, "{service}");
    assert_eq!(vectors(&store).failed, 0);
    endpoint.is_up.store(true, Ordering::SeqCst);
    until("embedded", || vectors(&store).pending == 0);
    let now = vectors(&store);
    assert!(now.failed == 0 && now.done >= 4, "{now:?}");
    server.stop();
}

#[test]
fn a_text_that_no_endpoint_can_take_fails_alone() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (web, endpoint) = (web_with(3, POISON), Endpoint::start(true));
    let crawled = endpoint.run(dir.path(), &["crawl", &web.url("/"), "--json"]);
    assert_eq!(crawled.code, 3, "{}", crawled.stderr);
    let now = vectors(&store(dir.path()));
    assert_eq!(now.pending, 0, "{now:?}");
    assert!(now.failed >= 1 && now.done >= 3, "{now:?}");
}

#[test]
fn a_background_crawl_embeds_by_the_hundred_not_by_the_batch() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (web, endpoint) = (web_with(200, ""), Endpoint::start(true));
    let server = endpoint.serve(dir.path());
    let started = Instant::now();
    crawl_by_server(dir.path(), &web);
    let store = store(dir.path());
    until("all crawled and embedded", || {
        let now = vectors(&store);
        now.done >= 201 && now.pending == 0 && embed_tasks(&store, &RUNNABLE).is_empty()
    });
    // One for each ten seconds of the crawl, one at its end, one that may have
    // been enqueued while that one ran.
    let most = started.elapsed().as_secs() / 10 + 3;
    let ran = embed_tasks(&store, &[TaskState::Succeeded]).len() as u64;
    assert!((1..=most).contains(&ran), "{ran} of at most {most}");
    server.stop();
}

const RUNNABLE: [TaskState; 3] = [TaskState::Scheduled, TaskState::Queued, TaskState::Running];
