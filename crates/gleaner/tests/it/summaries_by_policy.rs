//! Summaries that nobody asks for: of sources that are set to have them.

use serde_json::{Value, json};
use testkit::FakeWeb;
use testkit::services::Postgres;

use crate::http::Running;
use crate::support::{Ran, command, gleaner, page, paragraphs, ran, site};

/// Pages of [`site`] with its start page.
const PAGES: u64 = 4;

/// Follows a task to its end.
fn ended(server: &Running, task: &Value) -> Value {
    let (_, events) = server.events(&format!("/api/v2/tasks/{task}/events"), None);
    let task = events.last().expect("an end").json();
    assert_eq!(task["state"], "succeeded", "{task}");
    task
}

/// The tasks of this kind, oldest first, all of which have ended.
fn summarised(server: &Running) -> Vec<Value> {
    let list = server.get("/api/v2/tasks?kind=summarize").is(200).json();
    let tasks = list["tasks"].as_array().expect("tasks").iter().rev();
    tasks.map(|task| ended(server, &task["id"])).collect()
}

/// How many pages each of them has given a summary.
fn pages_of(tasks: &[Value]) -> Vec<u64> {
    let pages = |task: &Value| task["result"]["pages"].as_u64().expect("pages");
    tasks.iter().map(pages).collect()
}

fn add(server: &Running, web: &FakeWeb, settings: &Value) -> (Value, Value) {
    let body = json!({"urls": [web.url("/")], "crawl_now": true, "settings": settings});
    let added = server.post("/api/v2/sources", &body).is(201).json();
    ended(server, &added["task_id"]);
    (added["source"]["id"].clone(), added["source"].clone())
}

/// Crawls the source, or some of its pages, and waits for the end.
fn crawl(server: &Running, source: &Value, urls: &[String]) -> Value {
    let path = format!("/api/v2/sources/{source}/crawl");
    let queued = server.post(&path, &json!({"urls": urls})).is(202).json();
    ended(server, &queued["task_id"])
}

fn stats(server: &Running) -> Value {
    server.get("/api/v2/summaries").is(200).json()["stats"].clone()
}

#[test]
fn each_crawl_is_followed_by_the_summaries_of_what_is_new() {
    let web = FakeWeb::start_blocking();
    site(&web, 3);
    let dir = tempfile::tempdir().expect("temp dir");
    let server = Running::serve(dir.path());
    let (source, shown) = add(&server, &web, &json!({"summarize": true}));
    assert_eq!(shown["settings"], json!({"summarize": true}));

    // The crawl has ended, so the task is there.
    let tasks = summarised(&server);
    assert_eq!(pages_of(&tasks), [PAGES]);
    assert_eq!(tasks[0]["payload"], json!({"source": source}), "{tasks:?}");
    let now = stats(&server);
    assert_eq!(
        (&now["fallback"], &now["waiting"]),
        (&json!(PAGES), &json!(0)),
        "{now}"
    );

    // Nothing changed: nothing is asked for.
    let again = crawl(&server, &source, &[]);
    assert_eq!(again["result"]["pages"]["unchanged"], PAGES, "{again}");
    assert_eq!(summarised(&server).len(), 1);

    // One page changed: one summary. And one more, by a crawl of that page alone.
    web.route("/p1", page("Page 1", &paragraphs("floods in spring")));
    crawl(&server, &source, &[]);
    assert_eq!(pages_of(&summarised(&server)), [PAGES, 1]);
    web.route("/p1", page("Page 1", &paragraphs("droughts in summer")));
    crawl(&server, &source, &[web.url("/p1")]);
    assert_eq!(pages_of(&summarised(&server)), [PAGES, 1, 1]);
    let list = server.get("/api/v2/summaries").json();
    let text = list.to_string();
    assert!(
        text.contains("droughts") && !text.contains("floods"),
        "{text}"
    );

    // It can be ended.
    let off = json!({"settings": {"summarize": false}});
    let path = format!("/api/v2/sources/{source}");
    server.ask("PATCH", &path, &[], Some(&off)).is(200);
    web.route("/p2", page("Page 2", &paragraphs("frost in autumn")));
    crawl(&server, &source, &[]);
    assert_eq!(summarised(&server).len(), 3);
    assert_eq!(stats(&server)["waiting"], 1);
    server.stop();
}

