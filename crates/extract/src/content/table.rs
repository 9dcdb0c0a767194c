//! Tells tables of data from tables used for layout.

use html5ever::{LocalName, local_name};

use crate::html::{Dom, NodeIndex, Tag};

/// Longest cell text of a table without header cells, bytes. Layout tables
/// hold whole articles in a cell.
const CELL_BYTES_MAX: usize = 1_000;

/// By its own markup first, then by its shape.
pub(crate) fn looks_like_data(dom: &Dom, table: NodeIndex) -> bool {
    let role = dom.attribute(table, &local_name!("role"));
    if role == Some("presentation") || role == Some("none") {
        return false;
    }
    if dom.attribute(table, &LocalName::from("datatable")) == Some("0") {
        return false;
    }
    let mut rows = 0_usize;
    let mut columns = 0_usize;
    let mut columns_of_row = 0_usize;
    let mut has_header = false;
    let mut marked = dom.attribute(table, &local_name!("summary")).is_some();
    let mut longest_cell = 0;
    for node in table + 1..dom.end(table) {
        match dom.tag(node) {
            Tag::Table => return false,
            Tag::Pre if is_multi_line(dom, node) => return false,
            Tag::Caption | Tag::Col | Tag::Colgroup | Tag::Tfoot | Tag::Thead | Tag::Th => {
                marked = true;
            }
            _ => {}
        }
        match dom.tag(node) {
            Tag::Tr => {
                rows += 1;
                columns_of_row = 0;
            }
            tag @ (Tag::Td | Tag::Th) => {
                has_header |= tag == Tag::Th;
                columns_of_row += column_span(dom, node);
                columns = columns.max(columns_of_row);
                longest_cell = longest_cell.max(text_bytes(dom, node));
            }
            _ => {}
        }
    }
    // One column with a header is a list of records (DocBook's catalogs).
    if rows <= 1 || (columns <= 1 && !(has_header && rows >= 3)) {
        return false;
    }
    marked || longest_cell <= CELL_BYTES_MAX && (rows >= 10 || columns > 4 || rows * columns > 10)
}

/// The HTML Standard clamps `colspan` to 1,000.
pub(crate) fn column_span(dom: &Dom, cell: NodeIndex) -> usize {
    dom.attribute(cell, &local_name!("colspan"))
        .and_then(|span| span.trim().parse::<usize>().ok())
        .unwrap_or(1)
        .clamp(1, 1_000)
}

fn is_multi_line(dom: &Dom, pre: NodeIndex) -> bool {
    (pre..dom.end(pre)).any(|node| dom.text(node).trim_matches('\n').contains('\n'))
}

fn text_bytes(dom: &Dom, node: NodeIndex) -> usize {
    (node..dom.end(node))
        .map(|index| dom.text(index).len())
        .sum()
}
