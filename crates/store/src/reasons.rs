//! Counts of why URLs did not become pages, with a few examples each.

use std::collections::BTreeMap;

use types::CrawlId;

use crate::codec;
use crate::error::Failure;
use crate::sql::{Connection, first, params, send};

const EXAMPLES_MAX: usize = 5;

/// Collected by one write operation, then merged into the crawl's counts.
#[derive(Debug, Default)]
pub(crate) struct Reasons {
    counts: BTreeMap<(&'static str, &'static str), (i64, Vec<String>)>,
}

impl Reasons {
    pub(crate) fn add(&mut self, class: &'static str, reason: &'static str, url: &str) {
        let (count, examples) = self.counts.entry((class, reason)).or_default();
        *count += 1;
        if examples.len() < EXAMPLES_MAX {
            examples.push(url.to_owned());
        }
    }

    pub(crate) fn save(self, connection: &Connection, crawl: CrawlId) -> Result<(), Failure> {
        for ((class, reason), (count, new_examples)) in self.counts {
            let stored: Option<String> = first(
                connection,
                "SELECT examples FROM crawl_reasons
                 WHERE crawl_id = ?1 AND class = ?2 AND reason = ?3",
                params![crawl.0, class, reason],
                |row| row.get(0),
            )?;
            let mut examples = match stored {
                Some(json) => codec::decode_strings(&json)?,
                None => Vec::new(),
            };
            examples.extend(new_examples);
            examples.truncate(EXAMPLES_MAX);
            send(
                connection,
                "INSERT INTO crawl_reasons (crawl_id, class, reason, count, examples)
                 VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (crawl_id, class, reason)
                 DO UPDATE SET count = crawl_reasons.count + excluded.count, examples = excluded.examples",
                params![
                    crawl.0,
                    class,
                    reason,
                    count,
                    codec::encode_strings(&examples)?
                ],
            )?;
        }
        Ok(())
    }
}
