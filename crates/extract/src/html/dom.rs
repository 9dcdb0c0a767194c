//! The page as a flat list of nodes in document order.
//!
//! A node's subtree is the index range `node..node.end`, so every walk is a
//! loop over a slice: no recursion, whatever the nesting.

use html5ever::{Attribute, LocalName, local_name, ns};

use super::sink::{NONE, ROOT, RawData, RawNode, Tree};
use super::tag::Tag;

pub(crate) type NodeIndex = usize;

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) tag: Tag,
    pub(crate) parent: u32,
    /// One past the last node of the subtree.
    pub(crate) end: u32,
    /// Byte range of the shared text; empty for elements.
    text: (u32, u32),
    attributes: Vec<Attribute>,
}

#[derive(Debug, Default)]
pub(crate) struct Dom {
    /// Body first (when the page has one); nothing of the head.
    pub(crate) nodes: Vec<Node>,
    text: String,
    /// Contents of the head's `<title>`.
    pub(crate) title: String,
    /// Contents of each JSON-LD script, in order.
    json_ld: Vec<(u32, u32)>,
    pub(crate) has_microdata: bool,
    /// Names of the elements whose tag does not tell it, in order.
    unusual_names: Vec<(u32, LocalName)>,
    /// Elements that were left out: how many nodes there were, and the parent.
    dropped: Vec<(u32, u32)>,
}

impl Dom {
    pub(super) fn build(mut tree: Tree) -> Dom {
        let mut dom = Dom {
            nodes: Vec::with_capacity(tree.nodes.len()),
            ..Dom::default()
        };
        // A page without body (frameset) yields what its root holds.
        let mut stack: Vec<(u32, u32)> = vec![(tree.nodes[ROOT as usize].first, NONE)];
        let mut has_title = false;
        while let Some((index, parent)) = stack.pop() {
            if index == NONE {
                // Sentinel: the subtree of `parent` is complete.
                if parent != NONE {
                    dom.nodes[parent as usize].end = dom.nodes.len() as u32;
                }
                continue;
            }
            let next = tree.nodes[index as usize].next;
            stack.push((next, parent));
            let RawNode { data, first, .. } = &mut tree.nodes[index as usize];
            let first = *first;
            match data {
                RawData::Document => {}
                RawData::Text(start, end) => {
                    // White space between `<html>`'s children belongs to nothing.
                    if parent != NONE {
                        let own = dom.nodes.len() as u32;
                        dom.nodes.push(Node {
                            tag: Tag::Text,
                            parent,
                            end: own + 1,
                            text: (*start, *end),
                            attributes: Vec::new(),
                        });
                    }
                }
                RawData::Element(name, attributes) => {
                    let tag = if name.ns == ns!(html) || name.ns == ns!(mathml) {
                        Tag::of(&name.local)
                    } else {
                        Tag::Svg
                    };
                    let nodes_before = dom.nodes.len();
                    match tag {
                        Tag::Html => stack.push((first, NONE)),
                        Tag::Head => stack.push((first, NONE)),
                        Tag::Title if !has_title && parent == NONE => {
                            has_title = true;
                            dom.title = text_of_children(&tree, first);
                        }
                        Tag::Script => {
                            if is_json_ld(attributes)
                                && let Some(RawData::Text(start, end)) =
                                    tree.nodes.get(first as usize).map(|node| &node.data)
                            {
                                dom.json_ld.push((*start, *end));
                            }
                        }
                        Tag::Style
                        | Tag::Template
                        | Tag::Noscript
                        | Tag::Svg
                        | Tag::Title
                        | Tag::Base
                        | Tag::Iframe
                        | Tag::Noembed
                        | Tag::Noframes
                        | Tag::Annotation
                        | Tag::AnnotationXml
                        | Tag::Datalist
                        | Tag::Rp => {}
                        // In the body they carry microdata only.
                        Tag::Meta | Tag::Link if parent == NONE => {}
                        _ => {
                            let own = dom.nodes.len() as u32;
                            let attributes = std::mem::take(attributes);
                            if matches!(tag, Tag::Other | Tag::Custom) {
                                dom.unusual_names.push((own, name.local.clone()));
                            }
                            dom.has_microdata |= attributes
                                .iter()
                                .any(|attr| attr.name.local == local_name!("itemscope"));
                            dom.nodes.push(Node {
                                tag,
                                parent,
                                end: own + 1,
                                text: (0, 0),
                                attributes,
                            });
                            // The chain of children ends in a sentinel that closes `own`.
                            stack.push((first, own));
                        }
                    }
                    if dom.nodes.len() == nodes_before && parent != NONE {
                        dom.dropped.push((nodes_before as u32, parent));
                    }
                }
            }
        }
        dom.text = tree.text;
        dom
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn tag(&self, node: NodeIndex) -> Tag {
        self.nodes[node].tag
    }

    pub(crate) fn end(&self, node: NodeIndex) -> NodeIndex {
        self.nodes[node].end as usize
    }

    pub(crate) fn parent(&self, node: NodeIndex) -> Option<NodeIndex> {
        let parent = self.nodes[node].parent;
        (parent != NONE).then_some(parent as usize)
    }

    /// The name of an element that is [`Tag::Other`] or [`Tag::Custom`].
    pub(crate) fn unusual_name(&self, node: NodeIndex) -> Option<&LocalName> {
        if !matches!(self.tag(node), Tag::Other | Tag::Custom) {
            return None;
        }
        let at = self
            .unusual_names
            .binary_search_by_key(&node, |(index, _)| *index as usize)
            .ok()?;
        Some(&self.unusual_names[at].1)
    }

    /// Elements within the body that are not in the tree (scripts, frames …),
    /// in document order: the index that the next node got, and the parent.
    pub(crate) fn dropped(&self) -> &[(u32, u32)] {
        &self.dropped
    }

    /// Text of a text node; empty for elements.
    pub(crate) fn text(&self, node: NodeIndex) -> &str {
        let (start, end) = self.nodes[node].text;
        &self.text[start as usize..end as usize]
    }

    pub(crate) fn children(&self, node: NodeIndex) -> Children<'_> {
        Children {
            dom: self,
            next: node + 1,
            end: self.end(node),
        }
    }

