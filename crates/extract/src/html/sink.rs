//! Receives the tree builder's orders as a linked tree in one vector.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use html5ever::interface::tree_builder::{
    ElemName, ElementFlags, NodeOrText, QuirksMode, TreeSink,
};
use html5ever::tendril::StrTendril;
use html5ever::{Attribute, LocalName, Namespace, QualName};

pub(super) const NONE: u32 = u32::MAX;
/// Comments and processing instructions: made, never attached.
const IGNORED: u32 = u32::MAX - 1;
pub(super) const ROOT: u32 = 0;

#[derive(Debug)]
pub(super) enum RawData {
    Document,
    /// Byte range of the shared text buffer.
    Text(u32, u32),
    Element(QualName, Vec<Attribute>),
}

#[derive(Debug)]
pub(super) struct RawNode {
    pub(super) data: RawData,
    pub(super) parent: u32,
    pub(super) previous: u32,
    pub(super) next: u32,
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) depth: u32,
}

#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) nodes: Vec<RawNode>,
    pub(super) text: String,
}

/// Own tree instead of a general DOM crate: no reference counts, one text
/// buffer, and the depth of each node known while it is built.
#[derive(Debug)]
pub(super) struct Sink {
    tree: RefCell<Tree>,
    template_contents: RefCell<HashMap<u32, u32>>,
    last_depth: Cell<u32>,
    text_bytes_max: usize,
}

impl Sink {
    pub(super) fn new(source_bytes: usize) -> Sink {
        let tree = Tree {
            nodes: Vec::with_capacity(source_bytes / 24 + 16),
            text: String::with_capacity(source_bytes / 2),
        };
        let sink = Sink {
            tree: RefCell::new(tree),
            template_contents: RefCell::default(),
            last_depth: Cell::new(0),
            text_bytes_max: (u32::MAX / 2) as usize,
        };
        sink.push(RawData::Document);
        sink
    }

    /// Depth of the element or text added last: where the parser stands.
    pub(super) fn last_depth(&self) -> u32 {
        self.last_depth.get()
    }

    pub(super) fn node_count(&self) -> usize {
        self.tree.borrow().nodes.len()
    }

    fn push(&self, data: RawData) -> u32 {
        let mut tree = self.tree.borrow_mut();
        let index = tree.nodes.len() as u32;
        tree.nodes.push(RawNode {
            data,
            parent: NONE,
            previous: NONE,
            next: NONE,
            first: NONE,
            last: NONE,
            depth: 0,
        });
        index
    }

    /// Makes or extends the text before `before` (or at the end of `parent`).
    fn add_text(&self, parent: u32, before: u32, text: &str) {
        if text.is_empty() {
            return;
        }
        let mut guard = self.tree.borrow_mut();
        let tree = &mut *guard;
        if tree.text.len() + text.len() > self.text_bytes_max {
            return;
        }
        let start = tree.text.len() as u32;
        tree.text.push_str(text);
        let end = tree.text.len() as u32;
        let neighbour = if before == NONE {
            tree.nodes[parent as usize].last
        } else {
            tree.nodes[before as usize].previous
        };
        self.last_depth.set(tree.nodes[parent as usize].depth);
        // Texts that touch in the buffer are one node. Others stay apart:
        // moving them would cost quadratic time on hostile tables.
        if neighbour != NONE
            && let RawData::Text(_, neighbour_end) = &mut tree.nodes[neighbour as usize].data
            && *neighbour_end == start
        {
            *neighbour_end = end;
            return;
        }
        drop(guard);
        let node = self.push(RawData::Text(start, end));
        self.link(parent, before, node);
    }

    fn link(&self, parent: u32, before: u32, node: u32) {
        self.unlink(node);
        let mut guard = self.tree.borrow_mut();
        let nodes = &mut guard.nodes;
        let previous = if before == NONE {
            nodes[parent as usize].last
        } else {
            nodes[before as usize].previous
        };
        let depth = nodes[parent as usize].depth + 1;
        let added = &mut nodes[node as usize];
        added.parent = parent;
        added.previous = previous;
        added.next = before;
        added.depth = depth;
        if matches!(added.data, RawData::Element(..)) {
            self.last_depth.set(depth);
        }
        if previous == NONE {
            nodes[parent as usize].first = node;
        } else {
            nodes[previous as usize].next = node;
        }
        if before == NONE {
            nodes[parent as usize].last = node;
        } else {
            nodes[before as usize].previous = node;
        }
    }

