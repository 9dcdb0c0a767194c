//! PDF -> [`Page`], through `pdf-extract`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use types::Page;
use url::Url;

use crate::error::{ExtractError, ExtractErrorKind};
use crate::limits::ExtractLimits;
use crate::{meta, page, text_page};

/// Extracts the text of a PDF.
///
/// The library underneath panics on odd files and may use memory and time out
/// of proportion: panics are caught here, the rest is the caller's to bound by
/// running this in a process of its own.
pub fn extract_pdf(bytes: &[u8], url: &Url, limits: &ExtractLimits) -> Result<Page, ExtractError> {
    if !bytes[..bytes.len().min(1_024)]
        .windows(5)
        .any(|window| window == b"%PDF-")
    {
        return Err(ExtractError::new(
            ExtractErrorKind::Malformed,
            "no PDF header in the first 1024 bytes",
        ));
    }
    let text = catch_unwind(AssertUnwindSafe(|| {
        pdf_extract::extract_text_from_mem(bytes)
    }))
    .map_err(|_| {
        ExtractError::new(
            ExtractErrorKind::Internal,
            "the PDF reader panicked on this file",
        )
    })?
    .map_err(|error| {
        ExtractError::new(ExtractErrorKind::Malformed, "unreadable PDF").caused_by(error)
    })?;
    let mut page = text_page::text_page(&unwrapped(&text), limits);
    if page.title.is_empty() {
        page.title = file_name(url);
    }
    page.language = meta::language(&[], &page.text);
    page::fingerprint(&mut page);
    Ok(page)
}

/// PDF text comes as printed lines, padded and often double spaced. Words cut
/// at a line's end by a hyphen are joined.
fn unwrapped(text: &str) -> String {
    let mut output = String::with_capacity(text.len());
    for paragraph in text_page::paragraphs(text) {
        let mut joined = String::new();
        for line in paragraph.lines() {
            let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
            let starts_lower = line.starts_with(char::is_lowercase);
            let cut_word = joined.ends_with('-')
                && starts_lower
                && joined.trim_end_matches('-').ends_with(char::is_alphabetic);
            if cut_word {
                joined.pop();
            } else if !joined.is_empty() {
                joined.push(' ');
            }
            joined.push_str(&line);
        }
        if !output.is_empty() {
            output.push_str("\n\n");
        }
        output.push_str(&joined);
    }
    output
}

fn file_name(url: &Url) -> String {
    let name = url.path().rsplit('/').next().unwrap_or_default();
    name.strip_suffix(".pdf").unwrap_or(name).to_owned()
}
