//! Pages of manuals: everything but the navigation is content.
//!
//! A manual's page is sections, lists, definitions, code and boxes with names
//! like "sidebar", often with little running text. Scoring paragraphs keeps a
//! part of it; leaving out what navigates keeps the whole.

use html5ever::local_name;

use crate::html::{Dom, NodeIndex, PageScan, Tag};

use super::hints::{HintTable, Hints};
use super::measure::SubtreeCounts;

/// Tools whose pages are documentation, as their `generator` tags spell them.
const GENERATORS: [&str; 16] = [
    "docbook",
    "sphinx",
    "docutils",
    "publican",
    "doxygen",
    "mkdocs",
    "docusaurus",
    "asciidoctor",
    "mdbook",
    "gitbook",
    "javadoc",
    "rustdoc",
    "texinfo",
    "makeinfo",
    "vitepress",
    "antora",
];
/// Class names that documentation tools give to sections and listings.
const CLASSES: [&str; 18] = [
    "sect1",
    "sect2",
    "refsect1",
    "refentry",
    "titlepage",
    "programlisting",
    "docblock",
    "markdown-body",
    "rst-content",
    "theme-doc-markdown",
    "memitem",
    "memdoc",
    "highlight-python3",
    "highlight-default",
    "highlight-console",
    "literal-block",
    "listingblock",
    "md-typeset",
];
const EVIDENCE_ENOUGH: u32 = 2;
/// A marked main element is believed when it holds this share of the text.
const MAIN_SHARE_MIN: f32 = 0.1;
/// Classes of the one element that holds the rendered source.
const BODY_CLASSES: [&str; 6] = [
    "markdown-body",
    "rst-content",
    "theme-doc-markdown",
    "md-content",
    "docblock",
    "md-typeset",
];
const BODY_SHARE_MIN: f32 = 0.4;
/// Less text than this without its tables of contents: they are the content.
const CHARS_WITHOUT_CONTENTS_MIN: u32 = 400;
/// Page furniture with a telling name is at most this share of the text.
const FURNITURE_SHARE_MAX: f32 = 0.15;
/// A bar of links at the top or bottom of a page, characters.
const LINK_BAR_CHARS_MAX: u32 = 300;

pub(super) fn is_documentation(dom: &Dom, scan: &PageScan) -> bool {
    let mut evidence = u32::from(scan.has_manual_links);
    let generated = scan
        .metas
        .iter()
        .filter(|(name, _)| name == "generator")
        .any(|(_, tool)| {
            let tool = tool.to_ascii_lowercase();
            GENERATORS.iter().any(|known| tool.contains(known))
        });
    if generated {
        return true;
    }
    let mut permalinks = 0;
    let mut code = 0;
    let mut classed = false;
    for node in 0..dom.len() {
        match dom.tag(node) {
            Tag::Text => continue,
            Tag::A if is_permalink(dom, node) => permalinks += 1,
            Tag::Pre | Tag::Code => code += 1,
            _ => {}
        }
        if !classed && let Some(class) = dom.attribute(node, &local_name!("class")) {
            classed = class
                .split_ascii_whitespace()
                .any(|word| CLASSES.contains(&word));
        }
    }
    evidence += u32::from(permalinks >= 2) + u32::from(code >= 8) + u32::from(classed);
    evidence >= EVIDENCE_ENOUGH
}

/// A heading's link to itself.
fn is_permalink(dom: &Dom, node: NodeIndex) -> bool {
    let to_itself = dom
        .attribute(node, &local_name!("href"))
        .is_some_and(|href| href.len() > 1 && href.starts_with('#'));
    to_itself
        && dom
            .parent(node)
            .is_some_and(|parent| dom.tag(parent).heading_level().is_some())
        && dom.folded_text(node, 8).chars().count() <= 1
}

