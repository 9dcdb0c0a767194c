use std::net::TcpListener;
use std::time::{Duration, Instant};

use embed::{EmbedConfig, EmbedErrorKind, Embedder, HttpConfig, ProviderConfig, Secret};

use crate::server::{Answer, Server, vectors};

fn config(url: &str) -> HttpConfig {
    HttpConfig {
        timeout: Duration::from_secs(10),
        retry_delay: Duration::from_millis(1),
        ..HttpConfig::new(url, "test-model")
    }
}

fn start(config: HttpConfig) -> Embedder {
    Embedder::start(EmbedConfig::new(ProviderConfig::Http(config))).expect("start")
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|t| (*t).to_owned()).collect()
}

/// Kind of each result; `None` where there is a vector.
fn kinds(results: &[Result<Vec<f32>, embed::EmbedError>]) -> Vec<Option<EmbedErrorKind>> {
    results
        .iter()
        .map(|r| r.as_ref().err().map(embed::EmbedError::kind))
        .collect()
}

fn answered(request: &crate::server::Request) -> Answer {
    Some((200, "", vectors(request)))
}

#[test]
fn vectors_come_back_in_order_and_of_length_1() {
    let server = Server::start(|_, request| answered(request));
    let embedder = start(HttpConfig {
        api_key: Some(Secret::new("key-123".to_owned())),
        passage_prefix: "p: ".to_owned(),
        query_prefix: "q: ".to_owned(),
        ..config(&server.url)
    });
    assert_eq!(embedder.dims(), 0, "unknown before the first answer");
    let results = embedder.embed_passages(texts(&["four", "a", "two two"]));
    let slopes: Vec<f32> = results
        .iter()
        .map(|r| r.as_ref().expect("vector"))
        .map(|v| (v[0] / v[1]).round())
        .collect();
    assert_eq!(slopes, [7.0, 4.0, 10.0], "lengths with the prefix");
    let first = results[0].as_ref().expect("vector");
    assert!((first[0].hypot(first[1]) - 1.0).abs() < 1e-6);
    assert_eq!(embedder.dims(), 2);

    let request = server.next();
    assert_eq!(request.path, "/v1/embeddings");
    assert!(
        request
            .headers
            .iter()
            .any(|h| h == "authorization: bearer key-123")
    );
    assert_eq!(request.body["model"], "test-model");
    assert_eq!(request.body["encoding_format"], "float");
    assert!(request.body.get("dimensions").is_none());

    embedder.embed_query("x").expect("query");
    assert_eq!(server.next().inputs(), ["q: x"]);
    assert_eq!(embedder.stats().texts, 4);
}

#[test]
fn batches_have_at_most_as_many_texts_as_configured() {
    let server = Server::start(|_, request| answered(request));
    let embedder = start(HttpConfig {
        batch_max: 3,
        ..config(&server.url)
    });
    let results = embedder.embed_passages((1..=8).map(|n| "x".repeat(n)).collect());
    for (i, result) in results.iter().enumerate() {
        let vector = result.as_ref().expect("vector");
        assert_eq!((vector[0] / vector[1]).round(), (i + 1) as f32);
    }
    let sizes: Vec<usize> = (0..3).map(|_| server.next().inputs().len()).collect();
    assert_eq!(sizes, [3, 3, 2]);
}

#[test]
fn what_may_pass_is_tried_again() {
    let check = |status: u16, headers: &'static str| {
        let server = Server::start(move |number, request| match number {
            0..2 => Some((status, headers, "later".to_owned())),
            _ => answered(request),
        });
        let results = start(config(&server.url)).embed_passages(texts(&["a", "b"]));
        assert_eq!(kinds(&results), [None, None], "{status}");
        for _ in 0..3 {
            assert_eq!(server.next().inputs().len(), 2, "{status}");
        }
        assert_eq!(server.count(), 0, "{status}");
    };
    check(429, "retry-after: 0\r\n");
    check(500, "");
    check(503, "");
}

#[test]
fn retries_end() {
    let server = Server::start(|_, _| Some((429, "", String::new())));
    let results = start(config(&server.url)).embed_passages(texts(&["a", "b"]));
    assert_eq!(kinds(&results), [Some(EmbedErrorKind::Unavailable); 2]);
    assert_eq!((server.next().inputs().len(), server.count()), (2, 3));
}

#[test]
fn an_endpoint_that_asks_for_too_long_is_left_alone() {
    let server = Server::start(|_, _| Some((429, "retry-after: 86400\r\n", String::new())));
    let results = start(config(&server.url)).embed_passages(texts(&["a"]));
    let error = results[0].as_ref().expect_err("throttled");
    assert_eq!(error.retry_after(), Some(Duration::from_secs(86400)));
    assert!(error.is_temporary());
}

#[test]
fn one_bad_text_costs_only_itself() {
    let check = |status: u16, kind: EmbedErrorKind| {
        let server = Server::start(move |_, request| {
            if request.inputs().iter().any(|t| t == "bad") {
                Some((status, "", "cannot".to_owned()))
            } else {
                answered(request)
            }
        });
        let all = texts(&["one", "bad", "four", "fives"]);
        let results = start(config(&server.url)).embed_passages(all);
        assert_eq!(kinds(&results), [None, Some(kind), None, None], "{status}");
    };
    check(400, EmbedErrorKind::Refused);
    check(413, EmbedErrorKind::Refused);
    check(500, EmbedErrorKind::Unavailable);
}

