//! Summaries of pages: by a language model where one is configured, by the
//! extractive summariser where not, or where the model cannot be asked.
//!
//! [`batch`] works through pages that have none of their present text, several
//! calls at a time, and commits what is ready. [`page`] is one page's way:
//! [`mod@pieces`] cuts what is longer than the model's context, [`prompt`] asks, and
//! [`written`] reads the answer and holds it to bounds. [`estimate`] says
//! beforehand what all that will cost.

pub mod batch;
pub mod estimate;
mod figures;
mod page;
mod pieces;
mod prompt;
mod written;

pub use figures::{Figures, LlmFigures};

/// Changes when the same page would be asked about differently; stored with
/// every summary.
pub const PROMPT_VERSION: u32 = 1;

/// Words of an extractive summary: what a model is asked for as well.
const WORDS_MAX: usize = 120;
const SENTENCES_MAX: usize = 5;
/// What is named as the model of a summary that no language model wrote.
pub const EXTRACTIVE: &str = "extractive";
