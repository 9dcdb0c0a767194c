//! A run in words and as JSON.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Map, Value, json};

use super::super::report::{Machine, Table, Times, rounded};
use super::client::Call;
use super::figures::{Figures, Series, Target};
use super::load::{RunEnd, SEARCH_EVERY};
use super::scrape::Buckets;
use crate::cli::BenchTenantsArgs;
use crate::cli::output::{bytes, line, thousands};

pub fn print(args: &BenchTenantsArgs, figures: &Figures) -> Result<()> {
    let around = &figures.around;
    line(format!("Machine: {}", Machine::this().describe()))?;
    line(format!(
        "{} tenants with {} pages each; sites answer after {} ms on average, {} % of the requests for \
         pages fail",
        thousands(figures.crawls as u64),
        thousands(args.pages as u64),
        args.latency_ms,
        args.error_rate * 100.0
    ))?;
    line(format!(
        "{} clients search once a second; {} database, {} slots, embedding {}; the sites and clients share \
         the cores\n",
        args.searchers,
        around.database,
        around.slots_max,
        if around.embeds { "on" } else { "off" }
    ))?;
    match figures.end {
        RunEnd::Complete => {}
        RunEnd::TimeLimit => line("The time was up before every crawl had ended.\n")?,
        RunEnd::Interrupted => line("Interrupted before every crawl had ended.\n")?,
        RunEnd::ServerDied => line("The server ended before the load did.\n")?,
    }
    crawls(figures)?;
    times(figures)?;
    errors(figures)?;
    server(figures)?;
    targets(&figures.targets())
}

fn crawls(figures: &Figures) -> Result<()> {
    line(format!(
        "{} of {} crawls complete, {} of {} pages stored in {:.1} s: {:.1} pages/s",
        thousands(figures.complete as u64),
        thousands(figures.crawls as u64),
        thousands(figures.pages_stored),
        thousands(figures.pages_wanted),
        figures.took.as_secs_f64(),
        figures.pages_per_s()
    ))?;
    for problem in &figures.problems {
        line(format!("  not complete: {problem}"))?;
    }
    let web = &figures.around.web;
    line(format!(
        "The sites answered {} requests with {}, {} of them with an error on purpose\n",
        thousands(web.requests),
        bytes(web.bytes),
        thousands(web.errors)
    ))
}

fn times(figures: &Figures) -> Result<()> {
    let mut table = Table::new(&["seconds", "count", "p50", "p95", "p99", "max"]);
    let seconds = |value: f64| format!("{value:.3}");
    let mut exact = |name: &str, times: &Times| {
        let quantiles = [0.5, 0.95, 0.99].map(|share| seconds(times.quantile_ms(share) / 1000.0));
        let mut cells = vec![name.to_owned(), thousands(times.count() as u64)];
        cells.extend(quantiles);
        cells.push(seconds(times.max_ms() / 1000.0));
        table.row(cells);
    };
    exact("crawl: from request to begin", &figures.waited);
    exact("crawl: from request to end", &figures.ended);
    for call in Call::COUNTED {
        exact(&format!("API: {}", call.name()), &figures.call_times(call));
    }
    let mut estimated = |name: &str, buckets: &Buckets| {
        let quantiles = [0.5, 0.95, 0.99].map(|share| seconds(buckets.quantile(share)));
        let mut cells = vec![name.to_owned(), thousands(buckets.count() as u64)];
        cells.extend(quantiles);
        cells.push("-".to_owned());
        table.row(cells);
    };
    estimated("page: from last byte to commit", &figures.page_process);
    estimated("page: cut into chunks", &figures.chunk);
    estimated("page: waiting for the site", &figures.fetch);
    table.print()?;
    line(
        "Those of pages are read from the server's histograms, between the bounds of their buckets.\n",
    )
}

fn errors(figures: &Figures) -> Result<()> {
    let calls = &figures.calls;
    line(format!(
        "{} API requests, {} failed ({:.3} %); {} searches found something, {} hits were another tenant's",
        thousands(calls.all()),
        thousands(calls.failed()),
        figures.api_error_percent(),
        thousands(figures.searches_with_hits),
        thousands(figures.foreign_hits)
    ))?;
    for ((call, status), count) in &calls.errors {
        line(format!(
            "  {}: {} × {}",
            call.name(),
            thousands(*count),
            name_of(*status)
        ))?;
    }
    Ok(())
}

fn server(figures: &Figures) -> Result<()> {
    let around = &figures.around;
    let share = |value: f64| format!("{:.0} %", value * 100.0);
    line(format!(
        "Queue: {:.0} tasks waited at most, p95 {:.0}; slots in use {:.1} of {} on average",
        figures.backlog.max, figures.backlog.p95, figures.slots_busy.mean, around.slots_max
    ))?;
    line(format!(
        "Server: {} of memory at most, {:.2} cores, {:.0} open files; machine {} busy",
        around
            .memory_peak_bytes
            .map_or_else(|| "?".to_owned(), bytes),
        figures.server_cores,
        figures.open_files_max,
        share(around.machine_busy)
    ))?;
    line(format!(
        "Writer: {} at work, {} waiting for its turn, {:.0} commits, {:.0} operations waited at most",
        share(figures.writer_busy),
        share(figures.writer_waited),
        figures.commits,
        figures.write_queue.max
    ))?;
    if around.embeds {
        line(format!(
            "Embedding went on beside it; {} chunks were left without a vector",
            thousands(figures.chunks_pending as u64)
        ))?;
    }
    if around.deadlocks.is_none() {
        line("Deadlocks: none are possible; the embedded database has one writer at a time")?;
    }
    line(format!("What binds: {}\n", figures.binds()))
}

