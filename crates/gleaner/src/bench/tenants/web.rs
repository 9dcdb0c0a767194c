//! The tenants' websites: made of a seed, with the latency, sizes and errors of
//! real ones.
//!
//! Nothing is kept in memory: a page is written when it is asked for, and is the
//! same each time. Each site has an address of its own, so that each is a host of
//! its own to the crawler.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// Links of a page to those below it; with random ones across.
const CHILDREN: usize = 8;
const CROSS_LINKS: usize = 4;
/// One page in so many links to one that does not exist.
const BROKEN_EVERY: u64 = 50;
/// How often in a row a page may fail: a crawler that asks three times gets it.
const FAILS_MAX: u8 = 2;
const LATENCY_FACTOR_MAX: f64 = 8.0;
const WORDS: u64 = 5_000;

/// What all sites have in common.
#[derive(Clone, Copy, Debug)]
pub struct WebPlan {
    pub sites: usize,
    pub pages: usize,
    /// Mean time until an answer begins.
    pub latency: Duration,
    /// Share of the requests for pages that fail, 0 to 1.
    pub error_rate: f64,
}

/// The running sites; dropped, they stop.
#[derive(Debug)]
pub struct Web {
    addresses: Vec<SocketAddr>,
    served: Arc<Served>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Served {
    plan: WebPlan,
    requests: AtomicU64,
    errors: AtomicU64,
    bytes: AtomicU64,
}

/// What the sites answered.
#[derive(Clone, Copy, Debug)]
pub struct WebTotals {
    pub requests: u64,
    /// Answered with an error, or not at all, on purpose.
    pub errors: u64,
    pub bytes: u64,
}

#[derive(Debug)]
struct Site {
    number: u64,
    /// How often each page was asked for, up to [`FAILS_MAX`].
    asked: Vec<AtomicU8>,
}

impl Web {
    pub fn serve(plan: WebPlan) -> Result<Web> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("start the sites' runtime")?;
        let (mut listeners, mut addresses) = (Vec::new(), Vec::new());
        for number in 0..plan.sites {
            let address = SocketAddr::from((address_of(number), 0));
            let listener = runtime
                .block_on(TcpListener::bind(address))
                .with_context(|| format!("serve a site on {address}"))?;
            addresses.push(listener.local_addr()?);
            listeners.push(listener);
        }
        let served = Arc::new(Served {
            plan,
            requests: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let shared = served.clone();
        let thread = std::thread::Builder::new()
            .name("sites".into())
            .spawn(move || {
                runtime.block_on(async move {
                    for (number, listener) in listeners.into_iter().enumerate() {
                        tokio::spawn(accept(listener, number, shared.clone()));
                    }
                    // Whichever way the other end goes.
                    let _ = stopped.await;
                });
            })
            .context("start the sites' thread")?;
        Ok(Web {
            addresses,
            served,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// The start page of a site.
    pub fn url(&self, site: usize) -> String {
        format!("http://{}/", self.addresses[site])
    }

    pub fn totals(&self) -> WebTotals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        WebTotals {
            requests: read(&self.served.requests),
            errors: read(&self.served.errors),
            bytes: read(&self.served.bytes),
        }
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// 127.64.0.1 and up, leaving out what ends in 0 or 255.
fn address_of(number: usize) -> Ipv4Addr {
    let (block, host) = (number / 254, number % 254);
    let octet = |value: usize| u8::try_from(value & 0xff).unwrap_or(0);
    Ipv4Addr::new(127, 64 + octet(block >> 8), octet(block), octet(host) + 1)
}

async fn accept(listener: TcpListener, number: usize, served: Arc<Served>) {
    let site = Arc::new(Site {
        number: number as u64,
        asked: (0..served.plan.pages).map(|_| AtomicU8::new(0)).collect(),
    });
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors: those who wait are let in a little later.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let (site, served) = (site.clone(), served.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let (site, served) = (site.clone(), served.clone());
                async move { served.answer(&site, request.uri().path()).await }
            });
            // A client that hangs up is its own business.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

impl Served {
    /// An error of this ends the connection without an answer.
    async fn answer(&self, site: &Site, path: &str) -> std::io::Result<Response<Full<Bytes>>> {
        let order = self.requests.fetch_add(1, Ordering::Relaxed);
        let mut random = Random::of(&[site.number, order]);
        let latency = self.plan.latency.mul_f64(random.latency_factor());
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        if path == "/robots.txt" {
            return Ok(self.text(StatusCode::OK, "User-agent: *\nAllow: /\n".to_owned()));
        }
        let Some(page) = page_number(path).filter(|page| *page < self.plan.pages) else {
            return Ok(self.text(StatusCode::NOT_FOUND, "no such page\n".to_owned()));
        };
        let asked = site.asked[page].load(Ordering::Relaxed);
        if asked < FAILS_MAX {
            site.asked[page].store(asked + 1, Ordering::Relaxed);
            if random.share() < self.plan.error_rate {
                self.errors.fetch_add(1, Ordering::Relaxed);
                return self.failure(&mut random);
            }
        }
        let html = page_html(site.number, page, self.plan.pages);
        let mut response = self.text(StatusCode::OK, html);
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, html);
        Ok(response)
    }

    /// One of the ways in which a site fails for a moment.
    fn failure(&self, random: &mut Random) -> std::io::Result<Response<Full<Bytes>>> {
        let status = match random.below(4) {
            0 => StatusCode::INTERNAL_SERVER_ERROR,
            1 => StatusCode::BAD_GATEWAY,
            2 => StatusCode::SERVICE_UNAVAILABLE,
            _ => return Err(std::io::ErrorKind::ConnectionReset.into()),
        };
        let mut response = self.text(status, "try again later\n".to_owned());
        if status == StatusCode::SERVICE_UNAVAILABLE {
            let one_second = HeaderValue::from_static("1");
            response.headers_mut().insert(RETRY_AFTER, one_second);
        }
        Ok(response)
    }

    fn text(&self, status: StatusCode, body: String) -> Response<Full<Bytes>> {
        self.bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = status;
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, plain);
        response
    }
}

fn page_number(path: &str) -> Option<usize> {
    match path {
        "/" => Some(0),
        _ => path.strip_prefix("/pages/")?.parse().ok(),
    }
}

fn path_of(page: usize) -> String {
    match page {
        0 => "/".to_owned(),
        _ => format!("/pages/{page}"),
    }
}

/// A page as a content management system writes it: 5 to 40 kB, of which the
/// text is a tenth to a half.
fn page_html(site: u64, page: usize, pages: usize) -> String {
    let mut random = Random::of(&[site, page as u64, 7]);
    let title = random.sentence(4);
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title} {page}</title>\n\
         <meta name=\"description\" content=\"{title}\">\n<style>{}</style>\n<script>{}</script></head>\n\
         <body><header><nav><ul>\n",
        ".a{margin:0;padding:4px 8px}".repeat(60),
        "window.d=window.d||[];d.push({k:1});".repeat(40)
    );
    let below = (1..=CHILDREN).map(|child| page * CHILDREN + child);
    let across: Vec<usize> = (0..CROSS_LINKS)
        .map(|_| random.below(pages as u64) as usize)
        .collect();
    for target in below.filter(|target| *target < pages).chain(across) {
        let _ = writeln!(
            html,
            "<li class=\"a\"><a href=\"{}\">{}</a></li>",
            path_of(target),
            random.sentence(2)
        );
    }
    if random.below(BROKEN_EVERY) == 0 {
        let _ = writeln!(html, "<li><a href=\"/gone/{page}\">moved</a></li>");
    }
    let _ = writeln!(
        html,
        "</ul></nav></header>\n<main><article><h1>{title}</h1>"
    );
    // Most pages are short and some are long.
    let paragraphs = 2 + (random.share().powi(3) * 30.0) as usize;
    for paragraph in 0..paragraphs {
        if paragraph % 4 == 2 {
            let _ = writeln!(html, "<h2>{}</h2>", random.sentence(3));
        }
        let sentences: Vec<String> = (0..3 + random.below(4))
            .map(|_| {
                let words = 6 + random.below(12);
                random.sentence(words)
            })
            .collect();
        let _ = writeln!(html, "<p>{}.</p>", sentences.join(". "));
    }
    let _ = write!(
        html,
        "</article></main>\n<footer>{}</footer></body></html>\n",
        "<a class=\"a\" href=\"/\">home</a> ".repeat(8)
    );
    html
}

/// Something to search for that some page may hold.
pub fn query(number: u64) -> String {
    Random::of(&[number, 11]).sentence(2)
}

/// SplitMix64 (Steele, Lea, Flood 2014): tiny, and equal on every platform.
struct Random(u64);

impl Random {
    fn of(parts: &[u64]) -> Random {
        let mut random = Random(0x5eed);
        for part in parts {
            random.0 ^= part.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            random.0 = random.next();
        }
        random
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `limit`, which is not zero. The bias of the remainder does not matter here.
    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// 0 to 1, 1 excluded.
    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Mean 1, at least a half, with the long tail that response times have.
    fn latency_factor(&mut self) -> f64 {
        let tail = -(1.0 - self.share()).ln();
        (0.5 + 0.5 * tail).min(LATENCY_FACTOR_MAX)
    }

    fn sentence(&mut self, words: u64) -> String {
        let words: Vec<String> = (0..words).map(|_| self.word()).collect();
        words.join(" ")
    }

    /// Few words are common and most are rare, as in any language.
    fn word(&mut self) -> String {
        const SYLLABLES: [&str; 16] = [
            "ba", "de", "fi", "go", "hu", "ka", "le", "mi", "no", "ru", "sa", "te", "vo", "wi",
            "ya", "zen",
        ];
        let mut rank = (self.share().powi(3) * WORDS as f64) as usize + 16;
        let mut word = String::new();
        while rank > 0 {
            word.push_str(SYLLABLES[rank % SYLLABLES.len()]);
            rank /= SYLLABLES.len();
        }
        word
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_site_has_an_address_of_its_own() {
        let all: BTreeSet<Ipv4Addr> = (0..20_000).map(address_of).collect();
        assert_eq!(all.len(), 20_000);
        assert!(all.iter().all(Ipv4Addr::is_loopback));
        assert_eq!(address_of(0), Ipv4Addr::new(127, 64, 0, 1));
        assert_eq!(address_of(254), Ipv4Addr::new(127, 64, 1, 1));
    }

    #[test]
    fn links_lead_to_every_page_and_pages_stay_the_same() {
        let pages = 300;
        let (mut seen, mut queue) = (BTreeSet::from([0]), vec![0]);
        while let Some(page) = queue.pop() {
            let html = page_html(5, page, pages);
            assert_eq!(html, page_html(5, page, pages));
            assert!((3_000..60_000).contains(&html.len()), "{}", html.len());
            for link in html.split("href=\"").skip(1) {
                let path = link.split('"').next().expect("a path");
                if let Some(target) = page_number(path)
                    && seen.insert(target)
                {
                    queue.push(target);
                }
            }
        }
        assert_eq!(seen, (0..pages).collect());
        assert_ne!(page_html(5, 1, pages), page_html(6, 1, pages));
    }

    #[test]
    fn latency_varies_around_its_mean() {
        let mut random = Random::of(&[1]);
        let factors: Vec<f64> = (0..20_000).map(|_| random.latency_factor()).collect();
        let mean = factors.iter().sum::<f64>() / factors.len() as f64;
        assert!((mean - 1.0).abs() < 0.02, "{mean}");
        let bounds = 0.5..=LATENCY_FACTOR_MAX;
        assert!(factors.iter().all(|factor| bounds.contains(factor)));
    }
}
