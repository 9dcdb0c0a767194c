//! Corrects the scorer's choice where it is too narrow: content in several
//! boxes, and the lead that stands between headline and text.

use crate::html::{Dom, NodeIndex, Tag};

use super::hints::{HintTable, Hints};
use super::measure::OwnCounts;

/// Shorter blocks are labels and buttons, characters.
const PROSE_CHARS_MIN: u32 = 80;
/// The roots may hold as little of the page's prose before they are widened,
/// and this much is aimed at then. Measured on the development pages: widening
/// gives +0.005 mean F1; 0.35 and 0.65 give less.
const PROSE_SHARE_ENOUGH: f32 = 0.5;
const PROSE_SHARE_AIMED_AT: f32 = 0.8;
/// A lead is a sentence or two: at least this long, characters.
const LEAD_CHARS_MIN: u32 = 50;
/// More blocks between heading and text are no lead.
const LEAD_BLOCKS_MAX: usize = 6;

/// Direct text of a block: what is not in a block within it.
pub(super) struct Prose {
    chars: Vec<u32>,
    link_chars: Vec<u32>,
}

impl Prose {
    pub(super) fn new(dom: &Dom, own: &OwnCounts) -> Prose {
        let mut prose = Prose {
            chars: vec![0; dom.len()],
            link_chars: vec![0; dom.len()],
        };
        // Block and link that enclose each node.
        let mut enclosing: Vec<(u32, bool)> = Vec::with_capacity(dom.len());
        for node in 0..dom.len() {
            let (parent_block, in_link) = match dom.parent(node) {
                Some(parent) => enclosing[parent],
                None => (node as u32, false),
            };
            let tag = dom.tag(node);
            let block = if tag.is_block() {
                node as u32
            } else {
                parent_block
            };
            let in_link = in_link || tag == Tag::A;
            enclosing.push((block, in_link));
            if tag == Tag::Text {
                prose.chars[block as usize] += own.chars[node];
                if in_link {
                    prose.link_chars[block as usize] += own.chars[node];
                }
            }
        }
        prose
    }

    /// Characters directly in a block, and those of them in links.
    pub(super) fn direct(&self, node: NodeIndex) -> (u32, u32) {
        (self.chars[node], self.link_chars[node])
    }

    pub(super) fn link_chars_below(&self, dom: &Dom, node: NodeIndex) -> u32 {
        self.link_chars[node..dom.end(node)].iter().sum()
    }

    fn reads_well(&self, node: NodeIndex, chars_min: u32) -> bool {
        self.chars[node] >= chars_min && self.link_chars[node] * 3 < self.chars[node]
    }

    /// Characters of prose in each subtree that is left.
    fn totals(&self, dom: &Dom, removed: &[bool]) -> Vec<u32> {
        let mut totals = vec![0; dom.len()];
        for node in (0..dom.len()).rev() {
            if self.reads_well(node, PROSE_CHARS_MIN) {
                totals[node] += self.chars[node];
            }
            if !removed[node]
                && let Some(parent) = dom.parent(node)
            {
                totals[parent] += totals[node];
            }
        }
        totals
    }

    /// The roots, or the closest ancestor that holds most of the page's prose
    /// when the roots hold little of it.
    pub(super) fn widened(
        &self,
        dom: &Dom,
        removed: &[bool],
        roots: Vec<NodeIndex>,
    ) -> Vec<NodeIndex> {
        let totals = self.totals(dom, removed);
        let total = totals[0];
        let held: u32 = roots.iter().map(|root| totals[*root]).sum();
        if held as f32 >= total as f32 * PROSE_SHARE_ENOUGH {
            return roots;
        }
        let Some(&first) = roots.first() else {
            return roots;
        };
        let wide = std::iter::successors(dom.parent(first), |node| dom.parent(*node))
            .find(|ancestor| totals[*ancestor] as f32 >= total as f32 * PROSE_SHARE_AIMED_AT);
        wide.map_or(roots, |ancestor| vec![ancestor])
    }

    /// Adds the prose between the main heading and the first root: many sites
    /// set the lead in a box of its own.
    pub(super) fn with_lead(
        &self,
        dom: &Dom,
        hints: &HintTable,
        removed: &[bool],
        mut roots: Vec<NodeIndex>,
    ) -> Vec<NodeIndex> {
        let Some(&first) = roots.first() else {
            return roots;
        };
        let mut heading_seen = false;
        let mut node = 1;
        let mut candidates: Vec<NodeIndex> = Vec::new();
        while node < first {
            if removed[node] {
                node = dom.end(node);
                continue;
            }
            let tag = dom.tag(node);
            if tag == Tag::H1 {
                heading_seen = true;
                candidates.clear();
                node = dom.end(node);
                continue;
            }
            let hint = hints.hints[node];
            let aside = matches!(
                tag,
                Tag::Nav | Tag::Aside | Tag::Footer | Tag::Figure | Tag::Form | Tag::Table
            ) || hint.has(Hints::SHARE)
                || hint.has(Hints::NAVIGATION)
                || hint.has(Hints::RELATED)
                || hint.has(Hints::BYLINE)
                || hint.has(Hints::COMMENTS);
            if aside && dom.end(node) <= first {
                node = dom.end(node);
                continue;
            }
            if heading_seen && dom.end(node) <= first && self.reads_well(node, LEAD_CHARS_MIN) {
                candidates.push(node);
                node = dom.end(node);
                continue;
            }
            node += 1;
        }
        if candidates.len() > LEAD_BLOCKS_MAX {
            return roots;
        }
        candidates.append(&mut roots);
        candidates
    }
}
