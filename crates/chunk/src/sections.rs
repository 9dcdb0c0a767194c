//! The page as sections: a heading with the text below it.

use std::ops::Range;

use types::{BlockKind, Page};

use crate::pack::{Unit, UnitKind, units_of_block};

/// A run of text under one nearest heading.
pub(crate) struct Section {
    /// Indices of the heading units from the top down; the last is the nearest.
    pub(crate) path: Vec<usize>,
    pub(crate) units: Range<usize>,
    /// Hundredths of a token.
    pub(crate) cost: u32,
    /// Level of the last heading, 0 without one.
    level: u8,
    /// Holds more than headings.
    has_body: bool,
}

/// Sections in text order with all units of the page.
pub(crate) struct Outline {
    pub(crate) units: Vec<Unit>,
    pub(crate) sections: Vec<Section>,
}

/// A block that surely fits the text.
pub(crate) struct Part {
    pub(crate) kind: BlockKind,
    pub(crate) range: Range<usize>,
}

/// The page's blocks, and as paragraphs whatever text no block covers, so that a
/// page without structure (or with a wrong one) loses nothing.
pub(crate) fn parts(page: &Page) -> Vec<Part> {
    let mut parts = Vec::with_capacity(page.blocks.len());
    let mut covered = 0;
    for block in &page.blocks {
        let range = block.range.clone();
        let fits = range.start >= covered && range.start < range.end;
        if !fits
            || page
                .text
                .get(range.clone())
                .is_none_or(|t| t.trim().is_empty())
        {
            continue;
        }
        paragraphs(&page.text, covered..range.start, &mut parts);
        covered = range.end;
        parts.push(Part {
            kind: block.kind,
            range,
        });
    }
    paragraphs(&page.text, covered..page.text.len(), &mut parts);
    parts
}

fn paragraphs(text: &str, range: Range<usize>, parts: &mut Vec<Part>) {
    if text[range.clone()].trim().is_empty() {
        return;
    }
    let mut start = range.start;
    for paragraph in text[range].split("\n\n") {
        let trimmed = paragraph.trim();
        if !trimmed.is_empty() {
            let from = start + (paragraph.len() - paragraph.trim_start().len());
            parts.push(Part {
                kind: BlockKind::Paragraph,
                range: from..from + trimmed.len(),
            });
        }
        start += paragraph.len() + 2;
    }
}

/// Cuts a page into sections of units no heavier than `unit_cost_max`.
pub(crate) fn outline(page: &Page, parts: &[Part], unit_cost_max: u32) -> Outline {
    let mut units: Vec<Unit> = Vec::with_capacity(parts.len() * 3);
    let mut sections: Vec<Section> = Vec::new();
    // Open headings: unit index and level.
    let mut open: Vec<(usize, u8)> = Vec::new();
    let mut current = Section::starting(Vec::new(), 0, 0);
    for (index, part) in parts.iter().enumerate() {
        let first = units.len();
        if let BlockKind::Heading(level) = part.kind {
            // A heading right below a shallower or equal one shares its section.
            let glued = !current.has_body && current.level <= level;
            open.retain(|(_, above)| *above < level);
            if !same_text(&page.text[part.range.clone()], &page.title) {
                open.push((first, level));
            }
            let path = open.iter().map(|(unit, _)| *unit).collect();
            if glued {
                current.path = path;
                current.level = level;
            } else {
                let above = std::mem::replace(&mut current, Section::starting(path, first, level));
                above.close(first, &units, &mut sections);
            }
        } else {
            current.has_body = true;
        }
        units_of_block(&page.text, part, index, unit_cost_max, &mut units);
    }
    current.close(units.len(), &units, &mut sections);
    Outline { units, sections }
}

impl Section {
    fn starting(path: Vec<usize>, first_unit: usize, level: u8) -> Section {
        Section {
            path,
            units: first_unit..first_unit,
            cost: 0,
            level,
            has_body: false,
        }
    }

    fn close(mut self, end: usize, units: &[Unit], sections: &mut Vec<Section>) {
        self.units.end = end;
        if !self.units.is_empty() {
            self.cost = cost_of(&units[self.units.clone()]);
            sections.push(self);
        }
    }

    /// Whether `next` hangs below the heading that this section hangs below.
    fn shares_parent(&self, next: &Section) -> bool {
        let parent = &self.path[..self.path.len().saturating_sub(1)];
        next.path.len() > parent.len() && next.path.starts_with(parent)
    }
}

pub(crate) fn cost_of(units: &[Unit]) -> u32 {
    units.iter().fold(0, |sum, u| sum.saturating_add(u.cost))
}

/// Joins neighbouring sections below the same parent while one of the two is
/// below `cost_min` and both together stay within `cost_max`. The joined section
/// keeps the first one's path: the heading nearest to where it begins.
pub(crate) fn merge_small(sections: Vec<Section>, cost_min: u32, cost_max: u32) -> Vec<Section> {
    let mut merged: Vec<Section> = Vec::with_capacity(sections.len());
    for section in sections {
        if let Some(last) = merged.last_mut() {
            let small = last.cost < cost_min || section.cost < cost_min;
            let together = last.cost.saturating_add(section.cost);
            if small && together <= cost_max && last.shares_parent(&section) {
                last.units.end = section.units.end;
                last.cost = together;
                last.has_body |= section.has_body;
                continue;
            }
        }
        merged.push(section);
    }
    merged
}

/// Heading units of a section, in order.
pub(crate) fn headings<'a>(units: &'a [Unit]) -> impl Iterator<Item = &'a Unit> + 'a {
    units.iter().filter(|u| u.kind == UnitKind::Heading)
}

fn same_text(a: &str, b: &str) -> bool {
    let fold = |text: &str| -> String {
        let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
        words.join(" ")
    };
    a.len().abs_diff(b.len()) < 16 && fold(a) == fold(b)
}
