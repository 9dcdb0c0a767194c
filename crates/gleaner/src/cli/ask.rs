//! `gleaner ask`

use std::sync::Arc;

use anyhow::{Context, Result};
use store::Access;

use super::output::{
    Exit, Paint, data_dir_flag, json_line, line, note, paragraph, shorten, write_bytes,
};
use super::search::{milliseconds, open};
use super::stop::on_ctrl_c_quietly;
use super::text_args::AskArgs;
use crate::answers::{self, Answer, Evidence, Passage, Question, evidence};
use crate::app::App;
use crate::config::LlmProvider;
use crate::operations::ask::{Asked, read};
use crate::services::Services;
use crate::view::AnswerView;

pub fn run(app: &App, args: &AskArgs) -> Result<Exit> {
    // What a model uses is written down; without one, reading is enough.
    let has_model = app.config.llm.provider != LlmProvider::Off && !args.no_model;
    let access = if has_model {
        Access::Write
    } else {
        Access::Read
    };
    let store = app.open_store(access)?;
    let services = Services::without_index(app, store.clone(), Arc::default())?;
    let asked = Asked {
        question: &args.question.join(" "),
        limit: args.limit,
        filters: &args.filter,
        model: !args.no_model,
    };
    let question = read(app, services.language_model(), app.tenant, asked)?;
    let (searcher, vector) = open(app, store.clone(), &question.query(), question.mode)?;
    let found = evidence::gather(&searcher, vector.as_deref(), &store, &question)?;
    let answer = answer(app, &services, &question, found)?;
    if app.json {
        json_line(&AnswerView::new(&answer))?;
    } else {
        print(app, args, &answer)?;
    }
    drop(searcher);
    services.close()?;
    Ok(if answer.found { Exit::Ok } else { Exit::Failed })
}

/// Shows the answer while it is written, unless it is wanted as JSON.
fn answer(app: &App, services: &Services, question: &Question, found: Evidence) -> Result<Answer> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    let stop = on_ctrl_c_quietly()?;
    if app.json {
        let answering = answers::answer(services, question, found, None, Some(stop));
        return runtime.block_on(answering);
    }
    let mut shown = String::new();
    let mut failed = None;
    let mut on_text = |text: &str| {
        shown.push_str(text);
        // Whoever does not read on does not end the call, which is paid for.
        if let Err(error) = write_bytes(text.as_bytes()) {
            failed.get_or_insert(error);
        }
    };
    let answering = answers::answer(services, question, found, Some(&mut on_text), Some(stop));
    let answer = runtime.block_on(answering)?;
    if let Some(error) = failed {
        return Err(error);
    }
    match answer.text.strip_prefix(&shown) {
        Some(rest) => line(rest)?,
        None => {
            line("")?;
            note("what stands above was not finished, or cited nothing; instead:");
            line(&answer.text)?;
        }
    }
    Ok(answer)
}

/// What stands below the answer.
fn print(app: &App, args: &AskArgs, answer: &Answer) -> Result<()> {
    let paint = Paint::stdout();
    let cited = |source: &&Passage| answer.checked.citations.contains(&source.number);
    let shown: Vec<&Passage> = match args.show_sources {
        true => answer.sources.iter().collect(),
        false => answer.sources.iter().filter(cited).collect(),
    };
    if !shown.is_empty() {
        line("")?;
    }
    for source in shown {
        let title = if source.title.is_empty() {
            &source.url
        } else {
            &source.title
        };
        let number = format!("[{}]", source.number);
        line(format!("{number:>4} {}", paint.bold(&shorten(title, 100))))?;
        line(format!("     {}", paint.green(&source.url)))?;
        if args.show_sources {
            if !source.heading.is_empty() && source.heading != source.title {
                line(format!(
                    "     {}",
                    paint.dim(&shorten(&source.heading, 100))
                ))?;
            }
            for part in source.text.lines().filter(|part| !part.trim().is_empty()) {
                paragraph("     ", part)?;
            }
        }
    }
    line(paint.dim(&format!("\n{}", how(answer))))?;
    if !answer.found {
        let dir = data_dir_flag(app);
        line(paint.dim(&format!(
            "Other words may help; `gleaner search{dir}` shows what there is about some."
        )))?;
    }
    Ok(())
}

/// Who answered, from how much, in what time and for what.
fn how(answer: &Answer) -> String {
    let mut told = match (&answer.used, &answer.fallback_reason) {
        (Some(used), None) => format!("by {}", used.model),
        (_, Some(reason)) => format!("sentences of the sources, since {reason}"),
        (None, None) => "sentences of the sources, without a model".to_owned(),
    };
    let passages = answer.sources.len();
    told.push_str(&format!(
        "; {passages} passages in {}",
        milliseconds(answer.retrieval)
    ));
    if let Some(used) = &answer.used {
        told.push_str(&format!(
            ", {} and {} tokens in {:.1} s",
            used.tokens_in,
            used.tokens_out,
            used.took.as_secs_f64()
        ));
        if let Some(cost) = used.cost {
            told.push_str(&format!(", cost {cost:.6}"));
        }
    }
    if !answer.checked.dropped.is_empty() {
        let dropped = &answer.checked.dropped;
        told.push_str(&format!("; citations of nothing taken out: {dropped:?}"));
    }
    told
}
