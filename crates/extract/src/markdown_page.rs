//! Markdown source -> [`Page`]. The source is its own Markdown; the text is
//! read line by line: headings, fences, lists, quotes, tables, paragraphs.

use types::{Block, BlockKind, Link, Page};
use url::Url;

use crate::limits::ExtractLimits;
use crate::text_page::normal_lines;

/// YAML front matter longer than this is content.
const FRONT_MATTER_LINES_MAX: usize = 100;

pub(crate) fn markdown_page(source: &str, url: &Url, limits: &ExtractLimits) -> Page {
    let source = normal_lines(source, limits.text_bytes_max.min(limits.markdown_bytes_max));
    let (title, body) = front_matter(&source);
    let mut reader = Reader {
        page: Page {
            markdown: body.trim().to_owned(),
            ..Page::default()
        },
        url,
        links_max: limits.links_max,
        open: None,
    };
    reader.read(body);
    let mut page = reader.page;
    let heading = page
        .headings()
        .next()
        .map(|heading| heading.text.to_owned());
    page.title = title.or(heading).unwrap_or_default();
    page
}

struct Reader<'a> {
    page: Page,
    url: &'a Url,
    links_max: usize,
    /// The block that following lines may continue.
    open: Option<(BlockKind, String)>,
}

impl Reader<'_> {
    fn read(&mut self, body: &str) {
        let mut lines = body.lines().peekable();
        while let Some(line) = lines.next() {
            let trimmed = line.trim();
            if let Some(fence) = fence_of(trimmed) {
                self.end_block();
                let mut code = String::new();
                for inside in lines.by_ref() {
                    let end = inside.trim();
                    if end.len() >= fence.len() && end.trim_start_matches(&fence[..1]).is_empty() {
                        break;
                    }
                    code.push_str(inside);
                    code.push('\n');
                }
                self.push(BlockKind::Code, code.trim_end_matches('\n'));
                continue;
            }
            let underlined = match lines.peek().map(|next| next.trim()) {
                Some(next) if !next.is_empty() && next.bytes().all(|b| b == b'=') => Some(1),
                Some(next) if next.len() >= 3 && next.bytes().all(|b| b == b'-') => Some(2),
                _ => None,
            };
            match line_kind(line) {
                LineKind::Blank | LineKind::Rule => self.end_block(),
                LineKind::Heading(level, text) => {
                    self.end_block();
                    self.add(BlockKind::Heading(level), text);
                    self.end_block();
                }
                LineKind::Item(text) => {
                    self.end_block();
                    self.add(BlockKind::ListItem, text);
                }
                LineKind::Quote(text) => self.add(BlockKind::Quote, text),
                LineKind::Row(text) => self.add(BlockKind::Table, text),
                LineKind::Delimiter => {}
                LineKind::Text(text) => match underlined {
                    Some(level) if self.open.is_none() => {
                        lines.next();
                        self.add(BlockKind::Heading(level), text);
                        self.end_block();
                    }
                    _ => self.add(BlockKind::Paragraph, text),
                },
            }
        }
        self.end_block();
    }

    fn add(&mut self, kind: BlockKind, line: &str) {
        let text = self.inline(line);
        if let Some((open, block)) = &mut self.open {
            let continues = *open == kind
                || (kind == BlockKind::Paragraph
                    && matches!(open, BlockKind::ListItem | BlockKind::Quote));
            if continues {
                block.push(if kind == BlockKind::Table { '\n' } else { ' ' });
                block.push_str(&text);
                return;
            }
        }
        self.end_block();
        self.open = Some((kind, text));
    }

    fn end_block(&mut self) {
        if let Some((kind, text)) = self.open.take() {
            self.push(kind, text.trim());
        }
    }

    fn push(&mut self, kind: BlockKind, text: &str) {
        if text.trim().is_empty() {
            return;
        }
        let tight = kind == BlockKind::ListItem
            && self
                .page
                .blocks
                .last()
                .is_some_and(|block| block.kind == BlockKind::ListItem);
        let separator = match self.page.text.is_empty() {
            true => "",
            false if tight => "\n",
            false => "\n\n",
        };
        self.page.text.push_str(separator);
        let start = self.page.text.len();
        self.page.text.push_str(text);
        self.page.blocks.push(Block {
            kind,
            range: start..self.page.text.len(),
        });
    }

    /// Takes the markup out of a line and its links along.
    fn inline(&mut self, line: &str) -> String {
        let mut text = String::with_capacity(line.len());
        let mut rest = line;
        while let Some(character) = rest.chars().next() {
            let after = &rest[character.len_utf8()..];
            match character {
                '\\' if after.starts_with(|c: char| c.is_ascii_punctuation()) => {
                    text.push_str(&after[..1]);
                    rest = &after[1..];
                    continue;
                }
                '!' if after.starts_with('[') => {
                    if let Some((_, _, behind)) = link_at(after) {
                        rest = behind;
                        continue;
                    }
                }
                '[' => {
                    if let Some((label, target, behind)) = link_at(rest) {
                        let label: String =
                            label.chars().filter(|c| !matches!(c, '*' | '`')).collect();
                        text.push_str(&label);
                        self.link(target, &label);
                        rest = behind;
                        continue;
                    }
                }
                '<' => {
                    if let Some(end) = after.find('>') {
                        let inside = &after[..end];
                        if inside.starts_with("http://") || inside.starts_with("https://") {
                            text.push_str(inside);
                            self.link(inside, inside);
                            rest = &after[end + 1..];
                            continue;
                        }
                        if inside.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/') {
                            rest = &after[end + 1..];
                            continue;
                        }
                    }
                }
                '*' | '`' => {
                    rest = after;
                    continue;
                }
                '_' => {
                    let inside_word = text.ends_with(char::is_alphanumeric)
                        && after.starts_with(char::is_alphanumeric);
                    if !inside_word {
                        rest = after;
                        continue;
                    }
                }
                _ => {}
            }
            text.push(character);
            rest = after;
        }
        text
    }

    fn link(&mut self, target: &str, label: &str) {
        if self.page.links.len() >= self.links_max {
            return;
        }
        if let Ok(url) = self.url.join(target)
            && matches!(url.scheme(), "http" | "https")
        {
            self.page.links.push(Link {
                url: url.into(),
                text: label.trim().to_owned(),
                nofollow: false,
            });
        }
    }
}

