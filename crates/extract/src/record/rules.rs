//! A source's own rules: where on its pages each fact stands.

use std::fmt;

use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};
use types::{Record, RecordKind, SKILLS_MAX, Salary};
use url::Url;

use super::currency::{Unit, currency};
use super::job::{Skills, employment_type, is_remote};
use super::money::{amount_in, money};
use super::product::availability;
use super::salary::{pay, period, range};
use super::value::fold;
use crate::html::{Dom, NodeIndex};
use crate::meta::parse_date;
use crate::select::{Selectors, parse_selector};

/// Bytes of one selector, expression, constant or path.
const TEXT_BYTES_MAX: usize = 1_000;
/// Bytes of text read of one element.
const ELEMENT_BYTES_MAX: usize = 4 * 1024;
/// Compiled size of one expression.
const REGEX_BYTES_MAX: usize = 256 * 1024;

/// Rules of a source, ready to be applied to its pages.
///
/// Written as JSON:
///
/// ```json
/// {"kind": "job", "path": "/jobs/*", "fields": {
///   "company": "h2.company",
///   "salary_min": {"select": ".pay", "attribute": "data-min"},
///   "remote": {"select": ".badge", "match": "(?i)remote"},
///   "salary_currency": {"value": "EUR"}
/// }}
/// ```
///
/// A rule's text is the element's, white space folded, or its `attribute`;
/// with `match` the first group of the expression (all that matched when it
/// has no group), of the first element that matches. `skills` takes every
/// element. A page on which no selector finds anything has no record by these
/// rules.
#[derive(Clone, Debug)]
pub struct RecordRules {
    kind: RecordKind,
    path: Option<PathPattern>,
    rules: Vec<Rule>,
    /// The selectors of all rules, matched in one walk.
    selectors: Selectors,
}

/// Why rules cannot be used; names the place and the problem.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct RecordRulesError {
    place: String,
    problem: String,
}

impl RecordRulesError {
    fn new(place: impl fmt::Display, problem: impl fmt::Display) -> RecordRulesError {
        RecordRulesError {
            place: place.to_string(),
            problem: problem.to_string(),
        }
    }
}

#[derive(Clone, Debug)]
struct Rule {
    field: Field,
    value: Found,
}

#[derive(Clone, Debug)]
enum Found {
    Constant(String),
    /// The rule's place among the selectors.
    Selected {
        selector: usize,
        attribute: Option<html5ever::LocalName>,
        pattern: Option<Regex>,
    },
}

