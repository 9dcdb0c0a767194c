//! Plain text -> [`Page`]: paragraphs are separated by blank lines.

use types::{Block, BlockKind, Page};

use crate::limits::ExtractLimits;

const TITLE_BYTES_MAX: usize = 150;

pub(crate) fn text_page(source: &str, limits: &ExtractLimits) -> Page {
    let text = normal_lines(source, limits.text_bytes_max);
    let mut page = Page {
        title: first_line(&text),
        ..Page::default()
    };
    for paragraph in paragraphs(&text) {
        push_paragraph(&mut page, paragraph, limits);
    }
    page
}

/// Line ends as `\n`, form feeds as blank lines, no NUL, cut to the limit.
pub(crate) fn normal_lines(source: &str, bytes_max: usize) -> String {
    let source = &source[..source.floor_char_boundary(bytes_max)];
    source
        .replace("\r\n", "\n")
        .replace('\r', "\n")
        .replace('\u{0C}', "\n\n")
        .replace('\0', "")
}

/// Runs of lines that hold something.
pub(crate) fn paragraphs(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut start = None;
        let mut position = 0;
        for line in rest.split_inclusive('\n') {
            let blank = line.trim().is_empty();
            match (start, blank) {
                (None, false) => start = Some(position),
                (Some(from), true) => {
                    let paragraph = &rest[from..position];
                    rest = &rest[position..];
                    return Some(paragraph.trim_end());
                }
                _ => {}
            }
            position += line.len();
        }
        let paragraph = start.map(|from| rest[from..].trim_end());
        rest = "";
        paragraph
    })
}

/// Indented paragraphs are code; the rest keeps its lines.
fn push_paragraph(page: &mut Page, paragraph: &str, limits: &ExtractLimits) {
    let is_code = paragraph
        .lines()
        .all(|line| line.starts_with("    ") || line.starts_with('\t') || line.trim().is_empty());
    let separator = if page.text.is_empty() { "" } else { "\n\n" };
    page.text.push_str(separator);
    let start = page.text.len();
    page.text.push_str(paragraph);
    page.blocks.push(Block {
        kind: if is_code {
            BlockKind::Code
        } else {
            BlockKind::Paragraph
        },
        range: start..page.text.len(),
    });
    if page.markdown.len() + paragraph.len() > limits.markdown_bytes_max {
        return;
    }
    page.markdown.push_str(separator);
    if is_code {
        page.markdown.push_str("```\n");
        page.markdown.push_str(paragraph);
        page.markdown.push_str("\n```");
        return;
    }
    for (number, line) in paragraph.lines().enumerate() {
        if number > 0 {
            page.markdown.push('\n');
        }
        let line = line.trim();
        let starts_markup = line.starts_with(['#', '>', '-', '+', '=', '*', '`', '~', '|'])
            || line.split_once(['.', ')']).is_some_and(|(number, _)| {
                !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
            });
        if starts_markup && line.is_ascii() && line.as_bytes()[0].is_ascii_punctuation() {
            page.markdown.push('\\');
        }
        page.markdown.push_str(line);
    }
}

fn first_line(text: &str) -> String {
    let line = text
        .lines()
        .map(str::trim)
        .find(|line| line.chars().any(char::is_alphanumeric))
        .unwrap_or_default();
    if line.len() > TITLE_BYTES_MAX {
        return String::new();
    }
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}
