//! The runs of `gleaner bench crawl` and what is shown of them.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::report::{Machine, Table, median_by, rounded};
use super::site::BenchSite;
use crate::cli::BenchCrawlArgs;
use crate::cli::output::{bytes, line, thousands};
use crate::pipeline::progress::Stage;
use crate::pipeline::visit::Depth;

/// Stages that compute; `Fetch` waits for the network, `Embed` comes after
/// pages are searchable.
pub const CPU_STAGES: [Stage; 5] = [
    Stage::Extract,
    Stage::Links,
    Stage::Chunk,
    Stage::Write,
    Stage::Index,
];

/// A crawl with some of its stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    pub name: &'static str,
    pub depth: Depth,
    pub index: bool,
    pub embed: bool,
}

pub const EVERYTHING: Variant = Variant {
    name: "everything",
    depth: Depth::Store,
    index: true,
    embed: false,
};
pub const WITH_EMBEDDING: Variant = Variant {
    name: "everything, embedding beside it",
    embed: true,
    ..EVERYTHING
};
pub const PARTS: [Variant; 4] = [
    Variant {
        name: "fetch and links",
        depth: Depth::Links,
        index: false,
        embed: false,
    },
    Variant {
        name: "+ extract",
        depth: Depth::Extract,
        index: false,
        embed: false,
    },
    Variant {
        name: "+ chunk",
        depth: Depth::Chunk,
        index: false,
        embed: false,
    },
    Variant {
        name: "+ store",
        depth: Depth::Store,
        index: false,
        embed: false,
    },
];

/// What one run did.
#[derive(Clone, Debug)]
pub struct Run {
    /// Pages that got through the last stage of the variant.
    pub pages: u64,
    pub failed: u64,
    pub requests: u64,
    pub wire_bytes: u64,
    pub chunks: u64,
    /// From the start until the last page was searchable (or through).
    pub took: Duration,
    /// CPU time of all threads until then, the server's included.
    pub cpu: Duration,
    pub stages: Vec<(Stage, Duration)>,
    pub fetch_p50: Duration,
    pub fetch_p95: Duration,
    pub memory_peak_bytes: Option<u64>,
    /// Tokens that were embedded before the last page was searchable.
    pub tokens_embedded: u64,
}

impl Run {
    pub fn pages_per_s(&self) -> f64 {
        self.pages as f64 / self.took.as_secs_f64().max(1e-9)
    }

    fn cpu_ms_per_page(&self) -> f64 {
        milliseconds(self.cpu) / self.pages as f64
    }

    fn busy(&self, stage: Stage) -> Duration {
        self.stages
            .iter()
            .find(|(known, _)| *known == stage)
            .map_or(Duration::ZERO, |(_, t)| *t)
    }

    fn busy_computing(&self) -> Duration {
        CPU_STAGES.iter().map(|stage| self.busy(*stage)).sum()
    }
}

/// The runs of one variant.
#[derive(Debug)]
pub struct Measured {
    pub variant: Variant,
    pub median: Run,
    pub slowest_pages_per_s: f64,
    pub fastest_pages_per_s: f64,
}