macro_rules! fields {
    ($($variant:ident $name:literal,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum Field { $($variant,)* }

        impl Field {
            const NAMES: &[(&str, Field)] = &[$(($name, Field::$variant),)*];
        }
    };
}

// In the order in which they are read: a currency before what is counted in it.
fields! {
    Name "name", Category "category", Author "author", PublishedAt "published_at",
    ExpiresAt "expires_at", Brand "brand", Sku "sku", Currency "currency", Price "price",
    Availability "availability", Company "company", Location "location", Remote "remote",
    EmploymentType "employment_type", SalaryCurrency "salary_currency",
    SalaryPeriod "salary_period", Salary "salary", SalaryMin "salary_min",
    SalaryMax "salary_max", Skills "skills",
}

impl RecordRules {
    /// Compiles rules.
    ///
    /// # Errors
    ///
    /// Unknown kinds, fields and keys, selectors and expressions that cannot
    /// be read, and whatever is too long; the error says where.
    pub fn from_json(json: &Value) -> Result<RecordRules, RecordRulesError> {
        let object = object(json, "record")?;
        known_keys(object, "record", &["kind", "path", "fields"])?;
        let kind = string(object, "kind", "record")?.ok_or_else(|| {
            RecordRulesError::new("kind", "is missing; write news, product or job")
        })?;
        let kind = RecordKind::from_name(kind).ok_or_else(|| {
            RecordRulesError::new("kind", format!("`{kind}` is none of news, product, job"))
        })?;
        let path = string(object, "path", "record")?
            .map(PathPattern::new)
            .transpose()?;
        let fields = object
            .get("fields")
            .ok_or_else(|| RecordRulesError::new("fields", "is missing"))?;
        let fields = self::object(fields, "fields")?;
        let mut selectors = Selectors::default();
        let mut rules = Vec::new();
        for (name, value) in fields {
            let place = format!("fields.{name}");
            let Some((_, field)) = Field::NAMES.iter().find(|(known, _)| known == name) else {
                let names: Vec<&str> = Field::NAMES.iter().map(|(name, _)| *name).collect();
                let problem = format!("is no field; there are {}", names.join(", "));
                return Err(RecordRulesError::new(place, problem));
            };
            let value = found(value, &place, *field, &mut selectors)?;
            rules.push(Rule {
                field: *field,
                value,
            });
        }
        if selectors.is_empty() {
            let problem = "no field selects anything; a page would have a record whatever it holds";
            return Err(RecordRulesError::new("fields", problem));
        }
        rules.sort_by_key(|rule| rule.field as u8);
        Ok(RecordRules {
            kind,
            path,
            rules,
            selectors,
        })
    }

    /// The facts that the rules find on a page.
    pub(super) fn facts(&self, dom: &Dom, url: &Url) -> Option<Record> {
        if self
            .path
            .as_ref()
            .is_some_and(|path| !path.matches(url.path()))
        {
            return None;
        }
        let nodes = self.selectors.find(dom, SKILLS_MAX);
        if nodes.iter().all(Vec::is_empty) {
            return None;
        }
        let mut facts = Facts {
            record: Record::new(self.kind),
            unit: None,
            salary_unit: None,
            selected: false,
        };
        for rule in &self.rules {
            match &rule.value {
                Found::Constant(text) => facts.read(rule.field, text),
                Found::Selected {
                    selector,
                    attribute,
                    pattern,
                } => {
                    let read = |node: &NodeIndex| {
                        element_text(dom, *node, attribute.as_ref(), pattern.as_ref())
                    };
                    let mut texts = nodes[*selector].iter().filter_map(read);
                    if rule.field == Field::Skills {
                        facts.skills(texts);
                    } else if rule.field == Field::Remote && pattern.is_some() {
                        facts.selected |= texts.next().is_some_and(|_| {
                            facts.record.remote = Some(true);
                            true
                        });
                    } else if let Some(text) = texts.next() {
                        facts.selected = true;
                        facts.read(rule.field, &text);
                    }
                }
            }
        }
        // Constants alone are no statement of the page.
        facts.selected.then_some(facts.record)
    }
}

#[derive(Debug)]
struct Facts {
    record: Record,
    /// The currency that amounts are in.
    unit: Option<Unit>,
    salary_unit: Option<Unit>,
    /// Whether anything was found on the page.
    selected: bool,
}

impl Facts {
    fn skills(&mut self, texts: impl Iterator<Item = String>) {
        let mut skills = Skills::default();
        for text in texts {
            self.selected = true;
            skills.add_list(&text);
        }
        self.record.skills = skills.0;
    }

    /// Reads one fact as its field asks; a text that is no such fact states none.
    fn read(&mut self, field: Field, text: &str) {
        let record = &mut self.record;
        match field {
            Field::Name => record.name = fold(text),
            Field::Category => record.category = fold(text),
            Field::Author => record.author = fold(text),
            Field::PublishedAt => record.published_at = parse_date(text),
            Field::ExpiresAt => record.expires_at = parse_date(text),
            Field::Brand => record.brand = fold(text),
            Field::Sku => record.sku = fold(text),
            Field::Currency => {
                self.unit = currency(text).or_else(|| {
                    let code = money(text)?.currency?;
                    currency(code)
                });
                record.currency = self.unit.map(|unit| unit.code.to_owned());
            }
            Field::Price => {
                if let Some(money) = amount_in(text, self.unit) {
                    record.price = Some(money.amount);
                    let code = money.currency.map(str::to_owned);
                    record.currency = record.currency.take().or(code);
                }
            }
            Field::Availability => record.availability = availability(text),
            Field::Company => record.company = fold(text),
            Field::Location => record.location = fold(text),
            Field::Remote => record.remote = Some(!is_no(text)),
            Field::EmploymentType => record.employment_type = employment_type(text),
            Field::SalaryCurrency => {
                self.salary_unit = currency(text);
                let code = self.salary_unit.map(|unit| unit.code.to_owned());
                self.salary().currency = code;
            }
            Field::SalaryPeriod => self.salary().period = period(text),
            Field::Salary => {
                if let Some(found) = pay(text, self.salary_unit) {
                    let salary = self.salary();
                    (salary.min, salary.max) = (found.min, found.max);
                    salary.currency = salary.currency.take().or(found.currency);
                    salary.period = salary.period.or(found.period);
                }
            }
            Field::SalaryMin | Field::SalaryMax => {
                if let Some(money) = amount_in(text, self.salary_unit) {
                    let salary = self.salary();
                    if field == Field::SalaryMin {
                        salary.min = Some(money.amount);
                    } else {
                        salary.max = Some(money.amount);
                    }
                    let code = money.currency.map(str::to_owned);
                    salary.currency = salary.currency.take().or(code);
                    let ordered = range(salary.min, salary.max, None, None);
                    (salary.min, salary.max) = ordered.map_or((None, None), |s| (s.min, s.max));
                }
            }
            Field::Skills => {
                self.record.skills = super::job::skills(Some(&Value::String(text.to_owned())));
            }
        }
    }

    fn salary(&mut self) -> &mut Salary {
        self.record.salary.get_or_insert(Salary {
            min: None,
            max: None,
            currency: None,
            period: None,
        })
    }
}

/// An element that is there says yes, unless it says no.
fn is_no(text: &str) -> bool {
    let text = text.trim().to_lowercase();
    !is_remote(&text)
        && matches!(
            text.as_str(),
            "no" | "false"
                | "0"
                | "none"
                | "on-site"
                | "onsite"
                | "on site"
                | "office"
                | "nein"
                | "خیر"
                | "حضوری"
        )
}

fn element_text(
    dom: &Dom,
    node: NodeIndex,
    attribute: Option<&html5ever::LocalName>,
    pattern: Option<&Regex>,
) -> Option<String> {
    let text = match attribute {
        Some(name) => {
            let value = dom.attribute(node, name)?;
            value[..value.floor_char_boundary(ELEMENT_BYTES_MAX)].to_owned()
        }
        None => dom.folded_text(node, ELEMENT_BYTES_MAX),
    };
    let text = match pattern {
        Some(pattern) => {
            let captures = pattern.captures(&text)?;
            let group = captures.get(1).or_else(|| captures.get(0))?;
            group.as_str()
        }
        None => &text,
    };
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// A path to begin with, or with `*` (any characters) the whole path.
#[derive(Clone, Debug)]
struct PathPattern {
    /// Between the `*`; percent-encoded as URLs are.
    parts: Vec<String>,
}

impl PathPattern {
    fn new(pattern: &str) -> Result<PathPattern, RecordRulesError> {
        if !pattern.starts_with('/') {
            let problem = format!("`{pattern}` does not begin with /");
            return Err(RecordRulesError::new("path", problem));
        }
        if pattern.contains(['?', '#']) {
            let problem = "is matched with the path alone, which has no ? and no #";
            return Err(RecordRulesError::new("path", problem));
        }
        // As the paths it is compared with are written.
        let mut url =
            Url::parse("http://path.invalid/").expect("bug: a constant URL does not parse");
        url.set_path(pattern);
        Ok(PathPattern {
            parts: url.path().split('*').map(str::to_owned).collect(),
        })
    }

    /// Taking the earliest place of each part is enough when `*` takes anything.
    fn matches(&self, path: &str) -> bool {
        let Some((first, rest)) = self.parts.split_first() else {
            return true;
        };
        let Some(mut path) = path.strip_prefix(first.as_str()) else {
            return false;
        };
        let Some((last, middle)) = rest.split_last() else {
            return true;
        };
        for part in middle {
            let Some(at) = path.find(part.as_str()) else {
                return false;
            };
            path = &path[at + part.len()..];
        }
        path.ends_with(last.as_str())
    }
}

fn object<'a>(json: &'a Value, place: &str) -> Result<&'a Map<String, Value>, RecordRulesError> {
    json.as_object()
        .ok_or_else(|| RecordRulesError::new(place, "is no JSON object"))
}

