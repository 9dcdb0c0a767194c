use chunk::{ChunkConfig, chunk};
use types::{Block, BlockKind, Chunk, Page};

/// A page from a small notation: one block per entry, `#` to `######` for
/// headings, `- ` for list items, "```" before code, `|` before tables.
pub(crate) fn page(title: &str, language: Option<&str>, blocks: &[&str]) -> Page {
    let mut page = Page {
        title: title.to_owned(),
        language: language.map(str::to_owned),
        ..Page::default()
    };
    for block in blocks {
        let level = block.bytes().take_while(|b| *b == b'#').count();
        let (kind, text) = if level > 0 {
            (BlockKind::Heading(level as u8), block[level..].trim())
        } else if let Some(code) = block.strip_prefix("```") {
            (BlockKind::Code, code)
        } else if let Some(table) = block.strip_prefix('|') {
            (BlockKind::Table, table)
        } else if let Some(item) = block.strip_prefix("- ") {
            (BlockKind::ListItem, item)
        } else {
            (BlockKind::Paragraph, *block)
        };
        if !page.text.is_empty() {
            page.text.push_str("\n\n");
        }
        let start = page.text.len();
        page.text.push_str(text);
        page.blocks.push(Block {
            kind,
            range: start..page.text.len(),
        });
    }
    page
}

fn sized(max: u32, overlap: u32, min: u32) -> ChunkConfig {
    ChunkConfig {
        tokens_max: max,
        tokens_overlap: overlap,
        tokens_min: min,
        ..ChunkConfig::default()
    }
}

fn texts<'a>(page: &'a Page, chunks: &[Chunk]) -> Vec<&'a str> {
    chunks.iter().map(|c| &page.text[c.range.clone()]).collect()
}

/// `path: text` of each chunk, blank lines as ` / `.
fn check(config: &ChunkConfig, blocks: &[&str], expected: &[&str]) {
    let page = page("Title", Some("en"), blocks);
    let chunks = chunk(&page, config);
    let got: Vec<String> = chunks
        .iter()
        .map(|c| {
            let text = page.text[c.range.clone()].replace("\n\n", " / ");
            format!("{}: {text}", c.heading_path.join(" > "))
        })
        .collect();
    assert_eq!(got, expected);
}

#[test]
fn a_heading_starts_a_chunk() {
    check(
        &sized(64, 0, 0),
        &[
            "Intro.",
            "# One",
            "First text.",
            "## Deep",
            "Below.",
            "# Two",
            "Second.",
        ],
        &[
            ": Intro.",
            "One: One / First text.",
            "One > Deep: Deep / Below.",
            "Two: Two / Second.",
        ],
    );
}

#[test]
fn headings_without_text_belong_to_the_next() {
    check(
        &sized(64, 0, 0),
        &[
            "# One",
            "## Deep",
            "### Deeper",
            "Text.",
            "## Empty",
            "# Last",
        ],
        &[
            "One > Deep > Deeper: One / Deep / Deeper / Text.",
            "One > Empty: Empty",
            "Last: Last",
        ],
    );
}

#[test]
fn tiny_sections_join_neighbours_below_the_same_parent() {
    let blocks = ["# A", "## A1", "One.", "## A2", "Two.", "# B", "Three."];
    check(
        &sized(64, 0, 32),
        &blocks,
        &["A > A1: A / A1 / One. / A2 / Two.", "B: B / Three."],
    );
    check(
        &sized(64, 0, 0),
        &blocks,
        &[
            "A > A1: A / A1 / One.",
            "A > A2: A2 / Two.",
            "B: B / Three.",
        ],
    );
}

#[test]
fn a_parent_with_text_takes_small_children() {
    check(
        &sized(64, 0, 32),
        &["# A", "Text of a.", "## A1", "One.", "# B", "Two."],
        &["A: A / Text of a. / A1 / One. / B / Two."],
    );
    // The budget ends the joining.
    check(
        &sized(16, 0, 16),
        &[
            "# A",
            "Text of a.",
            "## A1",
            "One is a longer sentence of ten words or so.",
            "## A2",
            "Two.",
        ],
        &[
            "A: A / Text of a.",
            "A > A1: A1 / One is a longer sentence of ten words or so.",
            "A > A2: A2 / Two.",
        ],
    );
}

