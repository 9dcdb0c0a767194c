//! Near duplicates: pages whose SimHashes differ in at most three bits.
//!
//! Only pages that are no near duplicate themselves are looked up, so a
//! thousand versions of one template make one entry and a thousand links to
//! it. When such a representative changes or goes, one of its followers takes
//! its place; the others keep their link until their own next visit. That
//! keeps the cost of every visit bounded, whatever the size of the family.

use std::collections::HashMap;

use types::{TenantId, simhash_distance};

use super::apply::Session;
use super::page::StoredPage;
use super::prepare::PreparedPage;
use crate::error::Failure;
use crate::sql::{Connection, Row, ValueRef, collect, collect_each, execute, first, params, send};

/// Measured on two releases of one documentation set (Boost 1.74 and 1.81):
/// three bits link 71 % of the edited pages that share nine tenths of their
/// three-word shingles, and of the pairs linked within one release 72 % share
/// four fifths. Every further bit finds 5 % more of the former, and pairs of
/// which two thirds are siblings from one template.
const DISTANCE_MAX: u32 = 3;
/// In a short text a few shared words make hashes alike.
const TEXT_BYTES_MIN: usize = 400;
/// Entries looked at in one band. Bands of unlike pages meet by chance once in
/// 65,536; more than this share one only in families that a template made, and
/// then missing a link is the lesser evil.
const CANDIDATES_PER_BAND_MAX: i64 = 64;

/// What shares a band, up to so many of each.
const NEAR: &str = "
    SELECT * FROM (SELECT page_id, simhash FROM simhash_bands
                   WHERE tenant_id = ?1 AND band = ?3 LIMIT ?2) a
    UNION ALL
    SELECT * FROM (SELECT page_id, simhash FROM simhash_bands
                   WHERE tenant_id = ?1 AND band = ?4 LIMIT ?2) b
    UNION ALL
    SELECT * FROM (SELECT page_id, simhash FROM simhash_bands
                   WHERE tenant_id = ?1 AND band = ?5 LIMIT ?2) c
    UNION ALL
    SELECT * FROM (SELECT page_id, simhash FROM simhash_bands
                   WHERE tenant_id = ?1 AND band = ?6 LIMIT ?2) d";

fn candidate(row: &Row<'_>) -> Result<(i64, u64), Failure> {
    let simhash: i64 = row.get(1)?;
    Ok((row.get(0)?, simhash.cast_unsigned()))
}

/// True when the page is looked for among those it may be near to.
pub(super) fn may_be_near(page: &PreparedPage) -> bool {
    page.text_bytes >= TEXT_BYTES_MIN && page.simhash != 0
}

