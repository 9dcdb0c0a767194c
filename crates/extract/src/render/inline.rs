//! The running line of text: as plain text and as Markdown at once.

/// An inline element that Markdown has a spelling for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MarkKind {
    Emphasis,
    Strong,
    Strike,
    Code,
    Link(String),
    /// Makes no Markdown; its text can still be taken back.
    Bare,
}

#[derive(Debug)]
struct Mark {
    kind: MarkKind,
    /// Whether the opening was written: only once text follows.
    written: bool,
    /// Offsets where the mark's content starts in the Markdown and plain text.
    markdown_start: usize,
    plain_start: usize,
}

/// Text of one block so far.
#[derive(Debug, Default)]
pub(super) struct Inline {
    plain: String,
    markdown: String,
    marks: Vec<Mark>,
    space_pending: bool,
    breaks_pending: u32,
    /// One line only: breaks become blanks (headings, table cells).
    pub(super) flat: bool,
}

/// One finished block.
pub(super) struct Line {
    pub(super) plain: String,
    pub(super) markdown: String,
}

impl Inline {
    /// For headings and table cells.
    pub(super) fn one_line() -> Inline {
        Inline {
            flat: true,
            ..Inline::default()
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.markdown.is_empty()
    }

    pub(super) fn plain_bytes(&self) -> usize {
        self.plain.len()
    }

    /// Whether two or more line breaks wait: the next text is a new paragraph.
    pub(super) fn paragraph_break_pending(&self) -> bool {
        self.breaks_pending >= 2 && !self.flat
    }

    pub(super) fn space(&mut self) {
        self.space_pending = true;
    }

    pub(super) fn line_break(&mut self) {
        self.space_pending = true;
        if !self.flat {
            self.breaks_pending += 1;
        }
    }

    /// Appends text with white space folded.
    pub(super) fn text(&mut self, text: &str) {
        let mut rest = text;
        while !rest.is_empty() {
            let blank_end = rest.find(|c: char| !is_blank(c)).unwrap_or(rest.len());
            if blank_end > 0 {
                self.space_pending = true;
                rest = &rest[blank_end..];
                continue;
            }
            let word_end = rest.find(is_blank).unwrap_or(rest.len());
            self.word(&rest[..word_end]);
            rest = &rest[word_end..];
        }
    }

    fn word(&mut self, word: &str) {
        self.settle();
        self.plain.push_str(word);
        if self.in_code() {
            self.markdown.push_str(word);
        } else {
            escape_into(&mut self.markdown, word);
        }
    }

    /// An image: Markdown only.
    pub(super) fn image(&mut self, alt: &str, url: &str) {
        if self.in_code() {
            return;
        }
        self.settle();
        self.markdown.push_str("![");
        escape_into(&mut self.markdown, alt);
        self.markdown.push_str("](");
        push_destination(&mut self.markdown, url);
        self.markdown.push(')');
    }

    pub(super) fn open(&mut self, kind: MarkKind) {
        self.marks.push(Mark {
            kind,
            written: false,
            markdown_start: self.markdown.len(),
            plain_start: self.plain.len(),
        });
    }

    pub(super) fn close(&mut self) {
        let Some(mark) = self.marks.pop() else {
            return;
        };
        if mark.written {
            self.write_close(&mark);
        }
    }

    /// Closes the innermost mark and takes back its text if `unwanted` says so.
    pub(super) fn close_unless(&mut self, unwanted: impl Fn(&str) -> bool) {
        let Some(mark) = self.marks.last() else {
            return;
        };
        let plain_start = mark.plain_start;
        if mark.written && unwanted(self.plain[plain_start..].trim()) {
            let opening = match mark.kind {
                MarkKind::Link(_) => 1,
                _ => 0,
            };
            self.markdown
                .truncate(mark.markdown_start.saturating_sub(opening));
            self.plain.truncate(plain_start);
            self.marks.pop();
            return;
        }
        self.close();
    }

    /// Hands out the block and starts a new one. Open marks go on in it.
    pub(super) fn take(&mut self) -> Line {
        for index in (0..self.marks.len()).rev() {
            if self.marks[index].written {
                let mark = Mark {
                    kind: self.marks[index].kind.clone(),
                    ..self.marks[index]
                };
                self.write_close(&mark);
            }
        }
        for mark in &mut self.marks {
            mark.written = false;
            mark.markdown_start = 0;
            mark.plain_start = 0;
        }
        self.space_pending = false;
        self.breaks_pending = 0;
        Line {
            plain: std::mem::take(&mut self.plain),
            markdown: std::mem::take(&mut self.markdown),
        }
    }

    fn in_code(&self) -> bool {
        self.marks
            .iter()
            .any(|mark| mark.written && mark.kind == MarkKind::Code)
    }

    /// Writes what waits before the next visible thing: blanks, then openings.
    fn settle(&mut self) {
        let breaks = std::mem::take(&mut self.breaks_pending);
        if std::mem::take(&mut self.space_pending) && !self.is_empty() {
            if breaks > 0 && !self.in_code() {
                if !self.plain.is_empty() {
                    self.plain.push('\n');
                }
                self.markdown.push_str("\\\n");
            } else {
                if !self.plain.is_empty() && !self.plain.ends_with('\n') {
                    self.plain.push(' ');
                }
                self.markdown.push(' ');
            }
        }
        let mut in_code = false;
        for mark in &mut self.marks {
            if !mark.written && !in_code {
                match mark.kind {
                    MarkKind::Emphasis => self.markdown.push('*'),
                    MarkKind::Strong => self.markdown.push_str("**"),
                    MarkKind::Strike => self.markdown.push_str("~~"),
                    MarkKind::Link(_) => self.markdown.push('['),
                    MarkKind::Code | MarkKind::Bare => {}
                }
                mark.written = true;
                mark.markdown_start = self.markdown.len();
                mark.plain_start = self.plain.len();
            }
            in_code |= mark.kind == MarkKind::Code;
        }
    }

    fn write_close(&mut self, mark: &Mark) {
        match &mark.kind {
            MarkKind::Emphasis => self.markdown.push('*'),
            MarkKind::Strong => self.markdown.push_str("**"),
            MarkKind::Strike => self.markdown.push_str("~~"),
            MarkKind::Bare => {}
            MarkKind::Link(url) => {
                self.markdown.push_str("](");
                push_destination(&mut self.markdown, url);
                self.markdown.push(')');
            }
            MarkKind::Code => {
                let content = self.markdown.split_off(mark.markdown_start);
                push_code_span(&mut self.markdown, &content);
            }
        }
    }
}

/// HTML white space and the no-break space. Other Unicode blanks and all
/// format characters (ZWNJ) are content.
fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r' | '\u{0C}' | '\u{A0}')
}

