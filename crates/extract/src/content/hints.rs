//! What `class` and `id` say about an element: words that template authors use
//! for content and for everything around it.

use std::collections::HashMap;

use html5ever::local_name;

use crate::html::{Dom, Tag};

/// Signs found in an element's `class` and `id`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hints(u16);

impl Hints {
    pub(super) const UNLIKELY: Hints = Hints(1);
    pub(super) const MAYBE: Hints = Hints(1 << 1);
    pub(super) const NEGATIVE: Hints = Hints(1 << 2);
    pub(super) const POSITIVE: Hints = Hints(1 << 3);
    pub(super) const SHARE: Hints = Hints(1 << 4);
    pub(super) const BYLINE: Hints = Hints(1 << 5);
    pub(super) const RELATED: Hints = Hints(1 << 6);
    pub(super) const COMMENTS: Hints = Hints(1 << 7);
    pub(super) const CONSENT: Hints = Hints(1 << 8);
    pub(super) const NAVIGATION: Hints = Hints(1 << 9);
    pub(super) const SIDEBAR: Hints = Hints(1 << 13);
    pub(super) const CONTENTS: Hints = Hints(1 << 12);
    pub(super) const CAPTION: Hints = Hints(1 << 11);

    pub(super) fn has(self, other: Hints) -> bool {
        self.0 & other.0 != 0
    }

    fn add(&mut self, other: Hints) {
        self.0 |= other.0;
    }
}

/// Hints and class weight of every node.
pub(super) struct HintTable {
    pub(super) hints: Vec<Hints>,
    /// The same from `class` alone: in manuals an `id` is made of the heading.
    pub(super) class_hints: Vec<Hints>,
    /// Sum over `class` and `id` of -25 for a bad and +25 for a good name.
    pub(super) weight: Vec<i8>,
}

/// Longer attributes (generated utility classes) say nothing.
const NAME_BYTES_MAX: usize = 512;

#[rustfmt::skip]
const SUBSTRINGS: &[(&str, Hints)] = &[
    // Rarely the content itself.
    ("-ad-", Hints(1 | 4)), ("ad-break", Hints(1)), ("agegate", Hints(1)), ("ai2html", Hints(1)),
    ("banner", Hints(1 | 4)), ("breadcrumb", Hints(1 | 512)), ("combx", Hints(1 | 4)),
    ("comment", Hints(1 | 4 | 128)), ("community", Hints(1)), ("cover-wrap", Hints(1)),
    ("disqus", Hints(1 | 128)), ("extra", Hints(1)), ("footer", Hints(1 | 4)),
    ("gdpr", Hints(1 | 4 | 256)), ("header", Hints(1)), ("legends", Hints(1)),
    ("menu", Hints(1)), ("related", Hints(1 | 4 | 64)), ("remark", Hints(1)),
    ("replies", Hints(1)), ("rss", Hints(1)), ("shoutbox", Hints(1 | 4)),
    ("sidebar", Hints(1 | 4 | 8192)), ("skyscraper", Hints(1 | 4)), ("social", Hints(1)),
    ("sponsor", Hints(1 | 4)), ("supplemental", Hints(1)), ("pagination", Hints(1 | 512)),
    ("pager", Hints(1)), ("popup", Hints(1)),
    // Named like content after all.
    ("and", Hints(2)), ("article", Hints(2 | 8)), ("body", Hints(2 | 8)), ("column", Hints(2)),
    ("content", Hints(2 | 8)), ("layout", Hints(2)), ("main", Hints(2 | 8)), ("mathjax", Hints(2)),
    ("shadow", Hints(2)),
    // Weight only.
    ("com-", Hints(4)), ("contact", Hints(4)), ("hidden", Hints(4)), ("masthead", Hints(4)),
    ("media", Hints(4)), ("meta", Hints(4)), ("outbrain", Hints(4 | 64)), ("promo", Hints(4)),
    ("scroll", Hints(4)), ("share", Hints(4)), ("shopping", Hints(4)), ("tags", Hints(4)),
    ("widget", Hints(4)),
    ("blog", Hints(8)), ("entry", Hints(8)), ("page", Hints(8)), ("post", Hints(8)),
    ("story", Hints(8)), ("text", Hints(8)),
    // Kinds of surroundings.
    ("byline", Hints(32)), ("dateline", Hints(32)), ("author", Hints(32)), ("writtenby", Hints(32)),
    ("taboola", Hints(64)), ("recommend", Hints(64)), ("recirc", Hints(64)),
    ("newsletter", Hints(64)), ("you-may", Hints(64)),
    ("caption", Hints(2048)),
    ("cookie", Hints(256)), ("consent", Hints(256)),
    ("navigation", Hints(512)), ("navbar", Hints(512)), ("navheader", Hints(512)),
    ("navfooter", Hints(512)), ("docnav", Hints(512)), ("headerlink", Hints(512)),
    ("skip-link", Hints(512)), ("skiplink", Hints(512)), ("noprint", Hints(512)),
    ("editsection", Hints(512)),
];

