//! Who is asked, and how, as the application's configuration says.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use types::Secret;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `POST {base}/v1/chat/completions`: OpenAI, vLLM, Ollama, llama.cpp's server.
    OpenAi,
    /// `POST {base}/v1beta/models/{model}:generateContent`.
    Gemini,
}

/// How far a server can be made to answer in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonMode {
    /// By a schema.
    Schema,
    /// Some JSON object; the prompt has to say which.
    Object,
    /// Not at all; the prompt has to ask for it.
    Off,
}

/// One model at one endpoint.
#[derive(Clone)]
pub struct LlmConfig {
    pub protocol: Protocol,
    /// With or without the version (`/v1`, `/v1beta`) at the end. Empty: the
    /// protocol's own, `https://api.openai.com` or Google's.
    pub base_url: String,
    pub model: String,
    pub api_key: Option<Secret>,
    pub connect_timeout: Duration,
    /// Of one request, from its first byte to the answer's last.
    pub timeout: Duration,
    /// The longest silence between two parts of a streamed answer.
    pub idle_timeout: Duration,
    /// `http://` or `https://`, with user and password if need be.
    pub proxy: Option<String>,
    /// PEM file of authorities to trust besides public ones.
    pub ca_file: Option<PathBuf>,
    pub json: JsonMode,
}

impl LlmConfig {
    /// 10 s to connect, 120 s in all, 30 s of silence, JSON by schema.
    #[must_use]
    pub fn new(protocol: Protocol, base_url: impl Into<String>, model: impl Into<String>) -> Self {
        LlmConfig {
            protocol,
            base_url: base_url.into(),
            model: model.into(),
            api_key: None,
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(120),
            idle_timeout: Duration::from_secs(30),
            proxy: None,
            ca_file: None,
            json: JsonMode::Schema,
        }
    }
}

/// The proxy may hold a password.
impl fmt::Debug for LlmConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LlmConfig")
            .field("protocol", &self.protocol)
            .field("base_url", &self.base_url)
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}
