//! Pages that come in from another database, in one transaction with all that
//! belongs to them.
//!
//! Ids stay what they are. Pages and vectors get new change numbers, so that
//! indexes read them here. A content that the tenant has here already is the
//! same row for those who come; one live page has its chunks, whoever was first.

use std::collections::{HashMap, HashSet};

use types::{CrawlId, SourceId, Timestamp};

use super::hold::is_arriving;
use super::luggage::{Holder, IDS, Luggage, json};
use crate::batch::Session;
use crate::codec;
use crate::counters::embed_state_index;
use crate::crawls::OpenCrawl;
use crate::embedding::current_model;
use crate::error::Failure;
use crate::rows::as_i64;
use crate::sql::{Connection, ToSql as _, Value, ValueRef, collect, collect_each, execute, params};
use crate::transfer::{Picked, number};

/// Stores what is not here yet; how many pages.
pub(super) fn arrive(
    connection: &Connection,
    source: SourceId,
    luggage: &Luggage,
    now: Timestamp,
) -> Result<u64, Failure> {
    if !is_arriving(connection, source)? {
        return Err(Failure::conflict(format!(
            "another process has moved source {source}"
        )));
    }
    if !luggage.vectors.rows.is_empty() && current_model(connection)? != luggage.model {
        return Err(Failure::conflict(
            "the embedding model was changed meanwhile; try again",
        ));
    }
    let ids = luggage.pages.numbers("id");
    let sql = format!("SELECT id FROM pages WHERE id IN {IDS}");
    let known: HashSet<i64> = collect(connection, &sql, [json(&ids)?], |row| row.get(0))?
        .into_iter()
        .collect();
    let new: HashSet<i64> = ids.into_iter().filter(|id| !known.contains(id)).collect();
    let crawl = OpenCrawl {
        id: CrawlId(0),
        tenant: luggage.tenant,
        source,
    };
    let mut arrival = Arrival {
        session: Session::new(connection, crawl, now)?,
        luggage,
        new,
        contents: HashMap::new(),
        pages: luggage.pages.none_of(),
        chunks: luggage.chunks.none_of(),
        vectors: luggage.vectors.none_of(),
        representatives: Vec::new(),
    };
    arrival.make_room()?;
    arrival.settle_contents()?;
    arrival.take_pages()?;
    let pages = arrival.pages.rows.len() as u64;
    arrival.save()?;
    Ok(pages)
}

/// What a row that only tells of a deleted page has in place of a URL, so that
/// it is in nobody's way.
fn no_url(page: i64) -> String {
    format!("deleted page {page}")
}

/// A content as this database has it.
#[derive(Clone, Copy, Debug)]
struct Here {
    id: i64,
    holder: Option<i64>,
}

struct Arrival<'a> {
    session: Session<'a>,
    luggage: &'a Luggage,
    /// Pages that are not here yet.
    new: HashSet<i64>,
    /// By the id that they had.
    contents: HashMap<i64, Here>,
    pages: Picked,
    chunks: Picked,
    vectors: Picked,
    /// Pages, with their SimHashes, that others are looked up to be near to.
    representatives: Vec<(i64, u64)>,
}

