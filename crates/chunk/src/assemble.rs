//! Page in, chunks out: the order in which the parts are used.

use std::ops::Range;

use types::{BlockKind, Chunk, Page, TextHash};

use crate::config::ChunkConfig;
use crate::keywords;
use crate::language::language;
use crate::pack::{Budget, Packed, Unit, UnitKind, pack};
use crate::sections::{Part, Section, cost_of, headings, merge_small, outline, parts};
use crate::summary::{self, Candidate, Scratch, count_words};
use crate::terms::{Terms, stop_languages};
use crate::tokens::estimate_tokens;

/// Cuts a page into chunks.
///
/// - A heading starts a chunk and stays with the text below it; a section
///   heavier than `tokens_max` is cut between blocks, then sentences (lines in
///   code and tables), then words.
/// - Sections below `tokens_min` are joined with neighbours under the same
///   parent heading where both fit; the chunk is filed under the first one.
/// - A heading that repeats the page's title is part of its chunk's text but not
///   of heading paths: consumers put the title in front anyway.
/// - Within a section a chunk repeats whole sentences of the one before, up to
///   `tokens_overlap`; headings are never crossed.
/// - Every byte of every block is in a chunk, and so is text outside of blocks.
///   Only a single grapheme cluster can make a chunk exceed `tokens_max`.
///
/// `hash` is BLAKE3 of `title`, NUL, `section`, NUL and the chunk's text: what an
/// embedder is given. The page's text must be shorter than 4 GiB.
#[must_use]
pub fn chunk(page: &Page, config: &ChunkConfig) -> Vec<Chunk> {
    let budget = Budget {
        max: config.tokens_max.saturating_mul(100),
        min: config.tokens_min.saturating_mul(100),
        overlap: config.tokens_overlap.saturating_mul(100),
    };
    let parts = parts(page);
    let unit_cost_max = budget.max - budget.overlap.min(budget.max / 2);
    let outline = outline(page, &parts, unit_cost_max);
    let work = Work {
        page,
        config,
        parts: &parts,
        units: &outline.units,
        terms: Terms::of(&page.text),
        languages: stop_languages(page.language.as_deref()),
    };
    let mut scratch = Scratch::default();
    let mut chunks = Vec::new();
    for section in merge_small(outline.sections, budget.min, budget.max) {
        for packed in pack(work.units, section.units.clone(), budget) {
            let position = u32::try_from(chunks.len()).unwrap_or(u32::MAX);
            chunks.push(work.finish(&section, &packed, position, &mut scratch));
        }
    }
    chunks
}

/// What all chunks of a page share.
struct Work<'a> {
    page: &'a Page,
    config: &'a ChunkConfig,
    parts: &'a [Part],
    units: &'a [Unit],
    terms: Terms,
    languages: u8,
}

impl Work<'_> {
    fn finish(
        &self,
        section: &Section,
        packed: &Packed,
        position: u32,
        scratch: &mut Scratch,
    ) -> Chunk {
        let units = &self.units[packed.from..packed.own.end];
        let range = self.units[packed.from].range.start..self.units[packed.own.end - 1].range.end;
        let text = &self.page.text[range.clone()];
        let heading_path: Vec<String> = section
            .path
            .iter()
            .map(|unit| self.heading_text(*unit))
            .collect();
        let mut heading_ranges: Vec<Range<usize>> = section
            .path
            .iter()
            .map(|u| self.units[*u].range.clone())
            .collect();
        for heading in headings(units) {
            if !heading_ranges.contains(&heading.range) {
                heading_ranges.push(heading.range.clone());
            }
        }
        let words = &self.terms.words[self.terms.within(&range)];
        let section_title = heading_path.last().cloned().unwrap_or_default();
        let keywords = keywords::keywords(
            &keywords::Request {
                text: &self.page.text,
                terms: &self.terms,
                languages: self.languages,
                units,
                headings: &heading_ranges,
                count_max: self.config.keywords_max,
            },
            scratch,
        );
        Chunk {
            position,
            tldr: self.tldr(
                &range,
                &self.units[packed.own.clone()],
                &heading_ranges,
                scratch,
            ),
            language: language(
                &self.page.text,
                &self.terms,
                words,
                self.page.language.as_deref(),
            ),
            tokens: tokens(text, units),
            hash: text_hash(&self.page.title, &section_title, text),
            section: section_title,
            heading_path,
            keywords,
            range,
        }
    }

    /// `own_units` leaves out what the chunk repeats: the chunk before says that.
    fn tldr(
        &self,
        range: &Range<usize>,
        own_units: &[Unit],
        heading_ranges: &[Range<usize>],
        scratch: &mut Scratch,
    ) -> Option<String> {
        let words_max = self.config.tldr_words_max;
        let words = &self.terms.words[self.terms.within(range)];
        let page_text = &self.page.text;
        if words.len() <= words_max && count_words(page_text, range, words) <= words_max {
            return None;
        }
        let mut candidates = self.candidates(own_units, |kind| kind == UnitKind::Sentence);
        if candidates.is_empty() {
            // Nothing but code, tables or one endless sentence.
            candidates = self.candidates(own_units, |kind| kind != UnitKind::Heading);
        }
        let heading_words: Vec<_> = heading_ranges
            .iter()
            .flat_map(|range| &self.terms.words[self.terms.within(range)])
            .filter(|word| self.terms.is_content(word.term, self.languages))
            .copied()
            .collect();
        let request = summary::Request {
            text: page_text,
            terms: &self.terms,
            languages: self.languages,
            heading_words: &heading_words,
            words_max,
        };
        let summary = summary::pick(&request, &candidates, scratch);
        (!summary.is_empty() && summary != page_text[range.clone()].trim()).then_some(summary)
    }

    fn candidates(&self, units: &[Unit], wanted: impl Fn(UnitKind) -> bool) -> Vec<Candidate> {
        let mut candidates: Vec<Candidate> = Vec::with_capacity(units.len());
        for (i, unit) in units.iter().enumerate() {
            let text = &self.page.text[unit.range.clone()];
            let trimmed = text.trim();
            if !wanted(unit.kind) || trimmed.is_empty() {
                continue;
            }
            let start = unit.range.start + (text.len() - text.trim_start().len());
            // Items of one list continue each other; none of them opens a topic.
            let listed = self.parts[unit.block].kind == BlockKind::ListItem;
            candidates.push(Candidate {
                range: start..start + trimmed.len(),
                first_of_block: !listed && (i == 0 || units[i - 1].block != unit.block),
            });
        }
        candidates
    }

    fn heading_text(&self, unit: usize) -> String {
        // A heading longer than the budget is cut into pieces; its block is whole.
        let range = &self.parts[self.units[unit].block].range;
        let words: Vec<&str> = self.page.text[range.clone()].split_whitespace().collect();
        words.join(" ")
    }
}

/// The same as `estimate_tokens(text)`, mostly without another look at the text.
fn tokens(text: &str, units: &[Unit]) -> u32 {
    if units.iter().all(|unit| unit.after_space) {
        cost_of(units).div_ceil(100)
    } else {
        estimate_tokens(text)
    }
}

fn text_hash(title: &str, section: &str, text: &str) -> TextHash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(title.as_bytes());
    hasher.update(&[0]);
    hasher.update(section.as_bytes());
    hasher.update(&[0]);
    hasher.update(text.as_bytes());
    let mut hash = [0; 16];
    hash.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    TextHash(hash)
}
