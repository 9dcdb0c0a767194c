//! Pages on their way into the index.
//!
//! One writer at a time, by a lease (`progress.rs`). Pages go out in bulk
//! requests of some megabytes; each carries the writer's epoch as its version,
//! so that a writer which lost its lease without noticing overwrites nothing.
//! How far it got is written behind the pages: who goes on after a crash writes
//! some of them again, which changes nothing.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use reqwest::Method;
use serde_json::{Value, json};
use store::ChangeSeqs;
use tracing::{debug, warn};
use types::{Clock, PageId};

use super::client::{Ask, Client, OpensearchConfig, Patience};
use super::document::of_page;
use super::progress::{LEASE, Place, Progress, Version};
use super::schema::template;
use crate::engine::{Batch, IndexedPage, KeywordWriter};
use crate::error::{SearchError, SearchErrorKind};

/// Of one bulk request, unless one page alone has more. Clusters take 100 MB,
/// and recommend 5 to 15.
const BULK_BYTES_MAX: usize = 5 << 20;
const BULK_ACTIONS_MAX: usize = 500;
/// Reasons of refused pages that are told.
const REASONS_MAX: usize = 3;

pub(super) struct Writer {
    place: Place,
    clock: Arc<dyn Clock>,
    shards: u32,
    progress: Progress,
    version: Version,
    applied: ChangeSeqs,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer")
            .field("place", &self.place)
            .field("progress", &self.progress)
            .field("applied", &self.applied)
            .finish_non_exhaustive()
    }
}

