//! The rows of one tenant.

use std::collections::{HashMap, HashSet};

use types::{ChunkId, PageId};

use super::Neighbour;
use super::kernels;

/// Rows rescored exactly: at least so many, so many per wanted result, and one
/// in so many of all. recall@10 with real e5 vectors, 256 rows and then 512:
/// cranfield (1.4 k) 0.987, 0.999; pquad (1.1 k) 0.991, 1.000; vaswani (11.4 k)
/// 0.980, 0.998. It falls with the size of the table, so the number grows with it.
const RESCORED_MIN: usize = 512;
const RESCORED_PER_RESULT: usize = 2;
const RESCORED_SHARE: usize = 64;
/// The mean is taken anew when the table has grown by this factor.
const MEAN_GROWTH: f32 = 1.5;
/// A page that lost its place: see [`Table::assign_page`].
const NO_PAGE: i64 = i64::MIN;

#[derive(Debug)]
pub(super) struct Table {
    dims: usize,
    words: usize,
    bits: Vec<u64>,
    codes: Vec<i8>,
    scales: Vec<f32>,
    chunks: Vec<ChunkId>,
    pages: Vec<i64>,
    tldr: Vec<bool>,
    row_of: HashMap<(ChunkId, bool), usize>,
    rows_of_page: HashMap<i64, Vec<usize>>,
    mean: Vec<f32>,
    /// Rows that `mean` was taken over.
    mean_rows: usize,
    passages: usize,
}

