//! Vectors from an OpenAI-compatible endpoint: `POST {base}/v1/embeddings`.

mod answer;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use reqwest::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER};
use reqwest::{Client, StatusCode, Url};

use crate::config::HttpConfig;
use crate::error::{EmbedError, EmbedErrorKind};
use crate::local::TextKind;

/// 32 vectors of 4,096 numbers as JSON text are about 3 MB.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// A `Retry-After` is honoured up to this long; past it the texts fail for now.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);
/// Texts tried alone that may fail in a row before the rest of the batch is
/// given up as the endpoint's fault.
const LONE_FAILURES_MAX: usize = 3;

type Vectors = Vec<Result<Vec<f32>, EmbedError>>;

/// A client of one endpoint. Must be used inside a tokio runtime.
#[derive(Debug)]
pub(crate) struct Endpoint {
    config: HttpConfig,
    client: Client,
    url: Url,
    authorization: Option<HeaderValue>,
    /// 0 until the configuration or an answer says.
    dims: AtomicUsize,
}

impl Endpoint {
    pub(crate) fn new(config: HttpConfig) -> Result<Endpoint, EmbedError> {
        let url = embeddings_url(&config.base_url)?;
        let fail = |message: &str| EmbedError::new(EmbedErrorKind::Config, message);
        let authorization = config
            .api_key
            .as_ref()
            .map(|key| HeaderValue::from_str(&format!("Bearer {}", key.reveal())))
            .transpose()
            .map_err(|_| fail("the API key holds characters that a header cannot"))?
            .map(|mut value| {
                value.set_sensitive(true);
                value
            });
        if config.model.is_empty() {
            return Err(fail("the embedding endpoint needs a model name"));
        }
        if config.dims == Some(0) || config.batch_max == 0 || config.timeout.is_zero() {
            return Err(fail(
                "dimensions, batch size and timeout of the embedding endpoint must not be 0",
            ));
        }
        let tls = tls::client_config(None).map_err(|e| fail("prepare TLS").with_source(e))?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .timeout(config.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|e| fail("prepare the embedding client").with_source(e))?;
        Ok(Endpoint {
            dims: AtomicUsize::new(config.dims.unwrap_or(0)),
            config,
            client,
            url,
            authorization,
        })
    }

    /// 0 before the first answer when the configuration gives none.
    pub(crate) fn dims(&self) -> usize {
        self.dims.load(Ordering::Acquire)
    }

    /// Changes when the endpoint's vectors would.
    pub(crate) fn id(&self) -> String {
        let config = &self.config;
        let parts = format!(
            "{}\0{}\0{:?}\0{}\0{}",
            self.url, config.model, config.dims, config.query_prefix, config.passage_prefix
        );
        let hash = blake3::hash(parts.as_bytes()).to_hex();
        format!("{}-{}", config.model, &hash[..12])
    }

    pub(crate) async fn embed(&self, texts: &[String], kind: TextKind) -> Vectors {
        let mut vectors = Vec::with_capacity(texts.len());
        for batch in texts.chunks(self.config.batch_max) {
            vectors.extend(self.embed_batch(batch, kind).await);
        }
        vectors
    }

    async fn embed_batch(&self, texts: &[String], kind: TextKind) -> Vectors {
        let error = match self.request(texts, kind, self.config.retries).await {
            Ok(vectors) => return vectors.into_iter().map(Ok).collect(),
            Err(error) => error,
        };
        if texts.len() == 1 || !error.may_be_one_text {
            return vec![Err(error.error); texts.len()];
        }
        tracing::warn!(
            texts = texts.len(),
            error = %error.error,
            "a batch of texts failed; trying each alone"
        );
        let mut vectors: Vectors = Vec::with_capacity(texts.len());
        let mut failures = 0;
        for text in texts {
            if failures >= LONE_FAILURES_MAX {
                vectors.push(Err(error.error.clone()));
                continue;
            }
            match self.request(std::slice::from_ref(text), kind, 0).await {
                Ok(mut one) => {
                    failures = 0;
                    vectors.extend(one.pop().map(Ok));
                }
                Err(lone) => {
                    // A refused text is its own fault and says nothing of the next.
                    failures = if lone.error.is_temporary() {
                        failures + 1
                    } else {
                        0
                    };
                    vectors.push(Err(lone.error));
                }
            }
        }
        vectors
    }

    /// One request with its retries. As many vectors as texts, in their order.
    async fn request(
        &self,
        texts: &[String],
        kind: TextKind,
        retries: u32,
    ) -> Result<Vec<Vec<f32>>, Failure> {
        let body = self.body(texts, kind);
        let mut delays = ExponentialBuilder::default()
            .with_min_delay(self.config.retry_delay)
            .with_factor(2.0)
            .with_max_delay(RETRY_AFTER_MAX)
            .with_max_times(retries as usize)
            .with_jitter()
            .build();
        loop {
            let failure = match self.send(&body, texts.len()).await {
                Ok(vectors) => return Ok(vectors),
                Err(failure) => failure,
            };
            if !failure.error.is_temporary() {
                return Err(failure);
            }
            let Some(delay) = delays.next() else {
                return Err(failure);
            };
            let delay = match failure.error.retry_after() {
                Some(asked) if asked > RETRY_AFTER_MAX => return Err(failure),
                Some(asked) => asked,
                None => delay,
            };
            tracing::debug!(error = %failure.error, delay_ms = delay.as_millis() as u64, "retrying an embedding request");
            tokio::time::sleep(delay).await;
        }
    }