#[test]
fn a_source_without_it_queues_none_and_is_caught_up_with_once_it_has() {
    let web = FakeWeb::start_blocking();
    site(&web, 3);
    let dir = tempfile::tempdir().expect("temp dir");
    let server = Running::serve(dir.path());
    let (source, _) = add(&server, &web, &json!({}));
    assert_eq!(summarised(&server).len(), 0);
    assert_eq!(stats(&server)["waiting"], PAGES);

    // All that waits, although the next crawl finds nothing new.
    let on = json!({"settings": {"summarize": true}});
    let path = format!("/api/v2/sources/{source}");
    let kept = server.ask("PATCH", &path, &[], Some(&on)).is(200).json();
    assert_eq!(kept["settings"], json!({"summarize": true}), "{kept}");
    crawl(&server, &source, &[]);
    assert_eq!(pages_of(&summarised(&server)), [PAGES]);

    for wrong in [json!("yes"), json!(1)] {
        let body = json!({"settings": {"summarize": wrong}});
        let refused = server.ask("PATCH", &path, &[], Some(&body)).is(422).json();
        let why = refused["error"]["message"].as_str().expect("a message");
        assert!(
            why.contains("settings: summarize: invalid type")
                && why.ends_with("expected a boolean"),
            "{why}"
        );
    }
    server.stop();
}

#[test]
fn the_configuration_has_it_for_all_sources_that_do_not_say_otherwise() {
    let (said, unsaid) = (FakeWeb::start_blocking(), FakeWeb::start_blocking());
    for web in [&said, &unsaid] {
        site(web, 3);
    }
    let dir = tempfile::tempdir().expect("temp dir");
    let server = Running::serve_with(dir.path(), &[("GLEANER__CRAWL__SUMMARIZE", "true")]);
    add(&server, &said, &json!({"summarize": false}));
    assert_eq!(summarised(&server).len(), 0);
    // What one tenant's pages say twice is summarised once.
    unsaid.route("/", page("Start", &paragraphs("an only page")));
    let (source, _) = add(&server, &unsaid, &json!({}));
    assert_eq!(pages_of(&summarised(&server)), [1]);
    unsaid.route("/single", page("Single", &paragraphs("a page of its own")));
    let scrape = json!({"url": unsaid.url("/single")});
    let queued = server.post("/api/v2/tasks/scrape/async", &scrape).is(202);
    ended(&server, &queued.json()["task_id"]);
    let tasks = summarised(&server);
    assert_eq!(pages_of(&tasks), [1, 1]);
    assert_ne!(tasks[1]["payload"]["source"], source, "{tasks:?}");
    server.stop();
}

