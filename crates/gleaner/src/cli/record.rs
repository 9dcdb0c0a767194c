//! `gleaner record list`

use anyhow::Result;
use store::{Access, RecordRow};
use types::{Record, RecordKind};

use super::data_args::RecordCommand;
use super::output::{Exit, Paint, json_line, line, shorten, thousands};
use crate::app::{App, UsageError};
use crate::operations::records;
use crate::view::FacetView;

pub fn run(app: &App, command: &RecordCommand) -> Result<Exit> {
    let RecordCommand::List(query) = command;
    let list = query.read(app.tenant, app.clock.now())?;
    if !list.fields.is_all() && !app.json {
        let problem = "--fields chooses what --json shows; give both";
        return Err(UsageError(problem.to_owned()).into());
    }
    let store = app.open_store(Access::Read)?;
    let found = records::list(&store, &list)?;
    let notes = store.page_notes(app.tenant, &records::page_ids(&found.rows))?;
    let view = found.view(&notes, &list.fields);
    if app.json {
        json_line(&view)?;
        return Ok(Exit::Ok);
    }
    let paint = Paint::stdout();
    if found.rows.is_empty() {
        line("No records fit; `gleaner record list` without conditions shows all there are.")?;
    }
    for row in &found.rows {
        show(paint, row)?;
    }
    if let Some(total) = view.total {
        line(paint.dim(&format!("\n{} in all", thousands(total))))?;
    }
    facets(paint, &view.facets)?;
    if let Some(next) = &view.next {
        line(paint.dim(&format!("\nMore: the same with --cursor {next}")))?;
    }
    Ok(Exit::Ok)
}

fn show(paint: Paint, row: &RecordRow) -> Result<()> {
    let record = &row.record;
    let name = record.name.as_deref().unwrap_or(&row.page.title);
    line(format!(
        "{:>6}  {:<7} {}",
        row.page.id,
        record.kind.as_str(),
        paint.bold(&shorten(name, 80))
    ))?;
    let facts = facts(record).join(" · ");
    if !facts.is_empty() {
        line(format!("                {facts}"))?;
    }
    line(format!("                {}", paint.green(&row.page.url)))
}

/// What tells one record of its kind from another.
fn facts(record: &Record) -> Vec<String> {
    let amount = |amount: f64| {
        if amount.fract() == 0.0 && amount < 1e15 {
            thousands(amount as u64)
        } else {
            format!("{amount:.2}")
        }
    };
    let with = |amount: String, currency: Option<&str>| match currency {
        Some(currency) => format!("{amount} {currency}"),
        None => amount,
    };
    let mut facts: Vec<String> = Vec::new();
    match record.kind {
        RecordKind::News => facts.extend(record.author.clone()),
        RecordKind::Product => {
            facts.extend(record.brand.clone());
            let price = record.price.map(amount);
            facts.extend(price.map(|price| with(price, record.currency.as_deref())));
            facts.extend(record.availability.map(|a| a.as_str().replace('_', " ")));
        }
        RecordKind::Job => {
            facts.extend(record.company.clone());
            facts.extend(record.location.clone());
            facts.extend(record.remote.filter(|r| *r).map(|_| "remote".to_owned()));
            if let Some(salary) = &record.salary {
                let bounds: Vec<String> = [salary.min, salary.max]
                    .into_iter()
                    .flatten()
                    .map(amount)
                    .collect();
                let pay = with(bounds.join("–"), salary.currency.as_deref());
                facts.push(match salary.period {
                    Some(period) => format!("{pay} per {}", period.as_str()),
                    None => pay,
                });
            }
        }
    }
    facts.extend(record.category.clone());
    facts.extend(
        record
            .published_at
            .map(|at| super::output::rfc3339(at)[..10].to_owned()),
    );
    facts
}

/// Counts, one fact a paragraph.
pub fn facets(paint: Paint, facets: &[FacetView]) -> Result<()> {
    for facet in facets {
        line(format!("\n{}", paint.bold(&facet.name)))?;
        for value in &facet.values {
            line(format!("{:>8}  {}", thousands(value.count), value.value))?;
        }
        let more = facet.distinct - facet.values.len() as u64;
        if more > 0 {
            line(paint.dim(&format!("          and {} more", thousands(more))))?;
        }
    }
    Ok(())
}