fn targets(targets: &[Target]) -> Result<()> {
    let mut table = Table::new(&["", "measured", "to replace", "", "to reach", ""]);
    let met = |met: bool| if met { "met" } else { "not met" }.to_owned();
    for target in targets {
        let bound =
            |bound: f64| format!("{} {}", target.bound.sign(), with_unit(bound, target.unit));
        table.row([
            target.name.to_owned(),
            with_unit(target.measured, target.unit),
            bound(target.old),
            met(target.meets_old()),
            bound(target.strict),
            met(target.meets_strict()),
        ]);
    }
    table.print()
}

fn with_unit(value: f64, unit: &str) -> String {
    let number = if value.fract() == 0.0 {
        thousands(value as u64)
    } else if value < 1.0 {
        format!("{value:.3}")
    } else {
        format!("{value:.2}")
    };
    format!("{number} {unit}").trim_end().to_owned()
}

fn name_of(status: Option<u16>) -> String {
    status.map_or_else(|| "no answer".to_owned(), |status| status.to_string())
}

pub fn view(args: &BenchTenantsArgs, figures: &Figures) -> Value {
    let (around, web) = (&figures.around, &figures.around.web);
    json!({
        "machine": Machine::this().view(),
        "load": {
            "tenants": figures.crawls,
            "pages_each": args.pages,
            "latency_ms": args.latency_ms,
            "error_rate": args.error_rate,
            "searches_per_s": args.searchers as f64 / SEARCH_EVERY.as_secs_f64(),
            "database": around.database,
            "slots_max": around.slots_max,
            "embedding": around.embeds,
        },
        "ended": match figures.end {
            RunEnd::Complete => "complete",
            RunEnd::TimeLimit => "time_limit",
            RunEnd::Interrupted => "interrupted",
            RunEnd::ServerDied => "server_died",
        },
        "duration_ms": milliseconds(figures.took),
        "crawls": {
            "complete": figures.complete,
            "complete_percent": rounded(figures.success_percent()),
            "by_state": figures.states,
            "problems": figures.problems,
            "begin_ms": figures.waited.view(),
            "end_ms": figures.ended.view(),
        },
        "pages": {
            "stored": figures.pages_stored,
            "wanted": figures.pages_wanted,
            "per_s": rounded(figures.pages_per_s()),
            "process_s": buckets(&figures.page_process),
            "chunk_s": buckets(&figures.chunk),
            "fetch_s": buckets(&figures.fetch),
        },
        "api": api_view(figures),
        "queue_backlog": series(&figures.backlog),
        "slots_busy": series(&figures.slots_busy),
        "write_queue": series(&figures.write_queue),
        "deadlocks": around.deadlocks.unwrap_or(0),
        "deadlocks_possible": around.deadlocks.is_some(),
        "server": {
            "memory_peak_bytes": around.memory_peak_bytes,
            "cores_used": rounded(figures.server_cores),
            "open_files_max": figures.open_files_max,
            "writer_busy": rounded(figures.writer_busy),
            "writer_waited": rounded(figures.writer_waited),
            "commits": figures.commits,
            "chunks_without_vector": figures.chunks_pending,
        },
        "machine_busy": rounded(around.machine_busy),
        "sites": { "requests": web.requests, "errors": web.errors, "bytes": web.bytes },
        "binds": figures.binds(),
        "targets": figures.targets().iter().map(target_view).collect::<Vec<_>>(),
    })
}

fn api_view(figures: &Figures) -> Value {
    let calls = &figures.calls;
    let times: Map<String, Value> = Call::COUNTED
        .iter()
        .map(|call| (call.name().to_owned(), figures.call_times(*call).view()))
        .collect();
    let by_status: Vec<Value> = calls
        .errors
        .iter()
        .map(
            |((call, status), count)| json!({"call": call.name(), "status": status, "count": count}),
        )
        .collect();
    json!({
        "requests": calls.all(),
        "errors": calls.failed(),
        "error_percent": rounded(figures.api_error_percent()),
        "errors_by_status": by_status,
        "ms": times,
        "searches_with_hits": figures.searches_with_hits,
        "hits_of_other_tenants": figures.foreign_hits,
    })
}

fn milliseconds(time: Duration) -> f64 {
    rounded(time.as_secs_f64() * 1000.0)
}

fn buckets(buckets: &Buckets) -> Value {
    json!({
        "count": buckets.count(),
        "p50": rounded(buckets.quantile(0.5)),
        "p95": rounded(buckets.quantile(0.95)),
        "p99": rounded(buckets.quantile(0.99)),
    })
}

fn series(series: &Series) -> Value {
    json!({
        "mean": rounded(series.mean),
        "p95": series.p95,
        "max": series.max,
    })
}

fn target_view(target: &Target) -> Value {
    json!({
        "name": target.name,
        "unit": target.unit,
        "measured": rounded(target.measured),
        "sign": target.bound.sign(),
        "to_replace": target.old,
        "to_replace_met": target.meets_old(),
        "to_reach": target.strict,
        "to_reach_met": target.meets_strict(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        assert_eq!(with_unit(0.0, "s"), "0 s");
        assert_eq!(with_unit(5_000.0, ""), "5,000");
        assert_eq!(with_unit(99.9, "%"), "99.90 %");
        assert_eq!(with_unit(0.0123, "s"), "0.012 s");
    }
}
