//! HTML text -> a compact tree, one parse per page.

mod attribute_limit;
mod dom;
mod fast_scan;
mod parse;
mod scan;
mod sink;
mod tag;

pub(crate) use dom::{Dom, NodeIndex};
pub(crate) use parse::{ParseLimits, parse, scan_only};
pub(crate) use scan::PageScan;
pub(crate) use tag::Tag;
