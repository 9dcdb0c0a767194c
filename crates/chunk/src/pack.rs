//! Units that are never cut, and how they fill chunks.

use std::ops::Range;

use types::BlockKind;
use unicode_segmentation::UnicodeSegmentation;

use crate::sections::Part;
use crate::sentences::each_sentence;
use crate::tokens::centitokens;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnitKind {
    Heading,
    /// A whole sentence of prose.
    Sentence,
    /// A line of a table or of code.
    Line,
    /// Part of a sentence or line too long for one chunk.
    Piece,
}

/// A sentence, a line or a heading. The units of a block tile it: white space
/// after a unit belongs to the unit.
#[derive(Clone, Debug)]
pub(crate) struct Unit {
    pub(crate) range: Range<usize>,
    pub(crate) kind: UnitKind,
    /// Hundredths of a token.
    pub(crate) cost: u32,
    /// Index of the block it belongs to.
    pub(crate) block: usize,
    /// Begins a word, so that its cost adds exactly to what stands before it.
    pub(crate) after_space: bool,
}

/// Appends the units of one block.
pub(crate) fn units_of_block(
    text: &str,
    part: &Part,
    block: usize,
    cost_max: u32,
    units: &mut Vec<Unit>,
) {
    let body = &text[part.range.clone()];
    let mut starts: Vec<usize> = Vec::new();
    let kind = match part.kind {
        BlockKind::Heading(_) => UnitKind::Heading,
        BlockKind::Table | BlockKind::Code => {
            starts.extend(body.match_indices('\n').map(|(at, _)| at + 1));
            UnitKind::Line
        }
        BlockKind::Paragraph | BlockKind::ListItem | BlockKind::Quote => {
            let mut first = true;
            each_sentence(body, |sentence| {
                if !first {
                    starts.push(sentence.start);
                }
                first = false;
            });
            UnitKind::Sentence
        }
    };
    let mut from = 0;
    for end in starts.into_iter().chain([body.len()]) {
        if end > from {
            let range = part.range.start + from..part.range.start + end;
            push_unit(text, range, kind, block, cost_max, units);
            from = end;
        }
    }
}

fn push_unit(
    text: &str,
    range: Range<usize>,
    kind: UnitKind,
    block: usize,
    cost_max: u32,
    units: &mut Vec<Unit>,
) {
    let after_space = text[..range.start]
        .chars()
        .next_back()
        .is_none_or(char::is_whitespace);
    let cost = centitokens(&text[range.clone()], after_space);
    if cost <= cost_max {
        units.push(Unit {
            range,
            kind,
            cost,
            block,
            after_space,
        });
        return;
    }
    for (range, cost) in pieces(text, range, cost_max) {
        units.push(Unit {
            range,
            kind: UnitKind::Piece,
            cost,
            block,
            after_space: false,
        });
    }
}

/// Cuts a range at word boundaries, and words that are too long by themselves
/// between grapheme clusters. A single cluster over the budget stays whole.
fn pieces(text: &str, range: Range<usize>, cost_max: u32) -> Vec<(Range<usize>, u32)> {
    /// A cut inside a word can cost a token on each side of it.
    const CUT_COST: u32 = 200;
    let mut found: Vec<(Range<usize>, u32)> = Vec::new();
    let mut current = range.start..range.start;
    let mut current_cost = 0u32;
    let mut add = |piece: Range<usize>, cost: u32| {
        if current_cost.saturating_add(cost) > cost_max && !current.is_empty() {
            found.push((current.clone(), current_cost));
            current = piece.start..piece.start;
            current_cost = 0;
        }
        current.end = piece.end;
        current_cost = current_cost.saturating_add(cost);
    };
    let mut at = range.start;
    for word in text[range.clone()].split_inclusive(char::is_whitespace) {
        let cost = centitokens(word, true);
        if cost <= cost_max {
            add(at..at + word.len(), cost);
        } else {
            // Stretches of clusters of a twentieth of the budget keep this linear.
            let stretch_max = (cost_max / 20).max(300);
            let mut from = at;
            let mut cost = 0u32;
            for (offset, cluster) in word.grapheme_indices(true) {
                let next = centitokens(cluster, false);
                if cost + next > stretch_max && cost > 0 {
                    add(from..at + offset, cost.saturating_add(CUT_COST));
                    from = at + offset;
                    cost = 0;
                }
                cost = cost.saturating_add(next);
            }
            add(from..at + word.len(), cost.saturating_add(CUT_COST));
        }
        at += word.len();
    }
    if !current.is_empty() {
        found.push((current, current_cost));
    }
    found
}

