//! Text, link and comma counts of every subtree, in one pass from the back.

use html5ever::local_name;

use crate::html::{Dom, NodeIndex, Tag};

/// Counts that hold for the whole page, whatever is removed later.
pub(super) struct OwnCounts {
    /// Characters of a text node with white space folded.
    pub(super) chars: Vec<u32>,
    pub(super) commas: Vec<u32>,
}

impl OwnCounts {
    pub(super) fn new(dom: &Dom) -> OwnCounts {
        let mut counts = OwnCounts {
            chars: vec![0; dom.len()],
            commas: vec![0; dom.len()],
        };
        for node in 0..dom.len() {
            if dom.tag(node) == Tag::Text {
                (counts.chars[node], counts.commas[node]) = count(dom.text(node));
            }
        }
        counts
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
