//! Invariant S2 over random pages: chunks rebuild the text by their offsets.

use chunk::{ChunkConfig, chunk, estimate_tokens, sentences};
use proptest::prelude::*;
use types::{Block, BlockKind, Page};

fn words() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,9}",
        "[A-Z][a-z]{1,6}",
        "[0-9۰-۹]{1,4}",
        "[آ-ی]{1,7}",
        "[آ-ی]{1,4}\u{200c}[آ-ی]{1,4}",
        "[a-z]{1,3}[\u{301}\u{308}]{1,3}[a-z]?",
        "(👨\u{200d}👩\u{200d}👧|🔭|👏🏽|🇮🇷)",
        "[你好世界。！]{1,6}",
        "[a-zA-Z_.;{}()=]{5,60}",
        "[a-z]{200,400}",
        "[.!?؟…»”)]{1,2}",
    ]
}

fn body() -> impl Strategy<Value = String> {
    let separator = prop_oneof![8 => Just(" "), 2 => Just(". "), 1 => Just("\n"), 1 => Just("؟ ")];
    prop::collection::vec((words(), separator), 1..60).prop_map(|words| {
        words
            .into_iter()
            .flat_map(|(word, separator)| [word, separator.to_owned()])
            .collect()
    })
}

fn page() -> impl Strategy<Value = Page> {
    let kind = prop_oneof![
        3 => (1u8..=4).prop_map(BlockKind::Heading),
        6 => Just(BlockKind::Paragraph),
        2 => Just(BlockKind::ListItem),
        1 => Just(BlockKind::Table),
        1 => Just(BlockKind::Code),
        1 => Just(BlockKind::Quote),
    ];
    prop::collection::vec((kind, body()), 0..12).prop_map(|blocks| {
        let mut page = Page::default();
        for (kind, text) in blocks {
            let text = match kind {
                BlockKind::Heading(_) => text.chars().take(40).collect::<String>(),
                _ => text,
            };
            if text.trim().is_empty() {
                continue;
            }
            if !page.text.is_empty() {
                page.text.push_str("\n\n");
            }
            let start = page.text.len();
            page.text.push_str(&text);
            page.blocks.push(Block {
                kind,
                range: start..page.text.len(),
            });
        }
        page
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn chunks_rebuild_the_page(page in page(), max in 16u32..300, overlap in 0u32..60, min in 0u32..80) {
        let config = ChunkConfig {
            tokens_max: max,
            tokens_overlap: overlap.min(max / 2),
            tokens_min: min.min(max),
            ..ChunkConfig::default()
        };
        prop_assert_eq!(config.validate(), Ok(()));
        let chunks = chunk(&page, &config);
        let mut covered = 0;
        let mut start = 0;
        for (i, c) in chunks.iter().enumerate() {
            prop_assert_eq!(c.position as usize, i);
            let text = page.text.get(c.range.clone());
            let text = text.expect("on character boundaries");
            prop_assert!(!text.trim().is_empty());
            prop_assert_eq!(c.tokens, estimate_tokens(text));
            // Only single grapheme clusters are unsplittable; none here is over 16 tokens.
            prop_assert!(c.tokens <= max, "{} > {max}: {text:?}", c.tokens);
            prop_assert!(i == 0 || c.range.start > start);
            prop_assert!(c.range.end > covered);
            if c.range.start < covered {
                let repeated = &page.text[c.range.start..covered];
                prop_assert!(estimate_tokens(repeated) <= config.tokens_overlap);
                let earlier = &chunks[i - 1];
                prop_assert_eq!(&earlier.heading_path, &c.heading_path);
            } else {
                prop_assert!(page.text[covered..c.range.start].trim().is_empty());
                let within = page.blocks.iter().any(|b| b.range.start < c.range.start && c.range.start < b.range.end);
                prop_assert!(!within || covered == c.range.start, "a block byte is lost");
            }
            if let Some(tldr) = &c.tldr {
                prop_assert!(chunk::words(tldr).count() <= 100);
                prop_assert!(chunk::words(text).count() + text.split_whitespace().count() > 100);
            }
            prop_assert_eq!(c.heading_path.last().map_or("", String::as_str), c.section.as_str());
            prop_assert!(c.keywords.len() <= config.keywords_max);
            start = c.range.start;
            covered = c.range.end;
        }
        prop_assert!(page.text[covered..].trim().is_empty());
        prop_assert_eq!(&chunks, &chunk(&page, &config));
    }

    #[test]
    fn sentences_lose_nothing(text in "([a-zA-Z]{1,5}|[آ-ی]{1,4}|[۰-۹0-9]|[.!?؟۔…。]|[ \n]|[()\\[\\]«»\"'’]|\u{200c}|🔭){0,60}") {
        let mut at = 0;
        for range in sentences(&text) {
            prop_assert!(range.start >= at && range.end > range.start);
            prop_assert!(text[at..range.start].trim().is_empty());
            prop_assert_eq!(text[range.clone()].trim(), &text[range.clone()]);
            let inside_a_word = text[..range.end].ends_with(char::is_alphanumeric)
                && text[range.end..].starts_with('\u{200c}');
            prop_assert!(!inside_a_word);
            at = range.end;
        }
        prop_assert!(text[at..].trim().is_empty());
    }

    #[test]
    fn wrong_blocks_lose_nothing(text in "[a-zا-ی .\n]{0,200}", ranges in prop::collection::vec((0usize..220, 0usize..220), 0..6)) {
        let page = Page {
            blocks: ranges.into_iter().map(|(start, end)| Block { kind: BlockKind::Paragraph, range: start..end }).collect(),
            text,
            ..Page::default()
        };
        let chunks = chunk(&page, &ChunkConfig::default());
        let mut covered = 0;
        for c in &chunks {
            prop_assert!(page.text[covered.min(c.range.start)..c.range.start].trim().is_empty());
            covered = covered.max(c.range.end);
        }
        prop_assert!(page.text[covered..].trim().is_empty());
    }
}
