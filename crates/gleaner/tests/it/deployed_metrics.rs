//! Metrics that alerts, panels and autoscalers in `deploy/` ask for.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::deploy::{python, read, rendered, texts_of};

/// Names of metrics in an expression: what is left of it without labels,
/// ranges, groupings and functions.
fn metrics_in(expression: &str) -> BTreeSet<String> {
    const WORDS: [&str; 20] = [
        "and",
        "avg",
        "by",
        "ceil",
        "clamp_min",
        "count",
        "histogram_quantile",
        "ignoring",
        "increase",
        "instance",
        "le",
        "max",
        "min",
        "name",
        "offset",
        "on",
        "or",
        "rate",
        "sum",
        "unless",
    ];
    let mut plain = String::new();
    let mut depth = 0usize;
    let mut rest = expression;
    while let Some(next) = rest.chars().next() {
        let groups = ["by (", "by(", "on (", "on(", "without ("];
        if depth == 0
            && let Some(group) = groups.iter().find(|group| rest.starts_with(**group))
        {
            let end = rest.find(')').unwrap_or(rest.len() - 1);
            rest = &rest[end.max(group.len() - 1) + 1..];
            plain.push(' ');
            continue;
        }
        match next {
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            other if depth == 0 => plain.push(other),
            _ => {}
        }
        rest = &rest[next.len_utf8()..];
    }
    plain
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase()) && !WORDS.contains(word))
        .map(str::to_owned)
        .collect()
}

#[test]
fn metrics_that_are_asked_for_are_documented() {
    let reference = read("docs/reference/metrics.md");
    let mut expressions = Vec::new();
    let rules = python(&["yaml", "deploy/prometheus/alerts.yml"]);
    for rule in rules["groups"][0]["rules"].as_array().expect("rules") {
        expressions.push(rule["expr"].as_str().expect("an expression").to_owned());
    }
    let board: Value = serde_json::from_str(&read("deploy/grafana/gleaner.json")).expect("JSON");
    for panel in board["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().expect("targets") {
            expressions.push(target["expr"].as_str().expect("an expression").to_owned());
        }
    }
    for (_, documents) in rendered() {
        for trigger in documents.iter().flat_map(|d| texts_of(d, "/spec/triggers")) {
            expressions.extend(trigger["metadata"]["query"].as_str().map(str::to_owned));
        }
    }
    let mut asked = BTreeSet::new();
    for expression in &expressions {
        let found = metrics_in(expression);
        assert!(!found.is_empty(), "{expression}");
        asked.extend(found);
    }
    // Prometheus' own.
    assert!(asked.remove("up"));
    for name in &asked {
        let suffixes = ["_bucket", "_count", "_sum"];
        let plain = suffixes.iter().find_map(|end| name.strip_suffix(end));
        let names = [Some(name.as_str()), plain];
        let is_documented = names
            .into_iter()
            .flatten()
            .any(|name| reference.contains(&format!("`{name}`")));
        assert!(is_documented, "{name} is in no table of metrics.md");
    }
    for name in [
        "suggested_workers",
        "queue_suggested_slots",
        "events_waiting",
        "breaker_state",
    ] {
        assert!(asked.contains(name), "nobody looks at {name}: {asked:?}");
    }
}
