//! Scores against labelled sets: how much of the main content extraction
//! finds ([`extraction`]), how well searches rank ([`retrieval`]), whether it is known when
//! there is no answer ([`answers`]), and how much of what a person would say extractive
//! summaries say ([`summaries`]).
//!
//! All go through the code that crawls and searches use, not through a copy
//! of it, so a score here is a score of the product. The definitions of the
//! metrics stand in [`overlap`] (texts), [`metrics`] (rankings) and [`rouge`]; they follow
//! public scorers so that figures can be compared.

mod answers;
mod extraction;
mod retrieval;
mod summaries;

mod load;

mod corpus;
mod letters;
mod query_set;

mod metrics;
mod overlap;
mod rouge;

mod files;

use anyhow::Result;

use crate::app::App;
use crate::cli::EvalCommand;
use crate::cli::output::Exit;

pub use files::json_lines;
pub use load::usable_embedder;

pub fn run(app: &App, command: &EvalCommand) -> Result<Exit> {
    match command {
        EvalCommand::Extraction { dir, pred } => extraction::run(app, dir, pred.as_deref()),
        EvalCommand::Answers { dir, others, run } => answers::run(app, dir, others, run.as_deref()),
        EvalCommand::Retrieval(args) => retrieval::run(app, args),
        EvalCommand::Summaries(args) => summaries::run(app, args),
    }
}
