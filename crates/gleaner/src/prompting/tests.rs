//! Calls against a scripted server.

mod peer;

use std::sync::Arc;
use std::time::{Duration, Instant};

use guard::BreakerState;
use llm::{LlmErrorKind, Prompt, Usage};
use serde_json::{Value, json};
use store::{Day, LlmUseRow, Quota, Store};
use testkit::{FakeWeb, Gate, Reply, RequestInfo};
use tokio::sync::watch;
use types::{Clock as _, ManualClock, TenantId, Timestamp};

use super::{CallError, CallRequest, Called, Purpose};
use crate::app::App;
use crate::config::{Config, LlmSettings};
use crate::services::Services;

struct Scene {
    clock: Arc<ManualClock>,
    services: Services,
    web: Option<FakeWeb>,
}

impl Scene {
    /// The n-th request, from 0, is answered with `reply(n)`.
    fn new(reply: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Scene {
        Scene::with(reply, |_| {})
    }

    fn with(
        reply: impl Fn(usize) -> Reply + Send + Sync + 'static,
        configure: impl FnOnce(&mut LlmSettings),
    ) -> Scene {
        let web = FakeWeb::start_blocking();
        web.handler(move |request| reply(request.order));
        let scene = Scene::at(&web.url(""), configure);
        Scene {
            web: Some(web),
            ..scene
        }
    }

    /// With a model that is there already.
    fn at(base_url: &str, configure: impl FnOnce(&mut LlmSettings)) -> Scene {
        let mut config = config(base_url);
        config.llm.retry_ms = vec![1, 1, 1];
        // By a clock that stands still nothing would ever be refilled.
        config.llm.requests_per_minute = 0;
        configure(&mut config.llm);
        let clock = Arc::new(ManualClock::at(Timestamp(1_800_000_000_000)));
        let mut app = App::new(config, false, false);
        app.clock = clock.clone();
        let store = Store::open_memory(clock.clone()).expect("store");
        let services = Services::without_index(&app, store, Arc::default()).expect("services");
        Scene {
            clock,
            services,
            web: None,
        }
    }

    /// Calls while time passes, so that what is waited for comes.
    fn while_time_passes(&self, calls: impl FnOnce()) {
        let clock = self.clock.clone();
        let (done, is_done) = std::sync::mpsc::channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut last = Instant::now();
                while is_done.recv_timeout(Duration::from_millis(5)).is_err() {
                    let ms = last.elapsed().as_millis() as u64;
                    last += Duration::from_millis(ms);
                    clock.advance(Duration::from_millis(ms));
                }
            });
            calls();
            done.send(()).expect("it listens");
        });
    }

    fn call(&self) -> Result<Called, CallError> {
        self.call_with(None, None)
    }

    fn call_with(
        &self,
        on_text: Option<&mut (dyn FnMut(&str) + Send)>,
        stop: Option<watch::Receiver<bool>>,
    ) -> Result<Called, CallError> {
        let prompt = prompt();
        let model = self.services.language_model().expect("one is configured");
        model.call_blocking(CallRequest {
            tenant: TenantId::DEFAULT,
            purpose: Purpose::Summary,
            prompt: &prompt,
            // As something that lives no longer than the prompt.
            on_text: on_text.map(|on_text| on_text as &mut (dyn FnMut(&str) + Send)),
            stop,
        })
    }

    fn failure(&self) -> LlmErrorKind {
        match self.call() {
            Err(CallError::Failed(error)) => error.kind(),
            other => panic!("{other:?}"),
        }
    }

    fn asked(&self) -> usize {
        self.log().len()
    }

    fn log(&self) -> Vec<RequestInfo> {
        self.web.as_ref().expect("a scripted server").log()
    }

    fn breaker(&self) -> BreakerState {
        let shown = self.services.breakers();
        let of_model = shown.iter().find(|b| &*b.name == "language model");
        of_model.expect("shown").state
    }

    /// What the default tenant is said to have used today, for one purpose.
    fn used(&self, purpose: Purpose) -> Option<LlmUseRow> {
        let today = Day::of(self.clock.now());
        let tenant = Some(TenantId::DEFAULT);
        let rows = self.services.store.llm_use(tenant, today, today);
        let mut rows = rows.expect("read").into_iter();
        rows.find(|row| row.purpose == purpose.code())
    }

    fn reserved(&self) -> u64 {
        let budget = self.services.store.llm_budget(TenantId::DEFAULT);
        budget.expect("read").reserved
    }

    fn metric(&self, line: &str) -> bool {
        let text = self.services.metrics.text().expect("text");
        text.lines().any(|found| found == line)
    }
}

