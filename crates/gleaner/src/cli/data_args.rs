//! Arguments of the commands that show data, and take it in and out.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};

use super::args::ExtractFormat;
use crate::operations::records::RecordQuery;

/// Of lists that `--json` shows.
#[derive(Clone, Debug, Args)]
pub struct FieldsArg {
    /// With --json: only these fields, separated by commas [default: all]
    #[arg(long, value_name = "NAMES", requires = "json")]
    pub fields: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum PageCommand {
    /// List pages
    #[command(after_help = "Example: gleaner page list --host example.org --limit 20")]
    List(PageListArgs),
    /// Show one page's content and metadata
    #[command(after_help = "Example: gleaner page show https://example.org/")]
    Show {
        /// Page id or URL
        page: String,
        #[arg(long, value_enum, default_value_t = ExtractFormat::Markdown)]
        format: ExtractFormat,
    },
    /// Show what the server answered, where raw copies are kept
    #[command(after_help = "Examples:
  gleaner page raw https://example.org/ > page.html
  gleaner page raw 42 --version 1 --warc > page.warc.gz")]
    Raw {
        /// Page id or URL
        page: String,
        /// Which version [default: the newest]
        #[arg(long, value_name = "N")]
        version: Option<u32>,
        /// The WARC record with status and headers, compressed, instead of the body alone
        #[arg(long)]
        warc: bool,
    },
    /// List the versions of a page
    #[command(after_help = "Example: gleaner page versions 42")]
    Versions {
        /// Page id or URL
        page: String,
    },
    /// Show the summary of a page
    #[command(after_help = "Example: gleaner page summary 42")]
    Summary {
        /// Page id or URL
        page: String,
    },
    /// List the pages most like one
    #[command(after_help = "Example: gleaner page similar 42 --limit 5")]
    Similar {
        /// Page id or URL
        page: String,
        #[arg(long, value_name = "N", default_value_t = 10)]
        limit: usize,
    },
    /// Show what changed between two versions
    #[command(after_help = "Example: gleaner page diff 42 --from 1 --to 2")]
    Diff {
        /// Page id or URL
        page: String,
        /// Older version [default: the one before --to]
        #[arg(long)]
        from: Option<i64>,
        /// Newer version [default: the newest]
        #[arg(long)]
        to: Option<i64>,
    },
}

#[derive(Clone, Debug, Args)]
pub struct PageListArgs {
    #[arg(long, value_name = "ID")]
    pub source: Option<i64>,
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,
    /// live or gone
    #[arg(long, value_name = "STATUS")]
    pub status: Option<String>,
    #[arg(long, value_name = "LANG")]
    pub language: Option<String>,
    /// Continue after this page id
    #[arg(long, value_name = "ID")]
    pub after: Option<i64>,
    /// At most this many (0: all)
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub limit: usize,
    #[command(flatten)]
    pub fields: FieldsArg,
}

#[derive(Debug, Subcommand)]
pub enum RecordCommand {
    /// List records, newest first
    #[command(
        after_help = "Example: gleaner record list --kind job --salary-min 50000 --facets company"
    )]
    List(Box<RecordQuery>),
}

#[derive(Debug, Args)]
#[command(after_help = "Example: gleaner import pages.jsonl")]
pub struct ImportArgs {
    /// File of JSON lines, or - for standard input
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// Source that new pages become pages of [default: one of their own, never crawled]
    #[arg(long, value_name = "ID")]
    pub source: Option<i64>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: gleaner export --source 3 --output pages.jsonl")]
pub struct ExportArgs {
    #[arg(long, value_enum, default_value_t = ExportFormat::Jsonl)]
    pub format: ExportFormat,
    /// Only pages of this source
    #[arg(long, value_name = "ID")]
    pub source: Option<i64>,
    /// Only pages of this host
    #[arg(long)]
    pub host: Option<String>,
    /// Only what changed at or after this moment (RFC 3339); pages that went since come as gone
    #[arg(long, value_name = "TIME")]
    pub changed_since: Option<String>,
    /// File to write, which must not exist [default: standard output]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// A line of JSON for each page, as `gleaner import` reads them
    Jsonl,
    /// One compressed WARC file of what servers answered, where raw copies are kept
    Warc,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gleaner migrate --from ~/.local/share/gleaner --to postgres://gleaner:secret@db:5432/gleaner --dry-run
  gleaner migrate --from ~/.local/share/gleaner --to env:DATABASE_URL
  gleaner migrate --from env:DATABASE_URL --to ./back

Stop everything that uses either database first. All that is stored goes over, with its ids: sources, \
pages and their versions, vectors, notes, tasks, keys, webhooks, tenants. Both sides are compared at \
the end; only then can the new database be used. Interrupted? Run the same command again.")]
pub struct MigrateArgs {
    /// Data folder or database URL; env:NAME takes it from the environment
    #[arg(long, value_name = "DIR|URL", value_hint = ValueHint::DirPath)]
    pub from: String,
    /// New data folder, or URL of an empty database; env:NAME takes it from the environment
    #[arg(long, value_name = "DIR|URL", value_hint = ValueHint::DirPath)]
    pub to: String,
    /// Look at both sides and show what would be moved
    #[arg(long)]
    pub dry_run: bool,
}
