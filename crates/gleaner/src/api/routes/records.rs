//! Records: articles, products and jobs, by their facts.

use axum::extract::State;
use axum::response::Response;
use store::Scopes;

use crate::api::cached::{self, Area};
use crate::api::caller::Caller;
use crate::api::error::{ApiError, ErrorBody};
use crate::api::extract::Query;
use crate::api::state::Api;
use crate::operations::records::{self, RecordQuery};
use crate::view::RecordListView;

/// List records
///
/// Live pages that are about an article, a product or a job, with what people noted on them, and
/// counts of values to narrow the list by.
#[utoipa::path(get, path = "/api/v2/records", tag = "records", params(RecordQuery),
    responses((status = 200, body = RecordListView), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<RecordQuery>,
) -> Result<Response, ApiError> {
    let caller = caller.must(Scopes::READ)?;
    let tenant = caller.tenant;
    let list = query.read(tenant, api.services.app.clock.now())?;
    api.run(move |api| {
        let store = &api.services.store;
        let name = format!("{:?} {list:?}", store.tenant_version(tenant)?);
        cached::answer(api, Area::Records, tenant, &name, || {
            let found = records::list(store, &list)?;
            let notes = store.page_notes(tenant, &records::page_ids(&found.rows))?;
            Ok(found.view(&notes, &list.fields))
        })
    })
    .await
}
