//! One page's way to its summary.

use std::borrow::Cow;
use std::ops::Range;

use llm::{Finish, LlmErrorKind, Prompt};
use store::{StoreError, SummaryState};
use types::{Block, BlockKind};

use super::figures::Figures;
use super::pieces;
use super::prompt::{self, Manner, Subject};
use super::written::{self, Written};
use super::{EXTRACTIVE, SENTENCES_MAX, WORDS_MAX};
use crate::prompting::{CallError, Called};

/// What the prompts say besides the page, with room to spare.
const RULES_TOKENS: usize = 400;
/// Room for a page when a context is too small for any.
const PIECE_TOKENS_MIN: usize = 256;
/// Calls for notes of one page at most: a longer page is shortened first, each
/// part to the sentences that say most.
pub(super) const NOTES_MAX: usize = 32;
/// Notes of notes of notes: more would be a page of some gigabytes.
const ROUNDS_MAX: usize = 3;
/// How often the room is halved because the server found a prompt too long.
const HALVINGS_MAX: u32 = 2;
/// Less prose than this says less than headings and tables do.
const PROSE_BYTES_MIN: usize = 200;
/// Beginning of a text that its language is told by.
const SAMPLE_BYTES: usize = 8_000;

/// What is summarised.
#[derive(Clone, Copy, Debug)]
pub struct PageText<'a> {
    pub title: &'a str,
    /// BCP 47 primary subtag.
    pub language: Option<&'a str>,
    pub text: &'a str,
    /// Of the text.
    pub blocks: &'a [Block],
}

/// What came of a page.
#[derive(Clone, Debug)]
pub struct Made {
    pub state: SummaryState,
    pub written: Written,
    /// The language model, or what stood in for it.
    pub model: String,
    /// Why it is not what a model wrote.
    pub error: Option<String>,
    pub figures: Figures,
}

/// The page is left as it is, and others probably have to be, too.
#[derive(Debug)]
pub enum Halt {
    /// The tenant's tokens of the day are used up.
    Budget {
        used: u64,
        max: u64,
    },
    Stopped,
    Store(StoreError),
}

/// Asks the model once, with all that a call goes through.
pub type Ask<'a> = dyn FnMut(&Prompt) -> Result<Called, CallError> + 'a;

/// The room for a page's text in one prompt, in our own estimate of tokens.
pub fn room(manner: Manner) -> usize {
    let room = manner.prompt_tokens_max.saturating_sub(RULES_TOKENS);
    room.max(PIECE_TOKENS_MIN)
}

/// Summarises by the model, or where it cannot be asked by the sentences that
/// say most. `asked` is `None` where none is configured or wanted.
pub fn summarize(page: PageText<'_>, asked: Option<(Manner, &mut Ask<'_>)>) -> Result<Made, Halt> {
    let mut made = Made {
        state: SummaryState::Fallback,
        written: Written::default(),
        model: EXTRACTIVE.to_owned(),
        error: None,
        figures: Figures::default(),
    };
    if page.text.trim().is_empty() {
        made.state = SummaryState::Failed;
        made.error = Some("the page has no text".to_owned());
        return Ok(made);
    }
    let Some((manner, ask)) = asked else {
        made.written = extract(page);
        return Ok(made);
    };
    let mut writing = Writing {
        page,
        subject: Subject {
            title: page.title,
            language: page.language,
        },
        manner,
        room: room(manner),
        ask,
        figures: &mut made.figures,
        model: String::new(),
    };
    match writing.write() {
        Ok(written) => {
            made.state = SummaryState::Done;
            made.model = writing.model;
            made.written = written;
        }
        Err(Given::Halt(halt)) => return Err(halt),
        Err(Given::Page(why)) => {
            made.error = Some(why);
            made.figures.fallbacks += 1;
            made.written = extract(page);
        }
    }
    Ok(made)
}

/// The sentences that say most, below the page's own title.
fn extract(page: PageText<'_>) -> Written {
    let options = chunk::SummaryOptions {
        language: page.language,
        title: page.title,
        words_max: WORDS_MAX,
        sentences_max: SENTENCES_MAX,
    };
    Written {
        title: page.title.to_owned(),
        summary: chunk::extract_summary(&prose(page), &options).text,
        ..Written::default()
    }
}

