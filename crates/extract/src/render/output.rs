//! Finished blocks, written to the text and to the Markdown side by side.

use types::{Block, BlockKind};

use super::inline::Line;

/// What encloses a block in Markdown.
#[derive(Debug)]
pub(super) enum Container {
    Quote {
        started: bool,
    },
    Item {
        /// `- ` or `12. `; written before the item's first block only.
        marker: String,
        started: bool,
    },
    /// A definition; its first block is led by a colon.
    Definition {
        started: bool,
    },
}

#[derive(Debug)]
pub(super) struct Output {
    pub(super) text: String,
    pub(super) markdown: String,
    pub(super) blocks: Vec<Block>,
    pub(super) containers: Vec<Container>,
    /// Number of the outermost list, so that two lists in a row stay apart.
    pub(super) list_number: u32,
    last_list: Option<u32>,
    last_was_item: bool,
    text_bytes_max: usize,
    markdown_bytes_max: usize,
    /// A limit was met: nothing more is written.
    pub(super) full: bool,
}

impl Output {
    pub(super) fn new(text_bytes_max: usize, markdown_bytes_max: usize) -> Output {
        Output {
            text: String::new(),
            markdown: String::new(),
            blocks: Vec::new(),
            containers: Vec::new(),
            list_number: 0,
            last_list: None,
            last_was_item: false,
            text_bytes_max,
            markdown_bytes_max,
            full: false,
        }
    }

    /// Bytes of text that still fit.
    pub(super) fn room(&self) -> usize {
        self.text_bytes_max.saturating_sub(self.text.len())
    }

    /// Kind of a plain block here: item, quote or paragraph.
    pub(super) fn kind_here(&self) -> BlockKind {
        match self.containers.last() {
            Some(Container::Item { .. }) => BlockKind::ListItem,
            Some(Container::Quote { .. }) => BlockKind::Quote,
            Some(Container::Definition { .. }) | None => BlockKind::Paragraph,
        }
    }

    fn in_list(&self) -> bool {
        self.containers
            .iter()
            .any(|container| matches!(container, Container::Item { .. }))
    }

    /// Writes a block of inline text.
    pub(super) fn block(&mut self, kind: BlockKind, line: &Line) {
        let markdown = match kind {
            BlockKind::Heading(level) => {
                let hashes = "#".repeat(usize::from(level));
                format!("{hashes} {}", line.markdown)
            }
            BlockKind::Table => line.markdown.clone(),
            _ => escape_line_starts(&line.markdown),
        };
        self.write(kind, &line.plain, &markdown);
    }

    /// Writes code, byte for byte.
    pub(super) fn code(&mut self, code: &str, language: &str) {
        let longest_run = code.split(|c| c != '`').map(str::len).max().unwrap_or(0);
        let fence = "`".repeat(longest_run.max(2) + 1);
        self.write(
            BlockKind::Code,
            code,
            &format!("{fence}{language}\n{code}\n{fence}"),
        );
    }

    pub(super) fn rule(&mut self) {
        if !self.markdown.is_empty() && !self.markdown.ends_with("---") {
            self.write_markdown(BlockKind::Paragraph, "---");
        }
    }

    fn write(&mut self, kind: BlockKind, plain: &str, markdown: &str) {
        if self.full {
            return;
        }
        let list = self.in_list().then_some(self.list_number);
        let tight = kind == BlockKind::ListItem && self.last_was_item && self.last_list == list;
        if !markdown.is_empty() {
            self.write_markdown(kind, markdown);
        }
        if !plain.trim().is_empty() {
            let separator = match self.text.is_empty() {
                true => "",
                false if tight => "\n",
                false => "\n\n",
            };
            let room = self
                .text_bytes_max
                .saturating_sub(self.text.len() + separator.len());
            let kept = &plain[..plain.floor_char_boundary(room)];
            if kept.len() < plain.len() {
                self.full = true;
            }
            if !kept.trim().is_empty() {
                self.text.push_str(separator);
                let start = self.text.len();
                self.text.push_str(kept);
                self.blocks.push(Block {
                    kind,
                    range: start..self.text.len(),
                });
            }
        }
        self.last_was_item = kind == BlockKind::ListItem;
        self.last_list = list;
    }