fn known_keys(
    object: &Map<String, Value>,
    place: &str,
    known: &[&str],
) -> Result<(), RecordRulesError> {
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => {
            let problem = format!("`{key}` is no key; there are {}", known.join(", "));
            Err(RecordRulesError::new(place, problem))
        }
        None => Ok(()),
    }
}

fn string<'a>(
    object: &'a Map<String, Value>,
    key: &str,
    place: &str,
) -> Result<Option<&'a str>, RecordRulesError> {
    let at = || match place {
        "record" => key.to_owned(),
        place => format!("{place}.{key}"),
    };
    match object.get(key) {
        None => Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => {
            Err(RecordRulesError::new(at(), "is empty"))
        }
        Some(Value::String(text)) if text.len() > TEXT_BYTES_MAX => {
            let problem = format!("is longer than {TEXT_BYTES_MAX} bytes");
            Err(RecordRulesError::new(at(), problem))
        }
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(RecordRulesError::new(at(), "is no text")),
    }
}

fn found(
    value: &Value,
    place: &str,
    field: Field,
    selectors: &mut Selectors,
) -> Result<Found, RecordRulesError> {
    let short: Map<String, Value>;
    let object = match value {
        Value::String(_) => {
            short = Map::from_iter([("select".to_owned(), value.clone())]);
            &short
        }
        Value::Object(object) => object,
        _ => {
            let problem = "is neither a selector nor an object with `select` or `value`";
            return Err(RecordRulesError::new(place, problem));
        }
    };
    known_keys(object, place, &["select", "attribute", "match", "value"])?;
    let select = string(object, "select", place)?;
    let attribute = string(object, "attribute", place)?;
    let pattern = string(object, "match", place)?;
    let constant = string(object, "value", place)?;
    let select = match (select, constant) {
        (Some(select), None) => select,
        (None, Some(constant)) if attribute.is_none() && pattern.is_none() => {
            check_constant(field, constant, place)?;
            return Ok(Found::Constant(constant.to_owned()));
        }
        (None, None) => {
            return Err(RecordRulesError::new(
                place,
                "has neither `select` nor `value`",
            ));
        }
        _ => {
            let problem = "`value` is a constant: nothing else goes with it";
            return Err(RecordRulesError::new(place, problem));
        }
    };
    let selector = parse_selector(select).map_err(|problem| {
        RecordRulesError::new(place, format!("selector `{select}`: {problem}"))
    })?;
    let selector = selectors
        .add(&selector)
        .map_err(|problem| RecordRulesError::new(place, problem))?;
    let pattern = pattern
        .map(|pattern| {
            RegexBuilder::new(pattern)
                .size_limit(REGEX_BYTES_MAX)
                .dfa_size_limit(REGEX_BYTES_MAX)
                .build()
                .map_err(|error| RecordRulesError::new(format!("{place}.match"), reason(&error)))
        })
        .transpose()?;
    Ok(Found::Selected {
        selector,
        attribute: attribute.map(|name| name.trim().to_ascii_lowercase().into()),
        pattern,
    })
}

/// A constant that its field cannot hold would be lost on every page.
fn check_constant(field: Field, constant: &str, place: &str) -> Result<(), RecordRulesError> {
    let mut facts = Facts {
        record: Record::new(RecordKind::Job),
        unit: None,
        salary_unit: None,
        selected: false,
    };
    let before = facts.record.clone();
    facts.read(field, constant);
    let empty_salary = facts.record.salary.as_ref().is_some_and(|salary| {
        *salary
            == Salary {
                min: None,
                max: None,
                currency: None,
                period: None,
            }
    });
    if facts.record == before || empty_salary {
        let problem = format!("`{constant}` states nothing that this field can hold");
        return Err(RecordRulesError::new(format!("{place}.value"), problem));
    }
    Ok(())
}

/// The last line of the library's account, which draws the expression above it.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default().trim();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}