/// Budget of packing, in hundredths of a token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    pub(crate) max: u32,
    pub(crate) min: u32,
    pub(crate) overlap: u32,
}

/// One chunk to be: the units that are its own, and the earlier ones it repeats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packed {
    pub(crate) own: Range<usize>,
    /// First unit including overlap; `own.start` when there is none.
    pub(crate) from: usize,
}

/// Distributes the units of one section over as few chunks as fit, evenly, with
/// cuts between blocks where the budget allows.
pub(crate) fn pack(units: &[Unit], range: Range<usize>, budget: Budget) -> Vec<Packed> {
    let total = range_cost(units, &range);
    if total <= budget.max {
        return vec![Packed {
            from: range.start,
            own: range,
        }];
    }
    // Later chunks leave room for what they repeat of the one before.
    let later_max = budget.max - budget.overlap.min(budget.max / 2);
    let count = total.div_ceil(later_max).max(1);
    let target = total / count;
    let mut cuts: Vec<Range<usize>> = Vec::new();
    let mut start = range.start;
    let mut cost = 0u32;
    for at in range.clone() {
        let unit = &units[at];
        let max = if cuts.is_empty() {
            budget.max
        } else {
            later_max
        };
        let block_starts = at > start && unit.block != units[at - 1].block;
        let full = cost.saturating_add(unit.cost) > max;
        let enough = block_starts
            && cost >= target - target / 4
            && cost.saturating_add(block_cost(units, at, range.end)) > target + target / 4;
        let heading_before = at > start && units[at - 1].kind == UnitKind::Heading;
        if at > start && (full || (enough && !heading_before)) {
            // A heading moves on to the text it belongs to, if both fit.
            let heading_fits = heading_before
                && at - 1 > start
                && units[at - 1].cost.saturating_add(unit.cost) <= later_max;
            let cut = if heading_fits { at - 1 } else { at };
            cuts.push(start..cut);
            start = cut;
            cost = range_cost(units, &(cut..at));
        }
        cost = cost.saturating_add(unit.cost);
    }
    cuts.push(start..range.end);
    feed_tail(units, &mut cuts, budget.min, later_max);
    cuts.iter()
        .enumerate()
        .map(|(i, own)| {
            let earlier = if i == 0 {
                own.clone()
            } else {
                cuts[i - 1].clone()
            };
            Packed {
                own: own.clone(),
                from: overlap_start(units, own, &earlier, budget),
            }
        })
        .collect()
}

/// A last chunk below the minimum takes units from the one before, or joins it.
fn feed_tail(units: &[Unit], cuts: &mut Vec<Range<usize>>, min: u32, later_max: u32) {
    let [.., before, tail] = cuts.as_mut_slice() else {
        return;
    };
    let mut before_cost = range_cost(units, before);
    let mut tail_cost = range_cost(units, tail);
    if tail_cost < min && before_cost.saturating_add(tail_cost) <= later_max {
        before.end = tail.end;
        cuts.pop();
        return;
    }
    while tail_cost < min && before.len() > 1 {
        let moved = units[before.end - 1].cost;
        if tail_cost + moved > later_max || before_cost - moved < min {
            break;
        }
        before.end -= 1;
        tail.start -= 1;
        before_cost -= moved;
        tail_cost += moved;
    }
}

/// First of the whole sentences at the end of the chunk before that still fit.
fn overlap_start(
    units: &[Unit],
    own: &Range<usize>,
    earlier: &Range<usize>,
    budget: Budget,
) -> usize {
    let mut room = budget
        .overlap
        .min(budget.max.saturating_sub(range_cost(units, own)));
    let mut from = own.start;
    while from > earlier.start + 1 && from <= earlier.end {
        let unit = &units[from - 1];
        if unit.kind != UnitKind::Sentence || unit.cost > room {
            break;
        }
        room -= unit.cost;
        from -= 1;
    }
    from
}

fn range_cost(units: &[Unit], range: &Range<usize>) -> u32 {
    crate::sections::cost_of(&units[range.clone()])
}

/// Cost of the rest of the block that begins at `at`.
fn block_cost(units: &[Unit], at: usize, end: usize) -> u32 {
    let block = units[at].block;
    units[at..end]
        .iter()
        .take_while(|u| u.block == block)
        .fold(0, |sum, u| sum.saturating_add(u.cost))
}
