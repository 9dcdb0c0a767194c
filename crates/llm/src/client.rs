//! Sending a prompt and reading the answer, within limits.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Proxy, Response, Url};

use crate::config::{LlmConfig, Protocol};
use crate::error::{LlmError, LlmErrorKind};
use crate::gathered::Gathered;
use crate::prompt::{Prompt, Reply};
use crate::sse::Events;
use crate::{gemini, openai, refusal};

/// Some 300 bytes for each token of a stream: 50,000 of them.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// Of an answer that is none, as much is read to tell why.
const REFUSAL_BYTES_MAX: usize = 16 << 10;
/// Keeps sums of times far from overflow; a longer one is surely a slip of units.
const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3600);

/// A client of one model, with a pool of connections. Use it within one tokio
/// runtime, which drives them; any number of requests may be under way.
pub struct Client {
    config: LlmConfig,
    http: reqwest::Client,
    complete_url: Url,
    stream_url: Url,
    key: Option<(HeaderName, HeaderValue)>,
    is_openai: bool,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.config).finish()
    }
}

impl Client {
    pub fn new(config: LlmConfig) -> Result<Client, LlmError> {
        if config.model.trim().is_empty() {
            return Err(LlmError::config("the language model needs a name"));
        }
        let times = [config.connect_timeout, config.timeout, config.idle_timeout];
        if times.iter().any(|t| t.is_zero() || *t > TIMEOUT_MAX) {
            let problem = "timeouts of the language model must be over 0 and at most a day";
            return Err(LlmError::config(problem));
        }
        let (complete_url, stream_url) = urls(&config)?;
        let host = complete_url.host_str().unwrap_or_default();
        let hosts = ["openai.com", "openai.azure.com"];
        let is_openai = hosts.iter().any(|of| {
            let below = host.strip_suffix(of);
            below.is_some_and(|below| below.is_empty() || below.ends_with('.'))
        });
        let tls = tls::client_config(config.ca_file.as_deref())
            .map_err(|e| LlmError::config("set up TLS for the language model").with_source(e))?;
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .connect_timeout(config.connect_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            // Retries belong to the caller, who pays for them.
            .retry(reqwest::retry::never())
            .no_proxy();
        if let Some(proxy) = &config.proxy {
            builder = builder.proxy(read_proxy(proxy)?);
        }
        let http = builder.build().map_err(|e| {
            LlmError::config("prepare the client of the language model").with_source(e)
        })?;
        Ok(Client {
            key: key(&config)?,
            config,
            http,
            complete_url,
            stream_url,
            is_openai,
        })
    }

    /// As configured.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.config.model
    }

    /// Where requests go, for a person; holds no secret.
    #[must_use]
    pub fn describe(&self) -> String {
        let url = &self.complete_url;
        let port = url.port().map_or(String::new(), |port| format!(":{port}"));
        let host = url.host_str().unwrap_or_default();
        format!("{} at {}://{host}{port}", self.config.model, url.scheme())
    }

    /// One request, no retry. Dropping the future cancels it.
    pub async fn complete(&self, prompt: &Prompt) -> Result<Reply, LlmError> {
        let answered = async {
            let mut response = self.send(prompt, false).await?;
            self.read_whole(&mut response).await
        };
        self.in_time(answered).await
    }

