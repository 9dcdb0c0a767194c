//! Searches in a process that goes on: one searcher, kept up with the index.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use search::{FACETS, Mode, SearchError, SearchErrorKind, SearchRequest, SearchResponse, Searcher};
use store::Store;
use types::{PageId, TenantId};

use crate::app::{App, UsageError};
use crate::config::KeywordSearch;
use crate::pipeline::index::Indexer;
use crate::services::Services;

/// How often a search looks for vectors, and for what other processes have
/// indexed. What this process indexed is seen at once.
const REFRESH_EVERY: Duration = Duration::from_millis(200);

/// Opens the indexes for one search by a command. Those of a server's database
/// are brought up to date first: others write to it on machines that know
/// nothing of the indexes here. Those of a folder are made where they are
/// missing, as after a move.
pub fn open_searcher(app: &App, store: Store, model: Option<&str>) -> Result<Searcher> {
    let is_elsewhere = app.config.search.keyword == KeywordSearch::Opensearch;
    if store.database_id().is_some() || is_elsewhere || !app.index_dir(&store).exists() {
        Indexer::start(&store, app.index_plan(&store)?, Arc::default())?.flush()?;
    }
    app.open_searcher(&store, model)
}

pub struct Searching {
    services: Arc<Services>,
    open: RwLock<Option<Open>>,
    /// When, and as of which commit of this process's index.
    refreshed: Mutex<Option<(Instant, u64)>>,
}

#[derive(Clone)]
struct Open {
    searcher: Arc<Searcher>,
    /// Whose vectors it has.
    model: Option<String>,
}

impl Searching {
    pub fn new(services: Arc<Services>) -> Searching {
        Searching {
            services,
            open: RwLock::new(None),
            refreshed: Mutex::new(None),
        }
    }

    /// Answers a request. With nothing crawled yet the answer is empty.
    pub fn search(&self, request: &SearchRequest) -> Result<SearchResponse> {
        let searched = self.with(&request.query, request.mode, |searcher, vector| {
            Ok(searcher.search(request, vector)?)
        })?;
        Ok(searched.unwrap_or_else(|| SearchResponse {
            mode: Mode::Keyword,
            ..SearchResponse::default()
        }))
    }

    /// Gives `work` the searcher and the vector of `query`, where there is one;
    /// `None` with nothing crawled yet.
    pub fn with<T>(
        &self,
        query: &str,
        mode: Mode,
        work: impl FnOnce(&Searcher, Option<&[f32]>) -> Result<T>,
    ) -> Result<Option<T>> {
        let Some(open) = self.searcher()? else {
            return Ok(None);
        };
        let vector = self.query_vector(query, mode, &open)?;
        work(&open.searcher, vector.as_deref()).map(Some)
    }

    /// What answers depend on besides the request; `None` while there is no index.
    pub fn state(&self) -> Result<Option<String>> {
        let open = self.searcher()?;
        Ok(open.map(|open| format!("{:?} {:?}", open.searcher.seen(), open.model)))
    }

    /// Pages of the tenant most like `page`, nearest first, with their cosine to
    /// it; `None` while the page has no vectors.
    pub fn similar(
        &self,
        tenant: TenantId,
        page: PageId,
        limit: usize,
    ) -> Result<Option<Vec<(PageId, f32)>>> {
        let open = self.searcher()?;
        match open {
            Some(open) => Ok(open.searcher.similar(tenant, page, limit)?),
            None => Ok(None),
        }
    }

    /// Opens the index now and checks the model, so that the first search need
    /// not. The model itself is started by whoever needs it first.
    pub fn warm_up(&self) -> Result<()> {
        self.services.check_embedder()?;
        self.searcher()?;
        Ok(())
    }

    fn query_vector(&self, query: &str, mode: Mode, open: &Open) -> Result<Option<Vec<f32>>> {
        let has_no_use = mode == Mode::Keyword || open.model.is_none();
        if has_no_use || query.trim().is_empty() {
            return Ok(None);
        }
        let embedder = self.services.embedder()?;
        let usable = embedder.filter(|embedder| Some(embedder.model_id()) == open.model.as_deref());
        usable
            .map(|embedder| self.services.embed_query(&embedder, query))
            .transpose()
            .context("embed the query")
    }

    /// `None` while there is no index.
    fn searcher(&self) -> Result<Option<Open>> {
        let model = self.services.store.embedding_model()?.map(|model| model.id);
        let open = self.read();
        if let Some(open) = open.filter(|open| open.model == model) {
            self.refresh(&open.searcher)?;
            return Ok(Some(open));
        }
        let mut place = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = place.as_ref().filter(|open| open.model == model) {
            return Ok(Some(open.clone()));
        }
        let (store, app) = (self.services.store.clone(), &self.services.app);
        let searcher = match app.open_searcher(&store, model.as_deref()) {
            Ok(searcher) => Arc::new(searcher),
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let open = Open { searcher, model };
        *place = Some(open.clone());
        Ok(Some(open))
    }

    fn read(&self) -> Option<Open> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.clone()
    }

    /// One of many who ask at the same time looks for news; the others wait for
    /// it, so that nobody is answered from before a crawl that has ended.
    fn refresh(&self, searcher: &Searcher) -> Result<()> {
        let mut last = self
            .refreshed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let commits = self.services.index_commits();
        let is_fresh = |(at, seen): (Instant, u64)| seen == commits && at.elapsed() < REFRESH_EVERY;
        if !last.is_some_and(is_fresh) {
            searcher.refresh()?;
            *last = Some((Instant::now(), commits));
        }
        Ok(())
    }
}

/// There is no index yet.
fn is_missing(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<SearchError>().map(SearchError::kind);
    kind == Some(SearchErrorKind::NotFound)
}

/// Names of facts to count.
pub fn read_facets(names: &[String]) -> Result<Vec<&'static str>> {
    let mut facets = Vec::new();
    for name in names {
        let known = FACETS.iter().find(|facet| *facet == name);
        let facet = known.ok_or_else(|| {
            UsageError(format!("facets: `{name}` is none of {}", FACETS.join(", ")))
        })?;
        if !facets.contains(facet) {
            facets.push(facet);
        }
    }
    Ok(facets)
}

/// As configured, or as typed.
pub fn parse_mode(text: &str) -> Result<Mode> {
    Mode::from_name(text)
        .with_context(|| format!("search mode is hybrid, keyword or vector, not `{text}`"))
}
