//! Answers, whole or as they are written.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use store::Scopes;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use utoipa::ToSchema;

use crate::answers::{self, Answer, Evidence, Question, evidence};
use crate::api::caller::Caller;
use crate::api::error::{ApiError, Code, ErrorBody};
use crate::api::extract::Body;
use crate::api::state::Api;
use crate::api::stream::respond;
use crate::operations::ask::{Asked, read};
use crate::view::{AnswerSourceView, AnswerView};

pub const PATH: &str = "/api/v2/ask";

/// What is asked, and of which pages.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AskInput {
    /// In any language.
    #[schema(
        example = "How long do eyes take to adapt to the dark?",
        max_length = 1000
    )]
    pub question: String,
    /// Passages that the answer is made from; as configured unless given.
    #[schema(minimum = 1, maximum = 20)]
    pub limit: Option<usize>,
    /// Only of these pages: `name=value` each as in searches, at most 32.
    #[serde(default)]
    #[schema(example = json!(["lang=en"]))]
    pub filters: Vec<String>,
    /// False: sentences of the sources, whatever model is configured.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub model: bool,
}

fn yes() -> bool {
    true
}

/// The first event of a stream: what the answer is made from.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AskSources {
    pub sources: Vec<AnswerSourceView>,
}

/// One more piece of the answer. What the last event says replaces them all.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AskText {
    pub text: String,
}

/// Ask a question
///
/// Answered from the caller's pages, with citations; by the configured language model, or without one by
/// sentences of the sources. With `Accept: text/event-stream` it comes as server-sent events: `sources`
/// (what was looked at), `text` for each piece of an answer that is being written, and `done` with the whole
/// answer, or `error`. Leaving the stream ends the call of the model.
#[utoipa::path(post, path = "/api/v2/ask", tag = "search", request_body = AskInput,
    responses((status = 200, content((AnswerView = "application/json"), (String = "text/event-stream"))),
        (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn ask(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    Body(input): Body<AskInput>,
) -> Result<Response, ApiError> {
    let caller = caller.must(Scopes::READ)?;
    let asked = Asked {
        question: &input.question,
        limit: input.limit,
        filters: &input.filters,
        model: input.model,
    };
    let services = &api.services;
    let model = services.language_model();
    let question = read(&services.app, model, caller.tenant, asked)?;
    let Ok(place) = api.asking.clone().try_acquire_owned() else {
        let message = "as many questions are being answered as the server takes";
        return Err(ApiError::new(Code::Overloaded, message).after(5));
    };
    let (question, evidence) = api
        .run(move |api| {
            let found =
                api.searching
                    .with(&question.query(), question.mode, |searcher, vector| {
                        evidence::gather(searcher, vector, &api.services.store, &question)
                    })?;
            Ok((question, found.unwrap_or_default()))
        })
        .await?;
    if wants_events(&headers) {
        return Ok(streamed(&api, question, evidence, place));
    }
    // No turn is held while a model is waited for.
    let answer = answers::answer(&api.services, &question, evidence, None, None).await?;
    Ok(Json(AnswerView::new(&answer)).into_response())
}

fn wants_events(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/event-stream"))
}

/// An answer that is shown while it is written.
struct Writing {
    sources: Option<AskSources>,
    told: Arc<Told>,
    /// Dropped with the stream, and the model's call with it.
    work: Option<Work>,
    ended: Option<anyhow::Result<Answer>>,
    _place: OwnedSemaphorePermit,
}

type Work = Pin<Box<dyn Future<Output = anyhow::Result<Answer>> + Send>>;

/// Text that was written and not yet sent. It grows no longer than an answer.
#[derive(Default)]
struct Told {
    text: Mutex<String>,
    more: Notify,
}

impl Told {
    fn add(&self, text: &str) {
        let mut told = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        told.push_str(text);
        drop(told);
        self.more.notify_one();
    }

    fn take(&self) -> String {
        std::mem::take(&mut *self.text.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn streamed(
    api: &Api,
    question: Question,
    evidence: Evidence,
    place: OwnedSemaphorePermit,
) -> Response {
    let sources = evidence.passages.iter().map(AnswerSourceView::new);
    let told: Arc<Told> = Arc::default();
    let (services, writing) = (api.services.clone(), told.clone());
    let sources = AskSources {
        sources: sources.collect(),
    };
    let work = async move {
        let mut on_text = |text: &str| writing.add(text);
        answers::answer(&services, &question, evidence, Some(&mut on_text), None).await
    };
    let start = Writing {
        sources: Some(sources),
        told,
        work: Some(Box::pin(work)),
        ended: None,
        _place: place,
    };
    respond(stream::unfold(start, |mut writing| async move {
        let event = writing.next().await?;
        Some((Ok::<_, Infallible>(event), writing))
    }))
}

impl Writing {
    async fn next(&mut self) -> Option<Event> {
        if let Some(sources) = self.sources.take() {
            return event("sources", &sources);
        }
        if let Some(work) = self.work.as_mut() {
            let ended = tokio::select! {
                biased;
                () = self.told.more.notified() => None,
                ended = work => Some(ended),
            };
            if ended.is_some() {
                self.work = None;
                self.ended = ended;
            }
            // The last words come together with the end.
            let text = self.told.take();
            if !text.is_empty() || self.work.is_some() {
                return event("text", &AskText { text });
            }
        }
        match self.ended.take()? {
            Ok(answer) => event("done", &AnswerView::new(&answer)),
            Err(error) => event("error", &ApiError::of(&error).body()),
        }
    }
}

fn event(name: &str, data: &impl Serialize) -> Option<Event> {
    match Event::default().event(name).json_data(data) {
        Ok(event) => Some(event),
        Err(error) => {
            tracing::error!(%error, "could not write an event");
            None
        }
    }
}
