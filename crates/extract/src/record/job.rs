//! Facts of a schema.org `JobPosting`.

use serde_json::Value;
use types::{FACT_BYTES_MAX, Record, RecordKind, SKILLS_MAX, Salary, SalaryPeriod};

use super::currency::{Unit, currency};
use super::money::amount_in;
use super::salary::{pay, period, range};
use super::value::{
    Object, date, first_text, fold, items, local_name, names, objects, text, unescape, without_tags,
};

/// A longer skill is a sentence about the work.
const SKILL_BYTES_MAX: usize = 100;
/// Places named of one posting.
const PLACES_MAX: usize = 5;

pub(super) fn facts(job: &Object) -> Record {
    let location = places(job.get("jobLocation"))
        .or_else(|| countries(job.get("applicantLocationRequirements")));
    Record {
        name: first_text(job, &["title", "name"]),
        category: first_text(job, &["occupationalCategory", "industry"]),
        published_at: date(job.get("datePosted")),
        expires_at: date(job.get("validThrough")),
        company: names(job.get("hiringOrganization")),
        remote: remote(job, location.as_deref()),
        location,
        employment_type: items(job.get("employmentType"))
            .find_map(|value| employment_type(value.as_str()?)),
        salary: salary(job),
        skills: skills(job.get("skills")),
        ..Record::new(RecordKind::Job)
    }
}

/// `TELECOMMUTE` is work from anywhere; another `jobLocationType` is not. A
/// posting that states none says nothing about it, unless its place is
/// "Remote".
fn remote(job: &Object, location: Option<&str>) -> Option<bool> {
    let mut stated = None;
    for kind in items(job.get("jobLocationType")).filter_map(Value::as_str) {
        if is_remote(local_name(kind)) {
            return Some(true);
        }
        stated = stated.or_else(|| (!kind.trim().is_empty()).then_some(false));
    }
    stated.or_else(|| location.filter(|place| is_remote(place)).map(|_| true))
}

/// Whether a word stands for work from anywhere.
pub(super) fn is_remote(word: &str) -> bool {
    matches!(
        word.trim().to_lowercase().as_str(),
        "telecommute"
            | "remote"
            | "anywhere"
            | "worldwide"
            | "fully remote"
            | "work from home"
            | "دورکاری"
    )
}

/// Up to five places as a person would write them, separated by `; `.
fn places(value: Option<&Value>) -> Option<String> {
    joined(items(value).filter_map(|place| {
        match place {
            Value::Object(object) => match object.get("address") {
                Some(address) => items(Some(address)).find_map(address_text),
                None => address_text(place),
            }
            .or_else(|| text(object.get("name"))),
            _ => text(Some(place)),
        }
    }))
}

fn countries(value: Option<&Value>) -> Option<String> {
    joined(items(value).filter_map(|area| text(Some(area))))
}

fn joined(places: impl Iterator<Item = String>) -> Option<String> {
    let mut kept: Vec<String> = Vec::new();
    let mut bytes = 0;
    for place in places {
        if kept.contains(&place) {
            continue;
        }
        let separator = if kept.is_empty() { 0 } else { "; ".len() };
        bytes += separator + place.len();
        if kept.len() == PLACES_MAX || bytes > FACT_BYTES_MAX {
            break;
        }
        kept.push(place);
    }
    (!kept.is_empty()).then(|| kept.join("; "))
}

/// `Utrecht, NL`: town, region and country, none of them twice.
fn address_text(address: &Value) -> Option<String> {
    let Value::Object(address) = address else {
        return text(Some(address));
    };
    let mut parts: Vec<String> = Vec::new();
    for key in ["addressLocality", "addressRegion", "addressCountry"] {
        if let Some(part) = text(address.get(key))
            && !parts
                .iter()
                .any(|p| p.to_lowercase() == part.to_lowercase())
        {
            parts.push(part);
        }
    }
    if parts.is_empty() {
        return first_text(address, &["name", "streetAddress"]);
    }
    fold(&parts.join(", "))
}

/// `FULL_TIME`, `Full-time`, `full time` → `full_time`. Of several the first.
pub(super) fn employment_type(value: &str) -> Option<String> {
    let first = value.split([',', ';', '/', '|', '،']).next()?;
    let folded = fold(local_name(first))?;
    let mut name = String::with_capacity(folded.len());
    for character in folded.chars().flat_map(char::to_lowercase) {
        if character.is_alphanumeric() && !character.is_uppercase() {
            name.push(character);
        } else if !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
    }
    let name = name.trim_end_matches('_');
    let known = match name {
        "fulltime" | "vollzeit" | "voltijd" | "temps_plein" | "تمام_وقت" => "full_time",
        "parttime" | "teilzeit" | "deeltijd" | "temps_partiel" | "پاره_وقت" | "نیمه_وقت" => {
            "part_time"
        }
        "contract" | "freelance" | "freelancer" | "قراردادی" => "contractor",
        "temp" => "temporary",
        "internship" | "trainee" | "کارآموزی" => "intern",
        other => other,
    };
    (!known.is_empty()).then(|| known[..known.floor_char_boundary(FACT_BYTES_MAX)].to_owned())
}

