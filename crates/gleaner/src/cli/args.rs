//! What the user may type. Parsing only; each command's file does the work.

use std::path::PathBuf;

use super::data_args::{
    ExportArgs, FieldsArg, ImportArgs, MigrateArgs, PageCommand, RecordCommand,
};
use super::events::EventsCommand;
use super::measure_args::{BenchCommand, EvalCommand};
use super::service_args::{KeyCommand, SchedulerArgs, ServeArgs, TenantCommand, WorkerArgs};
use super::shard::ShardCommand;
use super::text_args::{AskArgs, SummarizeArgs};
use super::webhook_args::WebhookCommand;
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

/// Turn websites into a knowledge base you can search.
#[derive(Debug, Parser)]
#[command(name = "gleaner", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    pub global: GlobalArgs,
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 ok, 1 failed, 2 wrong usage or configuration, \
3 partly failed or interrupted.\n\nStart here: gleaner demo";

#[derive(Clone, Debug, Args)]
pub struct GlobalArgs {
    /// Folder of the database and the indexes
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub data_dir: Option<PathBuf>,
    /// Configuration file [default: gleaner.toml in this folder, if there is one]
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// Machine-readable output
    #[arg(long, global = true)]
    pub json: bool,
    /// Log level or filter, e.g. info or fetch=debug
    #[arg(long, global = true, value_name = "FILTER")]
    pub log: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Crawl websites until they are searchable
    Crawl(CrawlArgs),
    /// Search what was crawled
    Search(SearchArgs),
    /// Answer a question from what was crawled, with citations
    Ask(AskArgs),
    /// Extract the main content of a file, a URL or a folder of HTML files
    Extract(ExtractArgs),
    /// Work through the embedding backlog
    #[command(after_help = "Example: gleaner embed")]
    Embed,
    /// Summarise pages, by a language model where one is configured
    Summarize(SummarizeArgs),
    /// Add, change and look at sources
    #[command(subcommand)]
    Source(SourceCommand),
    /// Look at queued work, cancel, retry, pause and resume it
    #[command(subcommand)]
    Task(TaskCommand),
    /// Answer the HTTP API, run tasks and keep schedules, until stopped
    Serve(ServeArgs),
    /// Run tasks from the queue until stopped
    Worker(WorkerArgs),
    /// Queue crawls of sources that are due, until stopped
    Scheduler(SchedulerArgs),
    /// List, create and change tenants of a server
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// Create, list, revoke and rotate API keys
    #[command(subcommand)]
    Key(KeyCommand),
    /// Tell other services of crawls, pages and failures as they happen
    #[command(subcommand)]
    Webhook(WebhookCommand),
    /// Look after the publishing of events to NATS JetStream
    #[command(subcommand)]
    Events(EventsCommand),
    /// Show the databases that share what is stored
    #[command(subcommand)]
    Shard(ShardCommand),
    /// Print the HTTP API's OpenAPI document
    Openapi,
    /// Look at pages, their versions and what changed
    #[command(subcommand)]
    Page(PageCommand),
    /// List articles, products and jobs by their facts
    #[command(subcommand)]
    Record(RecordCommand),
    /// Store pages from JSON lines, as `export` writes them
    Import(ImportArgs),
    /// Write all pages as JSON lines
    Export(ExportArgs),
    /// Move a whole database between a data folder and PostgreSQL, either way
    Migrate(MigrateArgs),
    /// Rebuild the keyword index from the database
    #[command(after_help = "Example: gleaner reindex")]
    Reindex,
    /// Look at, prune or install embedding model files
    #[command(subcommand)]
    Model(ModelCommand),
    /// Crawl and search a small site bundled in the program; needs no network
    #[command(after_help = "Example: gleaner demo")]
    Demo,
    /// Check configuration, data folder, model and index, and say what to do
    #[command(after_help = "Example: gleaner doctor")]
    Doctor,
    /// Make the database's tables, or bring them up to this version, and end
    #[command(after_help = "Example: gleaner upgrade

Every command that writes does so by itself; this is for deployments, before new processes start. Processes of
the version before go on beside new ones. What only they need is taken away by housekeeping once none of them
is left, or at once with --contract (exit code 3 while some are).")]
    Upgrade {
        /// Also take away what only older versions need, if none of them is at work
        #[arg(long)]
        contract: bool,
    },
    /// Print every configuration value and where it came from
    #[command(after_help = "Example: gleaner config --json")]
    Config,
    /// Score extraction or retrieval against a labelled set
    #[command(subcommand)]
    Eval(EvalCommand),
    /// Measure one part of Gleaner
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Print a completion script for a shell
    #[command(
        after_help = "Example: gleaner completions bash > ~/.local/share/bash-completion/completions/gleaner"
    )]
    Completions { shell: clap_complete::Shell },
    /// Extract one PDF from standard input; used by the crawler as a sandboxed child
    #[command(hide = true)]
    PdfChild {
        url: String,
        #[arg(long)]
        memory_mb: u64,
        #[arg(long)]
        text_bytes_max: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EmbedWhen {
    /// Go on through the embedding backlog after the crawl
    Wait,
    /// Return once everything is searchable by keyword; `gleaner embed` does the rest
    Later,
    /// No vectors for this run
    Off,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  gleaner crawl https://example.org/docs/ --scope subpath
  gleaner crawl https://example.org --include '/blog/**' --max-pages 500
  gleaner crawl http://127.0.0.1:8000 --embed later --json

Interrupted (Ctrl-C, power loss)? Run the same command again: it goes on where it was.")]
pub struct CrawlArgs {
    /// Where to start: pages, sitemaps or feeds
    #[arg(required = true, value_name = "URL", value_hint = ValueHint::Url)]
    pub urls: Vec<String>,
    #[command(flatten)]
    pub settings: CrawlSettingsArgs,
    /// What to do about vectors
    #[arg(long, value_enum, default_value_t = EmbedWhen::Wait)]
    pub embed: EmbedWhen,
    /// Then summarise the pages of this source that are new or have changed
    #[arg(long)]
    pub summarize: bool,
    /// Allow requests to this private network (repeatable)
    #[arg(long, value_name = "CIDR")]
    pub allow_private: Vec<String>,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  gleaner search 'point in time recovery'
  gleaner search '\"write-ahead log\" backup*' --mode keyword --limit 5
  gleaner search کتاب --filter lang=fa --filter path=/fa/ --json

Filters: source=ID host=NAME path=/prefix lang=en from=2024-01-01 to=2024-12-31,
or a structured field such as type=Article or author.name=Curie.")]
pub struct SearchArgs {
    /// Words, \"exact phrases\", prefix*, -without
    #[arg(required = true)]
    pub query: Vec<String>,
    /// hybrid, keyword or vector
    #[arg(long, value_name = "MODE")]
    pub mode: Option<String>,
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Skip this many hits
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub offset: usize,
    /// Keep only hits with key=value (repeatable)
    #[arg(long, value_name = "K=V")]
    pub filter: Vec<String>,
    /// Count the values of a fact among all hits: kind, host, lang, company, … (repeatable)
    #[arg(long, value_name = "NAME")]
    pub facet: Vec<String>,
    /// Show further matching passages of each page
    #[arg(long)]
    pub expand: bool,
    /// Show how each score came about
    #[arg(long)]
    pub explain: bool,
    #[command(flatten)]
    pub fields: FieldsArg,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExtractFormat {
    Markdown,
    Text,
    Json,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  gleaner extract page.html
  curl -s https://example.org | gleaner extract - --format json
  gleaner extract https://example.org/article
  gleaner extract saved-pages/ --jsonl > pages.jsonl")]
pub struct ExtractArgs {
    /// File, URL, folder, or - for standard input
    #[arg(value_name = "FILE|URL|DIR|-")]
    pub input: String,
    #[arg(long, value_enum, default_value_t = ExtractFormat::Markdown)]
    pub format: ExtractFormat,
    /// One JSON line per file of a folder
    #[arg(long)]
    pub jsonl: bool,
    /// Address the content came from, to resolve links
    #[arg(long, value_name = "URL")]
    pub base: Option<String>,
    /// Apply a source's rules for records to the page: JSON
    #[arg(long, value_name = "FILE|-", value_hint = ValueHint::FilePath)]
    pub record_rules: Option<String>,
    /// Allow requests to this private network (repeatable)
    #[arg(long, value_name = "CIDR")]
    pub allow_private: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub enum SourceCommand {
    /// List sources
    #[command(after_help = "Example: gleaner source list")]
    List(FieldsArg),
    /// Show one source with its schedule and its crawls
    #[command(after_help = "Example: gleaner source show 1")]
    Show { id: i64 },
    /// List the crawls of a source, or show why URLs of one did not become pages
    #[command(after_help = "Examples:
  gleaner source log 1
  gleaner source log 1 --crawl 12")]
    Log {
        id: i64,
        #[arg(long, value_name = "ID")]
        crawl: Option<i64>,
    },
    /// Add a source to crawl now and then
    #[command(after_help = "Examples:
  gleaner source add https://example.org/news/ --every 6h
  gleaner source add https://example.org/docs/ --every 1d --adaptive 1h..30d --max-pages 5000
  gleaner source add https://example.org/jobs/ --cron '30 6 * * 1-5' --summarize

A running `gleaner scheduler` queues its crawls, a running `gleaner worker` runs them.")]
    Add(SourceAddArgs),
    /// Change a source
    #[command(after_help = "Examples:
  gleaner source edit 3 --every 12h
  gleaner source edit 3 --active false
  gleaner source edit 3 --summarize true
  gleaner source edit 3 --record-rules jobs.json")]
    Edit(SourceEditArgs),
    /// Remove a source, with its pages unless told otherwise
    #[command(after_help = "Example: gleaner source remove 3 --keep-pages")]
    Remove {
        id: i64,
        /// Its pages stay searchable
        #[arg(long)]
        keep_pages: bool,
    },
    /// Queue a crawl of a source for the next free worker
    #[command(after_help = "Examples:
  gleaner source crawl 3
  gleaner source crawl 3 --url https://example.org/news/today")]
    Crawl {
        id: i64,
        /// high, default or low, with a level from 0 (first) to 9 as in low:3
        #[arg(long, default_value = "high", allow_hyphen_values = true)]
        priority: types::Priority,
        /// Only this page, and nothing it links to (repeatable)
        #[arg(long, value_name = "URL")]
        url: Vec<String>,
    },
}

/// How the crawls of a source differ from the configuration.
#[derive(Clone, Debug, Default, Args)]
pub struct CrawlSettingsArgs {
    /// host, domain or subpath
    #[arg(long, value_name = "SCOPE")]
    pub scope: Option<String>,
    /// Stop each crawl after this many stored pages (0: no limit)
    #[arg(long, value_name = "N")]
    pub max_pages: Option<u64>,
    /// Follow links this far from the start (0: no limit)
    #[arg(long, value_name = "N")]
    pub max_depth: Option<u32>,
    /// Only URLs whose path matches this glob, or regex:… (repeatable)
    #[arg(long, value_name = "GLOB")]
    pub include: Vec<String>,
    /// Leave out URLs whose path matches this glob, or regex:… (repeatable)
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    /// Requests in flight, over all hosts and per host
    #[arg(long, value_name = "N")]
    pub concurrency: Option<u32>,
    /// Least time between two requests to one host
    #[arg(long, value_name = "N")]
    pub delay_ms: Option<u64>,
    /// Where on the pages the facts of a record stand: JSON, - for standard input
    #[arg(long, value_name = "FILE|-", value_hint = ValueHint::FilePath)]
    pub record_rules: Option<String>,
}

/// When a source is crawled.
#[derive(Clone, Debug, Args)]
pub struct SourceScheduleArgs {
    /// Time from one crawl to the next: 30m, 6h, 2d, or hours as a bare number
    #[arg(long, value_name = "TIME")]
    pub every: Option<String>,
    /// Fixed times in UTC: minute, hour, day of month, month, day of week
    #[arg(long, value_name = "EXPRESSION", conflicts_with = "every")]
    pub cron: Option<String>,
    /// Let the interval follow how much changes, within these bounds
    #[arg(long, value_name = "MIN..MAX", conflicts_with = "cron")]
    pub adaptive: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub struct SourceAddArgs {
    /// Where its crawls start: pages, sitemaps or feeds
    #[arg(required = true, value_name = "URL", value_hint = ValueHint::Url)]
    pub urls: Vec<String>,
    /// [default: the host]
    #[arg(long)]
    pub name: Option<String>,
    /// Summarise its pages whenever a crawl of it has ended: by the language model, if one is configured
    #[arg(long)]
    pub summarize: bool,
    #[command(flatten)]
    pub schedule: SourceScheduleArgs,
    #[command(flatten)]
    pub settings: CrawlSettingsArgs,
}

#[derive(Clone, Debug, Args)]
pub struct SourceEditArgs {
    pub id: i64,
    /// Begin its crawls here instead; repeat for several
    #[arg(long = "url", value_name = "URL")]
    pub urls: Vec<String>,
    #[arg(long)]
    pub name: Option<String>,
    /// false: no longer crawled by schedule
    #[arg(long)]
    pub active: Option<bool>,
    /// Crawl only when asked
    #[arg(long, conflicts_with_all = ["every", "cron", "adaptive"])]
    pub no_schedule: bool,
    /// true: summarise its pages whenever a crawl of it has ended
    #[arg(long)]
    pub summarize: Option<bool>,
    /// Forget its rules for records
    #[arg(long, conflicts_with = "record_rules")]
    pub no_record_rules: bool,
    #[command(flatten)]
    pub schedule: SourceScheduleArgs,
    #[command(flatten)]
    pub settings: CrawlSettingsArgs,
}

#[derive(Clone, Debug, Subcommand)]
pub enum TaskCommand {
    /// List tasks, newest first
    #[command(after_help = "Example: gleaner task list --state dead --limit 10")]
    List(TaskListArgs),
    /// Show one task
    #[command(after_help = "Example: gleaner task show 12")]
    Show { id: i64 },
    /// Follow a task until it ends
    #[command(after_help = "Example: gleaner task watch 12")]
    Watch { id: i64 },
    /// Count tasks by kind and state
    #[command(after_help = "Example: gleaner task status --json")]
    Status,
    /// Store single pages: queues a task
    #[command(after_help = "Examples:
  gleaner task scrape https://example.org/a
  gleaner task scrape https://example.org/a https://example.org/b --max-concurrent 2 --delay-ms 500")]
    Scrape(TaskScrapeArgs),
    /// Cancel a task; a running one is told to stop
    #[command(after_help = "Example: gleaner task cancel 12")]
    Cancel { id: i64 },
    /// Queue a dead, failed or cancelled task again
    #[command(after_help = "Example: gleaner task retry 12")]
    Retry { id: i64 },
    /// Pause the crawl of a task, a kind of task, or (without either) all tasks
    #[command(after_help = "Examples:
  gleaner task pause 12
  gleaner task pause --kind embed")]
    Pause {
        id: Option<i64>,
        #[arg(long, conflicts_with = "id")]
        kind: Option<String>,
    },
    /// Go on with what was paused
    #[command(after_help = "Example: gleaner task resume 12")]
    Resume {
        id: Option<i64>,
        #[arg(long, conflicts_with = "id")]
        kind: Option<String>,
    },
}

#[derive(Clone, Debug, Args)]
pub struct TaskListArgs {
    /// scheduled, queued, running, succeeded, failed, cancelled or dead (repeatable)
    #[arg(long)]
    pub state: Vec<String>,
    #[arg(long)]
    pub kind: Option<String>,
    /// Go on below this task
    #[arg(long, value_name = "ID")]
    pub before: Option<i64>,
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub limit: usize,
    #[command(flatten)]
    pub fields: FieldsArg,
}

#[derive(Clone, Debug, Args)]
pub struct TaskScrapeArgs {
    #[arg(required = true, value_name = "URL", value_hint = ValueHint::Url)]
    pub urls: Vec<String>,
    /// Kept with the task
    #[arg(long)]
    pub brand: Option<String>,
    /// Requests in flight
    #[arg(long, value_name = "N")]
    pub max_concurrent: Option<u32>,
    /// Least time between two requests to one host
    #[arg(long, value_name = "N")]
    pub delay_ms: Option<u64>,
    /// high, default or low, with a level from 0 (first) to 9 as in low:3
    #[arg(long, default_value = "default", allow_hyphen_values = true)]
    pub priority: types::Priority,
}

#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Describe the model in use, or a model file
    #[command(after_help = "Example: gleaner model show")]
    Show { file: Option<PathBuf> },
    /// Make a smaller model file by dropping scripts from the vocabulary
    #[command(after_help = "Example: gleaner model prune e5-small-q4.bin pruned.bin")]
    Prune {
        source: PathBuf,
        destination: PathBuf,
    },
    /// Copy a model file into the data folder and use it from now on
    #[command(after_help = "Example: gleaner model install e5-small-q4.bin")]
    Install { file: PathBuf },
}
