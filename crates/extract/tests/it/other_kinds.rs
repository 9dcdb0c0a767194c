use extract::{ExtractErrorKind, ExtractInput, ExtractLimits, Extracted, extract, extract_pdf};
use types::BlockKind;

use crate::{page_of, url};

#[test]
fn plain_text() {
    let page = page_of(
        b"A title line\r\n\r\nFirst paragraph,\r\nsecond line.\r\n\r\n    code here\r\n\n\n# not a heading\n",
        Some("text/plain"),
    );
    assert_eq!(page.title, "A title line");
    assert_eq!(
        page.text,
        "A title line\n\nFirst paragraph,\nsecond line.\n\n    code here\n\n# not a heading"
    );
    let kinds: Vec<_> = page.blocks.iter().map(|block| block.kind).collect();
    assert_eq!(
        kinds,
        [
            BlockKind::Paragraph,
            BlockKind::Paragraph,
            BlockKind::Code,
            BlockKind::Paragraph
        ]
    );
    assert!(
        page.markdown.ends_with("\\# not a heading"),
        "{}",
        page.markdown
    );
}

#[test]
fn markdown_source() {
    let source = "---\ntitle: \"Front\"\n---\n# Head *one*\n\nPara with [a link](../x.md \"t\") and\n`code_a`.\n\n\
        - item one\n- item **two**\n  more\n\n```rust\nlet a = 1;\n\n```\n\nUnder\n=====\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n> quoted\n> text\n";
    let page = page_of(source.as_bytes(), Some("text/markdown"));
    assert_eq!(page.title, "Front");
    let blocks: Vec<_> = page
        .blocks
        .iter()
        .map(|block| (block.kind, &page.text[block.range.clone()]))
        .collect();
    assert_eq!(
        blocks,
        [
            (BlockKind::Heading(1), "Head one"),
            (BlockKind::Paragraph, "Para with a link and code_a."),
            (BlockKind::ListItem, "item one"),
            (BlockKind::ListItem, "item two more"),
            (BlockKind::Code, "let a = 1;"),
            (BlockKind::Heading(1), "Under"),
            (BlockKind::Table, "a | b\n1 | 2"),
            (BlockKind::Quote, "quoted text"),
        ]
    );
    assert_eq!(page.links[0].url, "https://example.org/x.md");
    assert!(page.markdown.starts_with("# Head *one*"));
}

#[test]
fn what_is_no_page() {
    let url = url();
    let input = |bytes, content_type| ExtractInput {
        bytes,
        content_type: Some(content_type),
        url: &url,
        x_robots_tag: &[],
        link_canonical: None,
    };
    let run = |bytes, content_type| {
        extract(&input(bytes, content_type), &ExtractLimits::default()).expect("no failure")
    };
    assert!(matches!(
        run(b"%PDF-1.7", "application/pdf"),
        Extracted::Pdf
    ));
    assert!(matches!(
        run(b"<rss><channel/></rss>", "text/xml"),
        Extracted::Feed(_)
    ));
    let Extracted::Unsupported { content_type } = run(b"\x89PNG", "image/png") else {
        panic!("a picture is no page");
    };
    assert_eq!(content_type, "image/png");
}

/// The smallest file that shows text, built so that its offsets are right.
fn small_pdf(text: &str) -> Vec<u8> {
    let content = format!("BT /F1 24 Tf 72 720 Td ({text}) Tj ET");
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R \
         /Resources << /Font << /F1 5 0 R >> >> >>"
            .to_owned(),
        format!(
            "<< /Length {} >>\nstream\n{content}\nendstream",
            content.len()
        ),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"
            .to_owned(),
    ];
    let mut pdf = b"%PDF-1.4\n".to_vec();
    let mut offsets = Vec::new();
    for (number, object) in objects.iter().enumerate() {
        offsets.push(pdf.len());
        pdf.extend(format!("{} 0 obj\n{object}\nendobj\n", number + 1).bytes());
    }
    let start = pdf.len();
    pdf.extend(b"xref\n0 6\n0000000000 65535 f \n");
    for offset in offsets {
        pdf.extend(format!("{offset:010} 00000 n \n").bytes());
    }
    pdf.extend(format!("trailer << /Size 6 /Root 1 0 R >>\nstartxref\n{start}\n%%EOF").bytes());
    pdf
}

#[test]
fn pdf() {
    let limits = ExtractLimits::default();
    let page = extract_pdf(&small_pdf("Hello from a PDF file"), &url(), &limits).expect("a PDF");
    assert_eq!(page.text, "Hello from a PDF file");
    assert_eq!(page.title, "Hello from a PDF file");
    let kind = |bytes: &[u8]| {
        extract_pdf(bytes, &url(), &limits)
            .map(|_| ())
            .map_err(|error| error.kind())
    };
    assert_eq!(kind(b"no header"), Err(ExtractErrorKind::Malformed));
    assert!(kind(b"%PDF-1.4\ngarbage").is_err());
}
