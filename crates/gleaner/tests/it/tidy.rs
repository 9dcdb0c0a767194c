//! Rules of the house that a compiler does not check.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .expect("workspace root")
}

/// Who may know whom. A new edge is a decision: change ARCHITECTURE.md too.
const EDGES: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("tls", &[]),
    ("frontier", &["types"]),
    ("fetch", &["types", "tls"]),
    ("extract", &["types"]),
    ("chunk", &["types"]),
    ("embed", &["types", "tls"]),
    ("store", &["types", "tls"]),
    ("search", &["types", "tls", "store"]),
    ("guard", &["types"]),
    ("archive", &["types", "tls"]),
    ("llm", &["types", "tls"]),
    (
        "gleaner",
        &[
            "types", "frontier", "fetch", "extract", "chunk", "embed", "store", "search", "guard",
            "archive", "llm",
        ],
    ),
    ("testkit", &["types"]),
];

#[test]
fn crates_know_only_whom_they_may() {
    let names: BTreeSet<&str> = EDGES.iter().map(|(name, _)| *name).collect();
    let folders: BTreeSet<String> = std::fs::read_dir(root().join("crates"))
        .expect("crates folder")
        .map(|entry| {
            entry
                .expect("entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    assert_eq!(
        folders,
        names.iter().map(|name| (*name).to_owned()).collect(),
        "a crate unknown here"
    );
    for (name, allowed) in EDGES {
        let manifest = std::fs::read_to_string(root().join("crates").join(name).join("Cargo.toml"))
            .expect("manifest");
        let manifest: toml::Table = manifest.parse().expect("TOML");
        let dependencies = manifest["dependencies"].as_table().expect("dependencies");
        for dependency in dependencies
            .keys()
            .filter(|key| names.contains(key.as_str()))
        {
            assert!(
                allowed.contains(&dependency.as_str()),
                "{name} must not know {dependency}"
            );
        }
    }
}

#[test]
fn long_files_have_a_reason() {
    /// Lines past which a file asks for a reason; see STYLE.md.
    const LINES_MAX: usize = 600;
    let mut folders = vec![root().join("crates")];
    let mut long = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("folder") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let lines = std::fs::read_to_string(&path)
                    .expect("source")
                    .lines()
                    .count();
                if lines > LINES_MAX {
                    long.push(format!("{} has {lines} lines", path.display()));
                }
            }
        }
    }
    assert!(long.is_empty(), "{long:#?}");
}
