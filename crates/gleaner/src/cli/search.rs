//! `gleaner search`

use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, Result};
use search::{Filters, Mode, SearchRequest, SearchResponse, Searcher};
use store::{Access, Store};

use super::args::SearchArgs;
use super::output::{
    Exit, Paint, data_dir_flag, json_line, line, note, paragraph, shorten, thousands,
};
use crate::app::App;
use crate::searching::open_searcher;
use crate::searching::{parse_mode, read_facets};
use crate::view::{FacetView, Fields, SearchView};

pub fn run(app: &App, args: &SearchArgs) -> Result<Exit> {
    let query = args.query.join(" ");
    let mode: Mode = parse_mode(&app.config.search.mode)?;
    let filters = Filters::parse(&args.filter).context("read --filter")?;
    let request = SearchRequest {
        tenant: app.tenant,
        query: query.clone(),
        mode,
        limit: app.config.search.limit,
        offset: args.offset,
        filters,
        expand: args.expand,
        facets: read_facets(&args.facet)?,
    };
    let fields = Fields::read(args.fields.fields.as_deref())?;
    let response = search(app, &request)?;
    if app.json {
        json_line(&SearchView::new(&query, &response, &fields))?;
    } else {
        print(app, &request, &response, args.explain)?;
    }
    Ok(Exit::Ok)
}

/// Opens the data folder for reading and searches it once.
pub fn search(app: &App, request: &SearchRequest) -> Result<SearchResponse> {
    let store = app.open_store(Access::Read)?;
    let (searcher, vector) = open(app, store, &request.query, request.mode)?;
    Ok(searcher.search(request, vector.as_deref())?)
}

/// What one search takes: the indexes, and the query's vector where there are any.
pub fn open(
    app: &App,
    store: Store,
    query: &str,
    mode: Mode,
) -> Result<(Searcher, Option<Vec<f32>>)> {
    let model = store.embedding_model()?;
    let has_vectors = store.embedding_progress()?.done > 0;
    let wants_vector = mode != Mode::Keyword && has_vectors;
    let embedder = if wants_vector { app.embedder()? } else { None };
    let usable = match (&embedder, &model) {
        (Some(embedder), Some(model)) if embedder.model_id() == model.id => Some(embedder),
        (Some(_), Some(model)) => {
            note(format!(
                "note: the stored vectors are of another model ({}); searching by keyword only \
                 until `gleaner embed` has run",
                model.id
            ));
            None
        }
        _ => None,
    };
    if mode == Mode::Vector && usable.is_none() {
        anyhow::bail!("there are no vectors to search yet; run `gleaner embed`");
    }
    let vector = usable
        .map(|embedder| embedder.embed_query(query))
        .transpose()
        .context("embed the query")?;
    let model_id = model.as_ref().map(|model| model.id.as_str());
    Ok((open_searcher(app, store, model_id)?, vector))
}

fn print(
    app: &App,
    request: &SearchRequest,
    response: &SearchResponse,
    explain: bool,
) -> Result<()> {
    let paint = Paint::stdout();
    if response.hits.is_empty() {
        line(format!("Nothing found for “{}”.", request.query))?;
        if request.offset > 0 {
            line(format!(
                "There are {} hits in all.",
                thousands(response.total as u64)
            ))?;
        } else {
            line("Fewer or other words may help; `gleaner page list` shows what is stored.")?;
        }
        return Ok(());
    }
    for (place, hit) in response.hits.iter().enumerate() {
        let place = place + 1 + request.offset;
        let title = if hit.title.is_empty() {
            hit.url.as_str()
        } else {
            hit.title.as_str()
        };
        line(format!("{place:>2}. {}", paint.bold(&shorten(title, 100))))?;
        line(format!("    {}", paint.green(&hit.url)))?;
        if !hit.heading.is_empty() && hit.heading != hit.title {
            line(format!("    {}", paint.dim(&shorten(&hit.heading, 100))))?;
        }
        let snippet = highlight(paint, &hit.snippet.text, &hit.snippet.highlights);
        paragraph("    ", &snippet)?;
        for other in &hit.others {
            let text = shorten(&other.snippet.text.replace('\n', " "), 100);
            line(format!("      · {}", paint.dim(&text)))?;
        }
        if explain {
            let explained = format!("{:.4}: {}", hit.score, hit.explain);
            paragraph("    ", &paint.dim(&explained))?;
        }
    }
    let coverage = if response.mode != Mode::Keyword && response.vector_coverage < 1.0 {
        format!(
            "; {:.0} % of the passages have vectors",
            response.vector_coverage * 100.0
        )
    } else {
        String::new()
    };
    line(paint.dim(&format!(
        "\n{} of {} hits, {} search, {}{coverage}",
        response.hits.len(),
        thousands(response.total as u64),
        response.mode.name(),
        milliseconds(response.took),
    )))?;
    let counted: Vec<FacetView> = response.facets.iter().map(FacetView::from).collect();
    super::record::facets(paint, &counted)?;
    if response.total > request.offset + response.hits.len() {
        let next = request.offset + response.hits.len();
        line(paint.dim(&format!(
            "More: gleaner search{} '{}' --offset {next}",
            data_dir_flag(app),
            request.query
        )))?;
    }
    Ok(())
}

pub fn milliseconds(took: Duration) -> String {
    format!("{:.1} ms", took.as_secs_f64() * 1000.0)
}

/// Matches in colour on a terminal, between `**` elsewhere.
pub fn highlight(paint: Paint, text: &str, highlights: &[Range<usize>]) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut at = 0;
    for range in highlights {
        out.push_str(&text[at..range.start]);
        out.push_str(&paint.mark(&text[range.clone()]));
        at = range.end;
    }
    out.push_str(&text[at..]);
    out.replace('\n', " ")
}