#[test]
fn a_heading_that_repeats_the_title_is_not_in_paths() {
    check(
        &sized(64, 0, 0),
        &["# title", "Text.", "## Part", "More."],
        &[": title / Text.", "Part: Part / More."],
    );
}

#[test]
fn long_sections_are_cut_between_blocks_and_overlap_by_sentences() {
    let one = "Alpha is a word. Beta is a word too. Gamma ends the first block.";
    let two = "Delta starts the second block. Epsilon goes on for a bit. Zeta ends it here.";
    check(
        &sized(32, 0, 0),
        &["# H", one, two],
        &[&format!("H: H / {one}"), &format!("H: {two}")],
    );
    check(
        &sized(32, 10, 0),
        &["# H", one, two],
        &[
            &format!("H: H / {one}"),
            &format!("H: Gamma ends the first block. / {two}"),
        ],
    );
}

#[test]
fn a_heading_that_does_not_fit_with_its_text_stands_alone() {
    let heading = "A heading of a good many words that says rather a lot";
    let body = "Text that fills the budget all by itself because it goes on and on.";
    check(
        &sized(20, 0, 0),
        &["# One", &format!("## {heading}"), body],
        &[
            &format!("One > {heading}: One / {heading}"),
            &format!("One > {heading}: {body}"),
        ],
    );
}

#[test]
fn overlap_never_crosses_a_heading() {
    let text = "One short sentence here. Another short sentence here.";
    check(
        &sized(20, 10, 0),
        &["# A", text, "# B", text],
        &[&format!("A: A / {text}"), &format!("B: B / {text}")],
    );
}

#[test]
fn code_is_cut_at_line_ends_and_keeps_its_bytes() {
    let code: String = (0..80)
        .map(|i| format!("    if x[{i}] > 0 {{ return y; }}\n"))
        .collect();
    let page = page("T", Some("en"), &["# Code", &format!("```{code}")]);
    let chunks = chunk(&page, &ChunkConfig::default());
    assert!(chunks.len() > 2);
    let texts = texts(&page, &chunks);
    assert_eq!(texts.concat(), page.text);
    for text in &texts[1..] {
        assert!(text.starts_with("    if x["), "{text}");
        assert!(text.ends_with('\n'), "{text}");
    }
}

#[test]
fn endless_words_and_lines_are_cut() {
    let word = "x".repeat(10_000);
    let line = "lorem ipsum ".repeat(3_000);
    let family = "👨\u{200d}👩\u{200d}👧\u{200d}👦".repeat(500);
    for text in [word.as_str(), &line, &family, &"می‌".repeat(4000)] {
        for block in [text.to_owned(), format!("```{text}"), format!("# {text}")] {
            let page = page("T", None, &[&block]);
            let chunks = chunk(&page, &ChunkConfig::default());
            assert!(chunks.len() > 3);
            assert!(chunks.iter().all(|c| c.tokens <= 256));
            assert_eq!(texts(&page, &chunks).concat(), page.text);
        }
    }
}

#[test]
fn a_page_without_blocks_is_cut_by_its_paragraphs() {
    let page = Page {
        text: "First paragraph.\n\nSecond one.".to_owned(),
        ..Page::default()
    };
    let chunks = chunk(&page, &ChunkConfig::default());
    assert_eq!(texts(&page, &chunks), [page.text.as_str()]);
    assert!(chunk(&Page::default(), &ChunkConfig::default()).is_empty());
}

#[test]
fn tldr_only_where_the_chunk_is_longer() {
    let sentence = "The quick brown fox jumps over the lazy dog near the old observatory. ";
    let short = page("T", Some("en"), &[sentence]);
    assert_eq!(chunk(&short, &ChunkConfig::default())[0].tldr, None);
    let sentences: Vec<String> = (0..14)
        .map(|i| format!("The keeper number {i} of the observatory saw comet {i}{i} at dawn. "))
        .collect();
    let long = page("T", Some("en"), &[&sentences.concat()]);
    let chunks = chunk(&long, &ChunkConfig::default());
    let tldr = chunks[0].tldr.as_deref().expect("long enough");
    assert!(chunk::words(tldr).count() <= 100);
    assert!(tldr.split(". ").all(|s| long.text.contains(s)), "{tldr}");
}

