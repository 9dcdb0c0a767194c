//! `gleaner tenant` and `gleaner key`: who may use a server.

use std::time::Duration;

use anyhow::Result;
use store::Access;
use types::ApiKeyId;

use super::output::{Exit, Paint, json_line, line, thousands};
use super::service_args::{KeyCommand, TenantCommand, TenantQuotaArgs};
use super::source::parse_time;
use crate::app::App;
use crate::operations::tenants as operations;
use crate::view::{KeyCreated, KeyView, QuotaView, TenantView};

pub fn run(app: &App, command: &TenantCommand) -> Result<Exit> {
    match command {
        TenantCommand::List => {
            let store = app.open_store(Access::Read)?;
            for tenant in store.tenants()? {
                show(app, &operations::view(&store, &tenant)?)?;
            }
        }
        TenantCommand::Create { name, quota } => {
            let store = app.open_store(Access::Write)?;
            let quota = over(QuotaView::default(), quota);
            let tenant = operations::create(&store, name, quota)?;
            show(app, &operations::view(&store, &tenant)?)?;
        }
        TenantCommand::Edit {
            tenant,
            active,
            quota,
        } => {
            let store = app.open_store(Access::Write)?;
            let row = operations::named(&store, tenant)?;
            if let Some(active) = active {
                store.set_tenant_active(row.id, *active)?;
            }
            let old = operations::view(&store, &row)?.quota;
            operations::set_quota(&store, row.id, over(old, quota))?;
            let row = operations::find(&store, row.id)?;
            show(app, &operations::view(&store, &row)?)?;
        }
    }
    Ok(Exit::Ok)
}

/// What was typed over what was; 0 lifts a limit.
fn over(old: QuotaView, typed: &TenantQuotaArgs) -> QuotaView {
    let big = |old: Option<u64>, typed: Option<u64>| match typed {
        None => old,
        Some(0) => None,
        some => some,
    };
    let small = |old: Option<u32>, typed: Option<u32>| match typed {
        None => old,
        Some(0) => None,
        some => some,
    };
    QuotaView {
        pages_max: big(old.pages_max, typed.pages_max),
        sources_max: big(old.sources_max, typed.sources_max),
        requests_per_minute: small(old.requests_per_minute, typed.requests_per_minute),
        tokens_per_day: big(old.tokens_per_day, typed.tokens_per_day),
        tasks_running_max: small(old.tasks_running_max, typed.tasks_running_max),
    }
}

fn show(app: &App, tenant: &TenantView) -> Result<()> {
    if app.json {
        return json_line(tenant);
    }
    let paint = Paint::stdout();
    let of = |has: u64, max: Option<u64>| match max {
        Some(max) => format!("{} of {}", thousands(has), thousands(max)),
        None => thousands(has),
    };
    line(format!(
        "{:>4}  {}{}  {} sources, {} pages, {} chunks{}",
        tenant.id,
        paint.bold(&tenant.name),
        if tenant.active {
            String::new()
        } else {
            paint.yellow("  not active")
        },
        of(tenant.has.sources, tenant.quota.sources_max),
        of(tenant.has.pages_live, tenant.quota.pages_max),
        thousands(tenant.has.chunks),
        tenant
            .quota
            .requests_per_minute
            .map_or_else(String::new, |limit| format!(
                ", {limit} requests/min per key"
            )),
    ))
}

pub fn run_key(app: &App, command: &KeyCommand) -> Result<Exit> {
    match command {
        KeyCommand::Create {
            tenant,
            name,
            scope,
            expires_in,
        } => {
            let store = app.open_store(Access::Write)?;
            let tenant = operations::named(&store, tenant)?;
            let scopes = operations::scope(scope)?;
            let valid_for = expires_in.as_deref().map(parse_time).transpose()?;
            let now = app.clock.now();
            let (key, row) =
                operations::create_key(&store, tenant.id, name, scopes, valid_for, now)?;
            created(app, key.reveal(), KeyView::new(&row))
        }
        KeyCommand::List { tenant } => {
            let store = app.open_store(Access::Read)?;
            let tenant = operations::named(&store, tenant)?;
            let keys = store.api_keys(tenant.id)?;
            if keys.is_empty() && !app.json {
                line("No keys. `gleaner key create --name NAME` makes one.")?;
            }
            for key in &keys {
                list(app, &KeyView::new(key))?;
            }
            Ok(Exit::Ok)
        }
        KeyCommand::Revoke { id, tenant } => {
            let store = app.open_store(Access::Write)?;
            let tenant = operations::named(&store, tenant)?;
            let revoked = store.revoke_api_key(tenant.id, ApiKeyId(*id))?;
            if app.json {
                json_line(&serde_json::json!({"id": id, "revoked": revoked}))?;
            } else if revoked {
                line(format!(
                    "Key {id} is revoked; a running server hears of it within five seconds."
                ))?;
            } else {
                line(format!("Key {id} was revoked before."))?;
            }
            Ok(Exit::Ok)
        }
        KeyCommand::Rotate {
            id,
            tenant,
            old_valid_for,
        } => {
            let store = app.open_store(Access::Write)?;
            let tenant = operations::named(&store, tenant)?;
            let old = match old_valid_for {
                Some(time) => parse_time(time)?,
                None => Duration::ZERO,
            };
            let now = app.clock.now();
            let (key, row) = operations::rotate_key(&store, tenant.id, ApiKeyId(*id), old, now)?;
            created(app, key.reveal(), KeyView::new(&row))
        }
    }
}

fn created(app: &App, key: &str, row: KeyView) -> Result<Exit> {
    if app.json {
        json_line(&KeyCreated {
            api_key: key.to_owned(),
            key: row,
        })?;
        return Ok(Exit::Ok);
    }
    line(key)?;
    line(format!(
        "Key {} ({}, {}). Keep it: it is shown this once and stored only as a hash.",
        row.id, row.name, row.scope
    ))?;
    Ok(Exit::Ok)
}

fn list(app: &App, key: &KeyView) -> Result<()> {
    if app.json {
        return json_line(key);
    }
    let paint = Paint::stdout();
    let state = match (&key.revoked_at, &key.expires_at) {
        (Some(at), _) => paint.yellow(&format!("revoked {at}")),
        (None, Some(at)) => format!("until {at}"),
        (None, None) => String::new(),
    };
    let used = key
        .last_used_at
        .as_ref()
        .map_or_else(|| "never used".to_owned(), |at| format!("last used {at}"));
    line(format!(
        "{:>4}  {}…  {:<5}  {}  {}  {state}",
        key.id,
        key.prefix,
        key.scope,
        paint.bold(&key.name),
        paint.dim(&used)
    ))
}
