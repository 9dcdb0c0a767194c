//! Row identities. Newtypes, because a chunk id passed as a page id would be
//! a silent wrong answer.

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub i64);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// Owner of every row. The embedded default has one tenant, [`TenantId::DEFAULT`].
    TenantId
}
id! {
    /// A place that is crawled again and again: seeds, scope and policy.
    SourceId
}
id! {
    /// One run over a source.
    CrawlId
}
id! {
    /// One canonical URL that held content at least once.
    PageId
}
id! {
    /// One chunk of the newest version of a page. Stays the same while the
    /// chunk's text stays the same, so its vectors stay valid.
    ChunkId
}

id! {
    /// One unit of queued work. Never used twice.
    TaskId
}

id! {
    /// A key that opens the service to a tenant. Never used twice.
    ApiKeyId
}

id! {
    /// An address that is told of events. Never used twice.
    WebhookId
}

id! {
    /// One message to a webhook, however often it is sent. Never used twice.
    DeliveryId
}

impl TenantId {
    /// The tenant used when nobody configured tenants.
    pub const DEFAULT: TenantId = TenantId(1);
}
