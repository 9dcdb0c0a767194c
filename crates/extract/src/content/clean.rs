//! Takes out of the chosen content what is not content: share bars, forms,
//! link lists, boxes of pictures. One pass from the back, so that a box is
//! judged by what is left of it.

use crate::html::{Dom, NodeIndex, Tag};

use super::hints::{HintTable, Hints};
use super::measure::{OwnCounts, link_weight};
use super::widen::Prose;

/// A share bar is shorter than an article, characters.
const SHARE_CHARS_MAX: u32 = 500;
const READ_MORE_CHARS_MAX: u32 = 200;
const READ_MORE_TEXT_CHARS_MIN: u32 = 800;
/// Longer boxes about the author are the content, characters.
const BYLINE_CHARS_MAX: u32 = 600;
/// Boxes that hold more of the text than this are the text.
const BOX_SHARE_MAX: f32 = 0.3;
const COMMENTS_SHARE_MAX: f32 = 0.5;

pub(super) struct Cleaner<'a> {
    pub(super) dom: &'a Dom,
    pub(super) hints: &'a HintTable,
    pub(super) own: &'a OwnCounts,
    pub(super) prose: &'a Prose,
    pub(super) weigh_classes: bool,
    pub(super) conditionally: bool,
}

/// Text of all roots before cleaning.
#[derive(Clone, Copy, Default)]
struct Whole {
    chars: u32,
    link_chars: u32,
}

/// What is left below a node.
#[derive(Clone, Copy, Default)]
struct Left {
    chars: u32,
    commas: u32,
    paragraphs: u32,
    images: u32,
    items: u32,
    embeds: u32,
    inputs: u32,
    link_chars: f32,
    heading_chars: u32,
    list_chars: u32,
    textish: bool,
    data_table: bool,
    code: bool,
}