/// A list, or one text with commas, semicolons, bullets or lines.
pub(super) fn skills(value: Option<&Value>) -> Vec<String> {
    let mut skills = Skills::default();
    for value in items(value) {
        match value {
            Value::String(text) => skills.add_list(text),
            _ => skills.add(text(Some(value))),
        }
    }
    skills.0
}

/// Skills in the page's order, without repeats, within bounds.
#[derive(Debug, Default)]
pub(super) struct Skills(pub(super) Vec<String>);

impl Skills {
    pub(super) fn add_list(&mut self, text: &str) {
        let text = &text[..text.floor_char_boundary(SKILLS_MAX * SKILL_BYTES_MAX)];
        let text = unescape(text);
        let text = without_tags(&text);
        for skill in text.split([',', ';', '\n', '•', '·', '|', '،', '؛']) {
            self.add(fold(skill));
        }
    }

    fn add(&mut self, skill: Option<String>) {
        let Some(skill) = skill else { return };
        let skill = skill.trim_matches(|c: char| matches!(c, '-' | '*' | '–' | '.') || c == ' ');
        let lower = skill.to_lowercase();
        let known = self.0.iter().any(|known| known.to_lowercase() == lower);
        let fits = !skill.is_empty() && skill.len() <= SKILL_BYTES_MAX;
        if fits && !known && self.0.len() < SKILLS_MAX {
            self.0.push(skill.to_owned());
        }
    }
}

/// What the employer offers, else what the site estimates.
fn salary(job: &Object) -> Option<Salary> {
    let stated = text(job.get("salaryCurrency")).and_then(|text| currency(&text));
    ["baseSalary", "estimatedSalary"]
        .iter()
        .find_map(|key| items(job.get(*key)).find_map(|value| salary_of(value, stated)))
}

/// A number, a text, a `MonetaryAmount` (whose value may be a number, a text
/// or a `QuantitativeValue`), a `QuantitativeValue` or a distribution.
fn salary_of(value: &Value, stated: Option<Unit>) -> Option<Salary> {
    let object = match value {
        Value::Object(object) => object,
        Value::Number(_) => {
            let bound = bound(Some(value), stated);
            return range(bound, bound, stated.map(|unit| unit.code), None);
        }
        Value::String(text) => return pay(&fold(text)?, stated),
        _ => return None,
    };
    let unit = text(object.get("currency"))
        .and_then(|text| currency(&text))
        .or(stated);
    let inner = objects(object.get("value")).next();
    let period = [Some(object), inner]
        .into_iter()
        .flatten()
        .find_map(period_of);
    for part in [inner, Some(object)].into_iter().flatten() {
        let low = ["minValue", "percentile10", "percentile25"];
        let high = ["maxValue", "percentile90", "percentile75"];
        let first = |keys: [&str; 3]| keys.iter().find_map(|key| bound(part.get(*key), unit));
        let (mut min, mut max) = (first(low), first(high));
        if min.is_none() && max.is_none() {
            let single = bound(part.get("value").or_else(|| part.get("median")), unit);
            (min, max) = (single, single);
            // `"value": "40000 - 50000"`
            if let Some(Value::String(text)) = part.get("value")
                && let Some(salary) = fold(text).and_then(|text| pay(&text, unit))
            {
                return Some(Salary {
                    period: period.or(salary.period),
                    ..salary
                });
            }
        }
        let found = range(min, max, unit.map(|unit| unit.code), period);
        if found.is_some() {
            return found;
        }
    }
    None
}

fn period_of(object: &Object) -> Option<SalaryPeriod> {
    ["unitText", "unitCode", "duration"]
        .iter()
        .filter_map(|key| object.get(*key)?.as_str())
        .find_map(|unit| period(local_name(unit)))
}

fn bound(value: Option<&Value>, unit: Option<Unit>) -> Option<f64> {
    match value? {
        Value::Number(number) => number
            .as_f64()
            .map(|amount| amount * unit.map_or(1.0, |unit| unit.factor)),
        Value::String(text) => amount_in(text, unit).map(|money| money.amount),
        _ => None,
    }
}
