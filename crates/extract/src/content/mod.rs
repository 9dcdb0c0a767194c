//! Which nodes of a page are its content.

mod clean;
mod documentation;
mod hints;
mod measure;
mod score;
mod table;
mod widen;

use html5ever::local_name;

use crate::html::{Dom, NodeIndex, PageScan, Tag};
use clean::Cleaner;
use hints::{HintTable, Hints};
use measure::{OwnCounts, SubtreeCounts};
use score::Scorer;
use widen::Prose;

pub(crate) use table::{column_span, looks_like_data};

/// An extraction below this many characters is tried again with less care.
const CONTENT_CHARS_ENOUGH: u32 = 500;
/// With less text than this, what the page hides is looked at too.
const HIDDEN_TEXT_CHARS_MAX: u32 = 150;

/// The content: roots in document order, and what is left out below them.
#[derive(Debug, Default)]
pub(crate) struct Content {
    pub(crate) roots: Vec<NodeIndex>,
    pub(crate) removed: Vec<bool>,
    /// The page is made by a documentation tool, or looks like it.
    pub(crate) is_documentation: bool,
}

#[derive(Clone, Copy)]
struct Care {
    strip_unlikely: bool,
    weigh_classes: bool,
    clean_conditionally: bool,
}

impl Care {
    const FULL: Care = Care {
        strip_unlikely: true,
        weigh_classes: true,
        clean_conditionally: true,
    };
    const LESS_AND_LESS: [Care; 4] = [
        Care::FULL,
        Care {
            strip_unlikely: false,
            ..Care::FULL
        },
        Care {
            strip_unlikely: false,
            weigh_classes: false,
            ..Care::FULL
        },
        Care {
            strip_unlikely: false,
            weigh_classes: false,
            clean_conditionally: false,
        },
    ];
}

pub(crate) fn find_content(dom: &Dom, scan: &PageScan) -> Content {
    if dom.len() == 0 {
        return Content::default();
    }
    let own = OwnCounts::new(dom);
    let finder = Finder {
        dom,
        hints: HintTable::new(dom),
        prose: Prose::new(dom, &own),
        own,
    };
    if documentation::is_documentation(dom, scan) {
        return finder.documentation();
    }
    finder.find()
}

struct Finder<'a> {
    dom: &'a Dom,
    hints: HintTable,
    own: OwnCounts,
    prose: Prose,
}

impl Finder<'_> {
    fn find(&self) -> Content {
        let invisible = self.invisible();
        let mut best: Option<(Content, u32)> = None;
        for care in Care::LESS_AND_LESS {
            let content = self.attempt(&invisible, care);
            let chars = self.chars(&content);
            if chars >= CONTENT_CHARS_ENOUGH {
                return content;
            }
            if best.as_ref().is_none_or(|(_, most)| chars > *most) {
                best = Some((content, chars));
            }
        }
        let (content, chars) = best.unwrap_or_default();
        if chars < HIDDEN_TEXT_CHARS_MAX {
            // Some pages hide all of their text until a script shows it.
            let shown = self.attempt(&vec![false; self.dom.len()], Care::FULL);
            if self.chars(&shown) > 4 * chars.max(50) {
                return shown;
            }
        }
        content
    }

    fn documentation(&self) -> Content {
        let mut removed = self.invisible();
        let counts = SubtreeCounts::new(self.dom, &self.own, &removed);
        let root = documentation::content(self.dom, &self.hints, &counts, &mut removed);
        Content {
            roots: vec![root],
            removed,
            is_documentation: true,
        }
    }

    fn attempt(&self, invisible: &[bool], care: Care) -> Content {
        let dom = self.dom;
        let mut removed = invisible.to_vec();
        if care.strip_unlikely {
            self.strip_unlikely(&mut removed);
        }
        let counts = SubtreeCounts::new(dom, &self.own, &removed);
        let scorer = Scorer {
            dom,
            hints: &self.hints,
            counts: &counts,
            removed: &removed,
            weigh_classes: care.weigh_classes,
        };
        let roots = scorer.roots().unwrap_or_else(|| vec![0]);
        let roots = self.prose.widened(dom, &removed, roots);
        let roots = self.prose.with_lead(dom, &self.hints, &removed, roots);
        let cleaner = Cleaner {
            dom,
            hints: &self.hints,
            own: &self.own,
            prose: &self.prose,
            weigh_classes: care.weigh_classes,
            conditionally: care.clean_conditionally,
        };
        cleaner.clean(&roots, &mut removed);
        Content {
            roots,
            removed,
            is_documentation: false,
        }
    }

    fn chars(&self, content: &Content) -> u32 {
        let mut chars = 0;
        for &root in &content.roots {
            let mut node = root;
            while node < self.dom.end(root) {
                if content.removed[node] {
                    node = self.dom.end(node);
                } else {
                    chars += self.own.chars[node];
                    node += 1;
                }
            }
        }
        chars
    }

    /// What a reader never sees, plus dialogs laid over the page.
    fn invisible(&self) -> Vec<bool> {
        let dom = self.dom;
        let mut removed = vec![false; dom.len()];
        for (node, removed) in removed.iter_mut().enumerate().skip(1) {
            if dom.tag(node) != Tag::Text {
                *removed = dom.tag(node) == Tag::Dialog || is_invisible(dom, node);
            }
        }
        removed
    }

    fn strip_unlikely(&self, removed: &mut [bool]) {
        let dom = self.dom;
        let mut node = 1;
        let mut keep_until = 0;
        while node < dom.len() {
            if removed[node] {
                node = dom.end(node);
                continue;
            }
            let tag = dom.tag(node);
            if matches!(tag, Tag::Table | Tag::Code | Tag::Pre) {
                keep_until = keep_until.max(dom.end(node));
            }
            let hints = self.hints.hints[node];
            let by_name = hints.has(Hints::UNLIKELY)
                && !hints.has(Hints::MAYBE)
                && node >= keep_until
                && !matches!(tag, Tag::A | Tag::Body);
            if by_name || has_unlikely_role(dom, node) {
                removed[node] = true;
                node = dom.end(node);
            } else {
                node += 1;
            }
        }
    }
}

fn has_unlikely_role(dom: &Dom, node: NodeIndex) -> bool {
    dom.tag(node) != Tag::Text
        && matches!(
            dom.attribute(node, &local_name!("role")),
            Some(
                "menu"
                    | "menubar"
                    | "complementary"
                    | "navigation"
                    | "alert"
                    | "alertdialog"
                    | "dialog"
            )
        )
}

fn is_invisible(dom: &Dom, node: NodeIndex) -> bool {
    for (name, value) in dom.attributes(node) {
        match name {
            "hidden" => return true,
            "aria-hidden" if value == "true" => {
                // MediaWiki's fallback pictures of formulas are the readable form.
                let class = dom.attribute(node, &local_name!("class"));
                return !class.is_some_and(|class| class.contains("fallback-image"));
            }
            "aria-modal" if value == "true" => return true,
            "style" if hides(value) => return true,
            _ => {}
        }
    }
    false
}

fn hides(style: &str) -> bool {
    if style.len() > 2_000 {
        return false;
    }
    style.split(';').any(|declaration| {
        let Some((property, value)) = declaration.split_once(':') else {
            return false;
        };
        let value = value.trim();
        let is = |word: &str| {
            value
                .get(..word.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(word))
        };
        match property.trim() {
            p if p.eq_ignore_ascii_case("display") => is("none"),
            p if p.eq_ignore_ascii_case("visibility") => is("hidden"),
            _ => false,
        }
    })
}