impl Cleaner<'_> {
    pub(super) fn clean(&self, roots: &[NodeIndex], removed: &mut [bool]) {
        let mut whole = Whole::default();
        for &root in roots {
            whole.chars += self.own.chars_below(self.dom, root);
            whole.link_chars += self.prose.link_chars_below(self.dom, root);
        }
        for &root in roots {
            self.remove_surroundings(root, removed, whole);
            self.remove_never_content(root, removed);
            let data_tables = self.data_tables(root, removed);
            self.remove_by_what_is_left(root, removed, &data_tables);
        }
    }

    /// Boxes inside the content that belong to the site, not to the text.
    fn remove_surroundings(&self, root: NodeIndex, removed: &mut [bool], whole: Whole) {
        let dom = self.dom;
        let mut node = root + 1;
        while node < dom.end(root) {
            if removed[node] || dom.tag(node) == Tag::Text {
                node = dom.end(node);
                continue;
            }
            if self.is_caption(node)
                || self.is_read_more(node, whole)
                || self.is_named_box(node, whole)
            {
                removed[node] = true;
                node = dom.end(node);
            } else {
                node += 1;
            }
        }
    }

    /// The words below a picture: sources and photographers mostly (+0.005
    /// mean F1 without them). Captions of listings and tables stay.
    fn is_caption(&self, node: NodeIndex) -> bool {
        let dom = self.dom;
        let named = dom.tag(node) == Tag::Figcaption
            || (self.hints.hints[node].has(Hints::CAPTION) && dom.tag(node) != Tag::Caption);
        named
            && !(node..dom.end(node))
                .any(|below| matches!(dom.tag(below), Tag::Pre | Tag::Table | Tag::Img | Tag::Code))
    }

    /// "Read also: …": a line that is a link, in a text that has few.
    fn is_read_more(&self, node: NodeIndex, whole: Whole) -> bool {
        let tag = self.dom.tag(node);
        let (chars, link_chars) = self.prose.direct(node);
        (tag == Tag::P || tag.heading_level().is_some())
            && whole.chars > READ_MORE_TEXT_CHARS_MIN
            && whole.link_chars * 4 < whole.chars
            && (1..READ_MORE_CHARS_MAX).contains(&chars)
            && link_chars * 5 >= chars * 4
    }

    /// Boxes that say by name what they are, unless they are the text itself.
    fn is_named_box(&self, node: NodeIndex, whole: Whole) -> bool {
        let tag = self.dom.tag(node);
        if !tag.is_block() || matches!(tag, Tag::Pre | Tag::Table) {
            return false;
        }
        let hints = self.hints.hints[node];
        let share_max = if hints.has(Hints::COMMENTS) {
            COMMENTS_SHARE_MAX
        } else if hints.has(Hints::RELATED) || hints.has(Hints::CONSENT) || hints.has(Hints::BYLINE)
        {
            BOX_SHARE_MAX
        } else {
            return false;
        };
        let chars = self.own.chars_below(self.dom, node);
        let short_enough = !hints.has(Hints::BYLINE) || chars < BYLINE_CHARS_MAX;
        short_enough && (chars as f32) < whole.chars as f32 * share_max
    }

    fn remove_never_content(&self, root: NodeIndex, removed: &mut [bool]) {
        let dom = self.dom;
        let mut node = root;
        while node < dom.end(root) {
            if removed[node] {
                node = dom.end(node);
                continue;
            }
            let tag = dom.tag(node);
            let hints = self.hints.hints[node];
            let never = match tag {
                Tag::Object
                | Tag::Embed
                | Tag::Iframe
                | Tag::Input
                | Tag::Textarea
                | Tag::Select
                | Tag::Button => true,
                Tag::Footer | Tag::Aside => node != root,
                _ if tag.heading_level().is_some() => {
                    self.weigh_classes && self.hints.weight[node] < 0
                }
                _ => {
                    hints.has(Hints::SHARE)
                        && node != root
                        && self.own.chars_below(dom, node) < SHARE_CHARS_MAX
                }
            };
            if never {
                removed[node] = true;
                node = dom.end(node);
            } else {
                node += 1;
            }
        }
    }

    /// Tables that hold data rather than a layout.
    fn data_tables(&self, root: NodeIndex, removed: &[bool]) -> Vec<NodeIndex> {
        let dom = self.dom;
        (root..dom.end(root))
            .filter(|node| dom.tag(*node) == Tag::Table && !removed[*node])
            .filter(|node| super::table::looks_like_data(dom, *node))
            .collect()
    }

    fn remove_by_what_is_left(
        &self,
        root: NodeIndex,
        removed: &mut [bool],
        data_tables: &[NodeIndex],
    ) {
        let dom = self.dom;
        let end = dom.end(root);
        let mut left = vec![Left::default(); end - root];
        let mut in_data_table = vec![false; end - root];
        let mut in_figure = vec![false; end - root];
        for table in data_tables {
            in_data_table[table - root..dom.end(*table) - root].fill(true);
        }
        for node in root..end {
            if dom.tag(node) == Tag::Figure {
                in_figure[node - root..dom.end(node) - root].fill(true);
            }
        }
        for node in (root..end).rev() {
            let mut own = left[node - root];
            let tag = dom.tag(node);
            own.chars += self.own.chars[node];
            own.commas += self.own.commas[node];
            match tag {
                Tag::P => own.paragraphs += 1,
                Tag::Img => own.images += 1,
                Tag::Li => own.items += 1,
                Tag::Video | Tag::Audio => own.embeds += 1,
                Tag::Input => own.inputs += 1,
                Tag::A => own.link_chars = own.chars as f32 * link_weight(dom, node),
                Tag::Ul | Tag::Ol => own.list_chars = own.chars,
                Tag::Pre => own.code = true,
                _ if tag.heading_level().is_some() => own.heading_chars = own.chars,
                _ => {}
            }
            own.data_table |= tag == Tag::Table && in_data_table[node - root];
            left[node - root] = own;
            if removed[node] {
                continue;
            }
            let judged = matches!(
                tag,
                Tag::Table | Tag::Ul | Tag::Div | Tag::Form | Tag::Fieldset
            );
            if judged
                && node != root
                && self.conditionally
                && !in_data_table[node - root]
                && self.is_clutter(node, own, in_figure[node - root])
            {
                removed[node] = true;
                continue;
            }
            if let Some(parent) = dom.parent(node)
                && parent >= root
            {
                let textish = own.chars > 0
                    && matches!(
                        tag,
                        Tag::Blockquote
                            | Tag::Dl
                            | Tag::Div
                            | Tag::Ol
                            | Tag::P
                            | Tag::Pre
                            | Tag::Table
                            | Tag::Ul
                            | Tag::Span
                            | Tag::Li
                            | Tag::Td
                    );
                let above = &mut left[parent - root];
                above.chars += own.chars;
                above.commas += own.commas;
                above.paragraphs += own.paragraphs;
                above.images += own.images;
                above.items += own.items;
                above.embeds += own.embeds;
                above.inputs += own.inputs;
                above.link_chars += own.link_chars;
                above.heading_chars += own.heading_chars;
                above.list_chars += own.list_chars;
                above.textish |= own.textish || textish;
                above.data_table |= own.data_table;
                above.code |= own.code;
            }
        }
    }

    fn is_clutter(&self, node: NodeIndex, left: Left, in_figure: bool) -> bool {
        if left.data_table {
            return false;
        }
        let weight = if self.weigh_classes {
            self.hints.weight[node]
        } else {
            0
        };
        if weight < 0 {
            return !left.code;
        }
        if left.commas >= 10 {
            return false;
        }
        let chars = left.chars as f32;
        let share = |part: f32| if left.chars == 0 { 0.0 } else { part / chars };
        let link_density = share(left.link_chars);
        let is_list =
            matches!(self.dom.tag(node), Tag::Ul | Tag::Ol) || share(left.list_chars as f32) > 0.9;
        let paragraphs = left.paragraphs as f32;

        let many_images = !in_figure && left.images > 1 && paragraphs / (left.images as f32) < 0.5;
        let menu_like = !is_list && left.items > left.paragraphs + 100;
        let form_like = left.inputs as f32 > (paragraphs / 3.0).floor();
        let short_links = !is_list
            && !in_figure
            && left.chars < 25
            && (left.images == 0 || left.images > 2)
            && link_density > 0.0
            && share(left.heading_chars as f32) < 0.9;
        let linky = !is_list && weight < 25 && link_density > 0.2;
        let very_linky = weight >= 25 && link_density > 0.5;
        let embeds = (left.embeds == 1 && left.chars < 75) || left.embeds > 1;
        let no_text = left.images == 0 && !left.textish;
        let clutter = many_images
            || menu_like
            || form_like
            || short_links
            || linky
            || very_linky
            || embeds
            || no_text;
        if is_list && clutter {
            // A gallery: each item is one picture.
            let simple = self.dom.children(node).all(|child| {
                self.dom
                    .children(child)
                    .filter(|item| self.dom.tag(*item) != Tag::Text)
                    .count()
                    <= 1
            });
            return !simple || left.images != left.items;
        }
        clutter
    }
}
