//! `gleaner eval summaries`, on texts written for this test.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::gleaner;

const COUNCIL: &str = "It rained all week in the valley. Farmers moved their sheep to the barns. On Friday the \
council decided to build a new dam above the town. The dam will cost nine million and be ready in four years. \
The old dam leaks. Children skated on the pond.";

const DAM: &str = "همه‌ی هفته در دره باران بارید. کشاورزان گوسفندها را به آغل بردند. روز جمعه شورای شهر تصمیم گرفت \
بالای شهر سد تازه‌ای بسازد. سد نه میلیون هزینه دارد و چهار سال دیگر آماده می‌شود. سد کهنه نشت می‌کند. بچه‌ها روی \
برکه سر می‌خوردند.";

fn texts(dir: &Path) -> PathBuf {
    let lines = [
        json!({"id": 1, "text": COUNCIL, "language": "en", "title": "Council decides on new dam",
            "summary": "The council will build a new dam above the town."}),
        json!({"id": "dam", "text": DAM, "language": "fa", "title": "سد تازه بالای شهر",
            "summary": "شوراي شهر بالاي شهر سد تازه اي مي سازد"}),
    ];
    let path = dir.join("texts.jsonl");
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    std::fs::write(&path, lines.join("\n")).expect("written");
    path
}

fn eval(dir: &Path, file: &Path, more: &[&str]) -> Value {
    let mut args = vec!["eval", "summaries", file.to_str().expect("UTF-8"), "--json"];
    args.extend(more);
    gleaner(dir, &args).ok().json()
}

#[test]
fn eval_summaries_compares_with_the_lead() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = texts(dir.path());
    let figures = eval(dir.path(), &file, &["--sentences", "1"]);
    assert_eq!(figures["texts"], 2);
    let score = |figures: &Value, system: &str, measure: &str| -> f64 {
        let value = &figures["summaries"][system][measure]["mean"];
        value
            .as_f64()
            .unwrap_or_else(|| panic!("{system} {measure}: {figures}"))
    };
    // The lead is about the rain; the titles lead to the dam.
    for measure in ["rouge1_f1", "rouge2_f1", "rougel_f1", "rouge1_recall"] {
        let ours = score(&figures, "extractive", measure);
        assert!(ours > 0.3, "{measure}: {figures}");
        assert!(score(&figures, "lead", measure) < ours / 2.0, "{figures}");
    }
    let to_lead = &figures["summaries"]["extractive"]["rouge1_f1"]["to_lead"];
    assert!(to_lead.as_f64().is_some_and(|gain| gain > 0.2), "{figures}");
    assert_eq!(figures["summaries"]["lead"]["rouge1_f1"]["to_lead"], 0.0);

    let untitled = eval(dir.path(), &file, &["--sentences", "1", "--without-title"]);
    let gain =
        score(&figures, "extractive", "rouge1_f1") - score(&untitled, "extractive", "rouge1_f1");
    assert!(gain > 0.2, "{untitled}");

    let short = eval(dir.path(), &file, &["--words-max", "12"]);
    for system in ["extractive", "lead", "lead, equal words", "tldr"] {
        let words = short["summaries"][system]["words"].as_f64();
        assert!(words.is_some_and(|words| words <= 12.0), "{short}");
    }
    let table = gleaner(
        dir.path(),
        &["eval", "summaries", file.to_str().expect("UTF-8")],
    )
    .ok();
    assert!(
        table.stdout.contains("lead, equal words") && table.stdout.contains('±'),
        "{}",
        table.stdout
    );
}

#[test]
fn eval_summaries_says_what_it_cannot_score() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("texts.jsonl");
    let check = |content: &str, expected: &str| {
        std::fs::write(&file, content).expect("written");
        let ran = gleaner(
            dir.path(),
            &["eval", "summaries", file.to_str().expect("UTF-8")],
        );
        assert_ne!(ran.code, 0);
        assert!(ran.stderr.contains(expected), "{}", ran.stderr);
    };
    check("", "there is no text in");
    check(r#"{"id": "a", "text": "Some."}"#, "line 1 of");
    check(
        r#"{"id": "a", "text": "Some.", "summary": "..."}"#,
        "a has a summary without words",
    );
}
