//! What the user may type of `ask` and `summarize`.

use clap::Args;

#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  gleaner ask 'how long do eyes take to adapt to the dark?'
  gleaner ask 'ساعت بازدید در تابستان؟' --filter lang=fa --show-sources
  gleaner ask 'what does a ticket cost?' --no-model --json

Filters are those of `gleaner search`. Exit code 1 when the sources do not answer.")]
pub struct AskArgs {
    /// In any language
    #[arg(required = true)]
    pub question: Vec<String>,
    /// Passages that the answer is made from, 1 to 20 [default: answers.passages]
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Look only at pages with key=value (repeatable)
    #[arg(long, value_name = "K=V")]
    pub filter: Vec<String>,
    /// Answer with sentences of the sources, whatever model is configured
    #[arg(long)]
    pub no_model: bool,
    /// Show the text of every passage that was looked at
    #[arg(long)]
    pub show_sources: bool,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  gleaner summarize --source 3 --limit 50 --dry-run
  gleaner summarize --url https://example.org/news/today
  gleaner summarize --query 'point in time recovery' --limit 5 --verbose
  gleaner summarize --again fallback

A page whose text has a summary is passed over. Without a language model ([llm] in gleaner.toml), or while it
cannot be asked, summaries are made of the page's own sentences and marked as fallback; --again fallback makes
them anew. Interrupted? Run the same command again: it goes on where it was.")]
pub struct SummarizeArgs {
    /// Only pages of this source
    #[arg(long, value_name = "ID", conflicts_with_all = ["url", "page", "query"])]
    pub source: Option<i64>,
    /// Only the page of this URL (repeatable)
    #[arg(long, value_name = "URL", conflicts_with = "query")]
    pub url: Vec<String>,
    /// Only this page (repeatable)
    #[arg(long, value_name = "ID", conflicts_with = "query")]
    pub page: Vec<i64>,
    /// Only pages that a search finds, the ten best unless --limit says otherwise
    #[arg(long, value_name = "QUERY")]
    pub query: Option<String>,
    /// Stop after this many pages
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Also make anew what is in this state: fallback or failed (repeatable)
    #[arg(long, value_name = "STATE")]
    pub again: Vec<String>,
    /// Sentences of the page, also where a language model is configured
    #[arg(long)]
    pub extractive: bool,
    /// Say what it would take; ask nobody and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Show every page as it is done
    #[arg(long, short)]
    pub verbose: bool,
}
