//! What summarising a selection of pages will take, without asking anybody.

use anyhow::Result;
use serde::Serialize;
use store::{Store, SummaryWanted};
use utoipa::ToSchema;

use super::page::{self, NOTES_MAX};
use super::pieces;
use super::prompt::Manner;
use crate::config::LlmSettings;
use crate::prompting::LanguageModel;

/// Pages whose texts are read for an estimate; the rest is taken to be like them.
const PAGES_READ_MAX: u64 = 2_000;
const PAGES_PER_STEP: usize = 100;
/// What the prompts say besides the page: measured for these prompts, whose
/// words the embedding model's vocabulary counts like any model's.
const PROMPT_TOKENS: u64 = 260;
/// Answers are shorter than they may be.
const ANSWER_TOKENS: u64 = 350;
const NOTES_TOKENS: u64 = 200;

/// An estimate: tokens are counted as the embedding model counts them, which
/// other models do otherwise by some tens of percent.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Estimate {
    /// Pages that would be summarised.
    pub pages: u64,
    /// Pages whose texts were read for the estimate.
    pub pages_read: u64,
    /// Empty: the extractive summariser does it and costs nothing.
    pub model: String,
    pub calls: u64,
    pub tokens_in: u64,
    pub tokens_out: u64,
    /// By the configured prices, in the configured currency.
    pub cost: Option<f64>,
    pub currency: Option<String>,
    /// At least, by the configured limits of requests and tokens.
    pub seconds_min: u64,
}

/// Reads the pages of a selection and counts.
pub fn estimate(
    stores: &[(Store, SummaryWanted)],
    model: Option<&LanguageModel>,
    settings: &LlmSettings,
) -> Result<Estimate> {
    let mut estimate = Estimate {
        pages: 0,
        pages_read: 0,
        model: model.map_or_else(String::new, |model| model.name().to_owned()),
        calls: 0,
        tokens_in: 0,
        tokens_out: 0,
        cost: None,
        currency: None,
        seconds_min: 0,
    };
    for (store, wanted) in stores {
        estimate.pages += store.count_to_summarize(wanted)?.pages;
        if let Some(model) = model {
            read(store, wanted, model, &mut estimate)?;
        }
    }
    let Some(model) = model else {
        return Ok(estimate);
    };
    if estimate.pages_read > 0 {
        let share = estimate.pages as f64 / estimate.pages_read as f64;
        let scaled = |sum: u64| (sum as f64 * share).round() as u64;
        estimate.calls = scaled(estimate.calls);
        estimate.tokens_in = scaled(estimate.tokens_in);
        estimate.tokens_out = scaled(estimate.tokens_out);
    }
    estimate.cost = model.cost(estimate.tokens_in, estimate.tokens_out);
    estimate.currency = estimate.cost.map(|_| model.currency().to_owned());
    let per_minute = |sum: u64, limit: u32| match limit {
        0 => 0,
        limit => (sum * 60).div_ceil(u64::from(limit)),
    };
    let tokens = estimate.tokens_in + estimate.tokens_out;
    estimate.seconds_min = per_minute(estimate.calls, settings.requests_per_minute)
        .max(per_minute(tokens, settings.tokens_per_minute));
    Ok(estimate)
}

fn read(
    store: &Store,
    wanted: &SummaryWanted,
    model: &LanguageModel,
    estimate: &mut Estimate,
) -> Result<()> {
    let room = page::room(Manner::of(model));
    let mut after = None;
    while estimate.pages_read < PAGES_READ_MAX {
        let pages = store.pages_to_summarize(wanted, after, PAGES_PER_STEP)?;
        let Some(last) = pages.last() else { break };
        after = Some(last.page);
        for page in &pages {
            let content = store.page_content(page.page)?;
            let text = content.map(|content| content.text).unwrap_or_default();
            estimate.pages_read += 1;
            if !text.trim().is_empty() {
                count(&text, room, estimate);
            }
        }
    }
    Ok(())
}

/// The calls of one page, as `page::summarize` makes them when all goes well.
fn count(text: &str, room: usize, estimate: &mut Estimate) {
    let tokens = u64::from(chunk::estimate_tokens(text));
    let parts = pieces::cut(text, room).len();
    if parts <= 1 {
        estimate.calls += 1;
        estimate.tokens_in += tokens + PROMPT_TOKENS;
        estimate.tokens_out += ANSWER_TOKENS;
        return;
    }
    let asked = parts.min(NOTES_MAX) as u64;
    let notes = asked * NOTES_TOKENS;
    estimate.calls += asked + 1;
    estimate.tokens_in +=
        tokens.min((NOTES_MAX * room) as u64) + notes + (asked + 1) * PROMPT_TOKENS;
    estimate.tokens_out += notes + ANSWER_TOKENS;
}