impl Writer {
    /// [`SearchErrorKind::Busy`] while another holds the lease.
    pub(super) fn open(
        place: Place,
        config: &OpensearchConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Writer, SearchError> {
        // Whoever opens tries again anyway.
        let read = match place.read(Patience::None)? {
            None => {
                place.make()?;
                None
            }
            read => read,
        };
        let now = clock.now().0;
        let (mut progress, version) = match read {
            Some((progress, version)) => {
                place.check_owner(&progress, &config.owner)?;
                if !progress.holder.is_empty() && progress.held_until > now {
                    return Err(SearchError::busy());
                }
                (progress, Some(version))
            }
            None => (Progress::default(), None),
        };
        progress.owner.clone_from(&config.owner);
        progress.holder = format!("process {}", std::process::id());
        progress.held_until = clock.now().plus(LEASE).0;
        progress.epoch += 1;
        let version = place.write(&progress, version)?;
        let mut writer = Writer {
            place,
            clock,
            shards: config.shards,
            applied: progress.seqs.clone(),
            progress,
            version,
        };
        if let Err(error) = writer.prepare() {
            // So that nobody has to wait for the lease to end.
            writer.let_go();
            return Err(error);
        }
        Ok(writer)
    }

    /// The template and the index; one that is not the one of the progress is
    /// begun anew.
    fn prepare(&mut self) -> Result<(), SearchError> {
        let names = &self.place.names;
        let ask = Ask::put(
            format!("/_index_template/{}", names.template),
            &template(names, self.shards),
        );
        self.client().ask(ask, Patience::Some)?;
        let there = self.place.pages_uuid(Patience::Some)?;
        if there.is_some_and(|uuid| uuid == self.progress.index_uuid) {
            return Ok(());
        }
        if !self.progress.index_uuid.is_empty() {
            warn!(
                index = %names.pages,
                "the search index was deleted or made by somebody else; it is filled again from the store"
            );
        }
        self.clear()
    }

    fn client(&self) -> &Client {
        &self.place.client
    }

    fn write_progress(&mut self, progress: Progress) -> Result<(), SearchError> {
        let mut progress = progress;
        progress.held_until = self.clock.now().plus(LEASE).0;
        self.version = self.place.write(&progress, Some(self.version))?;
        self.progress = progress;
        Ok(())
    }

    /// Keeps the lease. [`SearchErrorKind::Busy`] when somebody else took it.
    fn hold(&mut self) -> Result<(), SearchError> {
        let half = i64::try_from(LEASE.as_millis() / 2).unwrap_or(i64::MAX);
        if self.progress.held_until - self.clock.now().0 > half {
            return Ok(());
        }
        self.write_progress(self.progress.clone())
    }

    fn let_go(&mut self) {
        let free = Progress {
            holder: String::new(),
            ..self.progress.clone()
        };
        if let Err(error) = self.place.write(&free, Some(self.version)) {
            debug!(%error, "the lease of the search index was not given back");
        }
    }

    fn bulk(&mut self, body: String) -> Result<(), SearchError> {
        self.hold()?;
        let path = format!("/{}/_bulk", self.place.names.pages);
        let since = Instant::now();
        let mut pause = Client::first_pause();
        let mut waiting = body;
        loop {
            let sent = Bytes::from(std::mem::take(&mut waiting));
            let ask = Ask::of(Method::POST, path.as_str(), sent.clone());
            let answer = self.client().ask(ask, Patience::Some)?;
            let sent = std::str::from_utf8(&sent).unwrap_or_default();
            let refused = self.refused(&answer, sent)?;
            let Some((again, error)) = refused else {
                return Ok(());
            };
            if since.elapsed() + pause > self.client().retry_for() {
                return Err(error);
            }
            debug!(%error, "OpenSearch put pages off");
            self.client().pause(&mut pause)?;
            self.hold()?;
            waiting = again;
        }
    }

    /// What of a bulk request has to be sent again, and why. An error when that
    /// would not help.
    fn refused(
        &self,
        answer: &Value,
        sent: &str,
    ) -> Result<Option<(String, SearchError)>, SearchError> {
        let items = answer["items"].as_array();
        let items = items.map_or(&[][..], Vec::as_slice);
        let actions = actions_of(sent);
        if items.len() != actions.len() {
            let message = format!(
                "{} answered {} of {} pages",
                self.client().name(),
                items.len(),
                actions.len()
            );
            return Err(SearchError::of_server(SearchErrorKind::Index, message));
        }
        let mut again: Option<(String, SearchError)> = None;
        let (mut wrong, mut first) = (Vec::new(), None);
        for (item, action) in items.iter().zip(actions) {
            let Some((_, item)) = item.as_object().and_then(|item| item.iter().next()) else {
                continue;
            };
            let status = item["status"].as_u64().unwrap_or(0) as u16;
            let error = item["error"]["type"].as_str().unwrap_or_default();
            let reason = item["error"]["reason"].as_str().unwrap_or_default();
            match status {
                200..=299 => {}
                // Taken out already.
                404 if item["error"].is_null() => {}
                // Written by one who came after this writer.
                409 => return Err(SearchError::busy()),
                429 | 500..=599 => {
                    let refusal = self.client().refusal(status, error, reason);
                    let (text, _) = again.get_or_insert_with(|| (String::new(), refusal));
                    text.push_str(action);
                }
                _ => {
                    first.get_or_insert_with(|| self.client().refusal(status, error, reason));
                    if wrong.len() < REASONS_MAX {
                        let page = item["_id"].as_str().unwrap_or_default();
                        wrong.push(format!("page {page}: {error}: {reason}"));
                    }
                }
            }
        }
        match first {
            Some(first) => {
                warn!(pages = wrong.join("; "), "OpenSearch refused pages");
                Err(first)
            }
            None => Ok(again),
        }
    }
}

impl KeywordWriter for Writer {
    fn applied(&self) -> ChangeSeqs {
        self.applied.clone()
    }

    fn committed(&self) -> ChangeSeqs {
        self.progress.seqs.clone()
    }

    fn takes(&mut self, _: store::ShardNumber) -> Result<bool, SearchError> {
        self.hold()?;
        Ok(true)
    }