impl Table {
    pub(super) fn new(dims: usize) -> Table {
        Table {
            dims,
            words: dims.div_ceil(64),
            bits: Vec::new(),
            codes: Vec::new(),
            scales: Vec::new(),
            chunks: Vec::new(),
            pages: Vec::new(),
            tldr: Vec::new(),
            row_of: HashMap::new(),
            rows_of_page: HashMap::new(),
            mean: vec![0.0; dims],
            mean_rows: 0,
            passages: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.chunks.len()
    }

    pub(super) fn chunk_ids(&self) -> impl Iterator<Item = ChunkId> {
        self.chunks.iter().copied()
    }

    /// Adds or replaces one vector.
    pub(super) fn put(
        &mut self,
        chunk: ChunkId,
        page: PageId,
        tldr: bool,
        scale: f32,
        codes: &[i8],
    ) {
        if let Some(row) = self.row_of.get(&(chunk, tldr)).copied() {
            self.codes[row * self.dims..(row + 1) * self.dims].copy_from_slice(codes);
            self.scales[row] = scale;
            self.move_to_page(row, page.0);
            let bits = self.sign_bits(codes, scale);
            self.bits[row * self.words..(row + 1) * self.words].copy_from_slice(&bits);
            return;
        }
        let row = self.chunks.len();
        let bits = self.sign_bits(codes, scale);
        self.bits.extend_from_slice(&bits);
        self.codes.extend_from_slice(codes);
        self.scales.push(scale);
        self.chunks.push(chunk);
        self.pages.push(page.0);
        self.tldr.push(tldr);
        self.passages += usize::from(!tldr);
        self.row_of.insert((chunk, tldr), row);
        self.rows_of_page.entry(page.0).or_default().push(row);
    }

    /// `page` holds exactly `chunks` now: rows of others lose their page, and
    /// rows of `chunks` that stood under another page come here.
    pub(super) fn assign_page(&mut self, page: PageId, chunks: &HashSet<ChunkId>) {
        let rows = self.rows_of_page.get(&page.0).cloned().unwrap_or_default();
        for row in rows {
            if !chunks.contains(&self.chunks[row]) {
                self.move_to_page(row, NO_PAGE);
            }
        }
        for chunk in chunks {
            for tldr in [false, true] {
                if let Some(row) = self.row_of.get(&(*chunk, tldr)).copied() {
                    self.move_to_page(row, page.0);
                }
            }
        }
    }

    /// Removes the rows that no page claimed.
    pub(super) fn remove_homeless(&mut self) {
        let mut rows = self.rows_of_page.remove(&NO_PAGE).unwrap_or_default();
        // From the end, so that the row moved into a gap is always one that stays.
        rows.sort_unstable_by(|a, b| b.cmp(a));
        for row in rows {
            self.swap_remove(row);
        }
    }

    /// Takes the mean anew, and with it all bits, when the table has grown
    /// enough since the last time.
    pub(super) fn settle_mean(&mut self) {
        if self.len() == 0 || (self.len() as f32) < self.mean_rows as f32 * MEAN_GROWTH {
            return;
        }
        let mut sums = vec![0.0f64; self.dims];
        for (codes, scale) in self.codes.chunks_exact(self.dims).zip(&self.scales) {
            for (sum, code) in sums.iter_mut().zip(codes) {
                *sum += f64::from(*code) * f64::from(*scale);
            }
        }
        self.mean = sums
            .iter()
            .map(|sum| (sum / self.len() as f64) as f32)
            .collect();
        self.mean_rows = self.len();
        let mut bits = Vec::with_capacity(self.len() * self.words);
        for (codes, scale) in self.codes.chunks_exact(self.dims).zip(&self.scales) {
            bits.extend(self.sign_bits(codes, *scale));
        }
        self.bits = bits;
    }

    pub(super) fn search(
        &self,
        query: &[f32],
        k: usize,
        filter: Option<&HashSet<PageId>>,
    ) -> Vec<Neighbour> {
        let rescored = RESCORED_MIN
            .max(k.saturating_mul(RESCORED_PER_RESULT))
            .max(self.len() / RESCORED_SHARE);
        let passes =
            |row: usize| filter.is_none_or(|pages| pages.contains(&PageId(self.pages[row])));
        if self.len() <= rescored {
            return self.search_exact(query, k, filter);
        }
        let centred: Vec<f32> = query.iter().zip(&self.mean).map(|(q, m)| q - m).collect();
        let mut distances = Vec::with_capacity(self.len());
        kernels::hamming(&sign_bits(&centred), &self.bits, &mut distances);
        // Distances are small whole numbers: counting them finds the cut in one pass.
        let mut counts = vec![0usize; self.dims + 1];
        for (row, distance) in distances.iter().enumerate() {
            if passes(row) {
                counts[usize::from(*distance)] += 1;
            }
        }
        let mut reached = 0;
        let cut = counts.iter().position(|count| {
            reached += count;
            reached >= rescored
        });
        let cut = cut.unwrap_or(self.dims);
        let rows = distances
            .iter()
            .enumerate()
            .filter(|(row, distance)| usize::from(**distance) <= cut && passes(*row))
            .map(|(row, _)| row);
        self.nearest(query, rows, k)
    }

    pub(super) fn search_exact(
        &self,
        query: &[f32],
        k: usize,
        filter: Option<&HashSet<PageId>>,
    ) -> Vec<Neighbour> {
        let rows = (0..self.len())
            .filter(|row| filter.is_none_or(|pages| pages.contains(&PageId(self.pages[*row]))));
        self.nearest(query, rows, k)
    }

    pub(super) fn page(&self, query: &[f32], page: i64) -> Vec<Neighbour> {
        let rows = self.rows_of_page.get(&page).map_or(&[][..], Vec::as_slice);
        self.nearest(query, rows.iter().copied(), usize::MAX)
    }

    /// What the page is about as one direction of length 1: the mean of its
    /// vectors. `None` without any, or when they cancel each other out.
    pub(super) fn direction(&self, page: i64) -> Option<Vec<f32>> {
        let rows = self.rows_of_page.get(&page)?;
        let mut sum = vec![0.0f32; self.dims];
        for row in rows {
            let codes = &self.codes[row * self.dims..(row + 1) * self.dims];
            for (sum, code) in sum.iter_mut().zip(codes) {
                *sum += f32::from(*code) * self.scales[*row];
            }
        }
        let length = sum.iter().map(|x| x * x).sum::<f32>().sqrt();
        (length > f32::EPSILON).then(|| sum.iter().map(|x| x / length).collect())
    }

    /// How many chunks have the vector of their full text.
    pub(super) fn passages(&self) -> usize {
        self.passages
    }

    /// The mean of all products is the product with the mean.
    pub(super) fn average(&self, query: &[f32]) -> f32 {
        query.iter().zip(&self.mean).map(|(q, m)| q * m).sum()
    }

    /// Exact similarities of `rows`, the better of a chunk's two, best `k` first.
    fn nearest(
        &self,
        query: &[f32],
        rows: impl Iterator<Item = usize>,
        k: usize,
    ) -> Vec<Neighbour> {
        let mut found: Vec<Neighbour> = rows
            .map(|row| {
                let codes = &self.codes[row * self.dims..(row + 1) * self.dims];
                Neighbour {
                    chunk: self.chunks[row],
                    page: PageId(self.pages[row]),
                    similarity: kernels::dot(query, codes) * self.scales[row],
                }
            })
            .collect();
        // The better of a chunk's two vectors stands first and is kept.
        found.sort_unstable_by(|a, b| {
            (a.chunk.cmp(&b.chunk)).then(b.similarity.total_cmp(&a.similarity))
        });
        found.dedup_by_key(|neighbour| neighbour.chunk);
        found.sort_unstable_by(|a, b| {
            (b.similarity.total_cmp(&a.similarity)).then(a.chunk.cmp(&b.chunk))
        });
        found.truncate(k);
        found
    }

    fn sign_bits(&self, codes: &[i8], scale: f32) -> Vec<u64> {
        let centred: Vec<f32> = codes
            .iter()
            .zip(&self.mean)
            .map(|(code, mean)| f32::from(*code) * scale - mean)
            .collect();
        sign_bits(&centred)
    }

    fn move_to_page(&mut self, row: usize, page: i64) {
        let before = std::mem::replace(&mut self.pages[row], page);
        if before != page {
            self.forget_row(before, row);
            self.rows_of_page.entry(page).or_default().push(row);
        }
    }

    fn forget_row(&mut self, page: i64, row: usize) {
        if let Some(rows) = self.rows_of_page.get_mut(&page) {
            rows.retain(|known| *known != row);
            if rows.is_empty() {
                self.rows_of_page.remove(&page);
            }
        }
    }

    fn swap_remove(&mut self, row: usize) {
        let last = self.chunks.len() - 1;
        self.row_of.remove(&(self.chunks[row], self.tldr[row]));
        self.passages -= usize::from(!self.tldr[row]);
        if row != last {
            let (page, key) = (self.pages[last], (self.chunks[last], self.tldr[last]));
            self.row_of.insert(key, row);
            if let Some(rows) = self.rows_of_page.get_mut(&page) {
                rows.iter_mut()
                    .filter(|known| **known == last)
                    .for_each(|known| *known = row);
            }
            self.bits.copy_within(last * self.words.., row * self.words);
            self.codes.copy_within(last * self.dims.., row * self.dims);
        }
        self.bits.truncate(last * self.words);
        self.codes.truncate(last * self.dims);
        self.scales.swap_remove(row);
        self.chunks.swap_remove(row);
        self.pages.swap_remove(row);
        self.tldr.swap_remove(row);
    }
}

fn sign_bits(centred: &[f32]) -> Vec<u64> {
    centred
        .chunks(64)
        .map(|block| {
            block
                .iter()
                .enumerate()
                .fold(0, |word, (n, x)| word | (u64::from(*x > 0.0) << n))
        })
        .collect()
}
