//! The chosen nodes -> text, its blocks, and Markdown, in one walk.

mod code;
mod inline;
mod output;
mod table;

use html5ever::local_name;
use types::{Block, BlockKind, Image};
use url::Url;

use crate::content::{Content, looks_like_data};
use crate::html::{Dom, NodeIndex, Tag};
use inline::{Inline, MarkKind};
use output::{Container, Output};

/// Deeper lists are laid out like the last level.
const CONTAINERS_MAX: usize = 24;
/// A paragraph this long is cut in two: block marks and inline buffers stay bounded.
const LINE_BYTES_MAX: usize = 1024 * 1024;
const IMAGE_ALT_BYTES_MAX: usize = 1_000;

#[derive(Debug, Default)]
pub(crate) struct Rendered {
    pub(crate) text: String,
    pub(crate) markdown: String,
    pub(crate) blocks: Vec<Block>,
    pub(crate) images: Vec<Image>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct RenderLimits {
    pub(crate) text_bytes_max: usize,
    pub(crate) markdown_bytes_max: usize,
    pub(crate) images_max: usize,
}

pub(crate) fn render(dom: &Dom, content: &Content, base: &Url, limits: RenderLimits) -> Rendered {
    let mut renderer = Renderer {
        dom,
        removed: &content.removed,
        base,
        inline: Inline::default(),
        output: Output::new(limits.text_bytes_max, limits.markdown_bytes_max),
        images: Vec::new(),
        images_max: limits.images_max,
        lists: Vec::new(),
        heading: None,
    };
    let mut after_previous = 0;
    for &root in &content.roots {
        // Inline roots that stood side by side are one paragraph.
        if root != after_previous {
            renderer.flush();
        }
        renderer.walk(root, dom.end(root));
        after_previous = dom.end(root);
    }
    renderer.flush();
    Rendered {
        text: renderer.output.text,
        markdown: renderer.output.markdown,
        blocks: renderer.output.blocks,
        images: renderer.images,
    }
}

struct Renderer<'a> {
    dom: &'a Dom,
    removed: &'a [bool],
    base: &'a Url,
    inline: Inline,
    output: Output,
    images: Vec<Image>,
    images_max: usize,
    lists: Vec<List>,
    heading: Option<u8>,
}

#[derive(Clone, Copy)]
struct List {
    ordered: bool,
    next_number: u32,
}

/// What to do when an open element ends.
enum Close {
    /// Starts and ends a block.
    Block,
    Mark,
    /// A link or anchor; anchors that only point at their own heading go.
    Anchor,
    Heading,
    /// Container of the output (quote, item, definition) ends.
    Container,
    List,
    Quotation,
    /// A cell or definition inside a flat line.
    Space,
}

