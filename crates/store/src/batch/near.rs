//! Near duplicates: pages whose SimHashes differ in at most three bits.
//!
//! Only pages that are no near duplicate themselves are looked up, so a
//! thousand versions of one template make one entry and a thousand links to
//! it. When such a representative changes or goes, one of its followers takes
//! its place; the others keep their link until their own next visit. That
//! keeps the cost of every visit bounded, whatever the size of the family.

use types::simhash_distance;

use super::apply::Session;
use super::page::StoredPage;
use super::prepare::PreparedPage;
use crate::error::Failure;
use crate::sql::{collect, execute, first, params};

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

impl Session<'_> {
    /// The page that `page` nearly equals. Without one it is remembered as a
    /// representative itself. Duplicates have no place of their own.
    pub(crate) fn near_duplicate(
        &mut self,
        page_id: i64,
        page: &PreparedPage,
        is_holder: bool,
    ) -> Result<Option<i64>, Failure> {
        if !is_holder || page.text_bytes < TEXT_BYTES_MIN || page.simhash == 0 {
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

    pub(crate) fn remember_simhash(&self, page_id: i64, simhash: u64) -> Result<(), Failure> {
        for band in bands(simhash) {
            execute(
                self.connection,
                "INSERT INTO simhash_bands (tenant_id, band, page_id, simhash)
                 VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (tenant_id, band, page_id) DO UPDATE SET simhash = excluded.simhash",
                params![self.crawl.tenant.0, band, page_id, simhash.cast_signed()],
            )?;
        }
        Ok(())
    }

    /// True if the page was a representative.
    pub(crate) fn forget_simhash(&self, page_id: i64, simhash: u64) -> Result<bool, Failure> {
        let mut rows = 0;
        for band in bands(simhash) {
            rows += execute(
                self.connection,
                "DELETE FROM simhash_bands WHERE tenant_id = ?1 AND band = ?2 AND page_id = ?3",
                params![self.crawl.tenant.0, band, page_id],
            )?;
        }
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
        execute(
            self.connection,
            "UPDATE pages SET near_duplicate_of = NULL, change_seq = ?2 WHERE id = ?1",
            [follower, change_seq],
        )?;
        Ok(())
    }

    fn find_near(&self, page_id: i64, simhash: u64) -> Result<Option<i64>, Failure> {
        let mut best: Option<(u32, i64)> = None;
        for band in bands(simhash) {
            let candidates = collect(
                self.connection,
                "SELECT page_id, simhash FROM simhash_bands
                 WHERE tenant_id = ?1 AND band = ?2 AND page_id <> ?3 LIMIT ?4",
                params![self.crawl.tenant.0, band, page_id, CANDIDATES_PER_BAND_MAX],
                |row| {
                    let other: i64 = row.get(1)?;
                    let distance = simhash_distance(simhash, other.cast_unsigned());
                    Ok((distance, row.get::<i64>(0)?))
                },
            )?;
            for candidate in candidates {
                if candidate.0 <= DISTANCE_MAX && best.is_none_or(|best| candidate < best) {
                    best = Some(candidate);
                }
            }
        }
        Ok(best.map(|(_, page)| page))
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

/// Two hashes at most three bits apart agree in one of four bands at least.
fn bands(simhash: u64) -> [i64; 4] {
    [0, 1, 2, 3].map(|band| {
        let bits = (simhash >> (band * 16)) & 0xffff;
        (band << 16 | bits).cast_signed()
    })
}
