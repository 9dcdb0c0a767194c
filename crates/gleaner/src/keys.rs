//! API keys: made here, shown once, known to the store by their hash alone.
//!
//! A key is 256 random bits, so a fast hash is enough to make it unguessable
//! from what is stored (a slow one only helps passwords that people choose).

use anyhow::Result;
use store::{ApiKeyRow, NewApiKey, Scopes, Store};
use types::{ApiKeyId, TenantId, Timestamp};

/// What every key begins with, so that one found in a log is recognised.
const MARK: &str = "gl_";
/// Characters of a key that lists show.
const SHOWN: usize = MARK.len() + 8;
/// Separates these hashes from all others (BLAKE3's key derivation mode).
const PURPOSE: &str = "gleaner api key, version 1";

/// A key as its owner keeps it.
pub struct ApiKey(String);

/// 256 random bits, as 64 hexadecimal digits.
fn random_digits() -> Result<String> {
    Ok(blake3::Hash::from(crate::random::bytes::<32>()?)
        .to_hex()
        .to_string())
}

/// A name that nothing else has.
pub fn random_name() -> Result<String> {
    let mut digits = random_digits()?;
    digits.truncate(16);
    Ok(digits)
}

impl ApiKey {
    pub fn generate() -> Result<ApiKey> {
        Ok(ApiKey(format!("{MARK}{}", random_digits()?)))
    }

    /// `None` when it cannot be one.
    pub fn parse(text: &str) -> Option<ApiKey> {
        let hex = text.strip_prefix(MARK)?;
        let is_hex = hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit());
        is_hex.then(|| ApiKey(text.to_owned()))
    }

    pub fn hash(&self) -> [u8; 32] {
        blake3::derive_key(PURPOSE, self.0.as_bytes())
    }

    fn prefix(&self) -> &str {
        &self.0[..SHOWN]
    }

    /// For its owner, once.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}…", self.prefix())
    }
}

/// A new key and its row.
pub fn create(
    store: &Store,
    tenant: TenantId,
    name: &str,
    scopes: Scopes,
    expires_at: Option<Timestamp>,
) -> Result<(ApiKey, ApiKeyRow)> {
    let key = ApiKey::generate()?;
    let row = store.add_api_key(NewApiKey {
        tenant,
        name: name.to_owned(),
        prefix: key.prefix().to_owned(),
        hash: key.hash(),
        scopes,
        expires_at,
    })?;
    Ok((key, row))
}

/// A new key in the place of an old one, which works until `old_valid_until`.
pub fn rotate(
    store: &Store,
    tenant: TenantId,
    id: ApiKeyId,
    old_valid_until: Timestamp,
) -> Result<(ApiKey, ApiKeyRow)> {
    let key = ApiKey::generate()?;
    let (hash, prefix) = (key.hash(), key.prefix().to_owned());
    let row = store.rotate_api_key(tenant, id, hash, &prefix, old_valid_until)?;
    Ok((key, row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_and_can_be_read_back() {
        let (one, other) = (ApiKey::generate(), ApiKey::generate());
        let (one, other) = (one.expect("random"), other.expect("random"));
        assert_ne!(one.reveal(), other.reveal());
        let read = ApiKey::parse(one.reveal()).expect("a key");
        assert_eq!(read.hash(), one.hash());
        assert_ne!(one.hash(), other.hash());
        assert!(!format!("{one:?}").contains(&one.reveal()[SHOWN..]));
        for wrong in [
            "",
            "gl_",
            "gl_0123",
            &one.reveal()[3..],
            &format!("{}0", one.reveal()),
        ] {
            assert!(ApiKey::parse(wrong).is_none(), "{wrong}");
        }
    }
}