/// The page without headings, tables and code, which are no sentences; all of
/// it where little else is there.
fn prose<'a>(page: PageText<'a>) -> Cow<'a, str> {
    let said = page.blocks.iter().filter(|block| {
        matches!(
            block.kind,
            BlockKind::Paragraph | BlockKind::ListItem | BlockKind::Quote
        )
    });
    let said: Vec<&str> = said
        .filter_map(|block| page.text.get(block.range.clone()))
        .collect();
    let bytes: usize = said.iter().map(|text| text.len()).sum();
    if bytes < PROSE_BYTES_MIN {
        return Cow::Borrowed(page.text);
    }
    Cow::Owned(said.join("\n"))
}

/// Why the model writes nothing.
enum Given {
    Halt(Halt),
    /// This page has to do without it.
    Page(String),
}

enum Problem {
    Given(Given),
    /// The server found the prompt too long.
    TooLong,
}

impl From<Given> for Problem {
    fn from(given: Given) -> Problem {
        Problem::Given(given)
    }
}

struct Writing<'a, 'b> {
    page: PageText<'a>,
    subject: Subject<'a>,
    manner: Manner,
    room: usize,
    ask: &'a mut Ask<'b>,
    figures: &'a mut Figures,
    /// That answered last.
    model: String,
}

impl Writing<'_, '_> {
    fn write(&mut self) -> Result<Written, Given> {
        for _ in 0..=HALVINGS_MAX {
            match self.write_within() {
                Ok(written) => return Ok(written),
                Err(Problem::Given(given)) => return Err(given),
                Err(Problem::TooLong) => self.room = (self.room / 2).max(PIECE_TOKENS_MIN),
            }
        }
        let why = "the server finds even parts of the page too long: llm.context_tokens is larger \
                   than its context";
        Err(Given::Page(why.to_owned()))
    }

    fn write_within(&mut self) -> Result<Written, Problem> {
        let mut text = self.page.text.trim().to_owned();
        let mut is_notes = false;
        for _ in 0..ROUNDS_MAX {
            let parts = pieces::cut(&text, self.room);
            if parts.len() <= 1 {
                break;
            }
            text = self.notes(&text, &parts)?;
            is_notes = true;
        }
        let mut problem = String::new();
        for insist in [false, true] {
            let prompt = prompt::summary(self.manner, self.subject, &text, is_notes, insist);
            let called = self.call(&prompt)?;
            match self.read(&called) {
                Ok(written) => return Ok(written),
                Err(why) => problem = why,
            }
        }
        Err(Given::Page(problem).into())
    }

    /// Notes of all parts, one after the other.
    fn notes(&mut self, text: &str, parts: &[Range<usize>]) -> Result<String, Problem> {
        let short = (parts.len() > NOTES_MAX).then(|| self.shorten(text, parts));
        let (text, parts) = match &short {
            Some((short, parts)) => (short.as_str(), parts.as_slice()),
            None => (text, parts),
        };
        let mut notes = String::new();
        for (number, part) in parts.iter().enumerate() {
            let part = &text[part.clone()];
            let prompt = prompt::notes(self.manner, self.subject, part, number + 1, parts.len());
            let called = self.call(&prompt)?;
            notes.push_str(called.text.trim());
            notes.push('\n');
        }
        Ok(notes)
    }

    /// As many parts as may be asked about, made of the sentences that say most.
    fn shorten(&self, text: &str, parts: &[Range<usize>]) -> (String, Vec<Range<usize>>) {
        let share = NOTES_MAX as f64 / parts.len() as f64;
        let mut short = String::new();
        for part in parts {
            let part = &text[part.clone()];
            let words = part.split_whitespace().count();
            let options = chunk::SummaryOptions {
                language: self.page.language,
                title: self.page.title,
                words_max: ((words as f64 * share) as usize).max(1),
                sentences_max: usize::MAX,
            };
            short.push_str(&chunk::extract_summary(part, &options).text);
            short.push('\n');
        }
        let mut parts = pieces::cut(&short, self.room);
        parts.truncate(NOTES_MAX);
        (short, parts)
    }