    /// The same, with the text handed out as it comes. A failure may follow
    /// after some of it: what came before is then no answer.
    pub async fn stream(
        &self,
        prompt: &Prompt,
        on_text: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Reply, LlmError> {
        let answered = async {
            let mut response = self.send(prompt, true).await?;
            let kind = response.headers().get(CONTENT_TYPE);
            let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
            if kind.starts_with("application/json") {
                // A server that streams nothing.
                let reply = self.read_whole(&mut response).await?;
                on_text(&reply.text);
                return Ok(reply);
            }
            self.read_stream(&mut response, on_text).await
        };
        self.in_time(answered).await
    }

    async fn in_time(
        &self,
        answered: impl Future<Output = Result<Reply, LlmError>>,
    ) -> Result<Reply, LlmError> {
        let limit = self.config.timeout;
        match tokio::time::timeout(limit, answered).await {
            Ok(result) => result,
            Err(_) => Err(LlmError::new(
                LlmErrorKind::Unavailable,
                format!(
                    "the language model took longer than {} ms",
                    limit.as_millis()
                ),
            )),
        }
    }

    async fn send(&self, prompt: &Prompt, streams: bool) -> Result<Response, LlmError> {
        let body = match self.config.protocol {
            Protocol::OpenAi => openai::body(&self.config, prompt, streams, self.is_openai),
            Protocol::Gemini => gemini::body(&self.config, prompt),
        };
        let url = if streams {
            &self.stream_url
        } else {
            &self.complete_url
        };
        let mut request = self
            .http
            .post(url.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(body.to_string());
        if let Some((name, value)) = &self.key {
            request = request.header(name, value.clone());
        }
        let mut response = request.send().await.map_err(transport)?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let mut hint = Vec::new();
        // What cannot be read of it changes nothing about the status.
        while let Ok(Some(part)) = response.chunk().await {
            let room = REFUSAL_BYTES_MAX - hint.len();
            hint.extend_from_slice(&part[..part.len().min(room)]);
            if part.len() >= room {
                break;
            }
        }
        Err(refusal::of_status(status, response.headers(), &hint))
    }

    async fn read_whole(&self, response: &mut Response) -> Result<Reply, LlmError> {
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(broken_off)? {
            if body.len() + part.len() > ANSWER_BYTES_MAX {
                return Err(too_large());
            }
            body.extend_from_slice(&part);
        }
        let mut gathered = Gathered::default();
        match self.config.protocol {
            Protocol::OpenAi => openai::whole(&body, &mut gathered)?,
            Protocol::Gemini => gemini::whole(&body, &mut gathered)?,
        }
        gathered.into_reply(&self.config.model)
    }

    async fn read_stream(
        &self,
        response: &mut Response,
        on_text: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Reply, LlmError> {
        let take = match self.config.protocol {
            Protocol::OpenAi => openai::part,
            Protocol::Gemini => gemini::part,
        };
        let mut gathered = Gathered::default();
        let mut events = Events::default();
        let mut read = 0;
        loop {
            let part = self.next_part(response, read == 0).await?;
            let mut each = |data: &str| {
                let before = gathered.text.len();
                take(data, &mut gathered)?;
                if gathered.text.len() > before {
                    on_text(&gathered.text[before..]);
                }
                Ok(())
            };
            let Some(part) = part else {
                events.finish(&mut each)?;
                return gathered.into_reply(&self.config.model);
            };
            read += part.len();
            if read > ANSWER_BYTES_MAX {
                return Err(too_large());
            }
            events.feed(&part, &mut each)?;
        }
    }

    /// The first part may take its time: the model reads the prompt meanwhile.
    async fn next_part(
        &self,
        response: &mut Response,
        is_first: bool,
    ) -> Result<Option<Bytes>, LlmError> {
        let limit = self.config.idle_timeout;
        let part = if is_first {
            response.chunk().await
        } else {
            let part = tokio::time::timeout(limit, response.chunk()).await;
            part.map_err(|_| {
                let limit = limit.as_millis();
                let problem = format!("the language model fell silent for {limit} ms");
                LlmError::new(LlmErrorKind::Unavailable, problem)
            })?
        };
        part.map_err(broken_off)
    }
}

fn too_large() -> LlmError {
    LlmError::bad(format!(
        "the language model answered with more than {ANSWER_BYTES_MAX} bytes"
    ))
}

fn transport(error: reqwest::Error) -> LlmError {
    let message = if error.is_timeout() {
        "the language model's endpoint cannot be reached in time"
    } else {
        "the language model's endpoint cannot be reached"
    };
    LlmError::new(LlmErrorKind::Unavailable, message).with_source(error.without_url())
}

fn broken_off(error: reqwest::Error) -> LlmError {
    LlmError::bad("the language model's answer was cut short").with_source(error.without_url())
}

fn urls(config: &LlmConfig) -> Result<(Url, Url), LlmError> {
    let (default, version) = match config.protocol {
        Protocol::OpenAi => (openai::DEFAULT_BASE, openai::VERSION),
        Protocol::Gemini => (gemini::DEFAULT_BASE, gemini::VERSION),
    };
    let configured = config.base_url.trim().trim_end_matches('/');
    let base = if configured.is_empty() {
        default
    } else {
        let base = configured.strip_suffix("/chat/completions");
        let base = base.unwrap_or(configured);
        let base = base.strip_suffix(version).unwrap_or(base);
        base.trim_end_matches('/')
    };
    let is_http = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    let has_host = Url::parse(base).is_ok_and(|url| is_http(&url));
    let parse = |path: String| {
        let url = Url::parse(&format!("{base}/{path}")).ok();
        let url = url.filter(|url| has_host && is_http(url));
        // It may hold a password: not repeated.
        let problem = "the base URL of the language model is not an http(s) URL";
        let url = url.ok_or_else(|| LlmError::config(problem))?;
        if !url.username().is_empty() || url.password().is_some() {
            let problem = "the base URL of the language model holds a user or password; \
                           the API key is its place";
            return Err(LlmError::config(problem));
        }
        Ok(url)
    };
    match config.protocol {
        Protocol::OpenAi => {
            let url = parse(openai::PATH.to_owned())?;
            Ok((url.clone(), url))
        }
        Protocol::Gemini => {
            let path = |streams| {
                gemini::path(config.model.trim(), streams).ok_or_else(|| {
                    LlmError::config("the language model's name has signs that a path cannot have")
                })
            };
            Ok((parse(path(false)?)?, parse(path(true)?)?))
        }
    }
}

fn key(config: &LlmConfig) -> Result<Option<(HeaderName, HeaderValue)>, LlmError> {
    let Some(key) = &config.api_key else {
        return Ok(None);
    };
    let (name, text) = match config.protocol {
        Protocol::OpenAi => (AUTHORIZATION, format!("Bearer {}", key.reveal())),
        Protocol::Gemini => (
            HeaderName::from_static("x-goog-api-key"),
            key.reveal().to_owned(),
        ),
    };
    let mut value = HeaderValue::from_str(&text).map_err(|_| {
        LlmError::config("the API key of the language model holds signs that a header cannot")
    })?;
    value.set_sensitive(true);
    Ok(Some((name, value)))
}

/// Errors do not repeat the URL: it may hold a password.
fn read_proxy(text: &str) -> Result<Proxy, LlmError> {
    let url = Url::parse(text).ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let problem = "the proxy of the language model is not an http(s) URL";
    let url = url.ok_or_else(|| LlmError::config(problem))?;
    Proxy::all(url).map_err(|error| {
        LlmError::config("the proxy of the language model is not usable")
            .with_source(error.without_url())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bases_with_and_without_version() {
        let check = |protocol, base: &str, expected: Option<&str>| {
            let made = urls(&LlmConfig::new(protocol, base, "m"));
            let made = made.ok().map(|(url, _)| url.to_string());
            assert_eq!(made.as_deref(), expected, "{base}");
        };
        let local = Some("http://localhost:11434/v1/chat/completions");
        for base in ["", "/", "/v1", "/v1/", "/v1/chat/completions"] {
            let base = format!("http://localhost:11434{base}");
            check(Protocol::OpenAi, &base, local);
        }
        let own = Some("https://api.openai.com/v1/chat/completions");
        check(Protocol::OpenAi, "", own);
        check(
            Protocol::OpenAi,
            "https://x.example/openai/v1",
            Some("https://x.example/openai/v1/chat/completions"),
        );
        for wrong in ["localhost:1", "ftp://x", "http://u:p@x", "http://"] {
            check(Protocol::OpenAi, wrong, None);
        }
        let google = "https://generativelanguage.googleapis.com/v1beta/models/m:generateContent";
        check(Protocol::Gemini, "", Some(google));
        check(
            Protocol::Gemini,
            "http://127.0.0.1:9/v1beta/",
            Some("http://127.0.0.1:9/v1beta/models/m:generateContent"),
        );
    }

    #[test]
    fn nothing_secret_is_shown() {
        let config = LlmConfig {
            api_key: Some(types::Secret::new("sk-hush".to_owned())),
            proxy: Some("http://me:hush@127.0.0.1:1".to_owned()),
            ..LlmConfig::new(Protocol::OpenAi, "http://127.0.0.1:2", "m")
        };
        let client = Client::new(config).expect("a client");
        let shown = format!("{client:?} {}", client.describe());
        assert!(!shown.contains("hush"), "{shown}");
        assert!(shown.contains("m at http://127.0.0.1:2"), "{shown}");
    }
}
