//! The published schema of events, and whether messages keep to it.

use serde_json::{Value, json};

/// Fails unless the value is as `$defs/{name}` says, with no field that the
/// schema does not list.
#[track_caller]
pub fn check(value: &Value, name: &str) {
    let whole = schema();
    if let Err(why) = holds(&whole, &whole["$defs"][name], value) {
        panic!("{why}: {value}");
    }
    let event_fields = |event: &Value| {
        let kind = &event["type"];
        let of_type = whole["$defs"]["event"]["oneOf"].as_array().expect("types");
        let of_type = of_type
            .iter()
            .find(|one| one["properties"]["type"]["const"] == *kind);
        let data = &of_type.expect("a known type")["properties"]["data"];
        all_listed(resolved(&whole, data), &event["data"]);
    };
    all_listed(&whole["$defs"][name], value);
    match value["events"].as_array() {
        Some(events) => {
            for event in events {
                all_listed(&whole["$defs"]["event"], event);
                event_fields(event);
            }
        }
        None => event_fields(value),
    }
}

fn schema() -> Value {
    let text = include_str!("../../../../docs/reference/events.schema.json");
    serde_json::from_str(text).expect("JSON")
}

#[track_caller]
fn all_listed(schema: &Value, value: &Value) {
    let known = schema["properties"].as_object().expect("properties");
    for field in value.as_object().expect("an object").keys() {
        assert!(
            known.contains_key(field),
            "the schema has no {field}: {value}"
        );
    }
}

fn resolved<'s>(whole: &'s Value, schema: &'s Value) -> &'s Value {
    match schema["$ref"].as_str() {
        Some(path) => whole
            .pointer(path.trim_start_matches('#'))
            .unwrap_or_else(|| panic!("no {path}")),
        None => schema,
    }
}

/// The few words of JSON Schema that ours uses; any other one fails.
fn holds(whole: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let ensure = |is_so: bool, why: String| if is_so { Ok(()) } else { Err(why) };
    for (word, said) in schema.as_object().expect("a schema") {
        let list = || said.as_array().expect("a list").iter();
        match word.as_str() {
            "description" | "format" => {}
            "$ref" => holds(whole, resolved(whole, schema), value)?,
            "const" => ensure(said == value, format!("{value} is not {said}"))?,
            "enum" => ensure(
                list().any(|one| one == value),
                format!("{value} is none of {said}"),
            )?,
            "type" => {
                let is = |name: &Value| match name.as_str().expect("a name") {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "integer" => value.is_i64() || value.is_u64(),
                    "null" => value.is_null(),
                    other => panic!("unknown type {other}"),
                };
                let fits = if said.is_array() {
                    list().any(is)
                } else {
                    is(said)
                };
                ensure(fits, format!("{value} is no {said}"))?;
            }
            "required" => {
                for name in list() {
                    let name = name.as_str().expect("a name");
                    ensure(value.get(name).is_some(), format!("there is no {name}"))?;
                }
            }
            "properties" => {
                for (name, schema) in said.as_object().expect("properties") {
                    if let Some(value) = value.get(name) {
                        holds(whole, schema, value).map_err(|why| format!("{name}: {why}"))?;
                    }
                }
            }
            "items" => {
                for item in value.as_array().into_iter().flatten() {
                    holds(whole, said, item)?;
                }
            }
            "minItems" | "maxItems" => {
                let length = value.as_array().map_or(0, Vec::len) as u64;
                let limit = said.as_u64().expect("a number");
                let fits = if word == "minItems" {
                    length >= limit
                } else {
                    length <= limit
                };
                ensure(fits, format!("{length} entries"))?;
            }
            "oneOf" => {
                let why: Vec<String> = list()
                    .filter_map(|one| holds(whole, one, value).err())
                    .collect();
                ensure(why.len() + 1 == list().len(), why.join("; "))?;
            }
            other => panic!("unknown word {other}"),
        }
    }
    Ok(())
}

#[test]
fn events_of_budgets_are_of_no_source() {
    let day = "2026-11-22";
    for (kind, data) in [
        (
            "budget.warning",
            json!({"day": day, "tokens_used": 80, "tokens_max": 100}),
        ),
        (
            "budget.exhausted",
            json!({"day": day, "tokens_used": 80, "tokens_reserved": 10, "tokens_asked": 20,
                   "tokens_max": 100}),
        ),
    ] {
        let event = json!({"id": 1, "type": kind, "timestamp": "2026-11-22T13:43:58Z",
                           "source_id": null, "data": data});
        check(&event, "event");
    }
}

#[test]
fn the_schema_refuses_what_is_not_so() {
    let whole = schema();
    let good = json!({
        "schema": 1, "message_id": "a-1-2", "tenant": "default", "id": 1, "type": "page.removed",
        "timestamp": "2026-11-22T13:43:58Z", "source_id": 3,
        "data": {"page_id": 1, "source_id": 3, "crawl_id": null, "url": "https://a.example/"},
    });
    let message = &whole["$defs"]["streamMessage"];
    assert_eq!(holds(&whole, message, &good), Ok(()));
    assert_eq!(
        holds(&whole, &json!({"$ref": "#/$defs/streamMessage"}), &good),
        Ok(())
    );
    for (path, wrong) in [
        ("/schema", json!(2)),
        ("/type", json!("page.eaten")),
        ("/type", json!("page.added")),
        ("/data/page_id", json!("1")),
        ("/data", json!({"page_id": 1})),
        ("/source_id", json!("3")),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(path).expect(path) = wrong;
        assert!(holds(&whole, message, &bad).is_err(), "{path}");
    }
}
