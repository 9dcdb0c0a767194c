//! Keys to the service.

use types::{ApiKeyId, TenantId, Timestamp};

/// What a key lets its holder do. Who may administer may write, and who may
/// write may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scopes(u8);

impl Scopes {
    pub const READ: Scopes = Scopes(0b001);
    pub const WRITE: Scopes = Scopes(0b011);
    pub const ADMIN: Scopes = Scopes(0b111);

    #[must_use]
    pub fn allows(self, wanted: Scopes) -> bool {
        self.0 & wanted.0 == wanted.0
    }

    /// What either allows.
    #[must_use]
    pub fn and(self, other: Scopes) -> Scopes {
        Scopes(self.0 | other.0)
    }

    /// Code of the widest of them, as shown and as typed.
    #[must_use]
    pub fn code(self) -> &'static str {
        if self.allows(Scopes::ADMIN) {
            "admin"
        } else if self.allows(Scopes::WRITE) {
            "write"
        } else {
            "read"
        }
    }

    #[must_use]
    pub fn from_code(code: &str) -> Option<Scopes> {
        match code {
            "read" => Some(Scopes::READ),
            "write" => Some(Scopes::WRITE),
            "admin" => Some(Scopes::ADMIN),
            _ => None,
        }
    }

    /// For the database.
    pub(crate) fn bits(self) -> u8 {
        self.0
    }

    pub(crate) fn from_bits(bits: u8) -> Option<Scopes> {
        [Scopes::READ, Scopes::WRITE, Scopes::ADMIN]
            .into_iter()
            .find(|scopes| scopes.0 == bits)
    }
}

#[derive(Clone, Debug)]
pub struct NewApiKey {
    pub tenant: TenantId,
    /// For people: 1 to 64 characters.
    pub name: String,
    /// The visible start of the key: 1 to 32 characters.
    pub prefix: String,
    /// Of the whole key. The key itself never comes here.
    pub hash: [u8; 32],
    pub scopes: Scopes,
    pub expires_at: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyRow {
    pub id: ApiKeyId,
    pub tenant: TenantId,
    pub tenant_active: bool,
    pub name: String,
    pub prefix: String,
    pub scopes: Scopes,
    pub created_at: Timestamp,
    /// From then on it opens nothing.
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
    pub last_used_at: Option<Timestamp>,
}