enum LineKind<'a> {
    Blank,
    Rule,
    Heading(u8, &'a str),
    Item(&'a str),
    Quote(&'a str),
    Row(&'a str),
    /// `|---|---|`
    Delimiter,
    Text(&'a str),
}

fn line_kind(line: &str) -> LineKind<'_> {
    let text = line.trim();
    if text.is_empty() {
        return LineKind::Blank;
    }
    let level = text.bytes().take_while(|byte| *byte == b'#').count();
    if (1..=6).contains(&level) && text[level..].starts_with([' ', '\t']) {
        let heading = text[level..].trim().trim_end_matches('#').trim_end();
        return LineKind::Heading(level as u8, heading);
    }
    let marks: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    if marks.len() >= 3
        && ["-", "*", "_"]
            .iter()
            .any(|m| marks.replace(m, "").is_empty())
    {
        return LineKind::Rule;
    }
    if let Some(quoted) = text.strip_prefix('>') {
        return LineKind::Quote(quoted.trim_start_matches(['>', ' ']));
    }
    for bullet in ["- ", "* ", "+ "] {
        if let Some(item) = text.strip_prefix(bullet) {
            return LineKind::Item(item.trim());
        }
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if (1..=9).contains(&digits)
        && let Some(item) = text[digits..]
            .strip_prefix(". ")
            .or_else(|| text[digits..].strip_prefix(") "))
    {
        return LineKind::Item(item.trim());
    }
    if text.starts_with('|') && text.len() > 1 {
        if text
            .bytes()
            .all(|byte| matches!(byte, b'|' | b'-' | b':' | b' '))
        {
            return LineKind::Delimiter;
        }
        return LineKind::Row(text.trim_matches('|').trim());
    }
    LineKind::Text(text)
}

fn fence_of(line: &str) -> Option<&str> {
    ["`", "~"].iter().find_map(|mark| {
        let length = line.len() - line.trim_start_matches(mark).len();
        (length >= 3 && !line[length..].contains('`')).then(|| &line[..length])
    })
}

/// `[label](target "title")` at the start of `text`, and what follows.
fn link_at(text: &str) -> Option<(&str, &str, &str)> {
    let label_end = text.find(']')?;
    let after = text[label_end + 1..].strip_prefix('(')?;
    let end = after.find(')')?;
    let target = after[..end].split_whitespace().next()?;
    let target = target.trim_start_matches('<').trim_end_matches('>');
    Some((&text[1..label_end], target, &after[end + 1..]))
}

/// Title and body of a source that starts with `---`.
fn front_matter(source: &str) -> (Option<String>, &str) {
    let Some(rest) = source.strip_prefix("---\n") else {
        return (None, source);
    };
    let mut title = None;
    let mut position = 4;
    for line in rest.split_inclusive('\n').take(FRONT_MATTER_LINES_MAX) {
        position += line.len();
        if line.trim_end() == "---" {
            return (title, &source[position..]);
        }
        if let Some(value) = line.strip_prefix("title:") {
            title = Some(value.trim().trim_matches(['"', '\'']).to_owned())
                .filter(|title| !title.is_empty());
        }
    }
    (None, source)
}
