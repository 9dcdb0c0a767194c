//! JSON-LD: parsed tolerantly, kept whole, and asked for the article's facts.

use serde_json::Value;

/// What schema.org objects say about the page.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) headline: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) author: Option<String>,
    pub(crate) published: Option<String>,
    pub(crate) modified: Option<String>,
}

/// Objects looked at; product lists hold thousands.
const OBJECTS_MAX: usize = 200;

/// Parses one script. `None` when it is broken beyond the usual mistakes.
pub(crate) fn parse(script: &str) -> Option<Value> {
    let script = strip_wrapping(script);
    if script.is_empty() {
        return None;
    }
    // serde_json refuses more than 128 levels, so nesting is bounded here too.
    serde_json::from_str(script)
        .or_else(|_| serde_json::from_str(&repair(script)))
        .ok()
}

/// Facts of the first object that describes the page as a whole.
pub(crate) fn facts(values: &[Value]) -> Facts {
    let mut objects: Vec<&serde_json::Map<String, Value>> = Vec::new();
    let mut stack: Vec<&Value> = values.iter().rev().collect();
    while let Some(value) = stack.pop() {
        if objects.len() >= OBJECTS_MAX {
            break;
        }
        match value {
            Value::Array(items) => stack.extend(items.iter().rev().take(OBJECTS_MAX)),
            Value::Object(object) => {
                objects.push(object);
                for key in ["mainEntity", "@graph"] {
                    stack.extend(object.get(key));
                }
            }
            _ => {}
        }
    }
    let article = objects.iter().find(|object| {
        types_of(object).any(|name| {
            name.contains("Article")
                || matches!(
                    name,
                    "BlogPosting"
                        | "LiveBlogPosting"
                        | "DiscussionForumPosting"
                        | "Report"
                        | "SocialMediaPosting"
                        | "Recipe"
                        | "Review"
                        | "NewsItem"
                        | "APIReference"
                )
        })
    });
    let Some(object) = article.or_else(|| {
        objects
            .iter()
            .find(|object| types_of(object).any(|name| name == "WebPage"))
    }) else {
        return Facts::default();
    };
    let is_article = article.is_some();
    Facts {
        headline: string(object.get("headline"))
            .or_else(|| string(object.get("name")))
            .filter(|_| is_article),
        description: string(object.get("description")),
        author: object.get("author").and_then(author),
        published: string(object.get("datePublished")),
        modified: string(object.get("dateModified")),
    }
}

fn types_of(object: &serde_json::Map<String, Value>) -> impl Iterator<Item = &str> {
    let (one, many) = match object.get("@type") {
        Some(Value::String(name)) => (Some(name.as_str()), [].as_slice()),
        Some(Value::Array(names)) => (None, names.as_slice()),
        _ => (None, [].as_slice()),
    };
    one.into_iter().chain(many.iter().filter_map(Value::as_str))
}

fn string(value: Option<&Value>) -> Option<String> {
    let text = value?
        .as_str()?
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    (!text.is_empty()).then_some(text)
}

fn author(value: &Value) -> Option<String> {
    let name = |value: &Value| match value {
        Value::String(name) => string(Some(&Value::String(name.clone()))),
        Value::Object(object) => string(object.get("name")),
        _ => None,
    };
    match value {
        Value::Array(authors) => {
            let names: Vec<String> = authors.iter().take(20).filter_map(name).collect();
            (!names.is_empty()).then(|| names.join(", "))
        }
        _ => name(value),
    }
    .filter(|name| !name.starts_with("http"))
}

/// Takes off HTML comments and CDATA sections, with or without `//`.
fn strip_wrapping(script: &str) -> &str {
    let mut script = script.trim();
    for (open, close) in [
        ("<!--", "-->"),
        ("//<![CDATA[", "//]]>"),
        ("/*<![CDATA[*/", "/*]]>*/"),
        ("<![CDATA[", "]]>"),
    ] {
        if let Some(inner) = script.strip_prefix(open) {
            script = inner.trim_end().strip_suffix(close).unwrap_or(inner).trim();
        }
    }
    script.trim_end_matches(';').trim()
}

/// Mends what templates break most: raw line ends inside strings, comments
/// between values, commas before a closing bracket.
fn repair(script: &str) -> String {
    let mut mended = String::with_capacity(script.len());
    let mut characters = script.chars().peekable();
    let mut in_string = false;
    while let Some(character) = characters.next() {
        match character {
            '"' => {
                in_string = !in_string;
                mended.push('"');
            }
            '\\' if in_string => {
                mended.push('\\');
                mended.extend(characters.next());
            }
            _ if in_string && character.is_control() => mended.push(' '),
            '/' if !in_string && characters.peek() == Some(&'*') => {
                let mut last = ' ';
                for inside in characters.by_ref().skip(1) {
                    if last == '*' && inside == '/' {
                        break;
                    }
                    last = inside;
                }
            }
            '}' | ']' if !in_string => {
                let kept = mended.trim_end().len();
                if mended[..kept].ends_with(',') {
                    mended.truncate(kept - 1);
                }
                mended.push(character);
            }
            _ => mended.push(character),
        }
    }
    mended
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(script: &str, headline: Option<&str>, author: Option<&str>) {
        let values: Vec<Value> = parse(script).into_iter().collect();
        let facts = facts(&values);
        assert_eq!(facts.headline.as_deref(), headline, "{script}");
        assert_eq!(facts.author.as_deref(), author, "{script}");
    }

    #[test]
    fn articles_are_found_anywhere() {
        check(
            r#"{"@type":"NewsArticle","headline":"A  b","author":{"name":"Ann"}}"#,
            Some("A b"),
            Some("Ann"),
        );
        check(
            r#"{"@graph":[{"@type":"Organization","name":"O"},{"@type":["TechArticle"],"name":"T","author":["A",{"name":"B"}]}]}"#,
            Some("T"),
            Some("A, B"),
        );
        check(r#"{"@type":"WebPage","name":"Home"}"#, None, None);
        check(
            r#"[{"@type":"BlogPosting","headline":"H","author":"https://a.org/me"}]"#,
            Some("H"),
            None,
        );
    }

    #[test]
    fn broken_scripts() {
        check(
            "<!-- {\"@type\":\"Article\",\"headline\":\"H\"} -->",
            Some("H"),
            None,
        );
        check(
            "//<![CDATA[\n{\"@type\":\"Article\",\"headline\":\"H\"}\n//]]>",
            Some("H"),
            None,
        );
        check(
            "{\"@type\":\"Article\",\"headline\":\"a\nb\",}",
            Some("a b"),
            None,
        );
        check(
            "{\"@type\":\"Article\", /* note */ \"headline\":\"H\"};",
            Some("H"),
            None,
        );
        assert_eq!(parse("{broken"), None);
        assert_eq!(parse(&"[".repeat(100_000)), None);
    }
}