/// Defaults, with a model at this address.
fn config(base_url: &str) -> Config {
    let variables = [
        ("GLEANER__LLM__PROVIDER", "openai"),
        ("GLEANER__LLM__BASE_URL", base_url),
        ("GLEANER__LLM__MODEL", "m"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let loaded = crate::config::load(None, variables.into_iter(), &[]);
    loaded.expect("a configuration").config
}

fn prompt() -> Prompt {
    Prompt {
        system: "Be brief.".to_owned(),
        user: "How many tokens are these words?".to_owned(),
        output_tokens_max: 100,
        temperature: 0.0,
        json: None,
    }
}

fn answer() -> Value {
    json!({
        "choices": [{ "message": { "content": "Enough." }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 20, "completion_tokens": 3 },
    })
}

fn good() -> Reply {
    Reply::body("application/json", answer().to_string())
}

fn fail(status: u16) -> Reply {
    Reply::status(status)
}

#[test]
fn a_call_is_answered_and_counted() {
    let scene = Scene::new(|_| good());
    let called = scene.call().expect("an answer");
    assert_eq!((called.text.as_str(), called.attempts), ("Enough.", 1));
    let usage = Usage {
        input: 20,
        output: 3,
    };
    assert_eq!(called.usage, usage);
    for line in [
        r#"llm_calls_total{outcome="succeeded",purpose="summary"} 1"#,
        r#"llm_attempts_total{outcome="ok",purpose="summary"} 1"#,
        r#"llm_tokens_total{direction="in",purpose="summary"} 20"#,
        r#"llm_tokens_total{direction="out",purpose="summary"} 3"#,
        "llm_calls_under_way 0",
    ] {
        assert!(scene.metric(line), "{line}");
    }
    let used = scene.used(Purpose::Summary).expect("noted");
    assert_eq!((used.tokens_in, used.tokens_out), (20, 3));
    assert_eq!((used.requests, used.succeeded, used.failed), (1, 1, 0));
    assert_eq!((used.model.as_str(), scene.reserved()), ("m", 0));
}

#[test]
fn tokens_that_nobody_counted_are_estimated() {
    let scene = Scene::new(|_| {
        let mut body = answer();
        body["usage"] = Value::Null;
        Reply::body("application/json", body.to_string())
    });
    let usage = scene.call().expect("an answer").usage;
    assert!((20..40).contains(&usage.input), "{usage:?}");
    assert!((1..6).contains(&usage.output), "{usage:?}");
}

#[test]
fn what_may_pass_is_tried_again() {
    let scene = Scene::new(|number| match number {
        0 => fail(500),
        1 => fail(429).header("Retry-After", "0"),
        2 => good().cut_after(20),
        _ => good(),
    });
    assert_eq!(scene.call().expect("an answer").attempts, 4);
    assert_eq!(scene.asked(), 4);
    for line in [
        r#"llm_retries_total{purpose="summary"} 3"#,
        r#"llm_attempts_total{outcome="throttled",purpose="summary"} 1"#,
        r#"llm_attempts_total{outcome="bad_response",purpose="summary"} 1"#,
    ] {
        assert!(scene.metric(line), "{line}");
    }
    assert_eq!(scene.breaker(), BreakerState::Closed);
    let used = scene.used(Purpose::Summary).expect("noted");
    assert_eq!((used.requests, used.succeeded, used.retries), (4, 1, 3));
    assert_eq!(used.tokens_in, 20);
}

#[test]
fn retries_end() {
    let check = |reply: fn() -> Reply, requests: usize, kind: LlmErrorKind| {
        let scene = Scene::new(move |_| reply());
        assert_eq!(scene.failure(), kind);
        assert_eq!(scene.asked(), requests, "{kind:?}");
        let used = scene.used(Purpose::Summary).expect("noted");
        assert_eq!((used.requests, used.failed), (requests as u64, 1));
        assert_eq!((used.tokens_in, scene.reserved()), (0, 0));
    };
    check(|| fail(503), 4, LlmErrorKind::Unavailable);
    check(|| fail(429), 4, LlmErrorKind::Throttled);
    // Longer than anybody waits.
    let long = || fail(429).header("Retry-After", "3600");
    check(long, 1, LlmErrorKind::Throttled);
    check(|| fail(400), 1, LlmErrorKind::Refused);
    check(|| fail(401), 1, LlmErrorKind::Config);
}

#[test]
fn a_model_that_keeps_failing_is_left_alone() {
    // Down for three calls and a probe, with four attempts each but the probe's.
    let scene = Scene::new(|number| if number < 13 { fail(500) } else { good() });
    for _ in 0..3 {
        assert_eq!(scene.breaker(), BreakerState::Closed);
        assert_eq!(scene.failure(), LlmErrorKind::Unavailable);
    }
    assert_eq!((scene.breaker(), scene.asked()), (BreakerState::Open, 12));
    let refused = scene.call();
    assert!(
        matches!(refused, Err(CallError::LeftAlone(_))),
        "{refused:?}"
    );
    assert_eq!(scene.asked(), 12);

    scene.clock.advance(Duration::from_secs(120));
    assert_eq!(scene.breaker(), BreakerState::HalfOpen);
    assert_eq!(scene.failure(), LlmErrorKind::Unavailable);
    assert_eq!((scene.breaker(), scene.asked()), (BreakerState::Open, 13));

    scene.clock.advance(Duration::from_secs(120));
    assert_eq!(scene.call().expect("an answer").attempts, 1);
    assert_eq!(scene.breaker(), BreakerState::Closed);
    let left_alone = r#"llm_calls_total{outcome="left_alone",purpose="summary"} 1"#;
    assert!(scene.metric(left_alone));
}

#[test]
fn prompts_that_are_refused_open_no_breaker() {
    let scene = Scene::new(|_| fail(400));
    for _ in 0..5 {
        assert_eq!(scene.failure(), LlmErrorKind::Refused);
    }
    assert_eq!(scene.breaker(), BreakerState::Closed);
}

fn streamed() -> String {
    let part = |text: &str| {
        let part = json!({ "choices": [{ "delta": { "content": text } }] });
        format!("data: {part}\n\n")
    };
    let end = json!({ "choices": [{ "delta": {}, "finish_reason": "stop" }] });
    format!(
        "{}{}data: {end}\n\ndata: [DONE]\n\n",
        part("Eno"),
        part("ugh.")
    )
}

fn sse(body: impl Into<String>) -> Reply {
    Reply::body("text/event-stream", body.into())
}

#[test]
fn nobody_hears_the_beginning_twice() {
    let whole = streamed();
    let half = whole.find("ugh").expect("there");
    let scene = Scene::new(move |number| match number {
        // Before a word was heard there is no harm in trying again.
        0 => fail(500),
        1 => sse(streamed()),
        _ => sse(streamed()).cut_after(half),
    });
    let mut heard = String::new();
    let called = scene.call_with(Some(&mut |text: &str| heard.push_str(text)), None);
    let called = called.expect("an answer");
    assert_eq!((heard.as_str(), called.attempts), ("Enough.", 2));
    assert_eq!(called.text, heard);

    let mut heard = String::new();
    let cut = scene.call_with(Some(&mut |text: &str| heard.push_str(text)), None);
    assert!(matches!(cut, Err(CallError::Failed(_))), "{cut:?}");
    assert_eq!((heard.as_str(), scene.asked()), ("Eno", 3));
}

#[test]
fn a_call_ends_when_it_is_told_to() {
    // While it waits for its next attempt.
    let scene = Scene::with(|_| fail(500), |llm| llm.retry_ms = vec![600_000]);
    let (stop, stopped) = watch::channel(false);
    std::thread::scope(|scope| {
        let call = scope.spawn(|| scene.call_with(None, Some(stopped.clone())));
        until("asked", || scene.asked() == 1);
        stop.send(true).expect("it listens");
        let ended = call.join().expect("no panic");
        assert!(matches!(ended, Err(CallError::Stopped)), "{ended:?}");
    });
    // Before it begins.
    let ended = scene.call_with(None, Some(stopped));
    assert!(matches!(ended, Err(CallError::Stopped)), "{ended:?}");
    assert_eq!(scene.asked(), 1);
    assert_eq!(scene.breaker(), BreakerState::Closed);
}

#[test]
fn a_call_that_nobody_waits_for_ends_and_is_counted() {
    let gate = Gate::new();
    gate.open(1);
    let half = streamed().find("ugh").expect("there");
    let scene = Scene::new(move |_| sse(streamed()).gated(half, &gate));
    let model = scene.services.language_model().expect("one is configured");
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(async {
        let (heard, mut was_heard) = tokio::sync::mpsc::channel(9);
        let question = prompt();
        let mut on_text = |text: &str| {
            let _ = heard.try_send(text.to_owned());
        };
        let call = model.call(CallRequest {
            tenant: TenantId::DEFAULT,
            purpose: Purpose::Answer,
            prompt: &question,
            on_text: Some(&mut on_text),
            stop: None,
        });
        tokio::select! {
            ended = call => panic!("{ended:?}"),
            first = was_heard.recv() => assert_eq!(first.as_deref(), Some("Eno")),
        }
    });
    let stopped = r#"llm_calls_total{outcome="stopped",purpose="answer"} 1"#;
    until("counted", || scene.metric(stopped));
    let text = scene.services.metrics.text().expect("text");
    let out = r#"llm_tokens_total{direction="out",purpose="answer"} "#;
    let line = text.lines().find_map(|line| line.strip_prefix(out));
    let tokens: u64 = line.expect("counted").parse().expect("a number");
    assert!((1..5).contains(&tokens), "{tokens}");
    let used = scene.used(Purpose::Answer).expect("noted");
    assert_eq!((used.requests, used.tokens_out), (1, tokens));
    assert_eq!((used.succeeded, used.failed, scene.reserved()), (0, 0, 0));
}

#[test]
fn a_day_s_tokens_are_a_hard_stop() {
    let scene = Scene::new(|_| good());
    let quota = Quota {
        tokens_per_day: Some(180),
        ..Quota::default()
    };
    let store = &scene.services.store;
    store.set_quota(TenantId::DEFAULT, quota).expect("set");
    // Each is given 100 tokens to answer, and uses 23 in all.
    for _ in 0..3 {
        scene.call().expect("an answer");
    }
    match scene.call() {
        Err(CallError::Budget { used: 69, max: 180 }) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!((scene.asked(), scene.reserved()), (3, 0));
    assert_eq!(scene.breaker(), BreakerState::Closed);
    let refused = r#"llm_calls_total{outcome="over_budget",purpose="summary"} 1"#;
    assert!(scene.metric(refused));
    scene.clock.advance(Duration::from_secs(24 * 3600));
    scene.call().expect("another day");
}

#[test]
fn requests_keep_to_the_limit() {
    // 12 at once, then one each 0.56 s.
    let scene = Scene::with(|_| good(), |llm| llm.requests_per_minute = 120);
    scene.while_time_passes(|| {
        for _ in 0..14 {
            scene.call().expect("an answer");
        }
    });
    let log = scene.log();
    let took = log[13].received_at.duration_since(log[0].received_at);
    assert!(took >= Duration::from_millis(1000), "{took:?}");
}

#[test]
fn costs_are_by_the_million() {
    let scene = |prices: &[&str]| {
        let prices: Vec<String> = prices.iter().map(|price| (*price).to_owned()).collect();
        let prices = prices.try_into().expect("prices");
        let scene = Scene::with(|_| good(), |llm: &mut LlmSettings| llm.prices = prices);
        let model = scene.services.language_model().expect("one");
        model.cost(1_000_000, 250_000)
    };
    assert_eq!(scene(&[]), None);
    assert_eq!(scene(&["another 1 1"]), None);
    assert_eq!(scene(&["another 1 1", "m 0.5 2"]), Some(1.0));
}

#[test]
fn what_cannot_work_is_said_at_the_start() {
    let check = |configure: fn(&mut LlmSettings), problem: &str| {
        let mut config = config("http://127.0.0.1:1");
        configure(&mut config.llm);
        let app = App::new(config, false, false);
        let store = Store::open_memory(app.clock.clone()).expect("store");
        let started = Services::without_index(&app, store, Arc::default());
        let error = started.err().expect("cannot start");
        assert!(error.is::<crate::app::UsageError>());
        let text = format!("{error:#}");
        assert!(text.contains(problem), "{text}");
    };
    check(|llm| llm.model = String::new(), "needs llm.model");
    check(|llm| llm.base_url = String::new(), "OPENAI_API_KEY");
    check(|llm| llm.base_url = "nowhere".to_owned(), "base URL");
    check(
        |llm| llm.output_tokens_max = 8192,
        "llm.context_tokens (8192)",
    );
    check(|llm| llm.tokens_per_minute = 900, "leaves no room");
    check(
        |llm| llm.ca_file = "/no/such.pem".to_owned(),
        "/no/such.pem",
    );
    check(|llm| llm.retry_ms = vec![1; 11], "llm.retry_ms");
    check(|llm| llm.calls_max = 0, "llm.calls_max");
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "never {what}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}