#[test]
fn language_follows_the_letters() {
    let english = "The dome is opened by the keeper and it is closed at dawn by the same person.";
    let persian = "گنبد را نگهبان باز می‌کند و همان شخص آن را در سپیده‌دم می‌بندد.";
    let arabic = "يفتح الحارس القبة في المساء ثم يغلقها عند الفجر وهو الذي يحمل المفتاح إلى البيت.";
    let code = "```let x = foo(bar); baz.push(qux);";
    let check = |page_language: Option<&str>, text: &str, expected: Option<&str>| {
        let page = page("T", page_language, &[text]);
        let chunks = chunk(&page, &ChunkConfig::default());
        assert_eq!(
            chunks[0].language.as_deref(),
            expected,
            "{page_language:?} {text}"
        );
    };
    check(Some("fa"), persian, Some("fa"));
    check(Some("fa"), english, Some("en"));
    check(Some("fa"), arabic, Some("ar"));
    check(Some("fa"), code, None);
    check(Some("fa"), "۱۲۳۴ ۵۶۷", Some("fa"));
    check(Some("en"), persian, Some("fa"));
    check(Some("ar"), arabic, Some("ar"));
    check(Some("en-GB"), english, Some("en"));
    check(Some("tr"), "Gözlemevi her cuma akşamı açıktır.", Some("tr"));
    check(None, persian, Some("fa"));
    check(None, arabic, Some("ar"));
    check(None, english, Some("en"));
    check(
        None,
        "Das ist der Weg, und er ist nicht für alle von uns.",
        Some("de"),
    );
    check(None, "qwerty asdf", None);
    check(Some("en"), "これは日本語のテキストです。", Some("ja"));
    // Old Persian pages are typed with Arabic yeh and kaf.
    check(
        Some("fa"),
        "اين كتاب را به كسي كه مي خواند مي دهند و از او مي پرسند",
        Some("fa"),
    );
}

#[test]
fn keywords_name_the_subject() {
    let page = page(
        "T",
        Some("en"),
        &[
            "# Dobsonian Mount",
            "A Dobsonian mount is a simple wooden rocker box. The rocker box turns on Teflon pads, \
             and the pads carry the whole telescope. Visitors can build the mount in 2 days.",
        ],
    );
    let keywords = &chunk(&page, &ChunkConfig::default())[0].keywords;
    assert_eq!(keywords[0], "dobsonian mount");
    assert!(keywords.contains(&"rocker".to_owned()) && keywords.contains(&"pads".to_owned()));
    for bad in ["the", "can", "is", "2"] {
        assert!(!keywords.iter().any(|k| k == bad), "{keywords:?}");
    }
}

#[test]
fn persian_keywords_have_one_spelling() {
    let native = "تلسکوپ‌های باشگاه: یک تلسکوپ شکستی و یک تلسکوپ بازتابی. کتاب‌ها کنار آن است.";
    let arabic_letters = native.replace('ی', "ي").replace('ک', "ك");
    let keywords = |text: &str| {
        chunk(&page("", Some("fa"), &[text]), &ChunkConfig::default())[0]
            .keywords
            .clone()
    };
    assert_eq!(keywords(native)[0], "تلسکوپ");
    assert_eq!(keywords(native), keywords(&arabic_letters));
}

#[test]
fn hash_depends_on_title_section_and_text_only() {
    let hash = |title: &str, blocks: &[&str]| {
        chunk(&page(title, None, blocks), &ChunkConfig::default())[0].hash
    };
    let base = hash("T", &["# S", "Text."]);
    assert_eq!(base, hash("T", &["# S", "Text."]));
    assert_ne!(base, hash("U", &["# S", "Text."]));
    assert_ne!(base, hash("T", &["# R", "Text."]));
    assert_ne!(base, hash("T", &["# S", "Text!"]));
}

#[test]
fn configuration_is_checked() {
    let check = |config: ChunkConfig, expected: Result<(), &str>| {
        assert_eq!(config.validate(), expected.map_err(str::to_owned));
    };
    check(ChunkConfig::default(), Ok(()));
    check(
        sized(8, 0, 0),
        Err("tokens_max must be 16 to 100000, not 8"),
    );
    check(
        sized(100, 51, 0),
        Err("tokens_overlap must be at most half of tokens_max (50), not 51"),
    );
    check(
        sized(100, 0, 101),
        Err("tokens_min must be at most tokens_max (100), not 101"),
    );
}
