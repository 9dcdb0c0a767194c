//! Which kinds of tasks a process takes from the queue.

use anyhow::Result;

use super::new::KINDS;
use crate::app::UsageError;

/// The kinds of these names, each once; all kinds when there is none.
pub fn queues(names: &[String]) -> Result<Vec<&'static str>> {
    if names.is_empty() {
        return Ok(KINDS.to_vec());
    }
    let mut kinds = Vec::new();
    for name in names {
        let kind = queue(name)?;
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    Ok(kinds)
}

/// The kind of this name, or which one may have been meant.
fn queue(name: &str) -> Result<&'static str, UsageError> {
    if let Some(kind) = KINDS.into_iter().find(|kind| *kind == name) {
        return Ok(kind);
    }
    let likeness = |kind: &&str| strsim::jaro_winkler(name, kind);
    let nearest = KINDS
        .into_iter()
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
        .expect("bug: there are kinds");
    let known = KINDS.join(", ");
    Err(UsageError(format!(
        "there is no task kind `{name}`; did you mean `{nearest}`? There are {known}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(names: &[&str], expected: Result<&[&str], &str>) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        match (queues(&names), expected) {
            (Ok(kinds), Ok(expected)) => assert_eq!(kinds, expected),
            (Err(error), Err(words)) => {
                let text = error.to_string();
                assert!(text.contains(words), "{text}");
            }
            (found, _) => panic!("{names:?}: {found:?}"),
        }
    }

    #[test]
    fn names_are_kinds_once_each() {
        check(&[], Ok(&KINDS));
        check(&["embed", "crawl", "embed"], Ok(&["embed", "crawl"]));
        check(&["embd"], Err("did you mean `embed`?"));
        check(&["crawl", ""], Err("there is no task kind ``"));
    }
}