#[test]
fn the_command_line_sets_it_shows_it_and_does_it() {
    let web = FakeWeb::start_blocking();
    site(&web, 3);
    let dir = tempfile::tempdir().expect("temp dir");
    let run = |args: &[&str]| gleaner(dir.path(), args);
    let url = web.url("/");
    let added = run(&["source", "add", &url, "--summarize", "--json"]).ok();
    assert_eq!(added.json()["settings"], json!({"summarize": true}));
    let shown = |expected: &str| {
        let shown = run(&["source", "show", "1"]).ok().stdout;
        assert!(
            shown.contains(&format!("  summaries {expected}\n")),
            "{shown}"
        );
    };
    shown("after each crawl");

    // The crawl's own task is the one that runs here: none is left, none is made twice.
    let crawl = |more: &[&str]| crate::support::crawl(dir.path(), &url, more).ok().json();
    let made = crawl(&[]);
    assert_eq!(made["summaries"]["pages"], PAGES, "{made}");
    assert_eq!(made["summaries"]["ended"], "done", "{made}");
    let tasks = run(&["task", "list", "--kind", "summarize", "--json"])
        .ok()
        .lines();
    assert_eq!(tasks.len(), 1, "{tasks:?}");
    assert_eq!(tasks[0]["state"], "succeeded", "{tasks:?}");

    let edited = run(&["source", "edit", "1", "--summarize", "false"]).ok();
    assert!(
        edited.stdout.contains("summaries only when asked"),
        "{}",
        edited.stdout
    );
    shown("only when asked");
    web.route("/p1", page("Page 1", &paragraphs("floods in spring")));
    assert_eq!(crawl(&[])["summaries"], Value::Null);
    // This once; the source stays as it is.
    assert_eq!(crawl(&["--summarize"])["summaries"]["pages"], 1);
    shown("only when asked");
    assert_eq!(crawl(&["--summarize"])["summaries"]["pages"], 0);

    let wrong = run(&["source", "edit", "1", "--summarize", "perhaps"]);
    assert_eq!(wrong.code, 2);
    assert!(
        wrong.stderr.contains("invalid value 'perhaps'")
            && wrong.stderr.contains("possible values: true, false"),
        "{}",
        wrong.stderr
    );
    let mut wrong = command(dir.path(), &["source", "list"]);
    let wrong = wrong.env("GLEANER__CRAWL__SUMMARIZE", "perhaps").output();
    let wrong = ran(&wrong.expect("the program starts"));
    assert_eq!(wrong.code, 2, "{}", wrong.stderr);
    assert!(
        wrong.stderr.contains("GLEANER__CRAWL__SUMMARIZE"),
        "{}",
        wrong.stderr
    );
}

#[test]
fn the_task_lies_in_the_database_of_its_source() {
    let urls = Postgres::fresh_shards(2);
    let dir = tempfile::tempdir().expect("temp dir");
    let names = ["DATABASE_URL_SHARD_0", "DATABASE_URL_SHARD_1"];
    let urls: Vec<String> = urls.iter().map(Postgres::url).collect();
    let env: Vec<(&str, &str)> = names
        .into_iter()
        .zip(urls.iter().map(String::as_str))
        .collect();
    let on = |args: &[&str]| -> Ran {
        let mut command = command(dir.path(), args);
        ran(&command
            .envs(env.iter().copied())
            .output()
            .expect("the program starts"))
    };
    let server = Running::serve_with(dir.path(), &env);
    // Until each database has a source: which one it is, its host decides.
    let mut webs = Vec::new();
    loop {
        assert!(webs.len() < 40, "forty hosts lie in one database");
        let web = FakeWeb::start_blocking();
        let body = paragraphs(&format!("the site of number {}", webs.len()));
        web.route("/", page("Start", &body));
        add(&server, &web, &json!({"summarize": true}));
        webs.push(web);
        let shards = on(&["shard", "list", "--json"]).ok().lines();
        if shards.iter().all(|shard| shard["pages_live"] != 0) {
            break;
        }
    }
    let tasks = summarised(&server);
    assert_eq!(pages_of(&tasks), vec![1; webs.len()]);
    let home = |id: &Value| id.as_i64().expect("an id") >> 40;
    for task in &tasks {
        let source = &task["payload"]["source"];
        assert_eq!(home(&task["id"]), home(source), "{task}");
    }
    assert_eq!(stats(&server)["waiting"], 0);
    server.stop();
}

/// What one process summarises another one does not, and says so.
#[test]
fn a_crawl_here_leaves_summaries_to_whoever_makes_them() {
    let web = FakeWeb::start_blocking();
    site(&web, 3);
    let dir = tempfile::tempdir().expect("temp dir");
    let server = Running::serve(dir.path());
    let (_, source) = add(&server, &web, &json!({"summarize": true}));
    summarised(&server);
    web.route("/p1", page("Page 1", &paragraphs("floods in spring")));
    // The server's worker may be quicker; either way each page has its summary.
    let made = crate::support::crawl(dir.path(), &web.url("/"), &[]).ok();
    assert_eq!(made.json()["source_id"], source["id"]);
    let pages: u64 = pages_of(&summarised(&server)).iter().sum();
    assert_eq!(pages, PAGES + 1, "{}", made.stderr);
    assert_eq!(stats(&server)["waiting"], 0);
    server.stop();
}
