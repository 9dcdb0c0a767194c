//! Selectors matched in one walk.
//!
//! Each compound of all selectors is one bit. Going through the elements in
//! document order, an element's bits tell which selectors match up to that
//! compound and end at it; what hangs on it by a combinator is then one look
//! at the bits of its parent, its ancestors or its elder siblings. The cost is
//! elements times compounds, whatever the selectors and the page.

use html5ever::local_name;

use super::{AttributeTest, Operator, Relation, Selector, Step, Test};
use crate::html::{Dom, NodeIndex, Tag};

type Bits = u128;

/// Compounds of all selectors together.
const STEPS_MAX: usize = 128;

/// Several selectors to be looked for together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selectors {
    steps: Vec<PlacedStep>,
    /// Bits at which each selector is matched whole.
    ends: Vec<Bits>,
    needs_last_child: bool,
}

#[derive(Clone, Debug)]
struct PlacedStep {
    step: Step,
    /// The bit of the compound that it hangs on.
    before: Bits,
}

impl Selectors {
    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Adds a selector; returns its place.
    ///
    /// # Errors
    ///
    /// When there are too many compounds already.
    pub(crate) fn add(&mut self, selector: &Selector) -> Result<usize, String> {
        let added: usize = selector.alternatives.iter().map(Vec::len).sum();
        if self.steps.len() + added > STEPS_MAX {
            return Err(format!(
                "the selectors have more than {STEPS_MAX} compounds together"
            ));
        }
        let mut end: Bits = 0;
        for steps in &selector.alternatives {
            let mut before: Bits = 0;
            for step in steps {
                self.needs_last_child |= asks_for_last(&step.tests);
                let own: Bits = 1 << self.steps.len();
                self.steps.push(PlacedStep {
                    step: step.clone(),
                    before,
                });
                before = own;
            }
            end |= before;
        }
        self.ends.push(end);
        Ok(self.ends.len() - 1)
    }

    /// For each selector the elements that match, in document order, at most
    /// `count_max`.
    pub(crate) fn find(&self, dom: &Dom, count_max: usize) -> Vec<Vec<NodeIndex>> {
        let mut found = vec![Vec::new(); self.ends.len()];
        let last_children = self.needs_last_child.then(|| last_children(dom));
        let mut dropped = dom.dropped().iter().peekable();
        let mut open = vec![Open::root(dom.len())];
        for node in 0..dom.len() {
            // Elements that are not in the tree have a place among siblings.
            while let Some((_, parent)) =
                dropped.next_if(|(position, _)| *position as usize <= node)
            {
                while open
                    .last()
                    .is_some_and(|open| open.node != Some(*parent as usize))
                {
                    open.pop();
                }
                if let Some(parent) = open.last_mut() {
                    parent.children += 1;
                    parent.previous = 0;
                }
            }
            while open.last().is_some_and(|open| open.end <= node) {
                open.pop();
            }
            if dom.tag(node) == Tag::Text {
                continue;
            }
            let Some(parent) = open.last_mut() else {
                open.push(Open::root(dom.len()));
                continue;
            };
            parent.children += 1;
            let place = Place {
                position: parent.children,
                is_last: last_children
                    .as_ref()
                    .is_some_and(|last| is_last(dom, last, node)),
            };
            let mut matched: Bits = 0;
            for (index, placed) in self.steps.iter().enumerate() {
                let hangs = match placed.step.relation {
                    Relation::Anywhere => true,
                    Relation::Descendant => parent.around & placed.before != 0,
                    Relation::Child => parent.matched & placed.before != 0,
                    Relation::Next => parent.previous & placed.before != 0,
                    Relation::Later => parent.earlier & placed.before != 0,
                };
                if hangs && all_hold(&placed.step.tests, dom, node, place) {
                    matched |= 1 << index;
                }
            }
            parent.previous = matched;
            parent.earlier |= matched;
            let around = parent.around | matched;
            open.push(Open {
                node: Some(node),
                end: dom.end(node),
                matched,
                around,
                previous: 0,
                earlier: 0,
                children: 0,
            });
            if matched != 0 {
                for (end, nodes) in self.ends.iter().zip(&mut found) {
                    if matched & end != 0 && nodes.len() < count_max {
                        nodes.push(node);
                    }
                }
            }
        }
        found
    }
}

