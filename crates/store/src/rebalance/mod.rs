//! Moving sources to the database where they belong.
//!
//! When a database joins, its share of the sources lies elsewhere. Each of them
//! is moved by itself, while all others go on: it is held where it is
//! ([`hold`]), so that nobody changes it, and goes in bounded steps. A step
//! stores some pages at the destination, with all that belongs to them and
//! their ids, compares both sides, and removes them at the origin. Each half is
//! a transaction, so a page is in one database or, for a moment, in both: lists
//! show it once, and indexes ask all databases what a page is now. When all has
//! arrived the source itself follows, and is held no more.
//!
//! Nothing is remembered but that the source leaves and where to: what is left
//! to do is what is left at the origin. So a move that was interrupted at any
//! point goes on when it is asked for again.
//!
//! What stays behind: the URLs of ended crawls, finished tasks, events and
//! messages of the past. They concern nobody but those who look at them.

mod arrive;
mod crawls;
mod hold;
mod leave;
mod luggage;

pub(crate) use hold::{check_stays, is_being_moved, leaving};

use std::ops::ControlFlow;

use types::{SourceId, TenantId};

use crate::Store;
use crate::codec;
use crate::error::{StoreError, StoreErrorKind};
use crate::placement::{ShardNumber, first_host};
use crate::rows::count;
use crate::shard::Shard;
use crate::sources::no_source;
use crate::sql::{ValueRef, collect, collect_each, first};

use hold::{Held, Leaving, hold};

/// URLs looked up at a time before a source is moved.
const URLS_AT_ONCE: i64 = 1_000;

const PAGE_UNDER_URL: &str = "
    SELECT id, version, source_id FROM pages WHERE tenant_id = ?1 AND url = ?2";

/// A source that lies in another database than it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misplaced {
    pub source: SourceId,
    pub tenant: TenantId,
    pub name: String,
    pub from: ShardNumber,
    pub to: ShardNumber,
    /// Live pages that are not there yet.
    pub pages: u64,
    /// It was begun.
    pub is_leaving: bool,
}

/// How moving one source ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceMove {
    /// It is where it should be.
    Moved { pages: u64, crawls: u64 },
    /// Somebody works on it. Nothing was done; later it can be moved.
    Busy(String),
    /// It cannot be moved as things are. Nothing was done.
    Refused(String),
    /// `watch` broke it off. It can go on, and the source is held until it does.
    Interrupted,
}

/// What was just done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceMoveStage {
    /// Nobody changes the source from now on.
    Held,
    /// The destination expects it.
    Announced,
    PagesArrived,
    PagesLeft,
    CrawlsArrived,
    CrawlsLeft,
    /// The destination has all of it.
    Settled,
    Done,
}

/// How far the move of a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceMoveProgress {
    pub stage: SourceMoveStage,
    /// That went in this run.
    pub pages: u64,
    pub crawls: u64,
}

/// A move that is under way in this process.
struct Moving<'a> {
    store: &'a Store,
    from: &'a Shard,
    to: &'a Shard,
    leaving: Leaving,
    tenant: TenantId,
    pages: u64,
    crawls: u64,
    watch: &'a mut dyn FnMut(&SourceMoveProgress) -> ControlFlow<()>,
}

impl Store {
    /// Sources, of all tenants, that lie in another database than the one where
    /// they would go today, or in one that is drained; those whose move was begun first. Not removed ones,
    /// which stay where they are.
    pub fn misplaced(&self) -> Result<Vec<Misplaced>, StoreError> {
        let closed = self.draining()?;
        let mut found = Vec::new();
        for shard in self.all() {
            let (leaving, sources) = shard.read("list sources", |connection| {
                let sources = collect(
                    connection,
                    "SELECT id, tenant_id, name, seeds, pages_live FROM sources
                     WHERE removed_at IS NULL ORDER BY id",
                    [],
                    |row| {
                        let seeds: String = row.get(3)?;
                        let (source, tenant) = (SourceId(row.get(0)?), TenantId(row.get(1)?));
                        let host = first_host(&codec::decode_strings(&seeds)?).to_owned();
                        Ok((source, tenant, row.get(2)?, host, count(row, 4)?))
                    },
                )?;
                Ok((leaving(connection)?, sources))
            })?;
            for (source, tenant, name, host, pages) in sources {
                let leaving = leaving
                    .as_ref()
                    .filter(|leaving| leaving.source == source.0);
                let to = match leaving {
                    Some(leaving) => ShardNumber(leaving.to),
                    None => self.placed(tenant, &host, &closed).number(),
                };
                if to != shard.number() {
                    found.push(Misplaced {
                        source,
                        tenant,
                        name,
                        from: shard.number(),
                        to,
                        pages,
                        is_leaving: leaving.is_some(),
                    });
                }
            }
        }
        found.sort_by_key(|misplaced| (!misplaced.is_leaving, misplaced.source));
        // One that has settled may still be listed where it left.
        found.dedup_by_key(|misplaced| misplaced.source);
        Ok(found)
    }

