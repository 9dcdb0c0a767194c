//! Queries with judged documents, in the form BEIR publishes them.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::files::{self, json_lines};
use super::metrics::Grades;

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Query {
    #[serde(rename = "_id", deserialize_with = "files::id")]
    pub id: String,
    pub text: String,
}

#[derive(Debug)]
pub struct QuerySet {
    pub name: String,
    /// BCP 47 primary subtag, when the set says so.
    pub language: Option<String>,
    pub queries: Vec<Query>,
    grades: HashMap<String, Grades>,
}

#[derive(Debug, Default, Deserialize)]
struct Meta {
    lang: Option<String>,
}

impl QuerySet {
    /// Reads the queries (of `queries` where given) and judgments of a folder.
    pub fn read(dir: &Path, queries: Option<&Path>) -> Result<QuerySet> {
        let path = match queries {
            Some(path) => path.to_owned(),
            None => files::find(dir, "queries.jsonl")?,
        };
        let queries: Vec<Query> = json_lines(&path)?.collect::<Result<_>>()?;
        if queries.is_empty() {
            bail!("there are no queries in {}", path.display());
        }
        let path = dir.join("qrels.tsv");
        let judgments = std::fs::read_to_string(&path)
            .with_context(|| format!("read the judgments in {}", path.display()))?;
        let grades =
            parse_judgments(&judgments).with_context(|| format!("read {}", path.display()))?;
        Ok(QuerySet {
            name: name_of(dir),
            language: language_of(dir)?,
            queries,
            grades,
        })
    }

    pub fn grades(&self, query: &Query) -> &Grades {
        static NONE: std::sync::LazyLock<Grades> = std::sync::LazyLock::new(Grades::new);
        self.grades.get(&query.id).unwrap_or(&NONE)
    }
}

/// `meta.json` is optional; a broken one is an error all the same.
fn language_of(dir: &Path) -> Result<Option<String>> {
    let path = dir.join("meta.json");
    if !path.is_file() {
        return Ok(None);
    }
    let text = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    let meta: Meta =
        serde_json::from_slice(&text).with_context(|| format!("read {}", path.display()))?;
    Ok(meta.lang)
}

/// The folder's name, safe as the name of another folder.
fn name_of(dir: &Path) -> String {
    let dir = std::fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    dir.file_name().map_or_else(
        || "set".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// `query-id TAB corpus-id TAB score` below one line of column names.
fn parse_judgments(text: &str) -> Result<HashMap<String, Grades>> {
    let mut grades: HashMap<String, Grades> = HashMap::new();
    for (number, line) in text.lines().enumerate().skip(1) {
        if line.trim().is_empty() {
            continue;
        }
        let fields: Vec<&str> = line.split('\t').collect();
        let [query, document, grade] = fields[..] else {
            bail!(
                "line {} does not have three fields between tabs",
                number + 1
            );
        };
        let grade = grade
            .trim()
            .parse()
            .with_context(|| format!("line {}: `{grade}` is no whole number", number + 1))?;
        grades
            .entry(query.to_owned())
            .or_default()
            .insert(document.to_owned(), grade);
    }
    Ok(grades)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn judgments_are_grouped_by_query() {
        let text = "query-id\tcorpus-id\tscore\n1\ta\t2\n1\tb\t0\n2\ta\t1\n\n";
        let grades = parse_judgments(text).unwrap();
        assert_eq!(
            grades["1"],
            Grades::from([("a".to_owned(), 2), ("b".to_owned(), 0)])
        );
        assert_eq!(grades["2"].len(), 1);
        let error = parse_judgments("head\n1\ta\n").unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
        assert!(parse_judgments("head\n1\ta\tmany\n").is_err());
    }
}
