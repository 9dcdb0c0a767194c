//! `gleaner extract`: main content of a file, URL, folder or standard input.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use extract::{ExtractInput, ExtractLimits, Extracted, RecordRules};
use flate2::read::GzDecoder;
use serde::Serialize;
use types::Page;

use super::args::{ExtractArgs, ExtractFormat};
use super::output::{Exit, json_line, line, note, rfc3339};
use super::record_rules;
use crate::app::{App, UsageError, parse_seed};
use crate::pipeline::pdf::{self, PdfLimits};
use crate::view::RecordView;

/// Bytes read of one local file, after decompression.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
const FILE_ENDINGS: [&str; 6] = ["html", "htm", "xhtml", "txt", "md", "pdf"];

/// Something to extract, with what is known about it.
#[derive(Debug)]
pub struct Document {
    pub url: url::Url,
    pub bytes: Vec<u8>,
    pub content_type: Option<String>,
    pub x_robots_tag: Vec<String>,
    pub link_canonical: Option<String>,
}

pub fn run(app: &App, args: &ExtractArgs) -> Result<Exit> {
    let path = Path::new(&args.input);
    if args.input == "-" && args.record_rules.as_deref() == Some("-") {
        let problem = "standard input is either the page or the rules";
        return Err(UsageError(problem.to_owned()).into());
    }
    let rules = args
        .record_rules
        .as_deref()
        .map(|path| record_rules::compile(&record_rules::read(path)?))
        .transpose()?;
    if path.is_dir() {
        if !args.jsonl {
            bail!(
                "{} is a folder; add --jsonl for one line per file",
                path.display()
            );
        }
        return folder(app, path, rules.as_ref());
    }
    let document = if args.input == "-" {
        let mut bytes = Vec::new();
        std::io::stdin()
            .take(FILE_BYTES_MAX)
            .read_to_end(&mut bytes)
            .context("read standard input")?;
        local(bytes, base(args, "stdin:///")?, None)
    } else if path.is_file() {
        let bytes = read_file(path)?;
        local(bytes, base(args, &file_url(path))?, Some(path))
    } else if args.input.contains("://") {
        download(app, args)?
    } else {
        bail!("`{}` is neither a file, a folder nor a URL", args.input);
    };
    let page = extract_document(app, &document, rules.as_ref())?;
    if app.json || args.format == ExtractFormat::Json {
        json_line(&PageView::new(&document.url, &page))?;
    } else if args.format == ExtractFormat::Text {
        line(&page.text)?;
    } else {
        line(&page.markdown)?;
    }
    Ok(Exit::Ok)
}

fn base(args: &ExtractArgs, default: &str) -> Result<url::Url> {
    let text = args.base.as_deref().unwrap_or(default);
    url::Url::parse(text).with_context(|| format!("`{text}` is no absolute URL"))
}

fn file_url(path: &Path) -> String {
    std::fs::canonicalize(path)
        .ok()
        .and_then(|path| url::Url::from_file_path(path).ok())
        .map_or_else(|| "file:///".to_owned(), String::from)
}

fn local(bytes: Vec<u8>, url: url::Url, path: Option<&Path>) -> Document {
    let ending = path.and_then(plain_ending);
    let content_type = match ending.as_deref() {
        Some("html" | "htm" | "xhtml") => Some("text/html"),
        Some("txt") => Some("text/plain"),
        Some("md") => Some("text/markdown"),
        Some("pdf") => Some("application/pdf"),
        _ => None,
    };
    Document {
        url,
        bytes,
        content_type: content_type.map(str::to_owned),
        x_robots_tag: Vec::new(),
        link_canonical: None,
    }
}

/// The ending of a file name, a trailing `.gz` aside.
fn plain_ending(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let name = name.strip_suffix(".gz").unwrap_or(name);
    Some(name.rsplit_once('.')?.1.to_ascii_lowercase())
}

/// Reads a file; `.gz` is unpacked. Larger files than allowed are refused.
pub fn read_file(path: &Path) -> Result<Vec<u8>> {
    let file = std::fs::File::open(path).with_context(|| format!("open {}", path.display()))?;
    let mut bytes = Vec::new();
    let is_gzip = path.extension().is_some_and(|ending| ending == "gz");
    let read = if is_gzip {
        GzDecoder::new(file)
            .take(FILE_BYTES_MAX + 1)
            .read_to_end(&mut bytes)
    } else {
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)
    };
    read.with_context(|| format!("read {}", path.display()))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        bail!(
            "{} is larger than {} MiB",
            path.display(),
            FILE_BYTES_MAX >> 20
        );
    }
    Ok(bytes)
}

fn download(app: &App, args: &ExtractArgs) -> Result<Document> {
    let url = parse_seed(&args.input)?;
    let fetcher = app.fetcher(std::slice::from_ref(&url), &args.allow_private)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let request = fetch::FetchRequest {
        url: &url,
        etag: None,
        last_modified: None,
        want: fetch::Want::Any,
    };
    let followed = runtime.block_on(fetcher.fetch_following(&request))?;
    let fetched = followed.fetched;
    match fetched.outcome {
        fetch::Outcome::Body(bytes) => Ok(Document {
            url: fetched.url.as_url().clone(),
            bytes: bytes.to_vec(),
            content_type: fetched.content_type,
            x_robots_tag: fetched.x_robots_tag,
            link_canonical: fetched.link_canonical,
        }),
        _ => bail!("{} answered HTTP {}", fetched.url, fetched.status),
    }
}

