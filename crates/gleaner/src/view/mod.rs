//! Rows as people and programs see them: the JSON of the HTTP API and of
//! `--json`, which are the same.

mod answer;
mod crawl;
mod facet;
mod fields;
mod notes;
mod page;
mod page_line;
mod record;
mod search;
mod source;
mod summary;
mod task;
mod tenant;
mod webhook;

pub use answer::{AnswerSourceView, AnswerView};
pub use crawl::{CrawlView, ReasonView};
pub use facet::FacetView;
pub use fields::{FieldName, Fields, Selected};
pub use notes::NotesView;
pub use page::{PageFullView, PageView, SimilarView, VersionView};
pub use page_line::{ImportReport, LineError, NotesLine, PageLine};
pub use record::{RecordField, RecordListView, RecordRowView, RecordView};
pub use search::{HitField, SearchView};
pub use source::SourceView;
pub use summary::SummaryView;
pub use task::{QueueView, TaskView};
pub use tenant::{KeyCreated, KeyView, QuotaView, TenantView, UsageView};
pub use webhook::{DeliveryView, WebhookSecretView, WebhookTestView, WebhookView};

use types::Timestamp;

/// RFC 3339 in UTC, to the second.
pub fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_second(at.0.div_euclid(1000))
        .map_or_else(|_| at.0.to_string(), |t| t.to_string())
}

/// JSON kept as text; what cannot be read is shown as it is.
fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}
