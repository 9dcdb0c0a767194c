//! What one source's crawls do differently from the configuration.

use anyhow::{Context, Result};
use extract::{RecordRules, RecordRulesError};
use serde::{Deserialize, Serialize};

use utoipa::ToSchema;

use crate::config::CrawlConfig;

const PAGES_MAX: u64 = 1_000_000_000;
const DEPTH_MAX: u64 = 10_000;
const CONCURRENCY_MAX: u64 = 1_000;
const DELAY_MS_MAX: u64 = 3_600_000;

/// Settings of a source, stored with it as JSON; `None` means as configured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SourceSettings {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclude: Option<Vec<String>>,
    /// Links away from a seed; 0: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 10_000)]
    pub depth_max: Option<u32>,
    /// Pages stored per crawl; 0: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 1_000_000_000)]
    pub pages_max: Option<u64>,
    /// Requests in flight, over all hosts and per host.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1_000)]
    pub concurrency: Option<u32>,
    /// Least time between two requests to one host.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 3_600_000)]
    pub delay_ms: Option<u64>,
    /// Where on its pages the facts of a record stand: `kind`, `path` and
    /// `fields` of selectors; see docs/guides/records.md.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub record: Option<serde_json::Value>,
    /// Its pages get their summaries whenever a crawl of it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summarize: Option<bool>,
}

impl SourceSettings {
    /// What no crawl could be meant to have.
    pub fn check(&self) -> Result<(), String> {
        let within = |name: &str, value: Option<u64>, least: u64, most: u64| match value {
            Some(value) if !(least..=most).contains(&value) => {
                Err(format!("{name} is {least} to {most}, not {value}"))
            }
            _ => Ok(()),
        };
        within("pages_max", self.pages_max, 0, PAGES_MAX)?;
        within("depth_max", self.depth_max.map(u64::from), 0, DEPTH_MAX)?;
        within(
            "concurrency",
            self.concurrency.map(u64::from),
            1,
            CONCURRENCY_MAX,
        )?;
        within("delay_ms", self.delay_ms, 0, DELAY_MS_MAX)?;
        self.record_rules()
            .map(drop)
            .map_err(|error| format!("record rules: {error}"))
    }

    /// The rules for records, compiled.
    pub fn record_rules(&self) -> Result<Option<RecordRules>, RecordRulesError> {
        self.record.as_ref().map(RecordRules::from_json).transpose()
    }

    pub fn from_json(json: &str) -> Result<SourceSettings> {
        serde_json::from_str(json).context("read the source's settings")
    }

    pub fn to_json(&self) -> Result<String> {
        Ok(serde_json::to_string(self)?)
    }

    /// The configuration with these settings laid over it.
    pub fn over(&self, config: &CrawlConfig) -> CrawlConfig {
        let mut crawl = config.clone();
        let set = |to: &mut Vec<String>, from: &Option<Vec<String>>| {
            if let Some(from) = from {
                to.clone_from(from);
            }
        };
        set(&mut crawl.include, &self.include);
        set(&mut crawl.exclude, &self.exclude);
        if let Some(scope) = &self.scope {
            crawl.scope.clone_from(scope);
        }
        crawl.depth_max = self.depth_max.unwrap_or(crawl.depth_max);
        crawl.pages_max = self.pages_max.unwrap_or(crawl.pages_max);
        if let Some(requests) = self.concurrency {
            crawl.concurrency = requests;
            crawl.concurrency_per_host = requests;
            crawl.loopback_concurrency_per_host = requests;
        }
        if let Some(delay_ms) = self.delay_ms {
            crawl.delay_ms = delay_ms;
            crawl.loopback_delay_ms = delay_ms;
        }
        crawl.summarize = self.summarize.unwrap_or(crawl.summarize);
        crawl
    }
}
