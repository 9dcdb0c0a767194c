//! A language model that is none.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::services::try_ask;

/// `llmock`, a server that others wrote (`scripts/install-test-tools`): it speaks
/// OpenAI's protocol and Gemini's, fails as it is told to, and keeps a log of what
/// it was asked. One for each test; ended with this value.
#[derive(Debug)]
pub struct LlmMock {
    url: String,
    options: Vec<String>,
    process: Option<Child>,
}

impl LlmMock {
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start() -> LlmMock {
        LlmMock::start_with(&[])
    }

    /// With options of `llmock serve`, such as `--error-rate 429=0.2`.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start_with(options: &[&str]) -> LlmMock {
        // Free now; whoever takes it first makes the start fail, which is told.
        let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|free| free.local_addr());
        let port = port.expect("a free loopback port").port();
        let mut mock = LlmMock {
            url: format!("http://127.0.0.1:{port}"),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            process: None,
        };
        mock.start_again();
        mock
    }

    /// For `llm.base_url` with `provider = "openai"`.
    #[must_use]
    pub fn openai_url(&self) -> String {
        self.url.clone()
    }

    /// For `llm.base_url` with `provider = "gemini"`.
    #[must_use]
    pub fn gemini_url(&self) -> String {
        format!("{}/gemini", self.url)
    }

    /// What the next requests meet: a list in JSON, such as
    /// `[{"type": "fail", "status": 429, "times": 2}]`.
    ///
    /// # Panics
    /// If it is not understood.
    pub fn script(&self, behaviors: &str) {
        let body = format!("{{\"behaviors\": {behaviors}}}");
        self.ask("POST", "/_llmock/scenario", &body);
    }

    /// `{"requests": […]}`: every request so far, oldest first, with `status`,
    /// `started_at` (seconds of a steady clock), `fault`, `body`.
    ///
    /// # Panics
    /// If it does not answer.
    #[must_use]
    pub fn requests(&self) -> String {
        self.ask("GET", "/_llmock/requests", "")
    }

    /// What it thinks of its clients, in JSON: `passed` and `findings`.
    ///
    /// # Panics
    /// If it does not answer.
    #[must_use]
    pub fn verdict(&self) -> String {
        self.ask("GET", "/_llmock/verdict", "")
    }

    /// Ends it; nobody answers there from now on.
    ///
    /// # Panics
    /// If it cannot be ended.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("ended");
            process.wait().expect("waited for");
        }
    }

    /// Starts it at the same address, with an empty log.
    ///
    /// # Panics
    /// If it does not answer within half a minute.
    pub fn start_again(&mut self) {
        self.stop();
        let port = self.url.rsplit(':').next().expect("bug: a URL with a port");
        let command = Command::new("llmock")
            .args(["serve", "--host", "127.0.0.1", "--log-level", "warning"])
            .args(["--port", port])
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        let process = command.expect("llmock starts; scripts/install-test-tools installs it");
        let process = self.process.insert(process);
        let since = Instant::now();
        let (_never, pause) = std::sync::mpsc::channel::<()>();
        while try_ask(&self.url, "GET", "/health", b"").is_err() {
            let ended = process.try_wait().expect("waited for");
            assert!(ended.is_none(), "llmock ended at its start: {ended:?}");
            assert!(since.elapsed().as_secs() < 30, "llmock does not answer");
            let _ = pause.recv_timeout(Duration::from_millis(20));
        }
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> String {
        let answer = try_ask(&self.url, method, path, body.as_bytes());
        let (status, text) = answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let text = String::from_utf8(text).expect("UTF-8");
        assert!(
            (200..300).contains(&status),
            "{method} {path}: {status} {text}"
        );
        text
    }
}

impl Drop for LlmMock {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // A process that has ended already is as good.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
