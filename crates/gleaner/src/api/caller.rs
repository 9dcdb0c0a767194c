//! The one who asks, as handlers see them.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use store::Scopes;
use types::{ApiKeyId, TenantId};

use super::error::{ApiError, Code};

/// The one who asks.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    pub tenant: TenantId,
    pub scopes: Scopes,
    /// `None`: the owner of this machine, on loopback.
    pub key: Option<ApiKeyId>,
}

impl Caller {
    pub fn must(self, have: Scopes) -> Result<Caller, ApiError> {
        if self.scopes.allows(have) {
            return Ok(self);
        }
        let message = format!("this needs a key with the scope `{}`", have.code());
        Err(ApiError::new(Code::Forbidden, message))
    }

    /// For what concerns all tenants: an admin of the default one.
    pub fn must_run_the_service(self) -> Result<Caller, ApiError> {
        let caller = self.must(Scopes::ADMIN)?;
        if caller.tenant == TenantId::DEFAULT {
            return Ok(caller);
        }
        let message = "this concerns all tenants; it needs an admin key of the default tenant";
        Err(ApiError::new(Code::Forbidden, message))
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Caller, ApiError> {
        // The layer below sets it for every route that knows callers.
        parts.extensions.get::<Caller>().copied().ok_or_else(|| {
            ApiError::new(Code::Internal, "bug: the route does not know who is asking")
        })
    }
}