    fn write_markdown(&mut self, kind: BlockKind, body: &str) {
        let list = self.in_list().then_some(self.list_number);
        let starts_item = self
            .containers
            .iter()
            .any(|container| matches!(container, Container::Item { started: false, .. }));
        let tight = starts_item
            && kind == BlockKind::ListItem
            && self.last_was_item
            && self.last_list == list;
        // A blank line carries the marks of quotes that go on, not of one that starts.
        let blank = self.blank_prefix();
        let (first, rest) = self.prefixes();
        let written_before = self.markdown.len();
        if !self.markdown.is_empty() {
            self.markdown.push('\n');
            if !tight {
                self.markdown.push_str(&blank);
                self.markdown.push('\n');
            }
        }
        for (number, line) in body.split('\n').enumerate() {
            if number > 0 {
                self.markdown.push('\n');
            }
            let prefix = if number == 0 { &first } else { &rest };
            if line.is_empty() {
                self.markdown.push_str(prefix.trim_end());
            } else {
                self.markdown.push_str(prefix);
                self.markdown.push_str(line);
            }
        }
        if self.markdown.len() > self.markdown_bytes_max {
            self.markdown.truncate(written_before);
            self.full = true;
        }
    }

    /// Prefix of a blank line: up to the last quote mark that is needed.
    fn blank_prefix(&self) -> String {
        let mut prefix = String::new();
        let mut needed = 0;
        for container in &self.containers {
            match container {
                Container::Quote { started: true } => {
                    prefix.push('>');
                    needed = prefix.len();
                    prefix.push(' ');
                }
                Container::Item {
                    marker,
                    started: true,
                } => {
                    prefix.push_str(&" ".repeat(marker.len()));
                }
                Container::Definition { .. } => {}
                Container::Quote { .. } | Container::Item { .. } => break,
            }
        }
        prefix.truncate(needed);
        prefix
    }

    /// Prefix of the block's first line and of its other lines.
    fn prefixes(&mut self) -> (String, String) {
        let mut first = String::new();
        let mut rest = String::new();
        for container in &mut self.containers {
            match container {
                Container::Quote { started } => {
                    *started = true;
                    first.push_str("> ");
                    rest.push_str("> ");
                }
                Container::Item { marker, started } => {
                    let blank = " ".repeat(marker.len());
                    first.push_str(if *started { &blank } else { marker });
                    rest.push_str(&blank);
                    *started = true;
                }
                Container::Definition { started } => {
                    if !*started {
                        first.push_str(": ");
                    }
                    *started = true;
                }
            }
        }
        (first, rest)
    }
}

/// Escapes what would start another kind of block.
fn escape_line_starts(markdown: &str) -> String {
    let mut escaped = String::with_capacity(markdown.len() + 2);
    for (number, line) in markdown.split('\n').enumerate() {
        if number > 0 {
            escaped.push('\n');
        }
        match escape_at(line) {
            Some(at) => {
                escaped.push_str(&line[..at]);
                escaped.push('\\');
                escaped.push_str(&line[at..]);
            }
            None => escaped.push_str(line),
        }
    }
    escaped
}

fn escape_at(line: &str) -> Option<usize> {
    let bytes = line.as_bytes();
    match bytes.first()? {
        b'#' => {
            let level = bytes.iter().take_while(|b| **b == b'#').count();
            (level <= 6 && matches!(bytes.get(level), None | Some(b' '))).then_some(0)
        }
        b'>' => Some(0),
        b'+' | b'-' if matches!(bytes.get(1), None | Some(b' ')) => Some(0),
        b'-' | b'=' | b'~' => {
            let first = bytes[0];
            bytes.iter().all(|b| *b == first || *b == b' ').then_some(0)
        }
        b'0'..=b'9' => {
            let digits = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
            (digits <= 9
                && matches!(bytes.get(digits), Some(b'.' | b')'))
                && matches!(bytes.get(digits + 1), None | Some(b' ')))
            .then_some(digits)
        }
        _ => None,
    }
}
