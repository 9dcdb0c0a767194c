//! How central each sentence is among the others, in time that grows with the
//! text and not with its square.
//!
//! LexRank (Erkan and Radev, "LexRank: Graph-based Lexical Centrality as
//! Salience in Text Summarization", JAIR 22, 2004) walks a graph whose edges are
//! the cosines of sentences. Without the threshold of its first form the graph
//! is the product of the sentence-term matrix with its transpose, so a step of
//! the walk is two passes over that matrix: the graph is never made, and a text
//! of any length is ranked by all of its sentences.

/// Steps of the walk. Ten leave less than 0.85^10 = 0.2 of the mass to move,
/// and the order of the first sentences stands after five.
const STEPS: usize = 10;

/// Share of the walk that follows likeness; the rest jumps anywhere (the
/// damping of PageRank, which LexRank takes over).
const FOLLOWED: f32 = 0.85;

/// Rows of (term, weight), each sorted by term and distinct.
pub(crate) struct Matrix {
    entries: Vec<(u32, f32)>,
    ends: Vec<usize>,
    terms: usize,
}

impl Matrix {
    pub(crate) fn new(terms: usize) -> Matrix {
        Matrix {
            entries: Vec::new(),
            ends: Vec::new(),
            terms,
        }
    }

    /// Adds a row of how often each term occurs.
    pub(crate) fn push(&mut self, terms: impl Iterator<Item = u32>) {
        let from = self.entries.len();
        self.entries.extend(terms.map(|term| (term, 1.0)));
        self.entries[from..].sort_unstable_by_key(|(term, _)| *term);
        let mut kept = from;
        for at in from..self.entries.len() {
            if kept > from && self.entries[kept - 1].0 == self.entries[at].0 {
                self.entries[kept - 1].1 += 1.0;
            } else {
                self.entries[kept] = self.entries[at];
                kept += 1;
            }
        }
        self.entries.truncate(kept);
        self.ends.push(kept);
    }

    pub(crate) fn rows(&self) -> usize {
        self.ends.len()
    }

    /// Ids of terms are below this.
    pub(crate) fn terms(&self) -> usize {
        self.terms
    }

    pub(crate) fn row(&self, row: usize) -> &[(u32, f32)] {
        let from = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.entries[from..self.ends[row]]
    }

    /// In how many rows each term occurs.
    pub(crate) fn row_counts(&self) -> Vec<u32> {
        let mut counts = vec![0u32; self.terms];
        for (term, _) in &self.entries {
            counts[*term as usize] += 1;
        }
        counts
    }

    /// Rows of length 1 in which a term weighs its count, times its rarity
    /// among the rows to the power of `rarity`.
    pub(crate) fn weighted(&self, rarity: f32) -> Matrix {
        let counts = self.row_counts();
        let rows = self.rows() as f32;
        let weights: Vec<f32> = counts
            .iter()
            .map(|count| (1.0 + rows / (*count).max(1) as f32).ln().powf(rarity))
            .collect();
        let mut entries = self.entries.clone();
        let mut from = 0;
        for end in &self.ends {
            let row = &mut entries[from..*end];
            let mut squares = 0.0;
            for (term, weight) in row.iter_mut() {
                *weight *= weights[*term as usize];
                squares += *weight * *weight;
            }
            let length = f32::sqrt(squares);
            row.iter_mut().for_each(|(_, weight)| *weight /= length);
            from = *end;
        }
        Matrix {
            entries,
            ends: self.ends.clone(),
            terms: self.terms,
        }
    }

    /// For each row the sum of its cosines with all rows, each row counted
    /// `mass` times.
    fn likeness(&self, mass: impl Fn(usize) -> f32, by_term: &mut [f32], out: &mut Vec<f32>) {
        by_term.fill(0.0);
        for row in 0..self.rows() {
            let mass = mass(row);
            for (term, weight) in self.row(row) {
                by_term[*term as usize] += weight * mass;
            }
        }
        out.clear();
        out.extend((0..self.rows()).map(|row| {
            let row = self.row(row).iter();
            row.map(|(term, weight)| weight * by_term[*term as usize])
                .sum::<f32>()
        }));
    }
}

/// Share of the walk that each row of a matrix of unit rows holds.
pub(crate) fn centrality(matrix: &Matrix) -> Vec<f32> {
    let rows = matrix.rows();
    let mut by_term = vec![0.0; matrix.terms()];
    let mut degrees = Vec::with_capacity(rows);
    matrix.likeness(|_| 1.0, &mut by_term, &mut degrees);
    let even = 1.0 / rows.max(1) as f32;
    let mut shares = vec![even; rows];
    let mut next = Vec::with_capacity(rows);
    for _ in 0..STEPS {
        // A sentence without content terms is like nothing, not even itself.
        let mass = |row: usize| {
            let degree: f32 = degrees[row];
            if degree > 0.0 {
                shares[row] / degree
            } else {
                0.0
            }
        };
        matrix.likeness(mass, &mut by_term, &mut next);
        for (share, followed) in shares.iter_mut().zip(&next) {
            *share = (1.0 - FOLLOWED) * even + FOLLOWED * followed;
        }
    }
    shares
}
