//! Search.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use search::{Filters, Mode, RESULTS_MAX, SearchRequest};
use serde::Deserialize;
use store::Scopes;
use utoipa::{IntoParams, ToSchema};

use crate::api::cached::{self, Area};
use crate::api::caller::Caller;
use crate::api::error::{ApiError, ErrorBody};
use crate::api::extract::{Body, Query};
use crate::api::state::Api;
use crate::operations::records::{AvailabilityInput, KindInput};
use crate::searching::{parse_mode, read_facets};
use crate::view::{Fields, HitField, SearchView};

const QUERY_CHARS_MAX: usize = 1_000;
const LIMIT_MAX: usize = 100;
const OFFSET_MAX: usize = RESULTS_MAX - LIMIT_MAX;
const FILTERS_MAX: usize = 32;

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ModeInput {
    /// By words and by meaning.
    Hybrid,
    Keyword,
    Vector,
}

impl From<ModeInput> for Mode {
    fn from(mode: ModeInput) -> Mode {
        match mode {
            ModeInput::Hybrid => Mode::Hybrid,
            ModeInput::Keyword => Mode::Keyword,
            ModeInput::Vector => Mode::Vector,
        }
    }
}

#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct SearchParams {
    /// Words, `"exact phrases"`, `prefix*`, `-without`.
    #[param(max_length = 1000)]
    pub q: String,
    /// As configured unless given.
    pub mode: Option<ModeInput>,
    /// 1 to 100; as configured unless given.
    #[param(minimum = 1, maximum = 100)]
    pub limit: Option<usize>,
    /// How many to pass over.
    #[param(minimum = 0, maximum = 900)]
    pub offset: Option<usize>,
    /// Also list other matching passages of each page.
    pub expand: Option<bool>,
    /// `name=value` pairs, separated by `;`: `source`, `host`, `path` (a prefix), `lang`, `from`,
    /// `to`, `author`, or a structured field such as `type=Article`.
    pub filter: Option<String>,
    /// Only pages about such a thing.
    pub kind: Option<KindInput>,
    pub category: Option<String>,
    pub brand: Option<String>,
    pub company: Option<String>,
    /// The whole location or one of its parts between commas.
    pub location: Option<String>,
    pub employment_type: Option<String>,
    pub remote: Option<bool>,
    pub availability: Option<AvailabilityInput>,
    pub currency: Option<String>,
    pub skill: Option<String>,
    pub price_min: Option<f64>,
    pub price_max: Option<f64>,
    /// A year's pay reaches this; pay by the hour, day, week or month is taken for full-time work.
    pub salary_min: Option<f64>,
    /// A year's pay begins at this or less.
    pub salary_max: Option<f64>,
    /// Facts to count among all that is found, separated by commas: `kind`, `source`, `host`,
    /// `lang`, `author`, `category`, `brand`, `company`, `location`, `employment_type`, `remote`,
    /// `availability`, `currency`, `skill`.
    pub facets: Option<String>,
    /// Only these fields of each hit, separated by commas; all unless given.
    #[param(inline, style = Form, explode = false, value_type = Option<Vec<HitField>>, max_items = 64)]
    pub fields: Option<String>,
}

impl SearchParams {
    /// The filters in the form that the body of a search has.
    fn filters(&self) -> Vec<String> {
        let given = self.filter.as_deref().unwrap_or_default().split(';');
        let mut filters: Vec<String> = given
            .filter(|pair| !pair.trim().is_empty())
            .map(str::to_owned)
            .collect();
        let amount = |amount: Option<f64>| amount.map(|amount| amount.to_string());
        let facts = [
            ("kind", self.kind.map(|k| k.kind().to_string())),
            ("category", self.category.clone()),
            ("brand", self.brand.clone()),
            ("company", self.company.clone()),
            ("location", self.location.clone()),
            ("employment_type", self.employment_type.clone()),
            ("remote", self.remote.map(|remote| remote.to_string())),
            (
                "availability",
                self.availability
                    .map(|a| a.availability().as_str().to_owned()),
            ),
            ("currency", self.currency.clone()),
            ("skill", self.skill.clone()),
            ("price_min", amount(self.price_min)),
            ("price_max", amount(self.price_max)),
            ("salary_min", amount(self.salary_min)),
            ("salary_max", amount(self.salary_max)),
        ];
        for (name, value) in facts {
            filters.extend(value.map(|value| format!("{name}={value}")));
        }
        filters
    }
}