impl Measured {
    pub fn of(variant: Variant, runs: Vec<Run>) -> Result<Measured> {
        let rates: Vec<f64> = runs.iter().map(Run::pages_per_s).collect();
        Ok(Measured {
            variant,
            slowest_pages_per_s: rates.iter().copied().fold(f64::INFINITY, f64::min),
            fastest_pages_per_s: rates.iter().copied().fold(0.0, f64::max),
            median: median_by(runs, Run::pages_per_s).context("bug: no run was made")?,
        })
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn headline(measured: &[Measured]) -> Option<&Measured> {
    measured.iter().find(|m| m.variant == EVERYTHING)
}

/// Speed with the embedding backlog beside the crawl, as a share of without.
fn embedding_ratio(measured: &[Measured]) -> Option<f64> {
    let with = measured.iter().find(|m| m.variant == WITH_EMBEDDING)?;
    Some(with.median.pages_per_s() / headline(measured)?.median.pages_per_s())
}

pub fn print(args: &BenchCrawlArgs, site: &BenchSite, measured: &[Measured]) -> Result<()> {
    line(format!(
        "Site: {} pages of {} files, {}; served by this process, so it shares the cores",
        thousands(site.pages as u64),
        thousands(site.files as u64),
        bytes(site.bytes)
    ))?;
    line(format!("Machine: {}", Machine::this().describe()))?;
    line(format!(
        "{} requests in flight, {} ms added to each; median of {} run(s)\n",
        args.concurrency, args.latency_ms, args.runs
    ))?;
    let mut table = Table::new(&[
        "",
        "pages/s",
        "slowest",
        "fastest",
        "pages",
        "seconds",
        "CPU ms/page",
        "peak memory",
    ]);
    for Measured {
        variant,
        median,
        slowest_pages_per_s,
        fastest_pages_per_s,
    } in measured
    {
        table.row([
            variant.name.to_owned(),
            format!("{:.0}", median.pages_per_s()),
            format!("{slowest_pages_per_s:.0}"),
            format!("{fastest_pages_per_s:.0}"),
            thousands(median.pages),
            format!("{:.2}", median.took.as_secs_f64()),
            format!("{:.2}", median.cpu_ms_per_page()),
            median
                .memory_peak_bytes
                .map_or_else(|| "-".to_owned(), bytes),
        ]);
    }
    table.print()?;
    let Some(Measured { median, .. }) = headline(measured) else {
        return Ok(());
    };
    line("\nWhere the time of everything went: wall time, summed over threads")?;
    let mut table = Table::new(&["stage", "seconds", "share", "ms/page"]);
    let all = median.busy_computing().as_secs_f64().max(1e-9);
    for stage in CPU_STAGES {
        let busy = median.busy(stage);
        table.row([
            stage.name().to_owned(),
            format!("{:.2}", busy.as_secs_f64()),
            format!("{:.0} %", busy.as_secs_f64() / all * 100.0),
            format!("{:.3}", milliseconds(busy) / median.pages as f64),
        ]);
    }
    table.print()?;
    line(format!(
        "\nRequests: {}, waiting p50 {:.1} ms, p95 {:.1} ms; {} received; {} pages failed",
        thousands(median.requests),
        milliseconds(median.fetch_p50),
        milliseconds(median.fetch_p95),
        bytes(median.wire_bytes),
        thousands(median.failed)
    ))?;
    line(
        "Peak memory includes the site, its server and what earlier runs left with the allocator; \
         for that of one crawl use --runs 1 without --stages.",
    )?;
    if let Some(ratio) = embedding_ratio(measured) {
        let with = measured.iter().find(|m| m.variant == WITH_EMBEDDING);
        line(embedding_line(
            ratio,
            with.map_or(0, |m| m.median.tokens_embedded),
        ))?;
    }
    Ok(())
}

/// A crawl can keep its speed because nothing was embedded beside it; the
/// ratio alone would not tell.
fn embedding_line(ratio: f64, tokens: u64) -> String {
    let percent = ratio * 100.0;
    if tokens == 0 {
        return format!(
            "With the embedding backlog beside it: {percent:.0} % of the speed, but no batch was \
             finished before the crawl was; this says what waiting beside it costs, not embedding"
        );
    }
    format!(
        "With the embedding backlog beside it: {percent:.0} % of the speed; {} tokens embedded \
         meanwhile",
        thousands(tokens)
    )
}

pub fn view(args: &BenchCrawlArgs, site: &BenchSite, measured: &[Measured]) -> Value {
    json!({
        "machine": Machine::this().view(),
        "site": { "pages": site.pages, "files": site.files, "bytes": site.bytes },
        "server_in_process": true,
        "latency_ms": args.latency_ms,
        "concurrency": args.concurrency,
        "runs": args.runs,
        "pages_per_s": headline(measured).map(|m| rounded(m.median.pages_per_s())),
        "embedding_ratio": embedding_ratio(measured).map(rounded),
        "variants": measured.iter().map(variant_view).collect::<Vec<_>>(),
    })
}

fn variant_view(measured: &Measured) -> Value {
    let run = &measured.median;
    let all = run.busy_computing().as_secs_f64().max(1e-9);
    let stages: serde_json::Map<String, Value> = run
        .stages
        .iter()
        .map(|(stage, busy)| {
            let share = CPU_STAGES
                .contains(stage)
                .then(|| rounded(busy.as_secs_f64() / all));
            let view = json!({
                "busy_ms": rounded(milliseconds(*busy)),
                "share_of_cpu_stages": share,
                "ms_per_page": rounded(milliseconds(*busy) / run.pages as f64),
            });
            (stage.name().to_owned(), view)
        })
        .collect();
    json!({
        "name": measured.variant.name,
        "pages_per_s": rounded(run.pages_per_s()),
        "pages_per_s_slowest": rounded(measured.slowest_pages_per_s),
        "pages_per_s_fastest": rounded(measured.fastest_pages_per_s),
        "pages": run.pages,
        "failed": run.failed,
        "chunks": run.chunks,
        "requests": run.requests,
        "wire_bytes": run.wire_bytes,
        "searchable_ms": rounded(milliseconds(run.took)),
        "cpu_ms_per_page": rounded(run.cpu_ms_per_page()),
        "fetch_ms": {
            "p50": rounded(milliseconds(run.fetch_p50)),
            "p95": rounded(milliseconds(run.fetch_p95)),
        },
        "memory_peak_bytes": run.memory_peak_bytes,
        "tokens_embedded_meanwhile": run.tokens_embedded,
        "stages": stages,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(pages: u64, seconds: u64) -> Run {
        Run {
            pages,
            failed: 0,
            requests: pages + 1,
            wire_bytes: 10,
            chunks: 2,
            took: Duration::from_secs(seconds),
            cpu: Duration::from_secs(1),
            stages: vec![
                (Stage::Fetch, Duration::from_secs(9)),
                (Stage::Extract, Duration::from_secs(3)),
                (Stage::Write, Duration::from_secs(1)),
            ],
            fetch_p50: Duration::from_millis(5),
            fetch_p95: Duration::from_millis(9),
            memory_peak_bytes: Some(1024),
            tokens_embedded: 0,
        }
    }

    #[test]
    fn the_median_run_speaks_for_its_variant() {
        let runs = vec![run(100, 1), run(100, 4), run(100, 2)];
        let measured = Measured::of(EVERYTHING, runs).unwrap();
        assert_eq!(measured.median.took, Duration::from_secs(2));
        assert_eq!(
            (measured.slowest_pages_per_s, measured.fastest_pages_per_s),
            (25.0, 100.0)
        );
        let embedding = Measured::of(WITH_EMBEDDING, vec![run(100, 4)]).unwrap();
        assert_eq!(embedding_ratio(&[measured, embedding]), Some(0.5));
    }

    #[test]
    fn an_idle_backlog_is_not_passed_off_as_embedding() {
        assert!(embedding_line(0.9, 0).contains("90 % of the speed, but no batch was finished"));
        assert!(embedding_line(0.9, 2048).ends_with("2,048 tokens embedded meanwhile"));
    }

    #[test]
    fn waiting_has_no_share_of_the_cores() {
        let view = variant_view(&Measured::of(EVERYTHING, vec![run(100, 2)]).unwrap());
        assert_eq!(view["pages_per_s"], 50.0);
        assert_eq!(view["cpu_ms_per_page"], 10.0);
        assert_eq!(view["stages"]["extract"]["share_of_cpu_stages"], 0.75);
        assert_eq!(view["stages"]["extract"]["ms_per_page"], 30.0);
        assert!(view["stages"]["fetch"]["share_of_cpu_stages"].is_null());
        assert_eq!(view["fetch_ms"]["p95"], 9.0);
    }
}
