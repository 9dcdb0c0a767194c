//! How far the index of pages has got, and who writes it.
//!
//! One document holds both. Whoever writes it names the state that was read
//! (`if_seq_no`, `if_primary_term`), so of two writers one is told no. A lease
//! ends by the clock of who looks; should clocks disagree, each new writer still
//! has a higher number (`epoch`), which goes with every page it writes, and the
//! cluster refuses the pages of lower ones.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use store::ChangeSeqs;

use super::client::{Ask, Client, Patience};
use super::schema::{Names, progress_index};
use crate::error::{SearchError, SearchErrorKind};

/// How long a writer that is not heard of is waited for.
pub(super) const LEASE: Duration = Duration::from_secs(20);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) owner: String,
    /// Which index it is about: another one of the same name knows nothing.
    pub(super) index_uuid: String,
    pub(super) seqs: ChangeSeqs,
    /// Empty: nobody.
    pub(super) holder: String,
    /// Milliseconds since 1970.
    pub(super) held_until: i64,
    pub(super) epoch: u64,
}

/// A state of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    seq_no: u64,
    primary_term: u64,
}

/// Where progress is kept.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) client: Arc<Client>,
    pub(super) names: Names,
}

impl Place {
    /// `None` where there is none.
    pub(super) fn read(
        &self,
        patience: Patience,
    ) -> Result<Option<(Progress, Version)>, SearchError> {
        let ask = Ask::get(self.path());
        let answer = self.client.answer(ask, patience)?;
        if answer.status == 404 {
            return Ok(None);
        }
        if !answer.is_success() {
            return Err(self.client.failed(&answer));
        }
        let version = self.version(&answer.body)?;
        let source = &answer.body["_source"];
        let text = |name: &str| source[name].as_str().unwrap_or_default().to_owned();
        let progress = Progress {
            owner: text("owner"),
            index_uuid: text("index_uuid"),
            // What cannot be read says nothing: from the beginning.
            seqs: text("seqs").parse().unwrap_or_default(),
            holder: text("holder"),
            held_until: source["held_until"].as_i64().unwrap_or(0),
            epoch: source["epoch"].as_u64().unwrap_or(0),
        };
        Ok(Some((progress, version)))
    }

    /// Replaces what was read as `version` (`None`: nothing was there).
    /// [`SearchErrorKind::Busy`] when somebody else was there before.
    pub(super) fn write(
        &self,
        progress: &Progress,
        version: Option<Version>,
    ) -> Result<Version, SearchError> {
        let condition = match version {
            Some(Version {
                seq_no,
                primary_term,
            }) => format!("if_seq_no={seq_no}&if_primary_term={primary_term}"),
            None => "op_type=create".to_owned(),
        };
        let body = json!({
            "owner": progress.owner,
            "index_uuid": progress.index_uuid,
            "seqs": progress.seqs.to_string(),
            "holder": progress.holder,
            "held_until": progress.held_until,
            "epoch": progress.epoch,
        });
        let ask = Ask::put(format!("{}?{condition}", self.path()), &body);
        let answer = self.client.answer(ask, Patience::Some)?;
        if answer.status == 409 {
            return Err(SearchError::busy());
        }
        if !answer.is_success() {
            return Err(self.client.failed(&answer));
        }
        self.version(&answer.body)
    }

    /// Makes the index of progress where it is not there.
    pub(super) fn make(&self) -> Result<(), SearchError> {
        self.create(&self.names.progress, &progress_index())
    }

    /// Makes an index, unless somebody else has done so meanwhile.
    pub(super) fn create(&self, index: &str, body: &Value) -> Result<(), SearchError> {
        let ask = Ask::put(format!("/{index}"), body);
        let answer = self.client.answer(ask, Patience::Some)?;
        if answer.is_success() || answer.error_type() == "resource_already_exists_exception" {
            return Ok(());
        }
        Err(self.client.failed(&answer))
    }

    /// What tells the index of pages from others that had its name; `None`
    /// where it is not there.
    pub(super) fn pages_uuid(&self, patience: Patience) -> Result<Option<String>, SearchError> {
        let pages = &self.names.pages;
        let ask = Ask::get(format!("/{pages}/_settings"));
        let answer = self.client.answer(ask, patience)?;
        if answer.error_type() == "index_not_found_exception" {
            return Ok(None);
        }
        if !answer.is_success() {
            return Err(self.client.failed(&answer));
        }
        // Under its own name, should this one be an alias.
        let mut indexes = answer.body.as_object().into_iter().flatten();
        let uuid = indexes.find_map(|(_, index)| index["settings"]["index"]["uuid"].as_str());
        Ok(uuid.map(str::to_owned))
    }

    fn path(&self) -> String {
        format!("/{}/_doc/{}", self.names.progress, self.names.version)
    }

    fn version(&self, body: &Value) -> Result<Version, SearchError> {
        let number = |name: &str| body[name].as_u64();
        match (number("_seq_no"), number("_primary_term")) {
            (Some(seq_no), Some(primary_term)) => Ok(Version {
                seq_no,
                primary_term,
            }),
            _ => Err(SearchError::of_server(
                SearchErrorKind::Index,
                format!("{} answers without _seq_no", self.client.name()),
            )),
        }
    }

    /// An error if the index is of another store.
    pub(super) fn check_owner(&self, progress: &Progress, owner: &str) -> Result<(), SearchError> {
        if progress.owner == owner {
            return Ok(());
        }
        Err(SearchError::of_server(
            SearchErrorKind::Refused,
            format!(
                "the index {} on {} belongs to another database; choose another \
                 search.opensearch.prefix, or delete it and {} there",
                self.names.pages,
                self.client.name(),
                self.names.progress,
            ),
        ))
    }
}