/// Marks the navigation as removed and returns the root of the content.
pub(super) fn content(
    dom: &Dom,
    hints: &HintTable,
    counts: &SubtreeCounts,
    removed: &mut [bool],
) -> NodeIndex {
    let root = root(dom, counts);
    let mut contents: Vec<NodeIndex> = Vec::new();
    let mut kept = counts.chars[root];
    let mut node = root + 1;
    while node < dom.end(root) {
        if removed[node] || dom.tag(node) == Tag::Text {
            node = dom.end(node);
            continue;
        }
        if is_contents(dom, hints, counts, node) {
            contents.push(node);
            kept -= counts.chars[node].min(kept);
            node = dom.end(node);
            continue;
        }
        if navigates(dom, hints, counts, root, node) {
            removed[node] = true;
            kept -= counts.chars[node].min(kept);
            node = dom.end(node);
            continue;
        }
        node += 1;
    }
    let contents_chars: u32 = contents.iter().map(|list| counts.chars[*list]).sum();
    if kept >= CHARS_WITHOUT_CONTENTS_MIN && kept > contents_chars {
        for list in contents {
            removed[list] = true;
        }
    }
    root
}

/// The element that says it is the main one, else the body.
fn root(dom: &Dom, counts: &SubtreeCounts) -> NodeIndex {
    let marked = |within: NodeIndex, share_min: f32, is_marked: &dyn Fn(NodeIndex) -> bool| {
        let enough = (counts.chars[within] as f32 * share_min).max(1.0);
        (within + 1..dom.end(within)).find(|node| {
            dom.tag(*node) != Tag::Text && counts.chars[*node] as f32 >= enough && is_marked(*node)
        })
    };
    let main = marked(0, MAIN_SHARE_MIN, &|node| {
        dom.tag(node) == Tag::Main || dom.attribute(node, &local_name!("role")) == Some("main")
    })
    .unwrap_or(0);
    let body = marked(main, BODY_SHARE_MIN, &|node| {
        dom.attribute(node, &local_name!("class"))
            .is_some_and(|class| {
                class
                    .split_ascii_whitespace()
                    .any(|word| BODY_CLASSES.contains(&word))
            })
    });
    body.unwrap_or(main)
}

/// A table of contents of this page or of the pages below it.
fn is_contents(dom: &Dom, hints: &HintTable, counts: &SubtreeCounts, node: NodeIndex) -> bool {
    hints.class_hints[node].has(Hints::CONTENTS)
        && dom.tag(node).is_block()
        && counts.raw_link_density(dom, node) > 0.5
}

fn navigates(
    dom: &Dom,
    hints: &HintTable,
    counts: &SubtreeCounts,
    root: NodeIndex,
    node: NodeIndex,
) -> bool {
    let tag = dom.tag(node);
    if matches!(
        tag,
        Tag::Nav | Tag::Form | Tag::Button | Tag::Select | Tag::Textarea
    ) {
        return true;
    }
    if matches!(
        dom.attribute(node, &local_name!("role")),
        Some("navigation" | "search" | "banner" | "contentinfo" | "menu" | "menubar")
    ) {
        return true;
    }
    let found = hints.class_hints[node];
    if !tag.is_block() || matches!(tag, Tag::Pre | Tag::Table | Tag::Tr | Tag::Td | Tag::Th) {
        return found.has(Hints::NAVIGATION) && tag == Tag::Table;
    }
    if found.has(Hints::NAVIGATION) {
        return true;
    }
    // Headers, footers and bars of links stand near the root, not in the text.
    let level = std::iter::successors(dom.parent(node), |node| dom.parent(*node))
        .take_while(|ancestor| *ancestor >= root)
        .take(4)
        .count();
    if level > 3 {
        return false;
    }
    let share = counts.chars[node] as f32 / counts.chars[root].max(1) as f32;
    let furniture = (tag == Tag::Footer
        || (found.has(Hints::UNLIKELY)
            && !found.has(Hints::MAYBE)
            && level <= 2
            && !found.has(Hints::SIDEBAR)))
        && share < FURNITURE_SHARE_MAX;
    let link_bar = level == 1
        && tag.heading_level().is_none()
        && counts.chars[node] < LINK_BAR_CHARS_MAX
        && share < FURNITURE_SHARE_MAX
        && counts.raw_link_density(dom, node) > 0.8;
    furniture || link_bar
}
