//! Field selection: the rows of a list with all that is known of them, or with
//! the fields that somebody asked for.

use std::any::TypeId;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use serde::ser::{Error, Serialize, SerializeMap, Serializer};
use serde_json::Value;
use utoipa::openapi::schema::{AdditionalProperties, AnyOfBuilder, ObjectBuilder, Schema, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use crate::app::UsageError;

/// Names in one selection, repeated ones counted.
const NAMES_MAX: usize = 64;

type Names = Arc<[&'static str]>;

/// Which fields of a `T` are shown. `Debug` says all that it depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields<T> {
    /// In the order asked for; none: all.
    chosen: Option<Names>,
    of: PhantomData<fn() -> T>,
}

impl<T> Fields<T> {
    pub fn all() -> Fields<T> {
        Fields {
            chosen: None,
            of: PhantomData,
        }
    }

    pub fn is_all(&self) -> bool {
        self.chosen.is_none()
    }

    pub fn of(&self, row: T) -> Selected<T> {
        Selected {
            row,
            chosen: self.chosen.clone(),
        }
    }
}

impl<T: ToSchema + 'static> Fields<T> {
    /// Reads names separated by commas, as in a query string; all fields when
    /// there is no such text. A name given twice counts once; one that is none,
    /// the empty one among them, is an error that lists the names there are.
    pub fn read(text: Option<&str>) -> Result<Fields<T>, UsageError> {
        match text {
            None => Ok(Fields::all()),
            Some(text) => Fields::choose(text.split(',')),
        }
    }

    /// The same of names that come one by one; at least one.
    pub fn choose<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Fields<T>, UsageError> {
        let known = known::<T>();
        let mut chosen: Vec<&'static str> = Vec::new();
        for (at, name) in names.into_iter().enumerate() {
            if at == NAMES_MAX {
                return Err(UsageError(format!("fields: at most {NAMES_MAX} names")));
            }
            let Some(name) = known.iter().find(|known| *known == name) else {
                // What somebody sent is not echoed at any length.
                let name: String = name.chars().take(64).collect();
                let known = known.join(", ");
                return Err(UsageError(format!("fields: `{name}` is none of {known}")));
            };
            if !chosen.contains(&name.as_str()) {
                chosen.push(name);
            }
        }
        if chosen.is_empty() {
            let known = known.join(", ");
            return Err(UsageError(format!("fields: name at least one of {known}")));
        }
        Ok(Fields {
            chosen: Some(chosen.into()),
            of: PhantomData,
        })
    }
}

/// A row, written with the fields that were asked for, in that order. One that
/// this row does not have is left out, as it is without a selection.
#[derive(Clone, Debug, PartialEq)]
pub struct Selected<T> {
    pub row: T,
    chosen: Option<Names>,
}

impl<T: Serialize> Serialize for Selected<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(chosen) = &self.chosen else {
            return self.row.serialize(serializer);
        };
        // By way of text: as a value, a number of 32 bits would become another one of 64.
        let text = serde_json::to_vec(&self.row).map_err(S::Error::custom)?;
        let mut row: BTreeMap<String, Value> =
            serde_json::from_slice(&text).map_err(S::Error::custom)?;
        let mut map = serializer.serialize_map(None)?;
        for name in chosen.iter() {
            if let Some(value) = row.remove(*name) {
                map.serialize_entry(name, &value)?;
            }
        }
        map.end()
    }
}

/// Either the row or an object with some of its fields.
impl<T: ToSchema> PartialSchema for Selected<T> {
    fn schema() -> RefOr<Schema> {
        let some = properties::<T>().into_iter().fold(
            ObjectBuilder::new()
                .schema_type(Type::Object)
                .description(Some("Only the fields named by `fields`"))
                .additional_properties(Some(AdditionalProperties::FreeForm(false))),
            |object, (name, schema)| object.property(name, schema),
        );
        let whole = Ref::from_schema_name(T::name());
        RefOr::T(AnyOfBuilder::new().item(whole).item(some).into())
    }
}

impl<T: ToSchema> ToSchema for Selected<T> {
    fn name() -> Cow<'static, str> {
        Cow::Owned(format!("Selected{}", T::name()))
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(schemas);
    }
}

/// A name of a field of `T`, for the document.
#[derive(Clone, Copy, Debug)]
pub struct FieldName<T>(PhantomData<fn() -> T>);