impl Session<'_> {
    /// The page that `page` nearly equals. Without one it is remembered as a
    /// representative itself. Duplicates have no place of their own.
    pub(crate) fn near_duplicate(
        &mut self,
        page_id: i64,
        page: &PreparedPage,
        is_holder: bool,
    ) -> Result<Option<i64>, Failure> {
        if !is_holder || !may_be_near(page) {
            return Ok(None);
        }
        let near = self.find_near(page_id, page.simhash)?;
        if near.is_none() {
            self.remember_simhash(page_id, page.simhash)?;
        }
        Ok(near)
    }

    /// Like [`Session::near_duplicate`] for a page that has its place already,
    /// which is kept while it is true.
    pub(crate) fn refreshed_near_duplicate(
        &mut self,
        stored: &StoredPage,
        page: &PreparedPage,
        is_holder: bool,
    ) -> Result<Option<i64>, Failure> {
        let same_hash = stored.simhash == page.simhash;
        let keeps_place = match stored.near {
            None => same_hash,
            Some(near) => same_hash && is_holder && self.is_near(near, page.simhash)?,
        };
        if keeps_place {
            return Ok(stored.near);
        }
        if self.forget_simhash(stored.id, stored.simhash)? {
            self.promote_follower(stored.id)?;
        }
        self.near_duplicate(stored.id, page, is_holder)
    }

    pub(crate) fn remember_simhash(&mut self, page_id: i64, simhash: u64) -> Result<(), Failure> {
        self.ahead.remembered.push((page_id, simhash));
        let [a, b, c, d] = bands(simhash);
        send(
            self.connection,
            "INSERT INTO simhash_bands (tenant_id, page_id, simhash, band)
             VALUES (?1, ?2, ?3, ?4), (?1, ?2, ?3, ?5), (?1, ?2, ?3, ?6), (?1, ?2, ?3, ?7)
             ON CONFLICT (tenant_id, band, page_id) DO UPDATE SET simhash = excluded.simhash",
            params![
                self.crawl.tenant.0,
                page_id,
                simhash.cast_signed(),
                a,
                b,
                c,
                d
            ],
        )
    }

    /// True if the page was a representative.
    pub(crate) fn forget_simhash(&mut self, page_id: i64, simhash: u64) -> Result<bool, Failure> {
        // What was looked up ahead may hold it.
        self.ahead.near.clear();
        let [a, b, c, d] = bands(simhash);
        let rows = execute(
            self.connection,
            "DELETE FROM simhash_bands
             WHERE tenant_id = ?1 AND band IN (?2, ?3, ?4, ?5) AND page_id = ?6",
            params![self.crawl.tenant.0, a, b, c, d, page_id],
        )?;
        Ok(rows > 0)
    }

    /// Makes the oldest page that was near to `page_id` a representative.
    pub(crate) fn promote_follower(&mut self, page_id: i64) -> Result<(), Failure> {
        let follower = first(
            self.connection,
            "SELECT id, simhash FROM pages WHERE near_duplicate_of = ?1 ORDER BY id LIMIT 1",
            [page_id],
            |row| {
                let simhash: i64 = row.get(1)?;
                Ok((row.get::<i64>(0)?, simhash.cast_unsigned()))
            },
        )?;
        let Some((follower, simhash)) = follower else {
            return Ok(());
        };
        self.remember_simhash(follower, simhash)?;
        let change_seq = self.counters.next_change_seq();
        send(
            self.connection,
            "UPDATE pages SET near_duplicate_of = NULL, change_seq = ?2 WHERE id = ?1",
            [follower, change_seq],
        )
    }

    fn find_near(&self, page_id: i64, simhash: u64) -> Result<Option<i64>, Failure> {
        let stored = match self.ahead.near.get(&simhash) {
            // With what this batch has remembered since it was looked up.
            Some(stored) => stored
                .iter()
                .chain(&self.ahead.remembered)
                .copied()
                .collect(),
            None => collect(
                self.connection,
                NEAR,
                self.near_parameters(simhash).as_slice(),
                candidate,
            )?,
        };
        let near = stored.into_iter().filter(|(page, _)| *page != page_id);
        let near = near.map(|(page, other)| (simhash_distance(simhash, other), page));
        let best = near.filter(|(distance, _)| *distance <= DISTANCE_MAX).min();
        Ok(best.map(|(_, page)| page))
    }

    /// Looks up what pages of these hashes may be near to, all at once.
    pub(super) fn look_up_near(
        &self,
        simhashes: &[u64],
    ) -> Result<HashMap<u64, Vec<(i64, u64)>>, Failure> {
        let parameters: Vec<_> = simhashes
            .iter()
            .map(|simhash| self.near_parameters(*simhash))
            .collect();
        let found = collect_each(self.connection, NEAR, &parameters, candidate)?;
        Ok(simhashes.iter().copied().zip(found).collect())
    }

    fn near_parameters(&self, simhash: u64) -> Vec<ValueRef<'static>> {
        let [a, b, c, d] = bands(simhash);
        [self.crawl.tenant.0, CANDIDATES_PER_BAND_MAX, a, b, c, d]
            .map(ValueRef::Integer)
            .to_vec()
    }

    fn is_near(&self, other: i64, simhash: u64) -> Result<bool, Failure> {
        let near = first(
            self.connection,
            "SELECT simhash FROM pages WHERE id = ?1 AND status = 1",
            [other],
            |row| {
                let other: i64 = row.get(0)?;
                Ok(simhash_distance(simhash, other.cast_unsigned()) <= DISTANCE_MAX)
            },
        )?;
        Ok(near.unwrap_or(false))
    }
}

/// Whether other pages are looked up to be near to this one.
pub(crate) fn is_representative(
    connection: &Connection,
    tenant: TenantId,
    page_id: i64,
    simhash: u64,
) -> Result<bool, Failure> {
    let [band, ..] = bands(simhash);
    let sql = "SELECT 1 FROM simhash_bands WHERE tenant_id = ?1 AND band = ?2 AND page_id = ?3";
    let found = first(connection, sql, [tenant.0, band, page_id], |_| Ok(()))?;
    Ok(found.is_some())
}

/// Two hashes at most three bits apart agree in one of four bands at least.
fn bands(simhash: u64) -> [i64; 4] {
    [0, 1, 2, 3].map(|band| {
        let bits = (simhash >> (band * 16)) & 0xffff;
        (band << 16 | bits).cast_signed()
    })
}
