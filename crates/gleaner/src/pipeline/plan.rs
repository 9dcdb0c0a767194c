//! What a crawl is made of: its plan and its stages.

use std::sync::Arc;
use std::time::Duration;

use frontier::PacePolicy;
use store::{NewTask, Store};
use types::{CanonicalUrl, Clock, CrawlId, TenantId};

use super::fetching::Fetching;
use super::links::Links;
use super::permits::CpuPermits;
use super::progress::Progress;
use super::robots::RobotsReader;
use super::visit::Visitor;
use super::window::Window;
use crate::metrics::Metrics;
use crate::raw::RawStore;

/// What a crawl needs to know besides its stages.
#[derive(Debug)]
pub struct CrawlPlan {
    pub crawl: CrawlId,
    pub tenant: TenantId,
    /// Holder of this run's host leases; begins with the store's instance, so
    /// that the leases of a killed process are known to be nobody's.
    pub lease_owner: String,
    pub seeds: Vec<CanonicalUrl>,
    pub pace: PacePolicy,
    /// Pages stored at most; 0: no limit.
    pub pages_max: u64,
    pub pipeline_pages_max: usize,
    pub pipeline_bytes_max: u64,
    pub cpu_threads: usize,
    pub batch_pages: usize,
    /// Read sitemaps of the seeds' hosts.
    pub sitemaps: bool,
    /// Enqueued with each batch, to run `follow_ups_after` it at the latest.
    pub follow_ups: Vec<NewTask>,
    pub follow_ups_after: Duration,
}

/// The stages of a crawl, made by the application.
pub struct CrawlStages {
    pub store: Store,
    pub fetching: Fetching,
    pub robots: RobotsReader,
    pub visitor: Visitor,
    pub links: Arc<Links>,
    pub permits: Arc<CpuPermits>,
    pub window: Arc<Window>,
    pub clock: Arc<dyn Clock>,
    pub progress: Arc<Progress>,
    pub metrics: Arc<Metrics>,
    /// Where raw copies go; `None`: none are kept.
    pub raw: Option<Arc<RawStore>>,
}
