//! Text, link and comma counts of every subtree, in one pass from the back.

use html5ever::local_name;

use crate::html::{Dom, NodeIndex, Tag};

/// Counts that hold for the whole page, whatever is removed later.
pub(super) struct OwnCounts {
    /// Characters of a text node with white space folded.
    pub(super) chars: Vec<u32>,
    pub(super) commas: Vec<u32>,
    /// Characters of all nodes before each node, so that any subtree's count
    /// is one subtraction.
    before: Vec<u32>,
}

impl OwnCounts {
    pub(super) fn new(dom: &Dom) -> OwnCounts {
        let mut counts = OwnCounts {
            chars: vec![0; dom.len()],
            commas: vec![0; dom.len()],
            before: Vec::with_capacity(dom.len() + 1),
        };
        let mut total = 0;
        for node in 0..dom.len() {
            counts.before.push(total);
            if dom.tag(node) == Tag::Text {
                (counts.chars[node], counts.commas[node]) = count(dom.text(node));
                total += counts.chars[node];
            }
        }
        counts.before.push(total);
        counts
    }

    /// Characters below `node`, removed parts included.
    pub(super) fn chars_below(&self, dom: &Dom, node: NodeIndex) -> u32 {
        self.before[dom.end(node)] - self.before[node]
    }
}

fn count(text: &str) -> (u32, u32) {
    let mut characters = 0;
    let mut commas = 0;
    let mut blank = true;
    if text.is_ascii() {
        for byte in text.bytes() {
            let is_blank = byte.is_ascii_whitespace();
            characters += u32::from(!is_blank || !blank);
            blank = is_blank;
            commas += u32::from(byte == b',');
        }
    } else {
        for character in text.chars() {
            let is_blank = character.is_whitespace();
            characters += u32::from(!is_blank || !blank);
            blank = is_blank;
            commas += u32::from(is_comma(character));
        }
    }
    (characters, commas)
}

/// Latin, Arabic, ideographic and full-width commas.
fn is_comma(character: char) -> bool {
    matches!(
        character,
        ',' | '\u{060C}'
            | '\u{3001}'
            | '\u{FF0C}'
            | '\u{FE50}'
            | '\u{FE10}'
            | '\u{FE11}'
            | '\u{2E41}'
    )
}

/// Counts of the subtrees that are left.
pub(super) struct SubtreeCounts {
    pub(super) chars: Vec<u32>,
    pub(super) link_chars: Vec<f32>,
    pub(super) commas: Vec<u32>,
}

impl SubtreeCounts {
    pub(super) fn new(dom: &Dom, own: &OwnCounts, removed: &[bool]) -> SubtreeCounts {
        let mut counts = SubtreeCounts {
            chars: own.chars.clone(),
            commas: own.commas.clone(),
            link_chars: vec![0.0; dom.len()],
        };
        for node in (0..dom.len()).rev() {
            if dom.tag(node) == Tag::A {
                counts.link_chars[node] = counts.chars[node] as f32 * link_weight(dom, node);
            }
            if removed[node] {
                continue;
            }
            if let Some(parent) = dom.parent(node) {
                counts.chars[parent] += counts.chars[node];
                counts.commas[parent] += counts.commas[node];
                counts.link_chars[parent] += counts.link_chars[node];
            }
        }
        counts
    }

    /// Share of the text that stands in links, links within the page included.
    pub(super) fn raw_link_density(&self, dom: &Dom, node: NodeIndex) -> f32 {
        let mut linked = 0;
        let mut below = node;
        while below < dom.end(node) {
            if dom.tag(below) == Tag::A && dom.attribute(below, &local_name!("href")).is_some() {
                linked += self.chars[below];
                below = dom.end(below);
            } else {
                below += 1;
            }
        }
        linked as f32 / self.chars[node].max(1) as f32
    }

    pub(super) fn link_density(&self, node: NodeIndex) -> f32 {
        if self.chars[node] == 0 {
            return 0.0;
        }
        self.link_chars[node] / self.chars[node] as f32
    }
}

/// Links within the page (footnotes, contents) count less; anchors without a
/// target count nothing.
pub(super) fn link_weight(dom: &Dom, node: NodeIndex) -> f32 {
    match dom.attribute(node, &local_name!("href")) {
        Some(href) if href.len() > 1 && href.starts_with('#') => 0.3,
        Some(_) => 1.0,
        None => 0.0,
    }
}