#[test]
fn an_endpoint_that_is_down_is_not_asked_for_every_text() {
    let server = Server::start(|_, _| Some((502, "", String::new())));
    let many = (0..20).map(|n| format!("text {n}")).collect();
    let results = start(config(&server.url)).embed_passages(many);
    assert_eq!(kinds(&results), [Some(EmbedErrorKind::Unavailable); 20]);
    server.next();
    // Three retries of the batch, then three texts alone.
    assert_eq!(server.count(), 6);
}

#[test]
fn wrong_answers_are_not_vectors() {
    let check = |body: &'static str, kind: EmbedErrorKind| {
        let server = Server::start(move |_, _| Some((200, "", body.to_owned())));
        let embedder = start(HttpConfig {
            dims: Some(2),
            ..config(&server.url)
        });
        assert_eq!(embedder.dims(), 2);
        let results = embedder.embed_passages(texts(&["a"]));
        assert_eq!(kinds(&results), [Some(kind)], "{body}");
        assert_eq!(server.next().body["dimensions"], 2);
        assert_eq!(server.count(), 0, "{body}: not worth another try");
    };
    let bad = EmbedErrorKind::BadResponse;
    check(r#"{"data":[{"embedding":[1,2,3]}]}"#, bad);
    check(r#"{"data":[]}"#, bad);
    check("", bad);
    check("{}", bad);
    check(r#"{"data":[{"embedding":[0,0]}]}"#, bad);
}

#[test]
fn a_wrong_key_is_a_matter_of_configuration() {
    let server = Server::start(|_, _| Some((401, "", "bad key".to_owned())));
    let results = start(config(&server.url)).embed_passages(texts(&["a", "b"]));
    assert_eq!(kinds(&results), [Some(EmbedErrorKind::Config); 2]);
    let message = results[0].as_ref().expect_err("refused").to_string();
    assert!(
        message.contains("401") && message.contains("bad key"),
        "{message}"
    );
    server.next();
    assert_eq!(server.count(), 0);
}

#[test]
fn nobody_there_and_no_answer() {
    let closed = TcpListener::bind("127.0.0.1:0").expect("bind");
    let url = format!("http://{}", closed.local_addr().expect("address"));
    drop(closed);
    let refused = start(config(&url))
        .embed_query("a")
        .expect_err("nobody there");
    assert_eq!(refused.kind(), EmbedErrorKind::Unavailable);

    let server = Server::start(|_, _| None);
    let slow = start(HttpConfig {
        timeout: Duration::from_millis(50),
        retries: 1,
        ..config(&server.url)
    });
    let error = slow.embed_query("a").expect_err("no answer");
    assert_eq!(error.kind(), EmbedErrorKind::Unavailable);
    assert!(error.to_string().contains("in time"), "{error}");
}

#[test]
fn stopping_interrupts_a_wait() {
    let server = Server::start(|_, _| Some((503, "retry-after: 50\r\n", String::new())));
    let embedder = start(config(&server.url));
    let other = embedder.clone();
    let started = Instant::now();
    let waiting = std::thread::spawn(move || other.embed_passages(texts(&["a"])));
    server.next();
    embedder.stop();
    let results = waiting.join().expect("thread");
    assert_eq!(kinds(&results), [Some(EmbedErrorKind::Stopped)]);
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[test]
fn unusable_configurations_fail_at_start() {
    let check = |config: HttpConfig| {
        let result = Embedder::start(EmbedConfig::new(ProviderConfig::Http(config)));
        assert_eq!(
            result.expect_err("must fail").kind(),
            EmbedErrorKind::Config
        );
    };
    let base = || config("http://localhost:1");
    check(config("localhost:1"));
    check(HttpConfig {
        model: String::new(),
        ..base()
    });
    check(HttpConfig {
        dims: Some(0),
        ..base()
    });
    check(HttpConfig {
        batch_max: 0,
        ..base()
    });
    check(HttpConfig {
        api_key: Some(Secret::new("a\nb".to_owned())),
        ..base()
    });
}

#[test]
fn identity_follows_what_decides_the_vectors() {
    let id = |config: HttpConfig| start(config).model_id().to_owned();
    let base = || config("http://localhost:1");
    assert_eq!(
        id(base()),
        id(HttpConfig {
            batch_max: 7,
            ..base()
        })
    );
    assert_eq!(id(base()), id(config("http://localhost:1/v1/")));
    assert_ne!(
        id(base()),
        id(HttpConfig {
            dims: Some(9),
            ..base()
        })
    );
    assert_ne!(
        id(base()),
        id(HttpConfig {
            query_prefix: "q".to_owned(),
            ..base()
        })
    );
    assert!(id(base()).starts_with("test-model-"));
    let secret = HttpConfig {
        api_key: Some(Secret::new("sesame".to_owned())),
        ..base()
    };
    assert!(!format!("{secret:?}").contains("sesame"));
}
