//! What is typed to run a server and its workers, and to say who may use it.

use clap::{Args, Subcommand};

#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  gleaner worker
  gleaner worker --queues crawl,scrape --slots 8

Several workers may share a data folder or a database. Tasks of a kind that no worker takes wait.")]
pub struct WorkerArgs {
    #[command(flatten)]
    pub work: WorkArgs,
    /// Allow requests to this private network (repeatable)
    #[arg(long, value_name = "CIDR")]
    pub allow_private: Vec<String>,
    /// Answer GET /metrics (Prometheus), /health and /ready here to anybody, e.g. 127.0.0.1:9464
    #[arg(long, value_name = "ADDRESS")]
    pub metrics_listen: Option<std::net::SocketAddr>,
}

/// What a process takes from the queue.
#[derive(Clone, Debug, Default, Args)]
pub struct WorkArgs {
    /// Run only tasks of these kinds [default: worker.queues, else all]
    ///
    /// Kinds are crawl, scrape, scrape_batch, embed, rechunk, summarize, housekeeping, webhooks and
    /// events.
    #[arg(
        long,
        visible_alias = "kind",
        value_name = "KIND,…",
        value_delimiter = ','
    )]
    pub queues: Vec<String>,
    /// Run at most so many tasks at once [default: worker.slots_max, also TASK_QUEUE_WORKERS]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub slots: Option<u16>,
}

#[derive(Debug, Subcommand)]
pub enum TenantCommand {
    /// List tenants with what they have
    #[command(after_help = "Example: gleaner tenant list")]
    List,
    /// Create a tenant
    #[command(after_help = "Example: gleaner tenant create news-team --pages-max 100000")]
    Create {
        /// Small letters, digits and hyphens
        name: String,
        #[command(flatten)]
        quota: TenantQuotaArgs,
    },
    /// Change a tenant's limits, or shut it out
    #[command(after_help = "Examples:
  gleaner tenant edit news-team --requests-per-minute 600
  gleaner tenant edit news-team --active false")]
    Edit {
        /// Name or number
        tenant: String,
        #[arg(long)]
        active: Option<bool>,
        #[command(flatten)]
        quota: TenantQuotaArgs,
    },
}

/// Limits; 0 lifts one.
#[derive(Clone, Debug, Default, Args)]
pub struct TenantQuotaArgs {
    /// Live pages; crawls skip new ones beyond it
    #[arg(long, value_name = "N")]
    pub pages_max: Option<u64>,
    #[arg(long, value_name = "N")]
    pub sources_max: Option<u64>,
    /// Of each key
    #[arg(long, value_name = "N")]
    pub requests_per_minute: Option<u32>,
    #[arg(long, value_name = "N")]
    pub tokens_per_day: Option<u64>,
    /// Tasks that run at a time
    #[arg(long, value_name = "N")]
    pub tasks_running_max: Option<u32>,
}

#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Create a key; it is shown once
    #[command(after_help = "Examples:
  gleaner key create --name laptop --scope admin
  gleaner key create --name reader --tenant news-team --expires-in 90d")]
    Create {
        #[arg(long)]
        name: String,
        /// read, write or admin; each includes the ones before
        #[arg(long, default_value = "read")]
        scope: String,
        /// Name or number
        #[arg(long, default_value = "default")]
        tenant: String,
        /// Such as 12h or 90d; never unless given
        #[arg(long, value_name = "TIME")]
        expires_in: Option<String>,
    },
    /// List keys
    #[command(after_help = "Example: gleaner key list --tenant news-team")]
    List {
        #[arg(long, default_value = "default")]
        tenant: String,
    },
    /// Make a key open nothing any more
    #[command(after_help = "Example: gleaner key revoke 3")]
    Revoke {
        id: i64,
        #[arg(long, default_value = "default")]
        tenant: String,
    },
    /// Replace a key by a new one of the same name and scope
    #[command(after_help = "Example: gleaner key rotate 3 --old-valid-for 1d")]
    Rotate {
        id: i64,
        #[arg(long, default_value = "default")]
        tenant: String,
        /// The old one works so long; not at all unless given
        #[arg(long, value_name = "TIME")]
        old_valid_for: Option<String>,
    },
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  gleaner serve
  gleaner serve --listen 127.0.0.1:9000 --allow-private 10.0.0.0/8
  gleaner serve --no-workers        # tasks and schedules run elsewhere
  gleaner serve --queues scrape     # crawls and the rest run elsewhere

The API is described at /docs on the server, and by `gleaner openapi`.")]
pub struct ServeArgs {
    /// Address and port; 127.0.0.1:8080 unless configured
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<std::net::SocketAddr>,
    /// Only answer the API: run no tasks and keep no schedules
    #[arg(long, conflicts_with_all = ["queues", "slots"])]
    pub no_workers: bool,
    #[command(flatten)]
    pub work: WorkArgs,
    /// Allow requests to this private network (repeatable)
    #[arg(long, value_name = "CIDR")]
    pub allow_private: Vec<String>,
    /// Answer GET /metrics (Prometheus), /health and /ready here to anybody, e.g. 127.0.0.1:9464
    #[arg(long, value_name = "ADDRESS")]
    pub metrics_listen: Option<std::net::SocketAddr>,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  gleaner scheduler
  gleaner scheduler --once      # for cron and systemd timers")]
pub struct SchedulerArgs {
    /// Check once and end
    #[arg(long)]
    pub once: bool,
}