impl Arrival<'_> {
    /// A row that only tells indexes of a deleted page gives its URL up. Any
    /// other page under one of the URLs is in the way.
    fn make_room(&self) -> Result<(), Failure> {
        let connection = self.session.connection;
        let pages = &self.luggage.pages;
        let (id, url, version) = (
            pages.column("id"),
            pages.column("url"),
            pages.column("version"),
        );
        let is_coming =
            |row: &&Vec<Value>| self.new.contains(&number(&row[id])) && number(&row[version]) > 0;
        let coming: Vec<&Vec<Value>> = pages.rows.iter().filter(is_coming).collect();
        let tenant = ValueRef::Integer(self.luggage.tenant.0);
        let asked: Vec<_> = coming
            .iter()
            .map(|row| vec![tenant, row[url].to_sql()])
            .collect();
        let found = collect_each(connection, super::PAGE_UNDER_URL, &asked, |row| {
            Ok((row.get::<i64>(0)?, row.get::<i64>(1)?, row.get::<i64>(2)?))
        })?;
        for (page, version, source) in found.into_iter().flatten() {
            if version > 0 {
                return Err(Failure::conflict(super::same_url(page, source)));
            }
            let sql = "UPDATE pages SET url = ?2 WHERE id = ?1";
            execute(connection, sql, params![page, no_url(page)])?;
        }
        Ok(())
    }

    /// Finds each content here, or brings it.
    fn settle_contents(&mut self) -> Result<(), Failure> {
        let connection = self.session.connection;
        let contents = &self.luggage.contents;
        let (id, hash, holder) = (
            contents.column("id"),
            contents.column("content_hash"),
            contents.column("holder_page_id"),
        );
        let tenant = ValueRef::Integer(self.luggage.tenant.0);
        let asked: Vec<_> = contents
            .rows
            .iter()
            .map(|row| vec![tenant, row[hash].to_sql()])
            .collect();
        let sql = "SELECT id, holder_page_id FROM contents
                   WHERE tenant_id = ?1 AND content_hash = ?2";
        let found = collect_each(connection, sql, &asked, |row| {
            Ok(Here {
                id: row.get(0)?,
                holder: row.get(1)?,
            })
        })?;
        let mut brought = contents.none_of();
        for (row, found) in contents.rows.iter().zip(found) {
            let here = found.into_iter().next().unwrap_or_else(|| {
                let mut row = row.clone();
                row[holder] = Value::Null;
                let here = Here {
                    id: number(&row[id]),
                    holder: None,
                };
                brought.rows.push(row);
                here
            });
            self.contents.insert(number(&row[id]), here);
        }
        brought.insert(connection)
    }

    fn take_pages(&mut self) -> Result<(), Failure> {
        let luggage = self.luggage;
        let column = |name| luggage.pages.column(name);
        let (id, content, status, version) = (
            column("id"),
            column("content_id"),
            column("status"),
            column("version"),
        );
        let (url, near, count, seq, simhash) = (
            column("url"),
            column("near_duplicate_of"),
            column("chunk_count"),
            column("change_seq"),
            column("simhash"),
        );
        for row in &luggage.pages.rows {
            let page = number(&row[id]);
            if !self.new.contains(&page) {
                continue;
            }
            let mut row = row.clone();
            let old_content = number(&row[content]);
            row[content] = Value::Integer(self.here(old_content)?.id);
            row[seq] = Value::Integer(self.session.counters.next_change_seq());
            if number(&row[status]) == 1 {
                self.session.counters.pages_live += 1;
                let source = self.session.crawl.source.0;
                *self.session.source_pages.entry(source).or_default() += 1;
                let before = luggage.holders.get(&old_content);
                let holds = self.hold(page, old_content, before)?;
                row[count] = Value::Integer(holds.map_or(0, as_i64));
                row[near] = match (holds, before) {
                    (Some(_), Some(holder)) => Value::from(holder.near),
                    _ => Value::Null,
                };
                if holds.is_some() && before.is_some_and(|holder| holder.is_representative) {
                    let simhash = number(&row[simhash]).cast_unsigned();
                    self.representatives.push((page, simhash));
                }
            }
            if number(&row[version]) == 0 {
                row[url] = Value::Text(no_url(page));
            } else {
                self.session.counters.pages += 1;
            }
            self.pages.rows.push(row);
        }
        Ok(())
    }

    fn here(&self, content: i64) -> Result<Here, Failure> {
        let here = self.contents.get(&content).copied();
        here.ok_or_else(|| Failure::corrupt(format!("content {content} is missing")))
    }

    /// Whether a live page has the chunks of its content here: their number.
    fn hold(
        &mut self,
        page: i64,
        content: i64,
        before: Option<&Holder>,
    ) -> Result<Option<usize>, Failure> {
        let here = self.here(content)?;
        if here.holder.is_some_and(|holder| holder != page) {
            return Ok(None);
        }
        let Some(before) = before else {
            return Ok(None);
        };
        // The one that has them comes later, and will be what it was.
        let waits = before.page != page && !before.stays;
        let holder = if waits { before.page } else { page };
        self.set_holder(content, holder)?;
        if waits {
            return Ok(None);
        }
        self.take_chunks(page, before.page).map(Some)
    }

    /// The exact bytes come with the chunks, which are ranges of them.
    fn set_holder(&mut self, content: i64, holder: i64) -> Result<(), Failure> {
        let contents = &self.luggage.contents;
        let ids = contents.numbers("id");
        let row = ids.iter().position(|id| *id == content);
        let row = row.map(|row| &contents.rows[row]);
        let row = row.ok_or_else(|| Failure::corrupt(format!("content {content} is missing")))?;
        let here = self.here(content)?;
        let value = |name| &row[contents.column(name)];
        execute(
            self.session.connection,
            "UPDATE contents SET holder_page_id = ?2, body_hash = ?3, text_bytes = ?4, body = ?5
             WHERE id = ?1",
            params![
                here.id,
                holder,
                value("body_hash"),
                value("text_bytes"),
                value("body")
            ],
        )?;
        let holder = Some(holder);
        self.contents.insert(content, Here { holder, ..here });
        Ok(())
    }

    /// Gives the page the chunks that `from` has: its own with their ids, those
    /// of a page that stays behind under new ones.
    fn take_chunks(&mut self, page: i64, from: i64) -> Result<usize, Failure> {
        let (chunks, vectors) = (&self.luggage.chunks, &self.luggage.vectors);
        let (id, page_id, state) = (
            chunks.column("id"),
            chunks.column("page_id"),
            chunks.column("embed_state"),
        );
        let (vector_id, vector_page, vector_seq) = (
            vectors.column("id"),
            vectors.column("page_id"),
            vectors.column("change_seq"),
        );
        let mut taken = 0;
        for row in chunks
            .rows
            .iter()
            .filter(|row| number(&row[page_id]) == from)
        {
            let old = number(&row[id]);
            let new = if from == page {
                old
            } else {
                self.session.counters.next_chunk_id()
            };
            let mut row = row.clone();
            row[id] = Value::Integer(new);
            row[page_id] = Value::Integer(page);
            self.session.counters.chunks[embed_state_index(number(&row[state]))?] += 1;
            self.chunks.rows.push(row);
            taken += 1;
            let of_chunk = |row: &&Vec<Value>| number(&row[vector_id]) / 2 == old;
            for row in vectors.rows.iter().filter(of_chunk) {
                let mut row = row.clone();
                row[vector_id] = Value::Integer(new * 2 + number(&row[vector_id]) % 2);
                row[vector_page] = Value::Integer(page);
                row[vector_seq] = Value::Integer(self.session.counters.next_change_seq());
                self.session.counters.vectors += 1;
                self.vectors.rows.push(row);
            }
        }
        Ok(taken)
    }

    fn save(mut self) -> Result<(), Failure> {
        let connection = self.session.connection;
        let luggage = self.luggage;
        self.pages.insert(connection)?;
        let mut versions = self.only_new(&luggage.versions);
        let content = versions.column("content_id");
        for row in &mut versions.rows {
            row[content] = Value::Integer(self.here(number(&row[content]))?.id);
        }
        versions.insert(connection)?;
        self.only_new(&luggage.details).insert(connection)?;
        self.only_new(&luggage.records).insert(connection)?;
        let notes = self.only_new(&luggage.notes);
        notes.insert(connection)?;
        self.insert_tags(&notes)?;
        self.insert_summaries()?;
        self.chunks.insert(connection)?;
        self.vectors.insert(connection)?;
        for (page, simhash) in std::mem::take(&mut self.representatives) {
            self.session.remember_simhash(page, simhash)?;
        }
        self.session.save()?;
        Ok(())
    }

    fn only_new(&self, picked: &Picked) -> Picked {
        let page = picked.column("page_id");
        let mut new = picked.none_of();
        let rows = picked.rows.iter();
        let is_new = |row: &&Vec<Value>| self.new.contains(&number(&row[page]));
        new.rows = rows.filter(is_new).cloned().collect();
        new
    }

    fn insert_summaries(&self) -> Result<(), Failure> {
        let summaries = self.only_new(&self.luggage.summaries);
        // A program that knows no summaries left one when the page was here before.
        let pages: Vec<i64> = self.new.iter().copied().collect();
        let pages = json(&pages)?;
        let sql = format!("DELETE FROM summaries WHERE page_id IN {IDS}");
        execute(self.session.connection, &sql, [pages])?;
        summaries.insert(self.session.connection)
    }

    /// The tags of notes once more, to be looked up by.
    fn insert_tags(&self, notes: &Picked) -> Result<(), Failure> {
        let (page, tags) = (notes.column("page_id"), notes.column("tags"));
        for row in &notes.rows {
            let Value::Text(json) = &row[tags] else {
                continue;
            };
            for tag in codec::decode_strings(json)? {
                execute(
                    self.session.connection,
                    "INSERT INTO page_tags (tenant_id, tag, page_id) VALUES (?1, ?2, ?3)",
                    params![self.luggage.tenant.0, tag, number(&row[page])],
                )?;
            }
        }
        Ok(())
    }
}
