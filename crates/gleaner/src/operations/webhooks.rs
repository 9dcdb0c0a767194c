//! Webhooks: added, changed, tested, their secrets changed.

use std::time::Duration;

use anyhow::{Context, Result};
use store::{EventType, EventTypes, NewWebhook, Store, WebhookEdit};
use types::{CanonicalUrl, TenantId, WebhookId};
use url::Url;

use crate::app::{App, UsageError};
use crate::view::{WebhookSecretView, WebhookTestView, WebhookView};
use crate::webhooks::{Message, Sender, new_secret, shown_secret};

const URL_BYTES_MAX: usize = 2_048;
const DESCRIPTION_CHARS_MAX: usize = 200;
/// The secret before a rotation signs so long as well.
const OLD_SECRET_FOR: Duration = Duration::from_secs(24 * 3_600);

/// A webhook to be added.
#[derive(Clone, Debug)]
pub struct AddWebhook {
    pub url: String,
    /// Types, `page.*` for all of a kind, or `*`.
    pub events: Vec<String>,
    pub description: String,
}

pub fn add(
    app: &App,
    store: &Store,
    tenant: TenantId,
    add: AddWebhook,
) -> Result<WebhookSecretView> {
    let secret = new_secret()?;
    let shown = shown_secret(&secret);
    check_description(&add.description)?;
    let row = store.add_webhook(NewWebhook {
        tenant,
        url: endpoint(app, &add.url)?,
        description: add.description,
        events: event_types(&add.events)?,
        secret,
    })?;
    Ok(WebhookSecretView {
        secret: shown,
        webhook: WebhookView::new(&row),
    })
}

/// What of a webhook is to be another; `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct EditWebhook {
    pub url: Option<String>,
    pub events: Option<Vec<String>>,
    pub description: Option<String>,
    pub active: Option<bool>,
}

pub fn edit(
    app: &App,
    store: &Store,
    tenant: TenantId,
    id: WebhookId,
    edit: EditWebhook,
) -> Result<WebhookView> {
    if let Some(description) = &edit.description {
        check_description(description)?;
    }
    let url = edit.url.map(|url| endpoint(app, &url)).transpose()?;
    let events = edit.events.map(|events| event_types(&events)).transpose()?;
    let row = store.edit_webhook(
        tenant,
        id,
        WebhookEdit {
            url,
            description: edit.description,
            events,
            active: edit.active,
        },
    )?;
    Ok(WebhookView::new(&row))
}

/// A new secret; the old one signs as well for a day.
pub fn rotate(
    app: &App,
    store: &Store,
    tenant: TenantId,
    id: WebhookId,
) -> Result<WebhookSecretView> {
    let secret = new_secret()?;
    let shown = shown_secret(&secret);
    let until = app.clock.now().plus(OLD_SECRET_FOR);
    let row = store.rotate_webhook_secret(tenant, id, secret, until)?;
    Ok(WebhookSecretView {
        secret: shown,
        webhook: WebhookView::new(&row),
    })
}

/// Sends a `webhook.test` event, the way all others go. When it arrives, what
/// waits for the webhook is sent now as well.
pub async fn test(
    app: &App,
    store: &Store,
    tenant: TenantId,
    id: WebhookId,
) -> Result<WebhookTestView> {
    let endpoint = {
        let store = store.clone();
        blocking(move || Ok(store.webhook_endpoint(tenant, id)?)).await?
    };
    let message = Message::test(&endpoint, app.clock.now())?;
    let sent = Sender::new(app)?
        .send(&endpoint, &message, &*app.clock)
        .await?;
    if sent.delivered() {
        let store = store.clone();
        blocking(move || Ok(store.hurry_deliveries(tenant, id)?)).await?;
    }
    Ok(WebhookTestView::new(id, &sent))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .context("bug: reading the webhook panicked")?
}

/// A URL that messages may go to, as far as can be said without asking: what a
/// name leads to is looked at with each message (P3).
fn endpoint(app: &App, text: &str) -> Result<String> {
    let refuse = |why: String| Err(UsageError(why).into());
    let text = text.trim();
    if text.len() > URL_BYTES_MAX {
        return refuse(format!("the URL has more than {URL_BYTES_MAX} bytes"));
    }
    let Ok(url) = Url::parse(text) else {
        return refuse(
            "the URL cannot be read; expected something like https://example.org/hook".into(),
        );
    };
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("the URL holds a user name or password; check the signature instead".into());
    }
    let url =
        CanonicalUrl::from_url(url).map_err(|error| UsageError(format!("the URL: {error}")))?;
    if url.as_str().len() > URL_BYTES_MAX {
        return refuse(format!("the URL has more than {URL_BYTES_MAX} bytes"));
    }
    if let Some(address) = app.address_guard(&[])?.refuses(&url) {
        return refuse(format!(
            "the address {address} is private and not allow-listed (fetch.allow_private, --allow-private)"
        ));
    }
    Ok(url.as_str().to_owned())
}

fn check_description(text: &str) -> Result<()> {
    if text.chars().count() > DESCRIPTION_CHARS_MAX || text.chars().any(char::is_control) {
        let problem = format!(
            "a description has at most {DESCRIPTION_CHARS_MAX} characters, none of them control"
        );
        return Err(UsageError(problem).into());
    }
    Ok(())
}

/// Types as people name them.
fn event_types(named: &[String]) -> Result<EventTypes> {
    let mut wanted = Vec::new();
    for name in named {
        let before = wanted.len();
        match name.strip_suffix('*') {
            Some("") => wanted.extend(EventType::ALL),
            Some(start) if start.ends_with('.') => {
                let all = EventType::ALL.iter().copied();
                wanted.extend(all.filter(|one| one.code().starts_with(start)));
            }
            _ => wanted.extend(EventType::from_code(name)),
        }
        if wanted.len() == before {
            let known: Vec<&str> = EventType::ALL.iter().map(|one| one.code()).collect();
            return Err(UsageError(format!(
                "there is no event type `{name}`; there are {}, and `page.*` or `*` for several",
                known.join(", ")
            ))
            .into());
        }
    }
    if wanted.is_empty() {
        return Err(UsageError("a webhook wants at least one event type".to_owned()).into());
    }
    Ok(wanted.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(named: &[&str], expected: &[&str]) {
        let named: Vec<String> = named.iter().map(|name| (*name).to_owned()).collect();
        let types = event_types(&named).expect("known");
        let codes: Vec<&str> = types.iter().map(EventType::code).collect();
        assert_eq!(codes, expected, "{named:?}");
    }

    #[test]
    fn event_types_are_named_one_by_one_or_by_kind() {
        check(&["crawl.finished"], &["crawl.finished"]);
        check(
            &["page.*", "page.added"],
            &["page.added", "page.updated", "page.removed"],
        );
        let all: Vec<&str> = EventType::ALL.iter().map(|one| one.code()).collect();
        check(&["*"], &all);
        for wrong in [
            "",
            "page",
            "pages.*",
            "p*",
            "crawl.",
            "webhook.test",
            "*.added",
        ] {
            assert!(event_types(&[wrong.to_owned()]).is_err(), "{wrong}");
        }
        assert!(event_types(&[]).is_err());
    }
}
