//! The site that a crawl is measured on, served by this process.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::json;
use tokio::sync::watch;
use types::CanonicalUrl;

use crate::app::App;
use crate::cli::output::{Exit, json_line, line};
use crate::site::{Served, Site};

const PAGE_ENDINGS: [&str; 3] = [".html", ".htm", ".xhtml"];

/// A served folder and what is in it.
#[derive(Debug)]
pub struct BenchSite {
    served: Served,
    start_path: String,
    /// HTML files.
    pub pages: usize,
    pub files: usize,
    pub bytes: u64,
}

impl BenchSite {
    pub fn serve(dir: &Path, latency: Duration) -> Result<BenchSite> {
        let site = Site::from_folder(dir)?;
        // `/docs/` and `/docs/index.html` are one file.
        let mut files: Vec<String> = site
            .paths()
            .filter(|path| !path.ends_with('/'))
            .map(str::to_owned)
            .collect();
        files.sort();
        let is_page = |path: &&String| PAGE_ENDINGS.iter().any(|ending| path.ends_with(ending));
        let start_path = if files.iter().any(|path| path == "/index.html") {
            "/".to_owned()
        } else {
            match files.iter().find(is_page) {
                Some(path) => path.clone(),
                None => bail!("there is no HTML file in {}", dir.display()),
            }
        };
        let (pages, bytes) = (files.iter().filter(is_page).count(), site.bytes());
        let served = site.serve(latency, 0)?;
        Ok(BenchSite {
            served,
            start_path,
            pages,
            files: files.len(),
            bytes,
        })
    }

    pub fn start_url(&self) -> String {
        self.served.url(&self.start_path)
    }

    pub fn seed(&self) -> Result<CanonicalUrl> {
        CanonicalUrl::parse(&self.start_url()).context("bug: the start page has no URL")
    }

    /// Requests answered so far.
    pub fn requests(&self) -> u64 {
        self.served.requests()
    }

    /// Answers requests until Ctrl-C.
    pub fn serve_until_interrupted(&self, app: &App) -> Result<Exit> {
        if app.json {
            json_line(&json!({
                "url": self.start_url(), "pages": self.pages, "bytes": self.bytes,
            }))?;
        } else {
            line(format!(
                "{}  ({} pages; Ctrl-C ends)",
                self.start_url(),
                self.pages
            ))?;
        }
        runtime()?.block_on(interrupted())?;
        Ok(Exit::Ok)
    }
}

/// Ctrl-C ends a measurement early but in order, so that temporary folders go.
#[derive(Debug)]
pub struct Interrupt {
    stop: watch::Sender<bool>,
    interrupted: Arc<AtomicBool>,
}

impl Interrupt {
    pub fn listen() -> Result<Interrupt> {
        let (stop, _) = watch::channel(false);
        let interrupted = Arc::new(AtomicBool::new(false));
        let (sender, flag, runtime) = (stop.clone(), interrupted.clone(), runtime()?);
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                if runtime.block_on(self::interrupted()).is_ok() {
                    flag.store(true, Ordering::SeqCst);
                    sender.send_replace(true);
                }
            })
            .context("start the signal handler")?;
        Ok(Interrupt { stop, interrupted })
    }

    /// Fails once interrupted.
    pub fn rearm(&self) -> Result<watch::Receiver<bool>> {
        self.check()?;
        Ok(self.stop.subscribe())
    }

    pub fn check(&self) -> Result<()> {
        if self.interrupted.load(Ordering::SeqCst) {
            bail!("interrupted; there are no figures of the run that was under way");
        }
        Ok(())
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the signal handler")
}

async fn interrupted() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}