    fn call(&mut self, prompt: &Prompt) -> Result<Called, Problem> {
        let called = match (self.ask)(prompt) {
            Ok(called) => called,
            Err(CallError::Budget { used, max }) => {
                return Err(Given::Halt(Halt::Budget { used, max }).into());
            }
            Err(CallError::Stopped) => return Err(Given::Halt(Halt::Stopped).into()),
            Err(CallError::Store(error)) => return Err(Given::Halt(Halt::Store(error)).into()),
            Err(error) => {
                if let CallError::Failed(failed) = &error {
                    self.figures.calls_failed += 1;
                    if failed.kind() == LlmErrorKind::TooLong {
                        return Err(Problem::TooLong);
                    }
                }
                return Err(Given::Page(error.told()).into());
            }
        };
        let took_ms = u64::try_from(called.took.as_millis()).unwrap_or(u64::MAX);
        let figures = &mut *self.figures;
        figures.calls_succeeded += 1;
        figures.attempts += u64::from(called.attempts);
        figures.tokens_in += called.usage.input;
        figures.tokens_out += called.usage.output;
        figures.took_ms += took_ms;
        self.model.clone_from(&called.model);
        Ok(called)
    }

    fn read(&self, called: &Called) -> Result<Written, String> {
        match called.finish {
            Finish::Filtered => return Err("the model refused to answer".to_owned()),
            Finish::Length => return Err("the model's answer was cut at its length".to_owned()),
            Finish::Stop | Finish::Other => {}
        }
        let written = written::read(&called.text)?;
        let end = self.page.text.floor_char_boundary(SAMPLE_BYTES);
        let hint = self.page.language;
        let language = chunk::language_of(&self.page.text[..end], hint);
        let answered = chunk::language_of(&written.summary, hint);
        match (language, answered) {
            (Some(language), Some(answered)) if language != answered => Err(format!(
                "the model answered in {answered}, the page is in {language}"
            )),
            _ => Ok(written),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use llm::{LlmError, Usage};

    use super::*;

    const MANNER: Manner = Manner {
        prompt_tokens_max: 940,
        output_tokens_max: 500,
        temperature: 0.2,
    };
    const GOOD: &str = r#"{"title": "Rain", "summary": "The rain was measured all year."}"#;

    fn page(text: &str) -> PageText<'_> {
        PageText {
            title: "The rain of the year",
            language: Some("en"),
            text,
            blocks: &[],
        }
    }

    fn called(text: &str, finish: Finish) -> Result<Called, CallError> {
        Ok(Called {
            text: text.to_owned(),
            usage: Usage {
                input: 100,
                output: 20,
            },
            finish,
            model: "m".to_owned(),
            took: Duration::from_millis(5),
            attempts: 2,
        })
    }

    fn failed(kind: LlmErrorKind) -> Result<Called, CallError> {
        Err(CallError::Failed(LlmError::new(kind, "it said no")))
    }

    const TEXT: &str = "The rain of the whole year was measured by the keepers of the station. \
                        They wrote it down each morning, and the council printed it in June.";

    /// State, reason and number of calls of a page whose calls end like this;
    /// the last ending stands for all that follow.
    fn check(answers: &[fn() -> Result<Called, CallError>], expected: (SummaryState, &str, u64)) {
        let mut asked = 0;
        let mut ask = |_: &Prompt| {
            asked += 1;
            let at = (asked as usize).min(answers.len()) - 1;
            answers[at]()
        };
        let made = summarize(page(TEXT), Some((MANNER, &mut ask))).expect("no halt");
        let error = made.error.unwrap_or_default();
        assert!(error.contains(expected.1), "{error}");
        assert_eq!((made.state, asked), (expected.0, expected.2), "{error}");
        assert!(!made.written.summary.is_empty());
        let is_done = made.state == SummaryState::Done;
        assert_eq!(made.model, if is_done { "m" } else { EXTRACTIVE });
        assert_eq!(made.figures.fallbacks, u64::from(!is_done));
    }

    #[test]
    fn what_is_no_answer_is_asked_for_once_more() {
        use SummaryState::{Done, Fallback};
        check(&[|| called(GOOD, Finish::Stop)], (Done, "", 1));
        check(
            &[
                || called("Sorry.", Finish::Stop),
                || called(GOOD, Finish::Stop),
            ],
            (Done, "", 2),
        );
        check(
            &[|| called("Sorry.", Finish::Stop)],
            (Fallback, "no JSON object", 2),
        );
        check(
            &[|| called(GOOD, Finish::Length)],
            (Fallback, "cut at its length", 2),
        );
        check(
            &[|| called("", Finish::Filtered)],
            (Fallback, "refused to answer", 2),
        );
    }

    #[test]
    fn what_cannot_be_asked_falls_back() {
        use SummaryState::Fallback;
        check(
            &[|| failed(LlmErrorKind::Unavailable)],
            (Fallback, "failed (unavailable)", 1),
        );
        check(
            &[|| {
                Err(CallError::LeftAlone(guard::Refused {
                    service: "language model".into(),
                    retry_at: None,
                }))
            }],
            (Fallback, "left alone", 1),
        );
        // Three sizes of parts are tried.
        check(
            &[|| failed(LlmErrorKind::TooLong)],
            (Fallback, "llm.context_tokens", 3),
        );
    }

    #[test]
    fn a_budget_leaves_the_page_as_it_is() {
        let mut ask = |_: &Prompt| Err(CallError::Budget { used: 9, max: 10 });
        let halted = summarize(page(TEXT), Some((MANNER, &mut ask)));
        assert!(
            matches!(halted, Err(Halt::Budget { used: 9, max: 10 })),
            "{halted:?}"
        );
    }

    #[test]
    fn a_page_without_text_has_no_summary() {
        let mut ask = |_: &Prompt| -> Result<Called, CallError> { panic!("nobody is asked") };
        let made = summarize(page(" \n"), Some((MANNER, &mut ask))).expect("no halt");
        assert_eq!(made.state, SummaryState::Failed);
        assert_eq!(made.error.as_deref(), Some("the page has no text"));
    }

    #[test]
    fn headings_and_tables_are_no_sentences() {
        let heading = "Rain measured at the station";
        let text =
            format!("{heading}\n{TEXT} The mill stands behind it. {TEXT}\nyear | mm\n2024 | 430");
        let prose = heading.len() + 1..text.len() - "\nyear | mm\n2024 | 430".len();
        let block = |kind, range| Block { kind, range };
        let blocks = [
            block(BlockKind::Heading(1), 0..heading.len()),
            block(BlockKind::Paragraph, prose.clone()),
            block(BlockKind::Table, prose.end + 1..text.len()),
        ];
        let page = PageText {
            blocks: &blocks,
            ..page(&text)
        };
        let made = summarize(page, None).expect("no halt");
        assert_eq!(made.state, SummaryState::Fallback);
        let summary = made.written.summary;
        assert!(
            summary.starts_with("The rain of the whole year"),
            "{summary}"
        );
        assert!(
            !summary.contains("430") && !summary.contains(heading),
            "{summary}"
        );
    }

    #[test]
    fn a_very_long_page_is_shortened_first() {
        let line = "The keepers wrote down the level of the water on this day, as on all others. ";
        let text: String = (0..3_000).map(|n| format!("{line}Day {n}.\n")).collect();
        let mut notes = 0;
        let mut ask = |prompt: &Prompt| {
            if prompt.json.is_some() {
                return called(GOOD, Finish::Stop);
            }
            notes += 1;
            called("- the level was written down", Finish::Stop)
        };
        let made = summarize(page(&text), Some((MANNER, &mut ask))).expect("no halt");
        assert_eq!(made.state, SummaryState::Done);
        assert!((2..=NOTES_MAX).contains(&notes), "{notes}");
        assert_eq!(made.figures.calls(), notes as u64 + 1);
        assert_eq!(made.figures.tokens_in, 100 * (notes as u64 + 1));
    }
}
