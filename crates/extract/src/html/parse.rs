//! Runs html5ever with guards against pages made to be expensive.
//!
//! The tree builder has no limits of its own: it scans its stack of open
//! elements for each tag (100,000 nested `<div>` cost seconds) and copies all
//! open formatting elements into each new paragraph. The guard sits between
//! tokenizer and builder and drops tags, never text, past the limits.

use std::cell::{Cell, RefCell};

use html5ever::buffer_queue::BufferQueue;
use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{
    Tag as TokenTag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};
use html5ever::tree_builder::{TreeBuilder, TreeBuilderOpts, TreeSink};
use html5ever::{LocalName, TokenizerResult, local_name};

use super::attribute_limit::limit_attributes;
use super::dom::Dom;
use super::fast_scan::{self, Intricate};
use super::scan::{PageScan, is_raw_text};
use super::sink::Sink;

/// Open formatting elements (`<b>`, `<font>`, …) before more are ignored.
const FORMATTING_OPEN_MAX: i32 = 50;

/// Limits of one parse.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ParseLimits {
    pub(crate) links_max: usize,
    pub(crate) depth_max: usize,
    pub(crate) nodes_max: usize,
}

/// Parses a document into a tree, with what the token stream told on the way.
pub(crate) fn parse(html: &str, limits: ParseLimits) -> (Dom, PageScan) {
    let html = limit_attributes(html);
    // Markup writes a node per two bytes at most (`<b>x`); the builder's copies
    // of unclosed formatting must not multiply that.
    let limits = ParseLimits {
        nodes_max: limits.nodes_max.min(html.len() / 2 + 1_000),
        ..limits
    };
    let guard = Guard {
        builder: TreeBuilder::new(
            Sink::new(html.len()),
            TreeBuilderOpts {
                scripting_enabled: false,
                ..TreeBuilderOpts::default()
            },
        ),
        scan: RefCell::new(PageScan::new(limits.links_max)),
        limits,
        depth: Cell::new(0),
        dropped: Cell::new(0),
        formatting_open: Cell::new(0),
    };
    let tokenizer = run(guard, &html);
    let Guard { builder, scan, .. } = tokenizer.sink;
    let mut scan = scan.into_inner();
    scan.finish();
    (Dom::build(builder.sink.finish()), scan)
}

/// The same scan without a tree: about eight times cheaper on 14 KiB pages.
pub(crate) fn scan_only(html: &str, links_max: usize) -> PageScan {
    let new_sink = || ScanSink {
        scan: RefCell::new(PageScan::new(links_max)),
        foreign_depth: Cell::new(0),
    };
    let sink = new_sink();
    let quick = fast_scan::tokenize(html, &sink, || sink.scan.borrow().wants_text());
    let sink = match quick {
        Ok(()) => sink,
        Err(Intricate) => run(new_sink(), &limit_attributes(html)).sink,
    };
    let mut scan = sink.scan.into_inner();
    scan.finish();
    scan
}

fn run<S: TokenSink>(sink: S, html: &str) -> Tokenizer<S> {
    let tokenizer = Tokenizer::new(sink, TokenizerOpts::default());
    let input = BufferQueue::default();
    input.push_back(StrTendril::from_slice(html));
    while !matches!(tokenizer.feed(&input), TokenizerResult::Done) {}
    tokenizer.end();
    tokenizer
}

struct Guard {
    builder: TreeBuilder<u32, Sink>,
    scan: RefCell<PageScan>,
    limits: ParseLimits,
    /// Estimate of the builder's stack: exact after each start tag, one less per end tag.
    depth: Cell<u32>,
    /// Start tags dropped whose end tags are still to come.
    dropped: Cell<u32>,
    formatting_open: Cell<i32>,
}

impl Guard {
    fn drops(&self, tag: &TokenTag) -> bool {
        if is_raw_text(&tag.name) || tag.name == local_name!("plaintext") {
            return self.builder.sink.node_count() > self.limits.nodes_max;
        }
        match tag.kind {
            TagKind::StartTag => {
                let sink = &self.builder.sink;
                let formatting = is_formatting(&tag.name);
                let depth_max = self.limits.depth_max;
                // End tags that close nothing lower the estimate, so the true
                // depth of the last element has a bound of its own.
                let too_deep = self.depth.get() as usize >= depth_max
                    || sink.last_depth() as usize >= 2 * depth_max;
                let too_many = sink.node_count() > self.limits.nodes_max
                    || (formatting && self.formatting_open.get() >= FORMATTING_OPEN_MAX);
                if too_deep || too_many {
                    if !is_void(&tag.name) {
                        self.dropped.set(self.dropped.get() + 1);
                    }
                    return true;
                }
                if formatting {
                    self.formatting_open.set(self.formatting_open.get() + 1);
                }
                false
            }
            TagKind::EndTag => {
                if self.dropped.get() > 0 {
                    self.dropped.set(self.dropped.get() - 1);
                    return true;
                }
                if is_formatting(&tag.name) {
                    self.formatting_open
                        .set((self.formatting_open.get() - 1).max(0));
                }
                false
            }
        }
    }
}

impl TokenSink for Guard {
    type Handle = u32;