/// Extracts one document of any supported kind.
pub fn extract_document(
    app: &App,
    document: &Document,
    rules: Option<&RecordRules>,
) -> Result<Page> {
    let settings = &app.config.extract;
    let limits = ExtractLimits {
        links_max: settings.links_max,
        text_bytes_max: settings.text_bytes_max,
        ..ExtractLimits::default()
    };
    let input = ExtractInput {
        bytes: &document.bytes,
        content_type: document.content_type.as_deref(),
        url: &document.url,
        x_robots_tag: &document.x_robots_tag,
        link_canonical: document.link_canonical.as_deref(),
    };
    match extract::extract_with_rules(&input, &limits, rules)? {
        Extracted::Page(page) => Ok(*page),
        Extracted::Pdf => pdf::extract_in_child(
            &document.bytes,
            &document.url,
            &PdfLimits {
                timeout: Duration::from_secs(settings.pdf_timeout_s),
                memory_mb: settings.pdf_memory_mb,
                text_bytes_max: settings.text_bytes_max,
            },
        ),
        Extracted::Feed(feed) => {
            bail!(
                "this is a feed of {} entries, not a page; crawl it instead",
                feed.entries.len()
            )
        }
        Extracted::Sitemap(sitemap) => {
            let listed = sitemap.entries.len() + sitemap.children.len();
            bail!("this is a sitemap of {listed} entries, not a page; crawl it instead")
        }
        Extracted::Unsupported { content_type } => {
            bail!("nothing can be extracted from `{content_type}`")
        }
    }
}

fn folder(app: &App, dir: &Path, rules: Option<&RecordRules>) -> Result<Exit> {
    let mut failed = 0u64;
    for path in files_below(dir)? {
        let document = match read_file(&path) {
            Ok(bytes) => local(bytes, base_of(&path)?, Some(&path)),
            Err(error) => {
                note(format!("skipped: {error:#}"));
                failed += 1;
                continue;
            }
        };
        let start = Instant::now();
        match extract_document(app, &document, rules) {
            Ok(page) => json_line(&FileView {
                id: file_id(&path),
                ms: start.elapsed().as_secs_f64() * 1000.0,
                page: PageView::new(&document.url, &page),
            })?,
            Err(error) => {
                note(format!("skipped {}: {error:#}", path.display()));
                failed += 1;
            }
        }
    }
    Ok(if failed > 0 { Exit::Partly } else { Exit::Ok })
}

fn base_of(path: &Path) -> Result<url::Url> {
    url::Url::parse(&file_url(path)).context("bug: a file URL does not parse")
}

/// File name without `.gz` and its ending.
fn file_id(path: &Path) -> String {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    name.rsplit_once('.')
        .map_or(name, |(stem, _)| stem)
        .to_owned()
}

/// Files with a readable ending below a folder, sorted, links not followed.
pub fn files_below(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder)
            .with_context(|| format!("read the folder {}", folder.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("read the folder {}", folder.display()))?;
            let kind = entry.file_type()?;
            let path = entry.path();
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file()
                && plain_ending(&path).is_some_and(|e| FILE_ENDINGS.contains(&e.as_str()))
            {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

#[derive(Debug, Serialize)]
struct FileView {
    id: String,
    ms: f64,
    #[serde(flatten)]
    page: PageView,
}

#[derive(Debug, Serialize)]
struct PageView {
    url: String,
    title: String,
    description: Option<String>,
    author: Option<String>,
    published_at: Option<String>,
    modified_at: Option<String>,
    language: Option<String>,
    canonical: Option<String>,
    markdown: String,
    text: String,
    headings: Vec<HeadingView>,
    links: Vec<LinkView>,
    images: Vec<ImageView>,
    open_graph: serde_json::Map<String, serde_json::Value>,
    structured: Option<serde_json::Value>,
    /// What the page is about, when it says so.
    record: Option<RecordView>,
    noindex: bool,
    nofollow: bool,
    content_hash: String,
    simhash: String,
}

#[derive(Debug, Serialize)]
struct HeadingView {
    level: u8,
    text: String,
}

#[derive(Debug, Serialize)]
struct LinkView {
    url: String,
    text: String,
    nofollow: bool,
}

#[derive(Debug, Serialize)]
struct ImageView {
    url: String,
    alt: String,
}

impl PageView {
    fn new(url: &url::Url, page: &Page) -> PageView {
        PageView {
            url: url.as_str().to_owned(),
            title: page.title.clone(),
            description: page.description.clone(),
            author: page.author.clone(),
            published_at: page.published_at.map(rfc3339),
            modified_at: page.modified_at.map(rfc3339),
            language: page.language.clone(),
            canonical: page.canonical.clone(),
            markdown: page.markdown.clone(),
            text: page.text.clone(),
            headings: page
                .headings()
                .map(|h| HeadingView {
                    level: h.level,
                    text: h.text.to_owned(),
                })
                .collect(),
            links: page
                .links
                .iter()
                .map(|link| LinkView {
                    url: link.url.clone(),
                    text: link.text.clone(),
                    nofollow: link.nofollow,
                })
                .collect(),
            images: page
                .images
                .iter()
                .map(|image| ImageView {
                    url: image.url.clone(),
                    alt: image.alt.clone(),
                })
                .collect(),
            open_graph: page
                .open_graph
                .iter()
                .map(|(name, value)| (name.clone(), value.clone().into()))
                .collect(),
            structured: page
                .structured
                .as_deref()
                .and_then(|text| serde_json::from_str(text).ok()),
            record: page.record.as_deref().map(RecordView::from),
            noindex: page.directives.noindex,
            nofollow: page.directives.nofollow,
            content_hash: page.content_hash.to_string(),
            simhash: format!("{:016x}", page.simhash),
        }
    }
}
