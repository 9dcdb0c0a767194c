//! `gleaner bench embed`: the local model's kernels on one core, and the
//! configured embedder as the backlog uses it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use embed::{EmbedBench, Embedder};
use serde_json::{Value, json};

use super::report::{Machine, Table, rounded};
use crate::app::{App, threads};
use crate::cli::output::{Exit, json_line, line, note, thousands};
use crate::config::EmbedProvider;

/// As many as the backlog takes per round.
const TEXTS_PER_CALL: usize = 128;

/// What passages are made of, in two of the languages that matter here.
const SENTENCES: [&str; 8] = [
    "The observatory opens its doors on the first clear night of every month.",
    "A write-ahead log lets a database recover after the power failed.",
    "Bring warm clothes, a red lamp and something hot to drink.",
    "Every request of the crawler waits for the host's own pace.",
    "رصدخانه در نخستین شب صاف هر ماه درهای خود را به روی مردم باز می‌کند.",
    "پشتیبان‌گیری منظم از داده‌ها پیش از هر به‌روزرسانی ضروری است.",
    "The index holds exactly the chunks of the newest version of each page.",
    "برای دیدن سیاره‌ها به تلسکوپ بزرگی نیاز نیست.",
];

/// The embedder with all its threads.
#[derive(Clone, Debug)]
struct Throughput {
    model: String,
    threads: usize,
    texts: u64,
    tokens: u64,
    seconds: f64,
    query_ms: f64,
}

impl Throughput {
    fn tokens_per_s(&self) -> f64 {
        self.tokens as f64 / self.seconds.max(1e-9)
    }
}

pub fn run(app: &App, seconds: u64) -> Result<Exit> {
    if seconds == 0 {
        bail!("--seconds must be at least 1");
    }
    let Some(embedder) = app.embedder()? else {
        bail!("embedding is off; set embed.provider = \"local\" or \"http\"");
    };
    let is_local = app.config.embed.provider == EmbedProvider::Local;
    let kernels = if is_local {
        note(format!("the kernels on one core, about {seconds} s"));
        Some(embed::bench(seconds as f64).context("measure the local model")?)
    } else {
        None
    };
    note(format!(
        "the embedder with all its threads, about {seconds} s"
    ));
    let threads = if is_local {
        threads(app.config.embed.threads)
    } else {
        1
    };
    let throughput = measure(&embedder, threads, Duration::from_secs(seconds))?;
    embedder.stop();
    if app.json {
        json_line(&view(kernels.as_ref(), &throughput))?;
    } else {
        print(kernels.as_ref(), &throughput)?;
    }
    Ok(Exit::Ok)
}

fn measure(embedder: &Embedder, threads: usize, at_least: Duration) -> Result<Throughput> {
    embed(embedder, passages(0, 8))?;
    let before = embedder.stats();
    let start = Instant::now();
    let mut texts = 0;
    while start.elapsed() < at_least {
        embed(embedder, passages(texts, TEXTS_PER_CALL))?;
        texts += TEXTS_PER_CALL;
    }
    let seconds = start.elapsed().as_secs_f64();
    let after = embedder.stats();
    let start = Instant::now();
    embedder.embed_query("how to recover a database after a power failure")?;
    Ok(Throughput {
        model: embedder.model_id().to_owned(),
        threads,
        texts: after.texts - before.texts,
        tokens: after.tokens - before.tokens,
        seconds,
        query_ms: start.elapsed().as_secs_f64() * 1000.0,
    })
}

fn embed(embedder: &Embedder, texts: Vec<String>) -> Result<()> {
    for vector in embedder.embed_passages(texts) {
        vector.context("embed a passage")?;
    }
    Ok(())
}

/// Texts of two to nine sentences, each of them different.
fn passages(first: usize, count: usize) -> Vec<String> {
    (first..first + count)
        .map(|number| {
            let mut text = format!("{number}.");
            for place in 0..2 + number * 5 % 8 {
                text.push(' ');
                text.push_str(SENTENCES[(number + place * 3) % SENTENCES.len()]);
            }
            text
        })
        .collect()
}

fn print(kernels: Option<&EmbedBench>, throughput: &Throughput) -> Result<()> {
    line(format!("Machine: {}\n", Machine::this().describe()))?;
    if let Some(bench) = kernels {
        let mut table = Table::new(&[
            "one core",
            "tokens/s",
            "GEMM GOP/s",
            "peak GOP/s",
            "share of peak",
        ]);
        for kernel in &bench.kernels {
            let chosen = if kernel.kernel == bench.kernel {
                " (chosen)"
            } else {
                ""
            };
            table.row([
                format!("{}{chosen}", kernel.kernel.name()),
                thousands(kernel.tokens_per_s_core as u64),
                format!("{:.1}", kernel.gemm_gop_per_s),
                format!("{:.1}", kernel.peak_gop_per_s),
                format!("{:.0} %", kernel.share * 100.0),
            ]);
        }
        table.print()?;
        line(format!(
            "\nBundled model: ready in {:.0} ms; least cosine to f32 {:.4}; a query takes {:.1} ms\n",
            bench.load_ms, bench.cosine_to_f32, bench.query_ms
        ))?;
    }
    line(format!(
        "Embedder {}: {} tokens/s with {} thread(s) ({} texts, {} tokens in {:.1} s); \
         a query takes {:.1} ms",
        throughput.model,
        thousands(throughput.tokens_per_s() as u64),
        throughput.threads,
        thousands(throughput.texts),
        thousands(throughput.tokens),
        throughput.seconds,
        throughput.query_ms
    ))
}

fn view(kernels: Option<&EmbedBench>, throughput: &Throughput) -> Value {
    let kernels = kernels.map(|bench| {
        let kernels: Vec<Value> = bench
            .kernels
            .iter()
            .map(|kernel| {
                json!({
                    "kernel": kernel.kernel.name(),
                    "tokens_per_s_core": rounded(kernel.tokens_per_s_core),
                    "gemm_gop_per_s": rounded(kernel.gemm_gop_per_s),
                    "peak_gop_per_s": rounded(kernel.peak_gop_per_s),
                    "share_of_peak": rounded(kernel.share),
                })
            })
            .collect();
        json!({
            "kernel": bench.kernel.name(),
            "load_ms": rounded(bench.load_ms),
            "tokens_per_s_core": rounded(bench.tokens_per_s_core),
            "query_ms": rounded(bench.query_ms),
            "cosine_to_f32": rounded(bench.cosine_to_f32),
            "kernels": kernels,
        })
    });
    json!({
        "machine": Machine::this().view(),
        "local": kernels,
        "embedder": {
            "model": throughput.model,
            "threads": throughput.threads,
            "texts": throughput.texts,
            "tokens": throughput.tokens,
            "seconds": rounded(throughput.seconds),
            "tokens_per_s": rounded(throughput.tokens_per_s()),
            "query_ms": rounded(throughput.query_ms),
        },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn passages_differ() {
        let texts: HashSet<String> = passages(5, 300).into_iter().collect();
        assert_eq!(texts.len(), 300);
        assert!(
            texts
                .iter()
                .all(|text| text.split_whitespace().count() > 15)
        );
    }

    #[test]
    fn rates_are_over_the_time_taken() {
        let throughput = Throughput {
            model: "m".to_owned(),
            threads: 2,
            texts: 10,
            tokens: 1000,
            seconds: 4.0,
            query_ms: 3.0,
        };
        let view = view(None, &throughput);
        assert_eq!(view["embedder"]["tokens_per_s"], 250.0);
        assert!(view["local"].is_null());
    }
}