    fn body(&self, texts: &[String], kind: TextKind) -> Vec<u8> {
        let prefix = match kind {
            TextKind::Query => &self.config.query_prefix,
            TextKind::Passage => &self.config.passage_prefix,
        };
        let input: Vec<String> = texts.iter().map(|t| format!("{prefix}{t}")).collect();
        let mut body = serde_json::json!({
            "model": self.config.model,
            "input": input,
            "encoding_format": "float",
        });
        if let Some(dims) = self.config.dims {
            body["dimensions"] = dims.into();
        }
        body.to_string().into_bytes()
    }

    async fn send(&self, body: &[u8], texts: usize) -> Result<Vec<Vec<f32>>, Failure> {
        let mut request = self
            .client
            .post(self.url.clone())
            .header("content-type", "application/json")
            .body(body.to_vec());
        if let Some(value) = &self.authorization {
            request = request.header(AUTHORIZATION, value.clone());
        }
        let mut response = request.send().await.map_err(Failure::transport)?;
        let status = response.status();
        if !status.is_success() {
            let retry_after = retry_after(&response);
            let hint = read_body(&mut response, 2048, true)
                .await
                .unwrap_or_default();
            return Err(Failure::status(status, retry_after, &hint));
        }
        let bytes = read_body(&mut response, ANSWER_BYTES_MAX, false).await?;
        let vectors = answer::vectors(&bytes, texts, self.dims()).map_err(Failure::answer)?;
        if let Some(first) = vectors.first() {
            // The first answer settles the dimensions for all that follow.
            let _ = self
                .dims
                .compare_exchange(0, first.len(), Ordering::AcqRel, Ordering::Acquire);
        }
        Ok(vectors)
    }
}

/// A failed request, and whether a single text of the batch may be to blame.
#[derive(Debug)]
struct Failure {
    error: EmbedError,
    may_be_one_text: bool,
}

impl Failure {
    fn transport(error: reqwest::Error) -> Failure {
        let message = if error.is_timeout() {
            "the embedding endpoint did not answer in time"
        } else {
            "the embedding endpoint cannot be reached"
        };
        Failure {
            error: EmbedError::new(EmbedErrorKind::Unavailable, message)
                .with_source(error.without_url()),
            may_be_one_text: false,
        }
    }

    fn status(status: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> Failure {
        let hint: String = String::from_utf8_lossy(body)
            .chars()
            .filter(|c| !c.is_control())
            .take(200)
            .collect();
        let (kind, may_be_one_text) = match status.as_u16() {
            401 | 403 | 404 => (EmbedErrorKind::Config, false),
            408 | 429 => (EmbedErrorKind::Unavailable, false),
            500..=599 => (EmbedErrorKind::Unavailable, true),
            _ => (EmbedErrorKind::Refused, true),
        };
        let message = format!("the embedding endpoint answered {status}: {hint}");
        Failure {
            error: EmbedError::new(kind, message).with_retry_after(retry_after),
            may_be_one_text,
        }
    }

    fn answer(message: String) -> Failure {
        Failure {
            error: EmbedError::new(EmbedErrorKind::BadResponse, message),
            may_be_one_text: true,
        }
    }
}

/// Reads at most `bytes_max`; more is cut off or, for an answer, refused.
async fn read_body(
    response: &mut reqwest::Response,
    bytes_max: usize,
    cut: bool,
) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(Failure::transport)? {
        let room = bytes_max - body.len();
        body.extend_from_slice(&part[..part.len().min(room)]);
        if part.len() > room {
            if cut {
                break;
            }
            return Err(Failure::answer(format!(
                "the embedding endpoint answered with more than {bytes_max} bytes"
            )));
        }
    }
    Ok(body)
}

/// `Retry-After` in seconds. The date form is rare here and needs a clock.
fn retry_after(response: &reqwest::Response) -> Option<Duration> {
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

fn embeddings_url(base: &str) -> Result<Url, EmbedError> {
    let base = base.trim().trim_end_matches('/');
    let base = base.strip_suffix("/embeddings").unwrap_or(base);
    let base = base.strip_suffix("/v1").unwrap_or(base);
    Url::parse(&format!("{base}/v1/embeddings"))
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| {
            EmbedError::new(
                EmbedErrorKind::Config,
                format!("the embedding endpoint's base URL is not an http(s) URL: {base}"),
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_with_and_without_version() {
        let check = |base: &str, expected: Option<&str>| {
            let url = embeddings_url(base).ok();
            assert_eq!(url.as_ref().map(Url::as_str), expected, "{base}");
        };
        let expected = Some("http://localhost:8080/v1/embeddings");
        check("http://localhost:8080", expected);
        check("http://localhost:8080/", expected);
        check("http://localhost:8080/v1", expected);
        check("http://localhost:8080/v1/", expected);
        check("http://localhost:8080/v1/embeddings", expected);
        check(
            "https://api.example.org/openai",
            Some("https://api.example.org/openai/v1/embeddings"),
        );
        check("localhost:8080", None);
        check("ftp://example.org", None);
        check("", None);
    }
}
