//! CSS selectors over our own tree.
//!
//! A subset of Selectors Level 4, matched without backtracking: type, `*`,
//! `#id`, `.class`, attributes with all operators and the `i` flag, the
//! combinators ` `, `>`, `+`, `~`, comma lists, `:first-child`, `:last-child`,
//! `:only-child`, `:nth-child(an+b)` and `:not(…)` of compounds. Anything else
//! is an error, never silently nothing.
//!
//! Own code, since the general library brings a CSS parser, several macro
//! crates and an element interface as long as this, and bounds no page's cost.
//!
//! The tree holds the body alone: no `html`, `head`, `script` and their like.
//! `:nth-child` counts them where they stood, as browsers do.

mod matching;
mod parse;

pub(crate) use matching::Selectors;
pub(crate) use parse::parse_selector;

use html5ever::LocalName;

use crate::html::Tag;

/// A comma list: an element matches when one of them does.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Selector {
    alternatives: Vec<Vec<Step>>,
}

/// A compound selector and how it hangs on the one before it.
#[derive(Clone, Debug, PartialEq)]
struct Step {
    relation: Relation,
    tests: Vec<Test>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    /// The first compound: anywhere.
    Anywhere,
    Descendant,
    Child,
    /// `+`
    Next,
    /// `~`
    Later,
}

#[derive(Clone, Debug, PartialEq)]
enum Test {
    /// An element of a known tag.
    Tag(Tag),
    /// One whose name has no tag of its own.
    Name(LocalName),
    Id(String),
    Class(String),
    Attribute {
        name: LocalName,
        test: AttributeTest,
    },
    NthChild {
        step: i32,
        offset: i32,
    },
    LastChild,
    /// None of these compounds.
    Not(Vec<Vec<Test>>),
}

#[derive(Clone, Debug, PartialEq)]
enum AttributeTest {
    Exists,
    Compare {
        operator: Operator,
        value: String,
        ignore_case: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equals,
    /// `~=`
    Word,
    /// `|=`
    Language,
    /// `^=`
    Begins,
    /// `$=`
    Ends,
    /// `*=`
    Holds,
}

#[cfg(test)]
mod tests;
