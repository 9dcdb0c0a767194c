//! A headless Chromium, driven through chromedriver by the WebDriver protocol.
//!
//! Waiting is done in the page, which looks at a condition again and again until
//! a deadline; a test names what it waits for and is shown the page if it never comes.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http;

/// For a condition to become true.
const PATIENCE_MS: u64 = 30_000;
/// A click that hits what has just been drawn anew is tried again.
const CLICKS_MAX: usize = 50;
/// The name under which the protocol hands out elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// What the scripts below may call.
const PAGE: &str = r"
const shown = (node) => node.checkVisibility({ visibilityProperty: true }) && node.getClientRects().length > 0;
const words = (node) => (node.innerText || node.value || node.getAttribute('aria-label') || '').trim();
const all = (css) => [...document.querySelectorAll(css)].filter(shown);
const find = (css, text = '') => all(css).find((node) => words(node).includes(text));
const field = (label) => all('label').find((node) => words(node) === label)?.control
  ?? all('[aria-label]').find((node) => node.getAttribute('aria-label') === label);
";

/// A browser with one tab; it and its driver end when this is dropped.
pub struct Browser {
    driver: Child,
    address: String,
    session: String,
    /// Own and empty, and gone with the browser.
    _profile: TempDir,
}

/// An element of the page as it is now.
#[derive(Clone, Debug)]
pub struct Element(Value);

impl Element {
    fn id(&self) -> &str {
        self.0[ELEMENT].as_str().expect("an element")
    }
}

