//! `gleaner webhook add|list|show|edit|remove|test|rotate|deliveries|retry`

use anyhow::{Context, Result};
use store::{Access, DeliveryFilter, DeliveryState, Store};
use types::{DeliveryId, TenantId, WebhookId};

use super::output::{Exit, Paint, json_line, line, shorten};
use super::webhook_args::{WebhookCommand, WebhookTenant};
use crate::app::{App, UsageError};
use crate::operations::tenants;
use crate::operations::webhooks::{self as operations, AddWebhook, EditWebhook};
use crate::view::{DeliveryView, WebhookSecretView, WebhookView};

const URL_CHARS_SHOWN: usize = 80;

pub fn run(app: &App, command: &WebhookCommand) -> Result<Exit> {
    match command {
        WebhookCommand::Add {
            url,
            events,
            description,
            allow_private,
            of,
        } => {
            let (app, store, tenant) = open(app, Access::Write, of, allow_private)?;
            let add = AddWebhook {
                url: url.clone(),
                events: events.clone(),
                description: description.clone(),
            };
            let added = operations::add(&app, &store, tenant, add)?;
            with_secret(&app, &added, "is added")
        }
        WebhookCommand::List { of } => {
            let (app, store, tenant) = open(app, Access::Read, of, &[])?;
            let webhooks = store.webhooks(tenant)?;
            if webhooks.is_empty() && !app.json {
                line("No webhooks. `gleaner webhook add URL --event crawl.finished` adds one.")?;
            }
            for webhook in &webhooks {
                list(&app, &WebhookView::new(webhook))?;
            }
            Ok(Exit::Ok)
        }
        WebhookCommand::Show { id, of } => {
            let (app, store, tenant) = open(app, Access::Read, of, &[])?;
            let row = store.webhook(tenant, WebhookId(*id))?;
            show(&app, &WebhookView::new(&row))
        }
        WebhookCommand::Edit {
            id,
            url,
            events,
            description,
            active,
            allow_private,
            of,
        } => {
            let (app, store, tenant) = open(app, Access::Write, of, allow_private)?;
            let edit = EditWebhook {
                url: url.clone(),
                events: (!events.is_empty()).then(|| events.clone()),
                description: description.clone(),
                active: *active,
            };
            show(
                &app,
                &operations::edit(&app, &store, tenant, WebhookId(*id), edit)?,
            )
        }
        WebhookCommand::Remove { id, of } => {
            let (app, store, tenant) = open(app, Access::Write, of, &[])?;
            store.remove_webhook(tenant, WebhookId(*id))?;
            if app.json {
                json_line(&serde_json::json!({"id": id, "status": "removed"}))?;
            } else {
                line(format!("Webhook {id} is removed."))?;
            }
            Ok(Exit::Ok)
        }
        WebhookCommand::Test {
            id,
            allow_private,
            of,
        } => {
            let (app, store, tenant) = open(app, Access::Write, of, allow_private)?;
            test(&app, &store, tenant, WebhookId(*id))
        }
        WebhookCommand::Rotate { id, of } => {
            let (app, store, tenant) = open(app, Access::Write, of, &[])?;
            let rotated = operations::rotate(&app, &store, tenant, WebhookId(*id))?;
            with_secret(&app, &rotated, "has a new secret")
        }
        WebhookCommand::Deliveries {
            id,
            state,
            before,
            limit,
            of,
        } => {
            let (app, store, tenant) = open(app, Access::Read, of, &[])?;
            let filter = DeliveryFilter {
                state: state.as_deref().map(parse_state).transpose()?,
                before: before.map(DeliveryId),
                limit: *limit,
            };
            deliveries(&app, &store, tenant, WebhookId(*id), filter)
        }
        WebhookCommand::Retry {
            id, delivery, of, ..
        } => {
            let (app, store, tenant) = open(app, Access::Write, of, &[])?;
            retry(&app, &store, tenant, WebhookId(*id), *delivery)
        }
    }
}

fn open(
    app: &App,
    access: Access,
    of: &WebhookTenant,
    allow: &[String],
) -> Result<(App, Store, TenantId)> {
    let mut app = app.clone();
    let allowed = allow.iter().cloned();
    app.config.fetch.allow_private.extend(allowed);
    let store = app.open_store(access)?;
    let tenant = tenants::named(&store, &of.tenant)?.id;
    Ok((app, store, tenant))
}

fn with_secret(app: &App, shown: &WebhookSecretView, what: &str) -> Result<Exit> {
    if app.json {
        json_line(shown)?;
        return Ok(Exit::Ok);
    }
    line(&shown.secret)?;
    line(format!(
        "Webhook {} {what}. Keep its secret: it is shown this once.",
        shown.webhook.id
    ))?;
    Ok(Exit::Ok)
}

fn list(app: &App, webhook: &WebhookView) -> Result<()> {
    if app.json {
        return json_line(webhook);
    }
    let paint = Paint::stdout();
    line(format!(
        "{:>4}  {}  {}  {}{}",
        webhook.id,
        paint.bold(&shorten(&webhook.url, URL_CHARS_SHOWN)),
        webhook.events.join(" "),
        paint.dim(&counts(webhook)),
        state(webhook, paint),
    ))
}