impl HintTable {
    pub(super) fn new(dom: &Dom) -> HintTable {
        let by_first_byte = first_bytes();
        let mut table = HintTable {
            hints: vec![Hints::default(); dom.len()],
            class_hints: vec![Hints::default(); dom.len()],
            weight: vec![0; dom.len()],
        };
        // Class names repeat within a page.
        let mut known: HashMap<&str, (Hints, i8)> = HashMap::new();
        for node in 0..dom.len() {
            if dom.tag(node) == Tag::Text {
                continue;
            }
            for name in [local_name!("class"), local_name!("id")] {
                let Some(value) = dom.attribute(node, &name) else {
                    continue;
                };
                if value.len() > NAME_BYTES_MAX {
                    continue;
                }
                let (hints, weight) = *known
                    .entry(value)
                    .or_insert_with(|| look_up(value, &by_first_byte));
                table.hints[node].add(hints);
                if name == local_name!("class") {
                    table.class_hints[node].add(hints);
                }
                table.weight[node] += weight;
            }
        }
        table
    }
}

type FirstBytes = [(u8, u8); 256];

/// Range of `SUBSTRINGS_SORTED` for each first byte.
fn first_bytes() -> Box<FirstBytes> {
    let mut table = Box::new([(0_u8, 0_u8); 256]);
    for (position, index) in sorted().iter().enumerate() {
        let first = SUBSTRINGS[*index as usize].0.as_bytes()[0];
        let slot = &mut table[first as usize];
        if slot.1 == 0 {
            slot.0 = position as u8;
        }
        slot.1 = position as u8 + 1;
    }
    table
}

fn sorted() -> &'static [u8] {
    static SORTED: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    SORTED.get_or_init(|| {
        let mut order: Vec<u8> = (0..SUBSTRINGS.len() as u8).collect();
        order.sort_by_key(|index| SUBSTRINGS[*index as usize].0);
        order
    })
}

fn look_up(value: &str, by_first_byte: &FirstBytes) -> (Hints, i8) {
    let lower = value.to_ascii_lowercase();
    let bytes = lower.as_bytes();
    let mut hints = Hints::default();
    for start in 0..bytes.len() {
        let (from, to) = by_first_byte[bytes[start] as usize];
        for index in &sorted()[from as usize..to as usize] {
            let (pattern, found) = SUBSTRINGS[*index as usize];
            if bytes[start..].starts_with(pattern.as_bytes()) {
                hints.add(found);
            }
        }
    }
    for word in lower.split(|c: char| c.is_ascii_whitespace() || c == '_' || c == '-') {
        match word {
            "share" | "sharing" | "sharedaddy" | "addthis" | "sharethis" => hints.add(Hints::SHARE),
            "hid" => hints.add(Hints::NEGATIVE),
            "nav" => hints.add(Hints::NAVIGATION),
            "toc" | "toctree" | "contents" => hints.add(Hints::CONTENTS),
            _ => {}
        }
    }
    let mut weight = 0;
    if hints.has(Hints::NEGATIVE) {
        weight -= 25;
    }
    if hints.has(Hints::POSITIVE) {
        weight += 25;
    }
    (hints, weight)
}