impl Browser {
    pub fn start() -> Browser {
        let profile = tempfile::tempdir().expect("temp dir");
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            // The browser looks for settings and writes caches there.
            .env("HOME", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // The browser's processes belong to it, too, and end with it.
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("chromedriver does not start ({error}); `./test` installs what tests need")
            });
        let lines = BufReader::new(driver.stdout.take().expect("piped")).lines();
        let mut browser = Browser {
            driver,
            address: String::new(),
            session: String::new(),
            _profile: profile,
        };
        let told = lines.map_while(Result::ok).find_map(|line| {
            let (_, port) = line.split_once("successfully on port ")?;
            port.trim_end_matches('.').parse::<u16>().ok()
        });
        let port = told.expect("chromedriver says its port");
        browser.address = format!("127.0.0.1:{port}");
        let folder = browser._profile.path().join("profile");
        let arguments = json!([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-breakpad",
            "--disable-dev-shm-usage",
            "--window-size=1280,900",
            format!("--user-data-dir={}", folder.display()),
        ]);
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
            "timeouts": {"script": PATIENCE_MS + 10_000, "pageLoad": PATIENCE_MS},
        }}});
        let begun = browser.send("POST", "/session", &wanted);
        let begun = begun.unwrap_or_else(|error| panic!("the browser does not start: {error}"));
        let session = begun["sessionId"].as_str().expect("a session");
        browser.session = session.to_owned();
        browser
    }

    /// Loads `url` anew, whatever was shown before.
    pub fn open(&self, url: &str) {
        self.ask("url", &json!({"url": "about:blank"}));
        self.ask("url", &json!({"url": url}));
    }

    pub fn reload(&self) {
        self.ask("refresh", &json!({}));
    }

    /// Makes the page as wide as that of a phone or a desk.
    pub fn resize(&self, width: u32, height: u32) {
        let params =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        let command = json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": params});
        self.ask("goog/cdp/execute", &command);
    }

    /// What `script`, the body of a function, returns now.
    pub fn run(&self, script: &str, arguments: &[Value]) -> Value {
        let script = format!("{PAGE}\n{script}");
        self.ask(
            "execute/sync",
            &json!({"script": script, "args": arguments}),
        )
    }

    /// Waits until `script` returns something that is true, and returns it.
    #[track_caller]
    pub fn until(&self, what: &str, script: &str, arguments: &[Value]) -> Value {
        let script = format!(
            "{PAGE}
             const given = [...arguments];
             const done = given.pop();
             const end = Date.now() + {PATIENCE_MS};
             const condition = (...arguments) => {{ {script} }};
             const look = () => {{
               let found = null;
               try {{ found = condition(...given); }} catch (error) {{ return done({{ error: String(error) }}); }}
               if (found) return done({{ found }});
               if (Date.now() > end) return done({{ late: location.href + '\\n' + document.body.innerText.slice(0, 3000) }});
               setTimeout(look, 25);
             }};
             look();"
        );
        let told = self.ask(
            "execute/async",
            &json!({"script": script, "args": arguments}),
        );
        if told["found"].is_null() {
            let shown = told["late"].as_str().or(told["error"].as_str());
            panic!("{what} did not come: {}", shown.unwrap_or_default());
        }
        told["found"].clone()
    }

    /// The first element that is shown, fits the selector and holds the text.
    #[track_caller]
    pub fn element(&self, css: &str, text: &str) -> Element {
        let what = format!("{css} with `{text}`");
        Element(self.until(
            &what,
            "return find(...arguments);",
            &[json!(css), json!(text)],
        ))
    }

    /// The control with this label.
    #[track_caller]
    pub fn field(&self, label: &str) -> Element {
        let what = format!("the field `{label}`");
        Element(self.until(&what, "return field(arguments[0]);", &[json!(label)]))
    }

    #[track_caller]
    pub fn click(&self, css: &str, text: &str) {
        for _ in 0..CLICKS_MAX {
            let element = self.element(css, text);
            match self.on(&element, "click", &json!({})) {
                Ok(_) => return,
                // Drawn anew or moved since it was found.
                Err(error) if error.starts_with("stale") || error.starts_with("element") => {}
                Err(error) => panic!("{css} with `{text}`: {error}"),
            }
        }
        panic!("{css} with `{text}` cannot be clicked");
    }

    /// Types into the field with this label, key by key.
    #[track_caller]
    pub fn write(&self, label: &str, text: &str) {
        let field = self.field(label);
        let typed = self.on(&field, "value", &json!({"text": text}));
        typed.unwrap_or_else(|error| panic!("{label}: {error}"));
    }

    /// The name that assistive technology is told.
    pub fn name_of(&self, element: &Element) -> String {
        let path = format!(
            "/session/{}/element/{}/computedlabel",
            self.session,
            element.id()
        );
        let name = self.send("GET", &path, &Value::Null);
        let name = name.unwrap_or_else(|error| panic!("{path}: {error}"));
        name.as_str().expect("a name").to_owned()
    }

    /// All elements that `script` returns.
    pub fn elements(&self, script: &str) -> Vec<Element> {
        let found = self.run(script, &[]);
        let found = found.as_array().expect("elements").clone();
        found.into_iter().map(Element).collect()
    }

    pub fn html_of(&self, element: &Element) -> String {
        let html = self.run(
            "return arguments[0].outerHTML;",
            std::slice::from_ref(&element.0),
        );
        html.as_str().unwrap_or_default().to_owned()
    }

    /// Errors that the browser has told its console of since this was asked
    /// before: exceptions, refused scripts, answers of 4xx and 5xx.
    pub fn console_errors(&self) -> Vec<String> {
        let entries = self.ask("se/log", &json!({"type": "browser"}));
        let entries = entries.as_array().expect("a log").clone();
        let severe = entries.iter().filter(|entry| entry["level"] == "SEVERE");
        severe.map(|entry| entry["message"].to_string()).collect()
    }

    fn on(&self, element: &Element, command: &str, body: &Value) -> Result<Value, String> {
        let path = format!(
            "/session/{}/element/{}/{command}",
            self.session,
            element.id()
        );
        self.send("POST", &path, body)
    }

    #[track_caller]
    fn ask(&self, command: &str, body: &Value) -> Value {
        let path = format!("/session/{}/{command}", self.session);
        let answer = self.send("POST", &path, body);
        answer.unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// The value that the driver answers, or its error's code and message.
    fn send(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let kind = "application/json";
        let answer = http::ask(&self.address, method, path, &[], kind, body.as_bytes());
        let value = answer.json()["value"].take();
        if answer.status == 200 {
            return Ok(value);
        }
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        Err(format!("{}: {}", text("error"), text("message")))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let group = i32::try_from(self.driver.id()).ok().and_then(Pid::from_raw);
        if let Some(group) = group {
            // Fails when nothing of it is left.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.driver.wait();
    }
}