fn counts(webhook: &WebhookView) -> String {
    let has = webhook.deliveries;
    format!(
        "{} waiting, {} delivered, {} dead",
        has.pending, has.delivered, has.dead
    )
}

fn state(webhook: &WebhookView, paint: Paint) -> String {
    match (&webhook.disabled_reason, &webhook.trouble) {
        (Some(reason), _) => paint.red(&format!("  off: {reason}")),
        _ if !webhook.active => paint.yellow("  off"),
        (None, Some(_)) => paint.red("  in trouble"),
        (None, None) => String::new(),
    }
}

fn show(app: &App, webhook: &WebhookView) -> Result<Exit> {
    if app.json {
        json_line(webhook)?;
        return Ok(Exit::Ok);
    }
    let paint = Paint::stdout();
    line(format!(
        "{}{}",
        paint.bold(&format!("Webhook {}: {}", webhook.id, webhook.url)),
        state(webhook, paint)
    ))?;
    if !webhook.description.is_empty() {
        line(format!("  {}", webhook.description))?;
    }
    line(format!("  events      {}", webhook.events.join(" ")))?;
    line(format!("  deliveries  {}", counts(webhook)))?;
    if let Some(at) = &webhook.last_delivered_at {
        line(format!("  delivered   last {at}"))?;
    }
    if let Some(at) = &webhook.last_failed_at {
        let failures = webhook.failures_in_a_row;
        line(format!("  failed      last {at}, {failures} in a row"))?;
    }
    if let Some(until) = &webhook.old_secret_until {
        line(format!("  old secret  signs until {until}"))?;
    }
    if let Some(trouble) = &webhook.trouble {
        line(format!("  {}     {trouble}", paint.red("trouble")))?;
    }
    Ok(Exit::Ok)
}

fn test(app: &App, store: &Store, tenant: TenantId, id: WebhookId) -> Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the network runtime")?;
    let tested = runtime.block_on(operations::test(app, store, tenant, id))?;
    let exit = if tested.delivered {
        Exit::Ok
    } else {
        Exit::Failed
    };
    if app.json {
        json_line(&tested)?;
        return Ok(exit);
    }
    let took = tested.duration_ms;
    match (&tested.error, tested.status) {
        (None, Some(status)) => line(format!("Delivered: {status} after {took} ms."))?,
        (error, _) => line(format!(
            "Not delivered: {} (after {took} ms).",
            error.as_deref().unwrap_or("no answer")
        ))?,
    }
    if let Some(response) = &tested.response {
        line(response)?;
    }
    Ok(exit)
}

fn parse_state(code: &str) -> Result<DeliveryState> {
    let problem = || {
        let known: Vec<&str> = DeliveryState::ALL.iter().map(|s| s.code()).collect();
        UsageError(format!(
            "there is no delivery state `{code}`; there are {}",
            known.join(", ")
        ))
    };
    Ok(DeliveryState::from_code(code).ok_or_else(problem)?)
}

fn deliveries(
    app: &App,
    store: &Store,
    tenant: TenantId,
    id: WebhookId,
    filter: DeliveryFilter,
) -> Result<Exit> {
    let rows = store.deliveries(tenant, id, filter)?;
    if rows.is_empty() && !app.json {
        line("Nothing was sent, and nothing is to be.")?;
    }
    let paint = Paint::stdout();
    for row in rows.iter().map(DeliveryView::new) {
        if app.json {
            json_line(&row)?;
            continue;
        }
        let state = match row.state {
            "delivered" => paint.green(row.state),
            "dead" => paint.red(row.state),
            state => paint.yellow(state),
        };
        let when = match (&row.finished_at, &row.next_at) {
            (Some(at), _) => at.clone(),
            (None, Some(at)) => format!("next {at}"),
            (None, None) => "behind an older one".to_owned(),
        };
        line(format!(
            "{:>6}  {state}  {} events ({})  {} attempts  {when}{}",
            row.id,
            row.event_count,
            row.events.join(" "),
            row.attempts,
            row.error
                .as_ref()
                .map_or_else(String::new, |error| paint.dim(&format!("  {error}"))),
        ))?;
    }
    Ok(Exit::Ok)
}

fn retry(
    app: &App,
    store: &Store,
    tenant: TenantId,
    id: WebhookId,
    delivery: Option<i64>,
) -> Result<Exit> {
    let Some(delivery) = delivery else {
        let retried = store.retry_dead_deliveries(tenant, id)?;
        if app.json {
            json_line(&serde_json::json!({"retried": retried}))?;
        } else {
            line(format!("{retried} dead letters are sent again."))?;
        }
        return Ok(Exit::Ok);
    };
    let row = store.retry_delivery(tenant, id, DeliveryId(delivery))?;
    if app.json {
        json_line(&DeliveryView::new(&row))?;
    } else {
        line(format!("Delivery {delivery} is sent again."))?;
    }
    Ok(Exit::Ok)
}