    pub(crate) fn attribute(&self, node: NodeIndex, name: &LocalName) -> Option<&str> {
        self.nodes[node]
            .attributes
            .iter()
            .find(|attr| attr.name.local == *name)
            .map(|attr| &*attr.value)
    }

    pub(crate) fn attributes(&self, node: NodeIndex) -> impl Iterator<Item = (&str, &str)> {
        self.nodes[node]
            .attributes
            .iter()
            .map(|attr| (&*attr.name.local, &*attr.value))
    }

    pub(crate) fn json_ld(&self) -> impl Iterator<Item = &str> {
        self.json_ld
            .iter()
            .map(|(start, end)| &self.text[*start as usize..*end as usize])
    }

    /// All text below `node`, white space folded, at most `bytes_max` bytes.
    pub(crate) fn folded_text(&self, node: NodeIndex, bytes_max: usize) -> String {
        let mut folded = String::new();
        let mut blank = false;
        for index in node..self.end(node) {
            let tag = self.tag(index);
            blank |= tag.is_block() || tag == Tag::Br;
            for character in self.text(index).chars() {
                if character.is_whitespace() {
                    blank = true;
                    continue;
                }
                if folded.len() + character.len_utf8() + 1 > bytes_max {
                    return folded;
                }
                if blank && !folded.is_empty() {
                    folded.push(' ');
                }
                blank = false;
                folded.push(character);
            }
        }
        folded
    }
}

pub(crate) struct Children<'a> {
    dom: &'a Dom,
    next: NodeIndex,
    end: NodeIndex,
}

impl Iterator for Children<'_> {
    type Item = NodeIndex;

    fn next(&mut self) -> Option<NodeIndex> {
        if self.next >= self.end {
            return None;
        }
        let child = self.next;
        self.next = self.dom.end(child);
        Some(child)
    }
}

fn is_json_ld(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attr| {
        attr.name.local == local_name!("type")
            && attr
                .value
                .split(';')
                .next()
                .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/ld+json"))
    })
}

fn text_of_children(tree: &Tree, first: u32) -> String {
    let mut text = String::new();
    let mut child = first;
    while child != NONE {
        let node = &tree.nodes[child as usize];
        if let RawData::Text(start, end) = node.data {
            text.push_str(&tree.text[start as usize..end as usize]);
        }
        child = node.next;
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
