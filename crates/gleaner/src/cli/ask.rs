//! `gleaner ask`

use anyhow::Result;
use store::Access;

use super::args::AskArgs;
use super::output::{Exit, Paint, json_line, line, paragraph, shorten};
use super::search::{milliseconds, open};
use crate::answers::{self, Answer, Evidence, Passage, Question, evidence};
use crate::app::App;
use crate::operations::ask::{Asked, read};
use crate::view::AnswerView;

pub fn run(app: &App, args: &AskArgs) -> Result<Exit> {
    let question = read(
        app,
        app.tenant,
        Asked {
            question: &args.question.join(" "),
            limit: args.limit,
            filters: &args.filter,
            model: !args.no_model,
        },
    )?;
    let found = gather(app, &question)?;
    let answer = answers::extract(&question.text, found, None);
    if app.json {
        json_line(&AnswerView::new(&answer))?;
    } else {
        line(&answer.text)?;
        print(app, args, &answer)?;
    }
    Ok(if answer.found { Exit::Ok } else { Exit::Failed })
}

fn gather(app: &App, question: &Question) -> Result<Evidence> {
    let store = app.open_store(Access::Read)?;
    let (searcher, vector) = open(app, store.clone(), &question.query(), question.mode)?;
    evidence::gather(&searcher, vector.as_deref(), &store, question)
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
        let dir = super::crawl::data_dir_flag(app);
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