    fn unlink(&self, node: u32) {
        let mut guard = self.tree.borrow_mut();
        let nodes = &mut guard.nodes;
        let RawNode {
            parent,
            previous,
            next,
            ..
        } = nodes[node as usize];
        if parent == NONE {
            return;
        }
        if previous == NONE {
            nodes[parent as usize].first = next;
        } else {
            nodes[previous as usize].next = next;
        }
        if next == NONE {
            nodes[parent as usize].last = previous;
        } else {
            nodes[next as usize].previous = previous;
        }
        let node = &mut nodes[node as usize];
        node.parent = NONE;
        node.previous = NONE;
        node.next = NONE;
    }
}

/// Atoms are cheap to clone; a borrow into the vector could not outlive a push.
#[derive(Debug)]
pub(super) struct OwnedName(QualName);

impl ElemName for OwnedName {
    fn ns(&self) -> &Namespace {
        &self.0.ns
    }

    fn local_name(&self) -> &LocalName {
        &self.0.local
    }
}

impl TreeSink for Sink {
    type Handle = u32;
    type Output = Tree;
    type ElemName<'a> = OwnedName;

    fn finish(self) -> Tree {
        self.tree.into_inner()
    }

    fn parse_error(&self, _message: Cow<'static, str>) {}

    fn get_document(&self) -> u32 {
        ROOT
    }

    fn elem_name<'a>(&'a self, target: &'a u32) -> OwnedName {
        match self.tree.borrow().nodes.get(*target as usize) {
            Some(RawNode {
                data: RawData::Element(name, _),
                ..
            }) => OwnedName(name.clone()),
            _ => unreachable!("bug: the tree builder asked for the name of a non-element"),
        }
    }

    fn create_element(&self, name: QualName, attrs: Vec<Attribute>, flags: ElementFlags) -> u32 {
        let node = self.push(RawData::Element(name, attrs));
        if flags.template {
            let contents = self.push(RawData::Document);
            self.template_contents.borrow_mut().insert(node, contents);
        }
        node
    }

    fn create_comment(&self, _text: StrTendril) -> u32 {
        IGNORED
    }

    fn create_pi(&self, _target: StrTendril, _data: StrTendril) -> u32 {
        IGNORED
    }

    fn append(&self, parent: &u32, child: NodeOrText<u32>) {
        match child {
            NodeOrText::AppendNode(IGNORED) => {}
            NodeOrText::AppendNode(node) => self.link(*parent, NONE, node),
            NodeOrText::AppendText(text) => self.add_text(*parent, NONE, &text),
        }
    }

    fn append_based_on_parent_node(&self, element: &u32, previous: &u32, child: NodeOrText<u32>) {
        let has_parent = self.tree.borrow().nodes[*element as usize].parent != NONE;
        if has_parent {
            self.append_before_sibling(element, child);
        } else {
            self.append(previous, child);
        }
    }

    fn append_doctype_to_document(&self, _: StrTendril, _: StrTendril, _: StrTendril) {}

    fn get_template_contents(&self, target: &u32) -> u32 {
        let known = self.template_contents.borrow().get(target).copied();
        known.unwrap_or_else(|| {
            let contents = self.push(RawData::Document);
            self.template_contents
                .borrow_mut()
                .insert(*target, contents);
            contents
        })
    }

    fn same_node(&self, x: &u32, y: &u32) -> bool {
        x == y
    }

    fn set_quirks_mode(&self, _mode: QuirksMode) {}

    fn append_before_sibling(&self, sibling: &u32, new_node: NodeOrText<u32>) {
        let parent = self.tree.borrow().nodes[*sibling as usize].parent;
        if parent == NONE {
            return;
        }
        match new_node {
            NodeOrText::AppendNode(IGNORED) => {}
            NodeOrText::AppendNode(node) => self.link(parent, *sibling, node),
            NodeOrText::AppendText(text) => self.add_text(parent, *sibling, &text),
        }
    }

    fn add_attrs_if_missing(&self, target: &u32, attrs: Vec<Attribute>) {
        let mut tree = self.tree.borrow_mut();
        if let RawData::Element(_, existing) = &mut tree.nodes[*target as usize].data {
            // `<html>` and `<body>` may come again and again: stay bounded.
            for attr in attrs {
                if existing.len() < 64 && !existing.iter().any(|e| e.name == attr.name) {
                    existing.push(attr);
                }
            }
        }
    }

    fn remove_from_parent(&self, target: &u32) {
        if *target != IGNORED {
            self.unlink(*target);
        }
    }

    fn reparent_children(&self, node: &u32, new_parent: &u32) {
        loop {
            let child = self.tree.borrow().nodes[*node as usize].first;
            if child == NONE {
                return;
            }
            self.link(*new_parent, NONE, child);
        }
    }

    fn allow_declarative_shadow_roots(&self, _intended_parent: &u32) -> bool {
        false
    }
}
