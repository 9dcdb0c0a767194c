//! Pages that wait for a summary are found by an index that has no others.

use types::{SourceId, TenantId};

use super::{check, plan};
use crate::model::SummaryCursor;
use crate::{Store, SummaryFilter, SummaryState, SummaryWanted, llm, summaries};

const COLUMNS: &str = "SELECT p.id, p.content_hash, c.text_bytes";

fn of(source: Option<SourceId>) -> SummaryWanted {
    SummaryWanted {
        source,
        again: vec![SummaryState::Failed, SummaryState::Fallback],
        ..SummaryWanted::of_tenant(TenantId::DEFAULT)
    }
}

/// The index is partial: that it is used at all says that the condition is its own.
#[test]
fn pages_that_wait_are_one_walk() {
    for (source, index) in [
        (None, "pages_to_summarize (tenant_id=? AND id>?)"),
        (
            Some(SourceId(1)),
            "pages_to_summarize_source (source_id=? AND id>?)",
        ),
    ] {
        let index = &*format!("SEARCH p USING INDEX {index}");
        let (sql, parameters) = summaries::never(&of(source), 0, COLUMNS, " ORDER BY p.id");
        check(&format!("{sql} LIMIT ?{}", parameters.len() + 1), &[index]);
        let (sql, _) = summaries::never(&of(source), 0, "SELECT count(*), sum(c.text_bytes)", "");
        check(&sql, &[index]);
        let (sql, parameters) = summaries::again(&of(source), 0, COLUMNS, " ORDER BY p.id");
        check(
            &format!("{sql} LIMIT ?{}", parameters.len() + 1),
            &["SEARCH s USING INDEX summaries_again (tenant_id=? AND page_id>?)"],
        );
    }
    check(
        summaries::WAITING,
        &["SEARCH p USING INDEX pages_to_summarize (tenant_id=?)"],
    );
}

#[test]
fn pages_that_are_named_are_looked_up() {
    let named = SummaryWanted {
        pages: Some(Vec::new()),
        ..of(None)
    };
    let (sql, _) = summaries::never(&named, 0, COLUMNS, " ORDER BY p.id");
    let store = Store::open_memory(std::sync::Arc::new(types::ManualClock::default())).unwrap();
    let found = store.home().read("explain", |c| Ok(plan(c, &sql))).unwrap();
    assert!(
        found.contains("SEARCH p USING INTEGER PRIMARY KEY (rowid=?)"),
        "{found}"
    );
}

#[test]
fn summaries_are_listed_and_shared_by_their_indexes() {
    let cursor = Some(SummaryCursor::START);
    for (state, index) in [
        (None, "summaries_newest (tenant_id=? AND created_at<?)"),
        (
            Some(SummaryState::Done),
            "summaries_state (tenant_id=? AND state=? AND created_at<?)",
        ),
    ] {
        for source in [None, Some(SourceId(1))] {
            let filter = SummaryFilter { source, state };
            let (sql, _) = summaries::list(TenantId::DEFAULT, &filter, cursor, 50);
            check(&sql, &[&format!("INDEX {index}")]);
        }
    }
    check(
        summaries::OF_TEXT,
        &["INDEX summaries_content (tenant_id=? AND content_hash=?)"],
    );
    check(summaries::ALIKE, &["INDEX pages_content (content_id=?)"]);
}

#[test]
fn what_is_set_aside_is_added_up_of_one_tenant() {
    check(
        llm::RESERVED,
        &["INDEX llm_reservations_live (tenant_id=? AND live_until>?)"],
    );
    check(
        llm::FORGET,
        &["INDEX llm_reservations_until (live_until<?)"],
    );
    check(
        llm::OF_TENANT,
        &["PRIMARY KEY (tenant_id=? AND day>? AND day<?)"],
    );
    check(llm::OF_ALL, &["INDEX llm_use_day (day>? AND day<?)"]);
}
