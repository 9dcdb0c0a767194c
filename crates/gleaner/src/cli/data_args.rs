//! Arguments of the commands that take data in and out.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};

use crate::operations::records::RecordQuery;

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

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ExportFormat {
    Jsonl,
}