/// What is searched for, and where.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchInput {
    /// Words, `"exact phrases"`, `prefix*`, `-without`.
    #[schema(example = "point in time recovery", max_length = 1000)]
    pub query: String,
    /// As configured unless given.
    pub mode: Option<ModeInput>,
    #[schema(minimum = 1, maximum = 100)]
    pub limit: Option<usize>,
    #[schema(minimum = 0, maximum = 900)]
    pub offset: Option<usize>,
    #[serde(default)]
    pub expand: bool,
    /// `name=value` each, at most 32.
    #[serde(default)]
    #[schema(example = json!(["lang=en", "path=/docs/"]))]
    pub filters: Vec<String>,
    /// Facts to count among all that is found, such as `kind` and `company`.
    #[serde(default)]
    #[schema(example = json!(["kind"]))]
    pub facets: Vec<String>,
    /// Only these fields of each hit; all unless given.
    #[schema(inline, value_type = Option<Vec<HitField>>, min_items = 1, max_items = 64)]
    pub fields: Option<Vec<String>>,
}

/// Search pages
#[utoipa::path(get, path = "/api/v2/search", tag = "search", params(SearchParams),
    responses((status = 200, body = SearchView), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn search_by_query(
    State(api): State<Api>,
    caller: Caller,
    Query(params): Query<SearchParams>,
) -> Result<Response, ApiError> {
    let filters = params.filters();
    let facets = params.facets.as_deref().unwrap_or_default().split(',');
    let input = SearchInput {
        query: params.q,
        mode: params.mode,
        limit: params.limit,
        offset: params.offset,
        expand: params.expand.unwrap_or(false),
        facets: facets
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect(),
        fields: params
            .fields
            .map(|names| names.split(',').map(str::to_owned).collect()),
        filters,
    };
    search(api, caller, input).await
}

/// Search pages, with the request as a body
#[utoipa::path(post, path = "/api/v2/search", tag = "search", request_body = SearchInput,
    responses((status = 200, body = SearchView), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn search_by_body(
    State(api): State<Api>,
    caller: Caller,
    Body(input): Body<SearchInput>,
) -> Result<Response, ApiError> {
    search(api, caller, input).await
}

async fn search(api: Api, caller: Caller, input: SearchInput) -> Result<Response, ApiError> {
    let caller = caller.must(Scopes::READ)?;
    let request = read(&api, caller, &input)?;
    let fields = match &input.fields {
        None => Fields::all(),
        Some(names) => Fields::choose(names.iter().map(String::as_str))?,
    };
    api.run(move |api| {
        let searched = || -> anyhow::Result<SearchView> {
            let response = api.searching.search(&request)?;
            Ok(SearchView::new(&input.query, &response, &fields))
        };
        let Some(state) = api.searching.state()? else {
            return Ok(Json(searched()?).into_response());
        };
        // All that the answer depends on.
        let name = format!("{state} {request:?} {fields:?}");
        cached::answer(api, Area::Search, caller.tenant, &name, searched)
    })
    .await
}

fn read(api: &Api, caller: Caller, input: &SearchInput) -> Result<SearchRequest, ApiError> {
    if input.query.trim().is_empty() {
        return Err(ApiError::invalid("the query is empty"));
    }
    if input.query.chars().count() > QUERY_CHARS_MAX {
        let message = format!("a query has at most {QUERY_CHARS_MAX} characters");
        return Err(ApiError::invalid(message));
    }
    if input.filters.len() > FILTERS_MAX {
        return Err(ApiError::invalid(format!("at most {FILTERS_MAX} filters")));
    }
    let settings = &api.services.app.config.search;
    let mode = match input.mode {
        Some(mode) => mode.into(),
        None => parse_mode(&settings.mode)?,
    };
    let limit = super::tasks::limit(input.limit, settings.limit.clamp(1, LIMIT_MAX), LIMIT_MAX)?;
    let offset = input.offset.unwrap_or(0);
    if offset > OFFSET_MAX {
        let message = format!("offset is at most {OFFSET_MAX}; a narrower query shows the rest");
        return Err(ApiError::invalid(message));
    }
    Ok(SearchRequest {
        tenant: caller.tenant,
        query: input.query.clone(),
        mode,
        limit,
        offset,
        filters: Filters::parse(&input.filters)?,
        expand: input.expand,
        facets: read_facets(&input.facets)?,
    })
}