impl<T: ToSchema + 'static> PartialSchema for FieldName<T> {
    fn schema() -> RefOr<Schema> {
        let names = ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(known::<T>().iter().map(String::as_str)));
        RefOr::T(names.into())
    }
}

impl<T: ToSchema + 'static> ToSchema for FieldName<T> {}

/// Names of the fields of `T`: of what its schema says, read once.
fn known<T: ToSchema + 'static>() -> &'static [String] {
    static KNOWN: Mutex<BTreeMap<TypeId, &'static [String]>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known
        .entry(TypeId::of::<T>())
        .or_insert_with(|| properties::<T>().into_keys().collect::<Vec<_>>().leak())
}

fn properties<T: ToSchema>() -> BTreeMap<String, RefOr<Schema>> {
    let mut others = Vec::new();
    T::schemas(&mut others);
    let mut found = BTreeMap::new();
    collect(&T::schema(), &others, &mut found);
    found
}

/// Those of an object, and of all the objects that it is put together from.
fn collect(
    schema: &RefOr<Schema>,
    others: &[(String, RefOr<Schema>)],
    found: &mut BTreeMap<String, RefOr<Schema>>,
) {
    match schema {
        RefOr::T(Schema::Object(object)) => {
            let properties = object.properties.iter();
            found.extend(properties.map(|(name, schema)| (name.clone(), schema.clone())));
        }
        RefOr::T(Schema::AllOf(all)) => {
            for part in &all.items {
                collect(part, others, found);
            }
        }
        RefOr::Ref(to) => {
            let name = to.ref_location.rsplit('/').next();
            if let Some((_, schema)) = others
                .iter()
                .find(|(other, _)| Some(other.as_str()) == name)
            {
                collect(schema, others, found);
            }
        }
        RefOr::T(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, serde::Serialize, ToSchema)]
    struct Row {
        id: i64,
        score: f32,
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    }

    #[derive(Clone, Debug, serde::Serialize, ToSchema)]
    struct Named {
        #[serde(flatten)]
        row: Row,
        name: Option<String>,
    }

    fn named() -> Named {
        let row = Row {
            id: 7,
            score: 0.1,
            note: None,
        };
        Named { row, name: None }
    }

    #[track_caller]
    fn check(fields: Option<&str>, expected: &str) {
        let told = match Fields::<Named>::read(fields) {
            Ok(fields) => serde_json::to_string(&fields.of(named())).expect("JSON"),
            Err(error) => error.to_string(),
        };
        assert_eq!(told, expected);
    }

    #[test]
    fn rows_have_the_fields_asked_for() {
        check(None, r#"{"id":7,"score":0.1,"name":null}"#);
        check(Some("name,id"), r#"{"name":null,"id":7}"#);
        check(Some("score"), r#"{"score":0.1}"#);
        check(Some("id,id"), r#"{"id":7}"#);
        check(Some("note"), "{}");
    }

    #[test]
    fn names_that_are_none_are_refused_with_those_there_are() {
        let known = "is none of id, name, note, score";
        check(Some("id,title"), &format!("fields: `title` {known}"));
        check(Some(""), &format!("fields: `` {known}"));
        check(Some("id,"), &format!("fields: `` {known}"));
        check(Some("id, name"), &format!("fields: ` name` {known}"));
        check(Some("row"), &format!("fields: `row` {known}"));
        check(Some(&"id,".repeat(65)), "fields: at most 64 names");
        let none = Fields::<Named>::choose([]).expect_err("none").to_string();
        assert_eq!(none, "fields: name at least one of id, name, note, score");
    }

    #[test]
    fn the_schema_allows_a_whole_row_or_some_of_its_fields() {
        let schema = serde_json::to_value(Selected::<Named>::schema()).expect("JSON");
        let either = schema["anyOf"].as_array().expect("anyOf");
        assert_eq!(either[0]["$ref"], "#/components/schemas/Named");
        let some = &either[1];
        assert_eq!(some["additionalProperties"], false);
        assert_eq!(some["required"], Value::Null);
        let names: Vec<&String> = some["properties"]
            .as_object()
            .expect("some")
            .keys()
            .collect();
        assert_eq!(names, ["id", "name", "note", "score"]);
    }
}