impl Renderer<'_> {
    /// Walks the nodes of `from..end` without recursion.
    fn walk(&mut self, from: NodeIndex, end: NodeIndex) {
        let mut open: Vec<(NodeIndex, Close)> = Vec::new();
        let mut node = from;
        loop {
            while let Some((subtree_end, _)) = open.last()
                && *subtree_end <= node
            {
                if let Some((_, close)) = open.pop() {
                    self.close(close);
                }
            }
            if node >= end || self.output.full {
                break;
            }
            if self.removed[node] {
                node = self.dom.end(node);
                continue;
            }
            match self.open(node) {
                Next::Into(close) => {
                    open.push((self.dom.end(node), close));
                    node += 1;
                }
                Next::Inside => node += 1,
                Next::Behind => node = self.dom.end(node),
            }
        }
        // A full output leaves elements open: put the state back in order.
        while let Some((_, close)) = open.pop() {
            self.close(close);
        }
    }

    fn open(&mut self, node: NodeIndex) -> Next {
        let dom = self.dom;
        let tag = dom.tag(node);
        match tag {
            Tag::Text => {
                self.text(dom.text(node));
                Next::Behind
            }
            Tag::Br => {
                self.inline.line_break();
                Next::Behind
            }
            Tag::Wbr => Next::Behind,
            Tag::Img => {
                self.image(node);
                Next::Behind
            }
            Tag::A => self.open_anchor(node),
            Tag::Em | Tag::I | Tag::Var | Tag::Dfn | Tag::Cite => {
                self.open_mark(node, MarkKind::Emphasis)
            }
            Tag::Strong | Tag::B => self.open_mark(node, MarkKind::Strong),
            Tag::Del | Tag::S | Tag::Strike => self.open_mark(node, MarkKind::Strike),
            Tag::Code | Tag::Kbd | Tag::Samp | Tag::Tt => self.open_mark(node, MarkKind::Code),
            Tag::Q => {
                self.text("\u{201C}");
                Next::Into(Close::Quotation)
            }
            Tag::Rt
            | Tag::Input
            | Tag::Select
            | Tag::Textarea
            | Tag::Button
            | Tag::Object
            | Tag::Embed
            | Tag::Video
            | Tag::Audio
            | Tag::Canvas
            | Tag::Map
            | Tag::Progress
            | Tag::Meter => Next::Behind,
            _ if !tag.is_block() => Next::Inside,
            _ if self.inline.flat => self.open_flat(node, tag),
            _ => self.open_block(node, tag),
        }
    }

    /// A block element inside a heading or table cell: only a blank.
    fn open_flat(&mut self, node: NodeIndex, tag: Tag) -> Next {
        self.inline.space();
        match tag {
            Tag::Hr => Next::Behind,
            Tag::Pre => self.open_mark(node, MarkKind::Code),
            _ => Next::Into(Close::Space),
        }
    }

    fn open_block(&mut self, node: NodeIndex, tag: Tag) -> Next {
        self.flush();
        if let Some(level) = tag.heading_level() {
            self.heading = Some(level);
            self.inline.flat = true;
            return Next::Into(Close::Heading);
        }
        match tag {
            Tag::Hr => {
                self.output.rule();
                Next::Behind
            }
            Tag::Pre | Tag::Listing | Tag::Xmp | Tag::Plaintext => {
                let code = code::preformatted(self.dom, node, self.removed);
                if !code.trim().is_empty() {
                    let language = code::language(self.dom, node);
                    self.output.code(&code, &language);
                }
                Next::Behind
            }
            Tag::Table if looks_like_data(self.dom, node) => {
                self.table(node);
                Next::Behind
            }
            Tag::Td if code::is_line_number(self.dom, node) => Next::Behind,
            Tag::Ul | Tag::Ol | Tag::Menu | Tag::Dir => {
                if self.lists.is_empty() {
                    self.output.list_number += 1;
                }
                let next_number = self
                    .dom
                    .attribute(node, &local_name!("start"))
                    .and_then(|start| start.trim().parse().ok())
                    .unwrap_or(1);
                self.lists.push(List {
                    ordered: tag == Tag::Ol,
                    next_number,
                });
                Next::Into(Close::List)
            }
            Tag::Li => {
                let marker = match self.lists.last_mut() {
                    Some(list) if list.ordered => {
                        let number = list.next_number;
                        list.next_number = number.saturating_add(1).min(999_999_999);
                        format!("{number}. ")
                    }
                    _ => "- ".to_owned(),
                };
                self.contain(Container::Item {
                    marker,
                    started: false,
                })
            }
            Tag::Blockquote => self.contain(Container::Quote { started: false }),
            Tag::Dd => self.contain(Container::Definition { started: false }),
            _ => Next::Into(Close::Block),
        }
    }

    fn contain(&mut self, container: Container) -> Next {
        if self.output.containers.len() >= CONTAINERS_MAX {
            return Next::Into(Close::Block);
        }
        self.output.containers.push(container);
        Next::Into(Close::Container)
    }

    fn close(&mut self, close: Close) {
        match close {
            Close::Block => self.flush(),
            Close::Mark => self.inline.close(),
            Close::Anchor => self.inline.close_unless(is_permalink),
            Close::Quotation => self.text("\u{201D}"),
            Close::Space => self.inline.space(),
            Close::Heading => {
                self.flush();
                self.heading = None;
                self.inline.flat = false;
            }
            Close::Container => {
                self.flush();
                self.output.containers.pop();
            }
            Close::List => {
                self.flush();
                self.lists.pop();
            }
        }
    }

    fn flush(&mut self) {
        if self.inline.is_empty() {
            // Blanks and breaks before a block mean nothing.
            self.inline.take();
            return;
        }
        let line = self.inline.take();
        let kind = match self.heading {
            Some(level) => BlockKind::Heading(level),
            None => self.output.kind_here(),
        };
        self.output.block(kind, &line);
    }

    fn text(&mut self, text: &str) {
        let long = self.inline.plain_bytes() + text.len() > LINE_BYTES_MAX;
        if (self.inline.paragraph_break_pending() && !text.trim().is_empty())
            || (long && !self.inline.flat)
        {
            self.flush();
        }
        self.inline.text(text);
    }

    fn open_mark(&mut self, node: NodeIndex, kind: MarkKind) -> Next {
        if self.holds_block(node) {
            return Next::Inside;
        }
        self.inline.open(kind);
        Next::Into(Close::Mark)
    }

    fn open_anchor(&mut self, node: NodeIndex) -> Next {
        if self.holds_block(node) {
            return Next::Inside;
        }
        let href = self.dom.attribute(node, &local_name!("href"));
        let url = href.and_then(|href| self.base.join(href.trim()).ok());
        let own_page = href.is_some_and(|href| href.trim_start().starts_with('#'));
        match url {
            Some(url) if matches!(url.scheme(), "http" | "https" | "mailto") => {
                self.inline.open(MarkKind::Link(url.into()));
            }
            _ => self.inline.open(MarkKind::Bare),
        }
        Next::Into(if own_page { Close::Anchor } else { Close::Mark })
    }

    fn holds_block(&self, node: NodeIndex) -> bool {
        !self.inline.flat
            && (node + 1..self.dom.end(node)).any(|below| self.dom.tag(below).is_block())
    }

    fn image(&mut self, node: NodeIndex) {
        let source = [
            local_name!("src"),
            "data-src".into(),
            "data-original".into(),
        ]
        .iter()
        .filter_map(|name| self.dom.attribute(node, name))
        .map(str::trim)
        .find(|source| !source.is_empty() && !source.starts_with("data:"));
        let Some(url) = source.and_then(|source| self.base.join(source).ok()) else {
            return;
        };
        if !matches!(url.scheme(), "http" | "https") {
            return;
        }
        let alt = self
            .dom
            .attribute(node, &local_name!("alt"))
            .unwrap_or_default();
        let alt = &alt[..alt.floor_char_boundary(IMAGE_ALT_BYTES_MAX)];
        let alt = alt.split_whitespace().collect::<Vec<_>>().join(" ");
        if self.inline.paragraph_break_pending() {
            self.flush();
        }
        self.inline.image(&alt, url.as_str());
        if self.images.len() < self.images_max {
            self.images.push(Image {
                url: url.into(),
                alt,
            });
        }
    }
}

enum Next {
    /// Into the children, and do this at the end.
    Into(Close),
    Inside,
    /// On to what follows the subtree.
    Behind,
}

/// Marks that a documentation tool puts behind headings to link to them.
fn is_permalink(text: &str) -> bool {
    matches!(
        text,
        "" | "¶" | "#" | "§" | "🔗" | "∞" | "Link" | "[link]" | "\u{F0C1}"
    )
}
