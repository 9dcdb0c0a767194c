//! What is typed to be told of events.

use clap::{Args, Subcommand, ValueHint};

/// Whose webhooks are meant.
#[derive(Clone, Debug, Args)]
pub struct WebhookTenant {
    /// Name or number of the tenant
    #[arg(long, default_value = "default")]
    pub tenant: String,
}

#[derive(Debug, Subcommand)]
pub enum WebhookCommand {
    /// Add a webhook; its secret is shown once
    #[command(after_help = "Examples:
  gleaner webhook add https://example.org/hook --event crawl.finished
  gleaner webhook add https://example.org/hook --event 'page.*' --event task.failed

Events: crawl.started, crawl.finished, page.added, page.updated, page.removed, task.failed,
source.troubled, budget.warning, budget.exhausted; 'page.*' for all of a kind, '*' for all. A
running `gleaner serve` or `gleaner worker` sends them. How to check signatures: docs/guides/webhooks.md.")]
    Add {
        #[arg(value_hint = ValueHint::Url)]
        url: String,
        /// What it is told of (repeatable)
        #[arg(long = "event", value_name = "TYPE", required = true)]
        events: Vec<String>,
        #[arg(long, default_value = "")]
        description: String,
        /// Allow requests to this private network (repeatable); whoever sends needs it too
        #[arg(long, value_name = "CIDR")]
        allow_private: Vec<String>,
        #[command(flatten)]
        of: WebhookTenant,
    },
    /// List webhooks
    #[command(after_help = "Example: gleaner webhook list")]
    List {
        #[command(flatten)]
        of: WebhookTenant,
    },
    /// Show one webhook
    #[command(after_help = "Example: gleaner webhook show 1")]
    Show {
        id: i64,
        #[command(flatten)]
        of: WebhookTenant,
    },
    /// Change a webhook, or switch it off and on
    #[command(after_help = "Examples:
  gleaner webhook edit 1 --event '*'
  gleaner webhook edit 1 --active false")]
    Edit {
        id: i64,
        #[arg(long, value_hint = ValueHint::Url)]
        url: Option<String>,
        /// Replaces what it is told of (repeatable)
        #[arg(long = "event", value_name = "TYPE")]
        events: Vec<String>,
        #[arg(long)]
        description: Option<String>,
        /// false: nothing is sent; true again: what waited before is sent
        #[arg(long)]
        active: Option<bool>,
        /// Allow requests to this private network (repeatable); whoever sends needs it too
        #[arg(long, value_name = "CIDR")]
        allow_private: Vec<String>,
        #[command(flatten)]
        of: WebhookTenant,
    },
    /// Remove a webhook, with what waits for it
    #[command(after_help = "Example: gleaner webhook remove 1")]
    Remove {
        id: i64,
        #[command(flatten)]
        of: WebhookTenant,
    },
    /// Send a test event now and show what the endpoint answered
    #[command(after_help = "Example: gleaner webhook test 1")]
    Test {
        id: i64,
        /// Allow requests to this private network (repeatable)
        #[arg(long, value_name = "CIDR")]
        allow_private: Vec<String>,
        #[command(flatten)]
        of: WebhookTenant,
    },
    /// Give a webhook another secret; the old one signs as well for 24 hours
    #[command(after_help = "Example: gleaner webhook rotate 1")]
    Rotate {
        id: i64,
        #[command(flatten)]
        of: WebhookTenant,
    },
    /// List what was sent to a webhook and what is to be, newest first
    #[command(after_help = "Example: gleaner webhook deliveries 1 --state dead --limit 10")]
    Deliveries {
        id: i64,
        /// pending, delivered or dead
        #[arg(long)]
        state: Option<String>,
        /// Go on below this delivery
        #[arg(long, value_name = "ID")]
        before: Option<i64>,
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
        #[command(flatten)]
        of: WebhookTenant,
    },
    /// Send dead letters of a webhook again: one delivery, or all of them
    #[command(after_help = "Examples:
  gleaner webhook retry 1 27
  gleaner webhook retry 1 --all")]
    Retry {
        id: i64,
        #[arg(required_unless_present = "all")]
        delivery: Option<i64>,
        #[arg(long, conflicts_with = "delivery")]
        all: bool,
        #[command(flatten)]
        of: WebhookTenant,
    },
}
