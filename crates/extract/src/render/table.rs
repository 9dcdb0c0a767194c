//! Data tables: one block, a line per row; GFM in Markdown.

use html5ever::local_name;
use types::BlockKind;

use crate::content::column_span;
use crate::html::{NodeIndex, Tag};

use super::Renderer;
use super::inline::{Inline, Line};

/// GFM has no limit; a row of thousands of empty cells helps nobody.
const COLUMNS_MAX: usize = 200;

#[derive(Default)]
struct Row {
    cells: Vec<Line>,
    /// Stands in `<thead>`.
    header: bool,
    /// Holds a `<td>`.
    data: bool,
}

impl Renderer<'_> {
    pub(super) fn table(&mut self, table: NodeIndex) {
        let dom = self.dom;
        let mut rows: Vec<Row> = Vec::new();
        // Rows still covered by a cell above, by column.
        let mut covered: Vec<usize> = Vec::new();
        let mut node = table + 1;
        let mut bytes = 0;
        let mut in_head_until = 0;
        while node < dom.end(table) && bytes <= self.output.room() {
            if self.removed[node] {
                node = dom.end(node);
                continue;
            }
            match dom.tag(node) {
                Tag::Caption => {
                    let caption = self.flat_line(node);
                    let kind = self.output.kind_here();
                    self.output.block(kind, &caption);
                    node = dom.end(node);
                }
                Tag::Thead => {
                    in_head_until = dom.end(node);
                    node += 1;
                }
                Tag::Tr => {
                    rows.push(Row {
                        header: node < in_head_until,
                        ..Row::default()
                    });
                    node += 1;
                }
                tag @ (Tag::Td | Tag::Th) => {
                    let line = self.flat_line(node);
                    bytes += line.plain.len();
                    if rows.is_empty() {
                        rows.push(Row::default());
                    }
                    if let Some(row) = rows.last_mut() {
                        row.data |= tag == Tag::Td;
                    }
                    self.add_cell(&mut rows, &mut covered, node, line);
                    node = dom.end(node);
                }
                _ => node += 1,
            }
        }
        rows.retain(|row| row.cells.iter().any(|cell| !cell.markdown.is_empty()));
        if rows.is_empty() {
            return;
        }
        let plain = rows.iter().map(plain_row).collect::<Vec<_>>().join("\n");
        let markdown = markdown_table(&rows);
        self.output
            .block(BlockKind::Table, &Line { plain, markdown });
    }

    fn add_cell(&self, rows: &mut [Row], covered: &mut Vec<usize>, node: NodeIndex, line: Line) {
        let Some(row) = rows.last_mut() else {
            return;
        };
        while row.cells.len() < COLUMNS_MAX
            && covered.get(row.cells.len()).is_some_and(|left| *left > 0)
        {
            covered[row.cells.len()] -= 1;
            row.cells.push(empty());
        }
        if row.cells.len() >= COLUMNS_MAX {
            return;
        }
        let span = column_span(self.dom, node).min(COLUMNS_MAX - row.cells.len());
        let rows_spanned = self
            .dom
            .attribute(node, &local_name!("rowspan"))
            .and_then(|span| span.trim().parse::<usize>().ok())
            .unwrap_or(1)
            .clamp(1, 1_000);
        let start = row.cells.len();
        row.cells.push(line);
        for _ in 1..span {
            row.cells.push(empty());
        }
        if covered.len() < start + span {
            covered.resize(start + span, 0);
        }
        covered[start..start + span].fill(rows_spanned - 1);
    }

    /// Everything below `node` as one line, in a buffer of its own.
    fn flat_line(&mut self, node: NodeIndex) -> Line {
        let mut outer = std::mem::take(&mut self.inline);
        self.inline = Inline::one_line();
        self.walk(node + 1, self.dom.end(node));
        let line = self.inline.take();
        std::mem::swap(&mut self.inline, &mut outer);
        line
    }
}

fn empty() -> Line {
    Line {
        plain: String::new(),
        markdown: String::new(),
    }
}

fn plain_row(row: &Row) -> String {
    let cells: Vec<&str> = row
        .cells
        .iter()
        .map(|cell| cell.plain.as_str())
        .filter(|cell| !cell.is_empty())
        .collect();
    cells.join(" | ")
}

/// The first row is the header if its markup says so; GFM needs one, so other
/// tables get an empty one.
fn markdown_table(rows: &[Row]) -> String {
    let columns = rows.iter().map(|row| row.cells.len()).max().unwrap_or(1);
    let mut markdown = String::new();
    let push_row = |markdown: &mut String, cells: &[Line]| {
        markdown.push('|');
        for column in 0..columns {
            markdown.push(' ');
            if let Some(cell) = cells.get(column).filter(|cell| !cell.markdown.is_empty()) {
                markdown.push_str(&cell.markdown);
                markdown.push(' ');
            }
            markdown.push('|');
        }
    };
    let (header, body): (&[Line], &[Row]) = match rows.split_first() {
        Some((first, rest)) if first.header || !first.data => (&first.cells, rest),
        _ => (&[], rows),
    };
    push_row(&mut markdown, header);
    markdown.push_str("\n|");
    markdown.push_str(&" --- |".repeat(columns));
    for row in body {
        markdown.push('\n');
        push_row(&mut markdown, &row.cells);
    }
    markdown
}