    /// Moves a source with all that belongs to it to the database `to`, or goes
    /// on with a move that was interrupted, to where that one went. All others
    /// go on meanwhile; writes that concern this one are refused with a conflict.
    ///
    /// `watch` hears of each step and may break off between two of them. Fails
    /// with a conflict, and with both numbers, when what arrived is not what was
    /// sent; it is still where it was then.
    pub fn move_source(
        &self,
        source: SourceId,
        to: ShardNumber,
        watch: &mut dyn FnMut(&SourceMoveProgress) -> ControlFlow<()>,
    ) -> Result<SourceMove, StoreError> {
        let known = self.leaving_from(source)?;
        let (from, known) = match known {
            Some((from, leaving)) => (from, Some(leaving)),
            None => (self.holding(source)?.as_ref(), None),
        };
        let to = known.as_ref().map_or(to, |known| ShardNumber(known.to));
        let to = self.all().find(|shard| shard.number() == to);
        let to = to.ok_or_else(|| {
            let message = "the database that the source goes to is not configured";
            StoreError::new(StoreErrorKind::Conflict, message)
        })?;
        if to.number() == from.number() {
            return Ok(SourceMove::Moved {
                pages: 0,
                crawls: 0,
            });
        }
        let leaving = match known {
            Some(known) => known,
            None => {
                if let Some(why) = self.obstacle(source, from, to)? {
                    return Ok(SourceMove::Refused(why));
                }
                let number = to.number();
                let held = from.write("hold the source", move |connection| {
                    hold(connection, source, number)
                })?;
                match held {
                    Held::Now(leaving) => leaving,
                    Held::Busy(why) => return Ok(SourceMove::Busy(why)),
                }
            }
        };
        let tenant = from.read("read the source", |connection| {
            let sql = "SELECT tenant_id FROM sources WHERE id = ?1";
            first(connection, sql, [source.0], |row| Ok(TenantId(row.get(0)?)))?
                .ok_or_else(|| no_source(source))
        })?;
        let mut moving = Moving {
            store: self,
            from,
            to,
            leaving,
            tenant,
            pages: 0,
            crawls: 0,
            watch,
        };
        match moving.run(source)? {
            ControlFlow::Break(()) => Ok(SourceMove::Interrupted),
            ControlFlow::Continue(()) => Ok(SourceMove::Moved {
                pages: moving.pages,
                crawls: moving.crawls,
            }),
        }
    }

    /// The database that the source is leaving, if a move was begun.
    fn leaving_from(&self, source: SourceId) -> Result<Option<(&Shard, Leaving)>, StoreError> {
        for shard in self.all() {
            let leaving = shard.read("look for a move", leaving)?;
            if let Some(leaving) = leaving.filter(|leaving| leaving.source == source.0) {
                return Ok(Some((shard, leaving)));
            }
        }
        Ok(None)
    }

    /// Why a source cannot be moved, whoever works on it or not.
    fn obstacle(
        &self,
        source: SourceId,
        from: &Shard,
        to: &Shard,
    ) -> Result<Option<String>, StoreError> {
        let here = from.read("look at the source's database", crawls::habits)?;
        let there = to.read("look at the destination", crawls::habits)?;
        if let Some(why) = here.clash(&there) {
            return Ok(Some(why));
        }
        let mut after = 0;
        loop {
            let urls: Vec<(i64, i64, String)> = from.read("list URLs", |connection| {
                collect(
                    connection,
                    "SELECT id, tenant_id, url FROM pages
                     WHERE source_id = ?1 AND version > 0 AND id > ?2 ORDER BY id LIMIT ?3",
                    [source.0, after, URLS_AT_ONCE],
                    |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
                )
            })?;
            let Some((last, ..)) = urls.last() else {
                return Ok(None);
            };
            after = *last;
            let asked: Vec<_> = urls
                .iter()
                .map(|(_, tenant, url)| vec![ValueRef::Integer(*tenant), ValueRef::Text(url)])
                .collect();
            let found = to.read("look URLs up", |connection| {
                collect_each(connection, PAGE_UNDER_URL, &asked, |row| {
                    Ok((row.get::<i64>(0)?, row.get::<i64>(1)?, row.get::<i64>(2)?))
                })
            })?;
            let taken = found.into_iter().flatten();
            let mut taken = taken.filter(|(_, version, _)| *version > 0);
            if let Some((page, _, other)) = taken.next() {
                return Ok(Some(same_url(page, other)));
            }
        }
    }
}

/// A tenant has one page for each URL in a database.
fn same_url(page: i64, source: i64) -> String {
    format!("page {page} of source {source} there has the same URL as a page of this source")
}