/// An element whose children are being looked at.
struct Open {
    node: Option<NodeIndex>,
    end: NodeIndex,
    matched: Bits,
    /// Its own bits and its ancestors'.
    around: Bits,
    /// Bits of the child before the current one, and of all before it.
    previous: Bits,
    earlier: Bits,
    children: i32,
}

impl Open {
    fn root(end: NodeIndex) -> Open {
        Open {
            node: None,
            end: end.max(1),
            matched: 0,
            around: 0,
            previous: 0,
            earlier: 0,
            children: 0,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Place {
    /// Among its parent's elements, from 1.
    position: i32,
    is_last: bool,
}

const NONE: u32 = u32::MAX;

/// The last element child of each node; `NONE` when that is not in the tree.
fn last_children(dom: &Dom) -> Vec<u32> {
    let mut last = vec![NONE; dom.len()];
    for node in 0..dom.len() {
        if dom.tag(node) != Tag::Text
            && let Some(parent) = dom.parent(node)
        {
            last[parent] = node as u32;
        }
    }
    for (position, parent) in dom.dropped() {
        let last = &mut last[*parent as usize];
        if *last < *position {
            *last = NONE;
        }
    }
    last
}

/// What has no parent in the tree is the only one of its kind: the body.
fn is_last(dom: &Dom, last: &[u32], node: NodeIndex) -> bool {
    dom.parent(node)
        .is_none_or(|parent| last[parent] as usize == node)
}

fn asks_for_last(tests: &[Test]) -> bool {
    tests.iter().any(|test| match test {
        Test::LastChild => true,
        Test::Not(compounds) => compounds.iter().any(|tests| asks_for_last(tests)),
        _ => false,
    })
}

fn all_hold(tests: &[Test], dom: &Dom, node: NodeIndex, place: Place) -> bool {
    tests.iter().all(|test| holds(test, dom, node, place))
}

fn holds(test: &Test, dom: &Dom, node: NodeIndex, place: Place) -> bool {
    match test {
        Test::Tag(tag) => dom.tag(node) == *tag,
        Test::Name(name) => dom.unusual_name(node) == Some(name),
        Test::Id(id) => dom.attribute(node, &local_name!("id")) == Some(id),
        Test::Class(class) => dom
            .attribute(node, &local_name!("class"))
            .is_some_and(|value| value.split_ascii_whitespace().any(|word| word == class)),
        Test::Attribute { name, test } => dom
            .attribute(node, name)
            .is_some_and(|value| attribute_holds(test, value)),
        Test::NthChild { step, offset } => {
            let distance = place.position - offset;
            match step {
                0 => distance == 0,
                step => distance % step == 0 && distance / step >= 0,
            }
        }
        Test::LastChild => place.is_last,
        Test::Not(compounds) => !compounds
            .iter()
            .any(|tests| tests.iter().all(|test| holds(test, dom, node, place))),
    }
}

fn attribute_holds(test: &AttributeTest, actual: &str) -> bool {
    let AttributeTest::Compare {
        operator,
        value,
        ignore_case,
    } = test
    else {
        return true;
    };
    if *ignore_case {
        compare(
            *operator,
            &actual.to_ascii_lowercase(),
            &value.to_ascii_lowercase(),
        )
    } else {
        compare(*operator, actual, value)
    }
}

/// As the standard has it, an empty value is part of nothing.
fn compare(operator: Operator, actual: &str, value: &str) -> bool {
    match operator {
        Operator::Equals => actual == value,
        Operator::Word => actual.split_ascii_whitespace().any(|word| word == value),
        Operator::Language => actual
            .strip_prefix(value)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('-')),
        Operator::Begins => !value.is_empty() && actual.starts_with(value),
        Operator::Ends => !value.is_empty() && actual.ends_with(value),
        Operator::Holds => !value.is_empty() && actual.contains(value),
    }
}
