//! Arguments of the commands that measure: `gleaner eval` and `gleaner bench`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub enum EvalCommand {
    /// Score main-content extraction (pages.jsonl and gold.jsonl[.gz] in DIR)
    #[command(after_help = "Example: gleaner eval extraction data/extraction --pred out.jsonl")]
    Extraction {
        dir: PathBuf,
        /// Write {id,text,ms} lines here
        #[arg(long, value_name = "FILE")]
        pred: Option<PathBuf>,
    },
    /// Score retrieval (corpus.jsonl[.gz], queries.jsonl and qrels.tsv in DIR, BEIR form)
    #[command(
        after_help = "Example: gleaner eval retrieval data/cranfield --mode hybrid --run out.jsonl"
    )]
    Retrieval(EvalRetrievalArgs),
    /// Score whether questions without an answer are told from those with one
    #[command(
        after_help = "Example: gleaner eval answers data/pquad-val --others data/hamshahri

Asks the set's questions, then the same without the pages that answer them, then those of --others; no model is asked."
    )]
    Answers {
        /// As for retrieval
        dir: PathBuf,
        /// Sets whose questions this one does not answer (repeatable)
        #[arg(long, value_name = "DIR")]
        others: Vec<PathBuf>,
        /// Write {set,qid,coverage,nearness,thin,first} lines here
        #[arg(long, value_name = "FILE")]
        run: Option<PathBuf>,
    },
    /// Score extractive summaries by ROUGE, beside the first sentences of each text
    #[command(after_help = "Examples:
  gleaner eval summaries news.jsonl
  gleaner eval summaries news.jsonl.gz --words-max 100 --json

FILE has a JSON object a line: id, text, summary (by a person), and where known title and language.")]
    Summaries(EvalSummariesArgs),
}

#[derive(Clone, Debug, Args)]
pub struct EvalSummariesArgs {
    pub file: PathBuf,
    /// Most sentences of a summary [default: 3, or any number with --words-max]
    #[arg(long, value_name = "N", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=200))]
    pub sentences: Option<usize>,
    /// Most words of a summary
    #[arg(long, value_name = "N", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=10_000))]
    pub words_max: Option<usize>,
    /// Summarise as if no text had a title
    #[arg(long)]
    pub without_title: bool,
}

#[derive(Clone, Debug, Args)]
pub struct EvalRetrievalArgs {
    pub dir: PathBuf,
    /// hybrid, keyword or vector [default: all three]
    #[arg(long, value_name = "MODE")]
    pub mode: Option<String>,
    /// Write {qid,docs,ms} lines here (of the last mode scored)
    #[arg(long, value_name = "FILE")]
    pub run: Option<PathBuf>,
    /// Read queries from this file instead of DIR/queries.jsonl
    #[arg(long, value_name = "FILE")]
    pub queries: Option<PathBuf>,
    /// Search the pages of --data-dir, named by URL path, instead of loading DIR's corpus
    #[arg(long)]
    pub crawled: bool,
    /// Load the corpus into this PostgreSQL database, empty or of an earlier run, and search by its tables
    #[arg(long, value_name = "URL", conflicts_with = "crawled")]
    pub database_url: Option<String>,
    /// Find words by an index that is made in this OpenSearch cluster and deleted afterwards
    #[arg(long, value_name = "URL", conflicts_with_all = ["crawled", "database_url"])]
    pub opensearch_url: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Serve a folder of HTML from memory on loopback and crawl it
    #[command(after_help = "Example: gleaner bench crawl ./site --latency-ms 0")]
    Crawl(BenchCrawlArgs),
    /// Extract every HTML file of a folder
    #[command(after_help = "Example: gleaner bench extract ./site")]
    Extract { dir: PathBuf },
    /// Embed passages with the configured embedder
    #[command(after_help = "Example: gleaner bench embed --seconds 10")]
    Embed {
        #[arg(long, default_value_t = 10)]
        seconds: u64,
    },
    /// Enqueue and run tasks that do nothing
    #[command(after_help = "Example: gleaner bench queue --tasks 20000 --json")]
    Queue(BenchQueueArgs),
    /// Query the data folder in every mode; latencies and recall
    #[command(after_help = "Example: gleaner bench search --queries queries.jsonl")]
    Search(BenchSearchArgs),
    /// Many tenants that each crawl a website through a real server, while others search
    Tenants(BenchTenantsArgs),
}

#[derive(Clone, Debug, Args)]
pub struct BenchCrawlArgs {
    /// Folder with the site; its index.html is the start page
    pub dir: PathBuf,
    /// Delay every response by this much
    #[arg(long, default_value_t = 0)]
    pub latency_ms: u64,
    #[arg(long, default_value_t = 64)]
    pub concurrency: u32,
    /// Runs; the median is reported
    #[arg(long, default_value_t = 3)]
    pub runs: usize,
    /// Also run with stages switched off, and with the embedding backlog beside the crawl
    #[arg(long)]
    pub stages: bool,
    /// Only serve the site, until Ctrl-C, and print its address (to point another crawler at)
    #[arg(long)]
    pub serve_only: bool,
}

#[derive(Clone, Debug, Args)]
pub struct BenchQueueArgs {
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    pub tasks: usize,
    /// Measure claims up to a queue of this length
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    pub queued_max: usize,
}

#[derive(Clone, Debug, Args)]
pub struct BenchSearchArgs {
    /// Queries, one JSON object with "text" a line [default: titles of stored pages]
    #[arg(long, value_name = "FILE")]
    pub queries: Option<PathBuf>,
    #[arg(long, default_value_t = 500)]
    pub count: usize,
    /// Ask a PostgreSQL database with the same pages as well, by its own tables; `gleaner migrate` copies them there
    #[arg(long, value_name = "URL")]
    pub database_url: Option<String>,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  gleaner bench tenants
  gleaner bench tenants --tenants 100 --pages 50 --slots 16 --json
  DATABASE_URL=postgres://bench@127.0.0.1/bench gleaner bench tenants

Sites, clients and server share this machine. The server is configured as `gleaner serve` is here; without
DATABASE_URL it gets a data folder of its own, which goes again.")]
pub struct BenchTenantsArgs {
    /// Tenants, each with a website of its own
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=10_000))]
    pub tenants: usize,
    /// Pages of each website
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=100_000))]
    pub pages: usize,
    /// Mean time until a website answers
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub latency_ms: u64,
    /// Share of the requests for pages that a website fails, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.02)]
    pub error_rate: f64,
    /// Clients that each search once a second
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub searchers: usize,
    /// Crawls at a time at most; as configured (worker.slots_max) unless given
    #[arg(long, value_name = "N")]
    pub slots: Option<u32>,
    /// Stop after so many seconds, with what there is
    #[arg(long, value_name = "N", default_value_t = 1800)]
    pub duration_s: u64,
    /// Also use a server's database that is not empty; the tenants made there stay, shut out
    #[arg(long)]
    pub reuse_database: bool,
}
