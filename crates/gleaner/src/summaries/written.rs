//! Reading what a model wrote, and holding it to bounds.

use serde::Deserialize;
use store::Entity;

use super::prompt::{CATEGORIES, ENTITIES_MAX, ENTITY_KINDS, KEY_POINTS_MAX};

const TITLE_CHARS_MAX: usize = 300;
/// Three times what was asked for; more is no summary.
const SUMMARY_CHARS_MAX: usize = 4_000;
const POINT_CHARS_MAX: usize = 500;
const NAME_CHARS_MAX: usize = 200;

/// A summary in its parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    pub title: String,
    pub summary: String,
    pub key_points: Vec<String>,
    pub entities: Vec<Entity>,
    pub category: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    title: String,
    summary: String,
    #[serde(default)]
    key_points: Vec<String>,
    #[serde(default)]
    entities: Vec<AnswerEntity>,
    #[serde(default)]
    category: Option<String>,
}

/// Servers without schemas let models write bare names.
#[derive(Deserialize)]
#[serde(untagged)]
enum AnswerEntity {
    Full {
        name: String,
        #[serde(default)]
        kind: String,
    },
    Name(String),
}

/// The summary in an answer, or why there is none. Models wrap JSON in fences
/// and pleasantries where the server does not hold them to a schema.
pub fn read(answer: &str) -> Result<Written, String> {
    let start = answer.find('{').ok_or("the answer has no JSON object")?;
    // Only the first object counts: what follows it is talk.
    let mut objects = serde_json::Deserializer::from_str(&answer[start..]).into_iter::<Answer>();
    let read = objects.next().ok_or("the answer has no JSON object")?;
    let read = read.map_err(|error| format!("the answer is not the JSON asked for: {error}"))?;
    let summary = tidy(&read.summary, SUMMARY_CHARS_MAX);
    if summary.is_empty() {
        return Err("the answer's summary is empty".to_owned());
    }
    let points = read.key_points.iter();
    let points = points.map(|point| tidy(point, POINT_CHARS_MAX));
    let category = read.category.map(|text| text.trim().to_lowercase());
    Ok(Written {
        title: tidy(&read.title, TITLE_CHARS_MAX),
        summary,
        key_points: points
            .filter(|point| !point.is_empty())
            .take(KEY_POINTS_MAX)
            .collect(),
        entities: entities(read.entities),
        category: category.filter(|text| CATEGORIES.contains(&text.as_str())),
    })
}

/// Each name once, in the order given.
fn entities(answered: Vec<AnswerEntity>) -> Vec<Entity> {
    let mut entities: Vec<Entity> = Vec::new();
    for entity in answered {
        let (name, kind) = match entity {
            AnswerEntity::Full { name, kind } => (name, kind.trim().to_lowercase()),
            AnswerEntity::Name(name) => (name, String::new()),
        };
        let name = tidy(&name, NAME_CHARS_MAX);
        let is_known = entities.iter().any(|known| known.name == name);
        if name.is_empty() || is_known || entities.len() == ENTITIES_MAX {
            continue;
        }
        let kind = ENTITY_KINDS.into_iter().find(|known| *known == kind);
        entities.push(Entity {
            name,
            kind: kind.unwrap_or("other").to_owned(),
        });
    }
    entities
}

/// One line without control characters, cut between words where it is too long.
fn tidy(text: &str, chars_max: usize) -> String {
    let mut tidy = String::new();
    let mut chars = 0;
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        if word.is_empty() {
            continue;
        }
        let length = word.chars().count() + 1;
        if chars + length > chars_max {
            tidy.push('…');
            break;
        }
        if !tidy.is_empty() {
            tidy.push(' ');
        }
        tidy.push_str(word);
        chars += length;
    }
    tidy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_is_read() {
        let answer = r#"{"title": " Rain ", "summary": "It rained.\nA lot.",
            "key_points": ["Rain", "", "more rain"],
            "entities": [{"name": "Tehran", "kind": "Place"}, {"name": "Tehran", "kind": "place"},
                         {"name": "X", "kind": "thing"}, "Ada"],
            "category": "News"}"#;
        let written = read(answer).expect("a summary");
        assert_eq!(written.title, "Rain");
        assert_eq!(written.summary, "It rained. A lot.");
        assert_eq!(written.key_points, ["Rain", "more rain"]);
        let entities: Vec<(&str, &str)> = written
            .entities
            .iter()
            .map(|e| (e.name.as_str(), e.kind.as_str()))
            .collect();
        assert_eq!(
            entities,
            [("Tehran", "place"), ("X", "other"), ("Ada", "other")]
        );
        assert_eq!(written.category.as_deref(), Some("news"));
    }

    #[test]
    fn fences_and_talk_are_passed_over() {
        let answer =
            "Sure! Here it is:\n```json\n{\"summary\": \"خلاصهٔ کوتاه.\"}\n```\nAnything else?";
        let written = read(answer).expect("a summary");
        assert_eq!(written.summary, "خلاصهٔ کوتاه.");
        assert_eq!(written.category, None);
    }

    #[test]
    fn what_is_no_summary_is_refused() {
        let check = |answer: &str, words: &str| {
            let problem = read(answer).expect_err(answer);
            assert!(problem.contains(words), "{answer}: {problem}");
        };
        check("I cannot do that.", "no JSON object");
        check("{\"title\": \"x\"}", "missing field `summary`");
        check("{\"summary\": \" \\n \"}", "is empty");
        check("{\"summary\": \"cut", "not the JSON asked for");
        check("{\"summary\": 7}", "not the JSON asked for");
    }

    #[test]
    fn everything_is_bounded() {
        let long = "word ".repeat(10_000);
        let points: Vec<&str> = vec![&long; 50];
        let names: Vec<String> = (0..50).map(|n| format!("name {n}")).collect();
        let answer = serde_json::json!({
            "title": long, "summary": long, "key_points": points, "entities": names,
            "category": "weather",
        });
        let written = read(&answer.to_string()).expect("a summary");
        assert!(written.title.chars().count() <= TITLE_CHARS_MAX + 1);
        assert!(written.summary.chars().count() <= SUMMARY_CHARS_MAX + 1);
        assert_eq!(written.key_points.len(), KEY_POINTS_MAX);
        assert_eq!(written.entities.len(), ENTITIES_MAX);
        assert_eq!(written.category, None);
    }
}