impl Moving<'_> {
    fn run(&mut self, source: SourceId) -> Result<ControlFlow<()>, StoreError> {
        use SourceMoveStage::{
            Announced, CrawlsArrived, CrawlsLeft, Done, Held, PagesArrived, PagesLeft, Settled,
        };
        macro_rules! tell {
            ($stage:expr) => {
                if self.tell($stage).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            };
        }
        tell!(Held);
        self.announce(source)?;
        tell!(Announced);
        loop {
            let pages = self.from.read("list pages to move", |connection| {
                luggage::next_pages(connection, source)
            })?;
            if pages.is_empty() {
                break;
            }
            self.pages_arrive(source, &pages)?;
            tell!(PagesArrived);
            self.pages_leave(pages)?;
            tell!(PagesLeft);
        }
        loop {
            let log = self.from.read("read crawls to move", |connection| {
                crawls::next_crawls(connection, source)
            })?;
            let ids = log.crawls.numbers("id");
            if ids.is_empty() {
                break;
            }
            self.to.write("store crawls", move |connection| {
                crawls::arrive(connection, source, &log)
            })?;
            tell!(CrawlsArrived);
            self.crawls_leave(&ids)?;
            tell!(CrawlsLeft);
        }
        self.settle(source)?;
        tell!(Settled);
        let (leaving, tenant) = (self.leaving.clone(), self.tenant);
        self.from.write("forget the source", move |connection| {
            crawls::forget(connection, &leaving, tenant)
        })?;
        // Nothing is left to be broken off.
        let _ = self.tell(Done);
        Ok(ControlFlow::Continue(()))
    }

    fn tell(&mut self, stage: SourceMoveStage) -> ControlFlow<()> {
        (self.watch)(&SourceMoveProgress {
            stage,
            pages: self.pages,
            crawls: self.crawls,
        })
    }

    fn announce(&self, source: SourceId) -> Result<(), StoreError> {
        let now = self.store.now();
        let (row, habits) = self.from.read("read the source", |connection| {
            Ok((
                crawls::read_source(connection, source)?,
                crawls::habits(connection)?,
            ))
        })?;
        self.to.write("expect the source", move |connection| {
            crawls::announce(connection, source, &row, &habits, now)
        })
    }

    fn pages_arrive(&self, source: SourceId, pages: &[i64]) -> Result<(), StoreError> {
        let now = self.store.now();
        let luggage = self.from.read("read pages to move", |connection| {
            luggage::read(connection, source, pages)
        })?;
        self.to.write("store moved pages", move |connection| {
            arrive::arrive(connection, source, &luggage, now)
        })?;
        Ok(())
    }

    /// Compares both sides first.
    fn pages_leave(&mut self, pages: Vec<i64>) -> Result<(), StoreError> {
        let now = self.store.now();
        let ids = luggage::json(&pages)
            .map_err(|failure| failure.into_store_error("list pages", "memory"))?;
        let there = self.to.read("count what arrived", |connection| {
            leave::counts(connection, &ids)
        })?;
        let (leaving, tenant) = (self.leaving.clone(), self.tenant);
        let gone = pages.len() as u64;
        let wrong = self.from.write("remove moved pages", move |connection| {
            for here in leave::counts(connection, &ids)? {
                let there = there.iter().find(|there| there.page == here.page);
                if let Some(why) = leave::difference(&here, there) {
                    return Ok(Some(why));
                }
            }
            leave::leave(connection, &leaving, tenant, &pages, now)?;
            Ok(None)
        })?;
        self.agree(wrong)?;
        self.pages += gone;
        Ok(())
    }

    fn crawls_leave(&mut self, crawls: &[i64]) -> Result<(), StoreError> {
        let ids = luggage::json(crawls)
            .map_err(|failure| failure.into_store_error("list crawls", "memory"))?;
        let [here, there] = [self.from, self.to]
            .map(|shard| shard.read("count crawls", |connection| crawls::count(connection, &ids)));
        let (here, there) = (here?, there?);
        if here != there {
            let reasons = |counted: &[(i64, i64)]| counted.iter().map(|(_, n)| n).sum::<i64>();
            let wrong = format!(
                "there are {} crawls with {} reasons here and {} with {} there",
                here.len(),
                reasons(&here),
                there.len(),
                reasons(&there)
            );
            self.agree(Some(wrong))?;
        }
        loop {
            let (leaving, ids) = (self.leaving.clone(), ids.clone());
            let is_done = self.from.write("remove moved crawls", move |connection| {
                crawls::leave(connection, &leaving, &ids)
            })?;
            if is_done {
                break;
            }
        }
        self.crawls += crawls.len() as u64;
        Ok(())
    }

    fn settle(&self, source: SourceId) -> Result<(), StoreError> {
        let (leaving, row) = (
            self.leaving.clone(),
            self.from.read("read the source", |connection| {
                crawls::read_source(connection, source)
            })?,
        );
        self.to.write("settle the source", move |connection| {
            crawls::settle(connection, source, &row, &leaving)
        })
    }

    fn agree(&self, wrong: Option<String>) -> Result<(), StoreError> {
        let Some(wrong) = wrong else { return Ok(()) };
        Err(StoreError::new(
            StoreErrorKind::Conflict,
            format!(
                "source {} is not moved on: {wrong} (here is {}, there {})",
                self.leaving.source,
                self.from.describe(),
                self.to.describe()
            ),
        ))
    }
}
