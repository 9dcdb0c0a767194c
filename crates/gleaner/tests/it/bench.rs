//! `gleaner bench tenants`: the load test itself, with a small load.

use std::path::Path;

use serde_json::Value;
use testkit::services::Postgres;

use crate::support::{Ran, command, gleaner, ran};

const LOAD: [&str; 14] = [
    "bench",
    "tenants",
    "--tenants",
    "4",
    "--pages",
    "6",
    "--latency-ms",
    "1",
    "--error-rate",
    "0.3",
    "--searchers",
    "2",
    "--slots",
    "4",
];

fn bench(data_dir: &Path, more: &[&str], environment: &[(&str, &str)]) -> Ran {
    let mut args = LOAD.to_vec();
    args.push("--json");
    args.extend(more);
    let mut command = command(data_dir, &args);
    command.env("GLEANER__EMBED__PROVIDER", "off");
    command.envs(environment.iter().copied());
    ran(&command.output().expect("the program starts"))
}

/// Every page of every tenant, in spite of sites that fail; nothing of another's.
fn check_complete(figures: &Value, database: &str) {
    assert_eq!(figures["ended"], "complete", "{figures}");
    assert_eq!(figures["load"]["database"], database);
    assert_eq!(figures["crawls"]["complete"], 4, "{figures}");
    assert_eq!(figures["pages"]["stored"], 24, "{figures}");
    assert_eq!(figures["api"]["errors"], 0, "{figures}");
    assert_eq!(figures["api"]["hits_of_other_tenants"], 0, "{figures}");
    assert_eq!(figures["deadlocks"], 0);
    // The pages, and whatever led to a page that is not there.
    let pages = figures["pages"]["process_s"]["count"].as_f64();
    assert!(pages.is_some_and(|count| count >= 24.0), "{figures}");
    let targets = figures["targets"].as_array().expect("targets");
    let complete = targets
        .iter()
        .find(|target| target["name"] == "crawls complete");
    let complete = complete.expect("a target");
    assert_eq!(complete["measured"], 100.0);
    assert_eq!(complete["to_reach_met"], true);
}

#[test]
fn tenants_crawl_at_once_and_leave_nothing_behind() {
    let dir = tempfile::tempdir().expect("temp dir");
    let figures = bench(dir.path(), &[], &[]).ok().json();
    check_complete(&figures, "embedded");
    assert_eq!(figures["deadlocks_possible"], false);
    let left: Vec<_> = std::fs::read_dir(dir.path()).expect("a folder").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_load_that_takes_too_long_ends_with_what_there_is() {
    let dir = tempfile::tempdir().expect("temp dir");
    let more = ["--duration-s", "1", "--latency-ms", "2000"];
    let mut args = vec![
        "bench",
        "tenants",
        "--tenants",
        "3",
        "--pages",
        "50",
        "--json",
    ];
    args.extend(more);
    let ran = gleaner(dir.path(), &args);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    let figures = ran.json();
    assert_eq!(figures["ended"], "time_limit");
    assert_eq!(figures["crawls"]["complete"], 0);
    let wrong = gleaner(dir.path(), &["bench", "tenants", "--error-rate", "1.5"]);
    assert_eq!(wrong.code, 2, "{}", wrong.stderr);
}

#[test]
fn a_servers_database_is_used_only_empty_or_when_told_to() {
    let dir = tempfile::tempdir().expect("temp dir");
    let database = Postgres::fresh();
    let url = database.url();
    let environment = [("DATABASE_URL", url.as_str())];
    let figures = bench(dir.path(), &[], &environment).ok().json();
    check_complete(&figures, "postgresql");
    assert_eq!(figures["deadlocks_possible"], true);

    let refused = bench(dir.path(), &[], &environment);
    assert_eq!(refused.code, 2, "{}", refused.stdout);
    assert!(refused.stderr.contains("not empty"), "{}", refused.stderr);
    let again = bench(dir.path(), &["--reuse-database"], &environment).ok();
    assert!(again.stderr.contains("warning"), "{}", again.stderr);
    check_complete(&again.json(), "postgresql");
}