fn push_code_span(markdown: &mut String, content: &str) {
    let longest_run = content.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest_run + 1);
    // CommonMark strips one blank on both sides, which frees inner backticks.
    let pad = if content.starts_with('`') || content.ends_with('`') {
        " "
    } else {
        ""
    };
    markdown.push_str(&fence);
    markdown.push_str(pad);
    markdown.push_str(content);
    markdown.push_str(pad);
    markdown.push_str(&fence);
}

/// A link target; angle brackets where parentheses could end it early.
fn push_destination(markdown: &mut String, url: &str) {
    if url.contains(['(', ')', ' ']) {
        markdown.push('<');
        for character in url.chars() {
            match character {
                '<' => markdown.push_str("%3C"),
                '>' => markdown.push_str("%3E"),
                _ => markdown.push(character),
            }
        }
        markdown.push('>');
    } else {
        markdown.push_str(url);
    }
}

/// Escapes what CommonMark or GFM would read as markup inside a line.
fn escape_into(markdown: &mut String, word: &str) {
    let bytes = word.as_bytes();
    let mut copied = 0;
    for (offset, byte) in bytes.iter().enumerate() {
        let escape = match byte {
            b'\\' | b'`' | b'*' | b'[' | b']' | b'<' | b'|' => true,
            // Within words an underscore means nothing (CommonMark 6.2).
            b'_' => {
                let word_like = |at: Option<&u8>| at.is_some_and(u8::is_ascii_alphanumeric);
                !(word_like(offset.checked_sub(1).and_then(|at| bytes.get(at)))
                    && word_like(bytes.get(offset + 1)))
            }
            b'~' => bytes.get(offset + 1) == Some(&b'~'),
            b'&' => {
                bytes
                    .get(offset + 1)
                    .is_some_and(|next| next.is_ascii_alphabetic() || *next == b'#')
                    && word[offset..].contains(';')
            }
            _ => false,
        };
        if escape {
            markdown.push_str(&word[copied..offset]);
            markdown.push('\\');
            copied = offset;
        }
    }
    markdown.push_str(&word[copied..]);
}