    fn apply(&mut self, batch: Batch) -> Result<(), SearchError> {
        let mut body = String::new();
        let mut actions = 0;
        for page in &batch.changed {
            let found = batch.pages.iter().find(|found| found.page == *page);
            let action = action(*page, found, self.progress.epoch);
            let is_full = body.len() + action.len() > BULK_BYTES_MAX || actions >= BULK_ACTIONS_MAX;
            if actions > 0 && is_full {
                self.bulk(std::mem::take(&mut body))?;
                actions = 0;
            }
            body.push_str(&action);
            actions += 1;
        }
        if actions > 0 {
            self.bulk(body)?;
        }
        self.applied.advance(batch.shard, batch.seq);
        Ok(())
    }

    fn commit(&mut self) -> Result<(), SearchError> {
        if self.applied == self.progress.seqs {
            return Ok(());
        }
        let path = format!("/{}/_refresh", self.place.names.pages);
        let ask = Ask::of(Method::POST, path, "");
        self.client().ask(ask, Patience::Some)?;
        // A bulk request makes an index that is not there: it would have these
        // pages and no others.
        let uuid = self.place.pages_uuid(Patience::Some)?;
        if uuid.as_ref() != Some(&self.progress.index_uuid) {
            return Err(SearchError::of_server(
                SearchErrorKind::Index,
                format!(
                    "the index {} was deleted on {} meanwhile; it is filled again",
                    self.place.names.pages,
                    self.client().name()
                ),
            ));
        }
        let progress = Progress {
            seqs: self.applied.clone(),
            ..self.progress.clone()
        };
        self.write_progress(progress)
    }

    fn clear(&mut self) -> Result<(), SearchError> {
        self.hold()?;
        let pages = self.place.names.pages.clone();
        let ask = Ask::of(Method::DELETE, format!("/{pages}"), "");
        let answer = self.client().answer(ask, Patience::Some)?;
        if !answer.is_success() && answer.error_type() != "index_not_found_exception" {
            return Err(self.client().failed(&answer));
        }
        // All it needs is in the template.
        self.place.create(&pages, &json!({}))?;
        let uuid = self.place.pages_uuid(Patience::Some)?;
        let progress = Progress {
            index_uuid: uuid.unwrap_or_default(),
            seqs: ChangeSeqs::default(),
            ..self.progress.clone()
        };
        self.write_progress(progress)?;
        self.applied = ChangeSeqs::default();
        Ok(())
    }

    fn close(mut self: Box<Self>) -> Result<(), SearchError> {
        let committed = self.commit();
        self.let_go();
        committed
    }
}

/// The lines of one page: as it is now, or that it is gone.
fn action(page: PageId, found: Option<&IndexedPage>, epoch: u64) -> String {
    let target = json!({"_id": page.to_string(), "version": epoch, "version_type": "external_gte"});
    match found {
        Some(found) => format!("{}\n{}\n", json!({"index": target}), of_page(found)),
        None => format!("{}\n", json!({"delete": target})),
    }
}

/// The actions of a bulk request, each with its lines.
fn actions_of(body: &str) -> Vec<&str> {
    let mut actions = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let lines = if rest.starts_with("{\"delete\"") {
            1
        } else {
            2
        };
        let ends = rest.match_indices('\n').map(|(at, _)| at + 1);
        let end = ends.take(lines).last().unwrap_or(rest.len());
        let (action, tail) = rest.split_at(end);
        actions.push(action);
        rest = tail;
    }
    actions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_told_apart() {
        let body = "{\"index\":1}\n{\"a\":1}\n{\"delete\":2}\n{\"index\":3}\n{}\n";
        let expected = [
            "{\"index\":1}\n{\"a\":1}\n",
            "{\"delete\":2}\n",
            "{\"index\":3}\n{}\n",
        ];
        assert_eq!(actions_of(body), expected);
        assert!(actions_of("").is_empty());
    }
}
