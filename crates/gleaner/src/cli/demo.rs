//! `gleaner demo`: the first run, without any network.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use rust_embed::RustEmbed;
use search::{Filters, Mode, SearchRequest};

use super::args::{CrawlSettingsArgs, EmbedWhen};
use super::crawl::{Typed, watched_crawl};
use super::crawl_report::{CrawlView, report};
use super::output::{Exit, Paint, json_line, line, paragraph, thousands};
use super::search::{highlight, milliseconds};
use crate::app::App;
use crate::site::Site;
use crate::view::{Fields, SearchView};

/// The bundled site; see `demo/README.md` for what each page is for.
#[derive(RustEmbed)]
#[folder = "demo/site"]
struct DemoFiles;

/// Replaced by the address that the site is served at.
const BASE_MARK: &str = "{{BASE}}";
/// A folder with this file was made by the demo and may be made anew.
const MARKER: &str = "demo.marker";
const HITS_SHOWN: usize = 2;

/// By meaning, by words, and Persian typed with Arabic letters and no ZWNJ.
const SEARCHES: [(&str, Mode); 3] = [
    (
        "how do I line up the mirrors of a reflecting telescope",
        Mode::Hybrid,
    ),
    ("dew point shell script", Mode::Keyword),
    ("شمارش شهابهاي برساوشي", Mode::Hybrid),
];

pub fn run(app: &App) -> Result<Exit> {
    let paint = Paint::stdout();
    let mut app = app.clone();
    app.stay_embedded();
    if !app.data_dir_given {
        app.config.data_dir = app.config.data_dir.join("demo");
        app.data_dir_given = true;
    }
    fresh_folder(&app)?;

    let (served, pages) = serve()?;
    if !app.json {
        line(
            paint.bold(
                "Gleaner demo: a bundled site, served on this machine, crawled and searched.",
            ),
        )?;
        line(format!("  site   {} ({pages} files)", served.url("/")))?;
        line(format!("  data   {}\n", app.data_dir().display()))?;
    }
    let seed = crate::app::parse_seed(&served.url("/"))?;
    let typed = Typed {
        seeds: vec![seed],
        settings: CrawlSettingsArgs::default(),
        embed: EmbedWhen::Wait,
        summarize: false,
    };
    let watched = watched_crawl(&app, &typed)?;
    if app.json {
        json_line(&CrawlView::new(&watched))?;
    } else {
        report(&app, &watched)?;
    }
    drop(served);
    if watched.outcome.pages.added == 0 {
        bail!("the bundled site could not be crawled");
    }
    if watched.stopped {
        return Ok(Exit::Partly);
    }

    for (query, mode) in SEARCHES {
        let mode = if watched.vectors.done == 0 {
            Mode::Keyword
        } else {
            mode
        };
        let request = SearchRequest {
            tenant: app.tenant,
            query: query.to_owned(),
            mode,
            limit: HITS_SHOWN,
            offset: 0,
            filters: Filters::default(),
            expand: false,
            facets: Vec::new(),
        };
        let response = super::search::search(&app, &request)?;
        if app.json {
            json_line(&SearchView::new(query, &response, &Fields::all()))?;
            continue;
        }
        line(format!(
            "\n{} {}",
            paint.cyan(&format!("$ gleaner search '{query}'")),
            paint.dim(&format!(
                "({}, {} hits, {})",
                mode.name(),
                thousands(response.total as u64),
                milliseconds(response.took)
            ))
        ))?;
        for hit in &response.hits {
            line(format!(
                "  {}  {}",
                paint.bold(&hit.title),
                paint.dim(&hit.url)
            ))?;
            let snippet = highlight(paint, &hit.snippet.text, &hit.snippet.highlights);
            paragraph("    ", &snippet)?;
        }
    }
    if !app.json {
        let dir = app.data_dir().display();
        line(paint.bold("\nNow try"))?;
        for command in [
            format!("gleaner search --data-dir {dir} 'your own words'"),
            format!("gleaner ask --data-dir {dir} 'Are dogs allowed at the observatory?'"),
            format!("gleaner page list --data-dir {dir}"),
            format!("gleaner serve --data-dir {dir}"),
            "gleaner crawl https://example.org --max-pages 50".to_owned(),
        ] {
            line(format!("  {}", paint.cyan(&command)))?;
        }
        line(paint.dim("  (not installed? put `cargo run --release --` in place of `gleaner`)"))?;
    }
    Ok(Exit::Ok)
}

/// Serves the bundled files, with absolute addresses filled in.
fn serve() -> Result<(crate::site::Served, usize)> {
    // The address is part of the content, so a port is taken first.
    let port = std::net::TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .context("find a free loopback port")?
        .port();
    let base = format!("http://127.0.0.1:{port}");
    let mut site = Site::default();
    let mut files = 0;
    for name in DemoFiles::iter() {
        let file = DemoFiles::get(&name).context("bug: a bundled file is missing")?;
        site.add(&format!("/{name}"), fill_in(&file.data, base.as_bytes()));
        files += 1;
    }
    Ok((site.serve(Duration::ZERO, port)?, files))
}

/// Byte for byte: some of the pages are in old encodings on purpose.
fn fill_in(file: &[u8], base: &[u8]) -> Vec<u8> {
    let mark = BASE_MARK.as_bytes();
    let mut out = Vec::with_capacity(file.len());
    let mut at = 0;
    while at < file.len() {
        if file[at..].starts_with(mark) {
            out.extend_from_slice(base);
            at += mark.len();
        } else {
            out.push(file[at]);
            at += 1;
        }
    }
    out
}

/// Removes what an earlier demo left, and nothing else.
fn fresh_folder(app: &App) -> Result<()> {
    let dir = app.data_dir();
    let marker = dir.join(MARKER);
    if marker.exists() {
        std::fs::remove_dir_all(dir)
            .with_context(|| format!("remove the earlier demo in {}", dir.display()))?;
    } else if dir.exists()
        && dir
            .read_dir()
            .is_ok_and(|mut entries| entries.next().is_some())
    {
        bail!(
            "{} holds something else than a demo; choose another --data-dir",
            dir.display()
        );
    }
    std::fs::create_dir_all(dir).with_context(|| format!("create the folder {}", dir.display()))?;
    std::fs::write(&marker, "made by `gleaner demo`; removed by the next one\n")
        .with_context(|| format!("write {}", marker.display()))?;
    Ok(())
}