    fn process_token(&self, token: Token, line: u64) -> TokenSinkResult<u32> {
        let is_end_tag = match &token {
            Token::TagToken(tag) => {
                self.scan.borrow_mut().tag(tag);
                if self.drops(tag) {
                    return TokenSinkResult::Continue;
                }
                Some(tag.kind == TagKind::EndTag)
            }
            Token::CharacterTokens(text) => {
                self.scan.borrow_mut().text(text);
                None
            }
            Token::CommentToken(_) | Token::ParseError(_) => return TokenSinkResult::Continue,
            _ => None,
        };
        let result = self.builder.process_token(token, line);
        match is_end_tag {
            Some(false) => self.depth.set(self.builder.sink.last_depth()),
            Some(true) => self.depth.set(self.depth.get().saturating_sub(1)),
            None => {}
        }
        result
    }

    fn end(&self) {
        self.builder.end();
    }

    fn adjusted_current_node_present_but_not_in_html_namespace(&self) -> bool {
        self.builder
            .adjusted_current_node_present_but_not_in_html_namespace()
    }
}

struct ScanSink {
    scan: RefCell<PageScan>,
    /// Inside `<svg>` or `<math>`, where `<title>` and `<style>` are ordinary elements.
    foreign_depth: Cell<u32>,
}

impl TokenSink for ScanSink {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        match token {
            Token::TagToken(tag) => {
                self.scan.borrow_mut().tag(&tag);
                self.next_state(&tag)
            }
            Token::CharacterTokens(text) => {
                self.scan.borrow_mut().text(&text);
                TokenSinkResult::Continue
            }
            _ => TokenSinkResult::Continue,
        }
    }

    fn adjusted_current_node_present_but_not_in_html_namespace(&self) -> bool {
        self.foreign_depth.get() > 0
    }
}

impl ScanSink {
    /// Stands in for the tree builder's switches of the tokenizer.
    fn next_state(&self, tag: &TokenTag) -> TokenSinkResult<()> {
        let foreign = self.foreign_depth.get();
        if matches!(tag.name, local_name!("svg") | local_name!("math")) {
            self.foreign_depth.set(match tag.kind {
                TagKind::StartTag if tag.self_closing => foreign,
                TagKind::StartTag => foreign + 1,
                TagKind::EndTag => foreign.saturating_sub(1),
            });
            return TokenSinkResult::Continue;
        }
        if tag.kind == TagKind::EndTag {
            return TokenSinkResult::Continue;
        }
        if foreign > 0 {
            if leaves_foreign_content(&tag.name) {
                self.foreign_depth.set(0);
            }
            return TokenSinkResult::Continue;
        }
        match tag.name {
            local_name!("title") | local_name!("textarea") => {
                TokenSinkResult::RawData(RawKind::Rcdata)
            }
            local_name!("script") => TokenSinkResult::RawData(RawKind::ScriptData),
            local_name!("plaintext") => TokenSinkResult::Plaintext,
            _ if is_raw_text(&tag.name) => TokenSinkResult::RawData(RawKind::Rawtext),
            _ => TokenSinkResult::Continue,
        }
    }
}

fn is_formatting(name: &LocalName) -> bool {
    matches!(
        *name,
        local_name!("a")
            | local_name!("b")
            | local_name!("big")
            | local_name!("code")
            | local_name!("em")
            | local_name!("font")
            | local_name!("i")
            | local_name!("nobr")
            | local_name!("s")
            | local_name!("small")
            | local_name!("strike")
            | local_name!("strong")
            | local_name!("tt")
            | local_name!("u")
    )
}

fn is_void(name: &LocalName) -> bool {
    matches!(
        *name,
        local_name!("area")
            | local_name!("base")
            | local_name!("br")
            | local_name!("col")
            | local_name!("embed")
            | local_name!("hr")
            | local_name!("img")
            | local_name!("input")
            | local_name!("link")
            | local_name!("meta")
            | local_name!("param")
            | local_name!("source")
            | local_name!("track")
            | local_name!("wbr")
    )
}

/// HTML elements that end `<svg>` and `<math>` by the parsing rules (the common ones).
fn leaves_foreign_content(name: &LocalName) -> bool {
    matches!(
        *name,
        local_name!("b")
            | local_name!("blockquote")
            | local_name!("body")
            | local_name!("br")
            | local_name!("center")
            | local_name!("code")
            | local_name!("dd")
            | local_name!("div")
            | local_name!("dl")
            | local_name!("dt")
            | local_name!("em")
            | local_name!("embed")
            | local_name!("h1")
            | local_name!("h2")
            | local_name!("h3")
            | local_name!("h4")
            | local_name!("h5")
            | local_name!("h6")
            | local_name!("head")
            | local_name!("hr")
            | local_name!("i")
            | local_name!("img")
            | local_name!("li")
            | local_name!("listing")
            | local_name!("menu")
            | local_name!("meta")
            | local_name!("nobr")
            | local_name!("ol")
            | local_name!("p")
            | local_name!("pre")
            | local_name!("ruby")
            | local_name!("s")
            | local_name!("small")
            | local_name!("span")
            | local_name!("strike")
            | local_name!("strong")
            | local_name!("sub")
            | local_name!("sup")
            | local_name!("table")
            | local_name!("tt")
            | local_name!("u")
            | local_name!("ul")
            | local_name!("var")
    )
}
