//! Finds the element that holds the article, in the spirit of Readability:
//! paragraphs vote for their ancestors by length and commas, link-heavy
//! candidates lose, and siblings that look like the winner join it.
//!
//! Nothing is rewritten. Where Readability turns `<br><br>` and loose text
//! into paragraphs first, runs of inline nodes are scored as they stand.

use crate::html::{Dom, NodeIndex, Tag};

use super::hints::HintTable;
use super::measure::SubtreeCounts;

const ANCESTORS_SCORED: usize = 5;
const CANDIDATES_KEPT: usize = 5;
/// Shorter paragraphs say nothing.
const UNIT_CHARS_MIN: u32 = 25;

pub(super) struct Scorer<'a> {
    pub(super) dom: &'a Dom,
    pub(super) hints: &'a HintTable,
    pub(super) counts: &'a SubtreeCounts,
    pub(super) removed: &'a [bool],
    pub(super) weigh_classes: bool,
}

struct Shape {
    /// Inline whatever it holds, or a link of only inline content.
    phrasing: Vec<bool>,
    block_children: Vec<u16>,
    has_block: Vec<bool>,
    /// A `div` around a single `p`: the paragraph stands in its place.
    wrapper: Vec<bool>,
}

impl Scorer<'_> {
    /// The nodes that make the content, in document order. `None` when no
    /// element collected any score: the whole body is the best answer then.
    pub(super) fn roots(&self) -> Option<Vec<NodeIndex>> {
        let shape = self.shape();
        let mut scores = self.scores(&shape);
        let candidates = self.candidates(&mut scores);
        let top = *candidates.first()?;
        if self.dom.tag(top) == Tag::Body {
            return None;
        }
        let top = self.common_ancestor(top, &candidates, &scores);
        let top = self.climb_scores(top, &mut scores);
        let top = self.climb_only_children(top);
        if self.dom.tag(top) == Tag::Body {
            return None;
        }
        Some(self.with_siblings(top, &scores, &shape))
    }

    fn shape(&self) -> Shape {
        let dom = self.dom;
        let mut shape = Shape {
            phrasing: vec![false; dom.len()],
            block_children: vec![0; dom.len()],
            has_block: vec![false; dom.len()],
            wrapper: vec![false; dom.len()],
        };
        for node in (0..dom.len()).rev() {
            let tag = dom.tag(node);
            shape.phrasing[node] = match tag {
                Tag::A | Tag::Ins | Tag::Del => {
                    dom.end(node) > node + 1 && shape.block_children[node] == 0
                }
                _ => tag.is_phrasing(),
            };
            if self.removed[node] {
                continue;
            }
            if let Some(parent) = dom.parent(node) {
                if !shape.phrasing[node] {
                    shape.block_children[parent] = shape.block_children[parent].saturating_add(1);
                }
                shape.has_block[parent] |= shape.has_block[node]
                    || matches!(
                        tag,
                        Tag::Blockquote
                            | Tag::Dl
                            | Tag::Div
                            | Tag::Img
                            | Tag::Ol
                            | Tag::P
                            | Tag::Pre
                            | Tag::Table
                            | Tag::Ul
                    );
            }
        }
        for node in 0..dom.len() {
            shape.wrapper[node] = self.is_wrapper(node);
        }
        shape
    }

    /// Score of each node, NaN where nothing voted.
    fn scores(&self, shape: &Shape) -> Vec<f32> {
        let dom = self.dom;
        let mut scores = vec![f32::NAN; dom.len()];
        let mut node = 0;
        while node < dom.len() {
            if self.removed[node] {
                node = dom.end(node);
                continue;
            }
            match dom.tag(node) {
                Tag::P if !self.has_double_break(node) => self.vote_whole(node, shape, &mut scores),
                Tag::Section | Tag::H2 | Tag::H3 | Tag::H4 | Tag::H5 | Tag::H6 | Tag::Pre => {
                    self.vote_whole(node, shape, &mut scores);
                }
                Tag::Td => {
                    self.vote_whole(node, shape, &mut scores);
                    self.vote_runs(node, true, shape, &mut scores);
                }
                Tag::Div | Tag::Custom if !shape.wrapper[node] => {
                    let only_inline = shape.block_children[node] == 0;
                    if only_inline && self.counts.link_density(node) < 0.25 {
                        self.vote_whole(node, shape, &mut scores);
                    } else {
                        let voted = self.vote_runs(node, false, shape, &mut scores);
                        if !voted && !shape.has_block[node] {
                            self.vote_whole(node, shape, &mut scores);
                        }
                    }
                }
                Tag::P => {
                    self.vote_runs(node, false, shape, &mut scores);
                }
                tag if tag.is_block() => {
                    self.vote_runs(node, true, shape, &mut scores);
                }
                _ => {}
            }
            node += 1;
        }
        scores
    }

    fn is_wrapper(&self, node: NodeIndex) -> bool {
        let dom = self.dom;
        if !matches!(dom.tag(node), Tag::Div | Tag::Custom) {
            return false;
        }
        let mut paragraphs = 0;
        for child in dom.children(node) {
            if self.removed[child] {
                continue;
            }
            match dom.tag(child) {
                Tag::Text if self.counts.chars[child] == 0 => {}
                Tag::P if paragraphs == 0 => paragraphs = 1,
                _ => return false,
            }
        }
        paragraphs == 1 && self.counts.link_density(node) < 0.25
    }

    fn has_double_break(&self, node: NodeIndex) -> bool {
        let mut breaks = 0;
        for child in self.dom.children(node) {
            match self.dom.tag(child) {
                Tag::Br => breaks += 1,
                Tag::Text if self.counts.chars[child] == 0 => {}
                _ => breaks = 0,
            }
            if breaks == 2 {
                return true;
            }
        }
        false
    }

    fn vote_whole(&self, node: NodeIndex, shape: &Shape, scores: &mut [f32]) {
        if let Some(parent) = self.dom.parent(node) {
            self.vote(
                self.counts.chars[node],
                self.counts.commas[node],
                parent,
                shape,
                scores,
            );
        }
    }

    /// Each run of inline children votes like a paragraph. With
    /// `after_break_only`, only runs that follow `<br><br>`.
    fn vote_runs(
        &self,
        node: NodeIndex,
        after_break_only: bool,
        shape: &Shape,
        scores: &mut [f32],
    ) -> bool {
        let (mut chars, mut commas, mut breaks) = (0, 0, 0);
        let mut counting = !after_break_only;
        let mut voted = false;
        for child in self.dom.children(node) {
            if self.removed[child] {
                continue;
            }
            let ends_run = if self.dom.tag(child) == Tag::Br {
                breaks += 1;
                breaks == 2
            } else if shape.phrasing[child] {
                if self.counts.chars[child] > 0 {
                    breaks = 0;
                }
                false
            } else {
                breaks = 0;
                true
            };
            if ends_run {
                if counting && chars > 0 {
                    voted = true;
                    self.vote(chars, commas, node, shape, scores);
                }
                (chars, commas) = (0, 0);
                counting = !after_break_only || breaks == 2;
            } else if counting && shape.phrasing[child] {
                chars += self.counts.chars[child];
                commas += self.counts.commas[child];
            }
        }
        if counting && chars > 0 {
            voted = true;
            self.vote(chars, commas, node, shape, scores);
        }
        voted
    }

    fn vote(
        &self,
        chars: u32,
        commas: u32,
        first_ancestor: NodeIndex,
        shape: &Shape,
        scores: &mut [f32],
    ) {
        if chars < UNIT_CHARS_MIN {
            return;
        }
        let score = (2 + commas + (chars / 100).min(3)) as f32;
        let mut level = 0;
        let mut ancestor = Some(first_ancestor);
        while let Some(node) = ancestor
            && level < ANCESTORS_SCORED
        {
            let next = self.dom.parent(node);
            if shape.wrapper[node] {
                ancestor = next;
                continue;
            }
            let divider = match level {
                0 => 1.0,
                1 => 2.0,
                _ => (level * 3) as f32,
            };
            if scores[node].is_nan() {
                scores[node] = self.base_score(node);
            }
            scores[node] += score / divider;
            level += 1;
            ancestor = next;
        }
    }

    fn base_score(&self, node: NodeIndex) -> f32 {
        let base = match self.dom.tag(node) {
            Tag::Div | Tag::Custom => 5.0,
            Tag::Pre | Tag::Td | Tag::Blockquote => 3.0,
            Tag::Address
            | Tag::Ol
            | Tag::Ul
            | Tag::Dl
            | Tag::Dd
            | Tag::Dt
            | Tag::Li
            | Tag::Form => -3.0,
            Tag::H1 | Tag::H2 | Tag::H3 | Tag::H4 | Tag::H5 | Tag::H6 | Tag::Th => -5.0,
            _ => 0.0,
        };
        base + self.class_weight(node)
    }

    fn class_weight(&self, node: NodeIndex) -> f32 {
        if self.weigh_classes {
            f32::from(self.hints.weight[node])
        } else {
            0.0
        }
    }

    fn candidates(&self, scores: &mut [f32]) -> Vec<NodeIndex> {
        let mut candidates = Vec::new();
        for (node, score) in scores.iter_mut().enumerate() {
            if score.is_nan() {
                continue;
            }
            if *score > 5.0 {
                *score *= 1.0 - self.counts.link_density(node).min(1.0);
            }
            if *score > 0.0 {
                candidates.push(node);
            }
        }
        candidates.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        candidates.truncate(CANDIDATES_KEPT);
        candidates
    }

    fn ancestors(&self, node: NodeIndex) -> impl Iterator<Item = NodeIndex> {
        std::iter::successors(self.dom.parent(node), |parent| self.dom.parent(*parent))
    }

    /// When at least three others score nearly as well, they are parts of one
    /// content: take the closest ancestor they share.
    fn common_ancestor(
        &self,
        top: NodeIndex,
        candidates: &[NodeIndex],
        scores: &[f32],
    ) -> NodeIndex {
        let close: Vec<NodeIndex> = candidates[1..]
            .iter()
            .copied()
            .filter(|node| scores[*node] / scores[top] >= 0.75)
            .collect();
        if close.len() < 3 {
            return top;
        }
        self.ancestors(top)
            .take_while(|ancestor| self.dom.tag(*ancestor) != Tag::Body)
            .find(|ancestor| {
                let within =
                    |node: &&NodeIndex| **node > *ancestor && **node < self.dom.end(*ancestor);
                close.iter().filter(within).count() >= 3
            })
            .unwrap_or(top)
    }

    /// Ancestors share the votes of all their parts: a score that rises on the
    /// way up means more content beside the candidate.
    fn climb_scores(&self, top: NodeIndex, scores: &mut [f32]) -> NodeIndex {
        if scores[top].is_nan() {
            scores[top] = self.base_score(top);
        }
        let mut last = scores[top];
        let threshold = last / 3.0;
        for ancestor in self.ancestors(top) {
            if self.dom.tag(ancestor) == Tag::Body {
                break;
            }
            let score = scores[ancestor];
            if score.is_nan() {
                continue;
            }
            if score < threshold {
                break;
            }
            if score > last {
                return ancestor;
            }
            last = score;
        }
        top
    }

    fn climb_only_children(&self, top: NodeIndex) -> NodeIndex {
        let mut top = top;
        while let Some(parent) = self.dom.parent(top) {
            if self.dom.tag(parent) == Tag::Body {
                break;
            }
            let others = self.dom.children(parent).any(|child| {
                child != top
                    && !self.removed[child]
                    && (self.dom.tag(child) != Tag::Text || self.counts.chars[child] > 0)
            });
            if others {
                break;
            }
            top = parent;
        }
        top
    }

    fn with_siblings(&self, top: NodeIndex, scores: &[f32], shape: &Shape) -> Vec<NodeIndex> {
        let dom = self.dom;
        let Some(parent) = dom.parent(top) else {
            return vec![top];
        };
        let top_score = scores[top];
        let threshold = (top_score * 0.2).max(10.0);
        let class = |node| dom.attribute(node, &html5ever::local_name!("class"));
        let top_class = class(top).filter(|class| !class.is_empty());
        let mut roots = Vec::new();
        let mut run: Vec<NodeIndex> = Vec::new();
        for sibling in dom.children(parent) {
            if self.removed[sibling] {
                continue;
            }
            if shape.phrasing[sibling] && sibling != top {
                run.push(sibling);
                continue;
            }
            self.join_run(&mut run, &mut roots);
            let joins = sibling == top || {
                let bonus = if top_class.is_some() && class(sibling) == top_class {
                    top_score * 0.2
                } else {
                    0.0
                };
                if scores[sibling] > 0.0 {
                    scores[sibling] + bonus >= threshold
                } else {
                    dom.tag(sibling) == Tag::P && self.reads_like_text(&[sibling])
                }
            };
            if joins {
                roots.push(sibling);
            }
        }
        self.join_run(&mut run, &mut roots);
        roots
    }

    fn join_run(&self, run: &mut Vec<NodeIndex>, roots: &mut Vec<NodeIndex>) {
        if self.reads_like_text(run) {
            roots.append(run);
        }
        run.clear();
    }

    /// A paragraph beside the content: long with few links, or a plain sentence.
    fn reads_like_text(&self, nodes: &[NodeIndex]) -> bool {
        let chars: u32 = nodes.iter().map(|node| self.counts.chars[*node]).sum();
        if chars == 0 {
            return false;
        }
        let links: f32 = nodes.iter().map(|node| self.counts.link_chars[*node]).sum();
        if chars > 80 {
            return links / (chars as f32) < 0.25;
        }
        links == 0.0 && nodes.iter().any(|node| self.ends_sentence(*node))
    }

    fn ends_sentence(&self, node: NodeIndex) -> bool {
        let text = self.dom.folded_text(node, 1_000);
        text.ends_with(['.', '!', '?', '\u{06D4}', '\u{061F}', '\u{3002}']) || text.contains(". ")
    }
}
