//! API keys: hashes, scopes, ends.

use store::{ApiKeyRow, NewApiKey, Scopes, Store, StoreErrorKind};
use types::{ApiKeyId, TenantId, Timestamp};

use crate::support::clock;

const NOW: Timestamp = Timestamp(1_000_000);

fn store() -> Store {
    crate::engine::store(clock())
}

fn key(number: u8) -> NewApiKey {
    NewApiKey {
        tenant: TenantId::DEFAULT,
        name: format!("key {number}"),
        prefix: format!("gl_{number:02}"),
        hash: [number; 32],
        scopes: Scopes::WRITE,
        expires_at: None,
    }
}

fn by_hash(store: &Store, number: u8) -> Option<ApiKeyRow> {
    store.api_key_by_hash(&[number; 32]).unwrap()
}

fn ids(keys: &[ApiKeyRow]) -> Vec<ApiKeyId> {
    keys.iter().map(|key| key.id).collect()
}

#[test]
fn wider_scopes_hold_the_narrower_ones() {
    let all = [Scopes::READ, Scopes::WRITE, Scopes::ADMIN];
    for (width, has) in all.into_iter().enumerate() {
        for (wanted_width, wanted) in all.into_iter().enumerate() {
            assert_eq!(has.allows(wanted), wanted_width <= width);
            assert_eq!(has.and(wanted), all[width.max(wanted_width)]);
        }
        assert_eq!(Scopes::from_code(has.code()), Some(has));
    }
    assert_eq!(Scopes::from_code("Admin"), None);
}

#[test]
fn a_key_is_found_by_its_hash() {
    let store = store();
    let expires_at = Some(Timestamp(5));
    let added = store
        .add_api_key(NewApiKey {
            expires_at,
            scopes: Scopes::ADMIN,
            ..key(1)
        })
        .unwrap();
    assert_eq!(
        (added.tenant, added.tenant_active),
        (TenantId::DEFAULT, true)
    );
    assert_eq!(
        (added.name.as_str(), added.prefix.as_str()),
        ("key 1", "gl_01")
    );
    assert_eq!(
        (added.scopes, added.expires_at),
        (Scopes::ADMIN, expires_at)
    );
    assert_eq!((added.created_at, added.revoked_at), (NOW, None));
    assert_eq!(by_hash(&store, 1), Some(added));
    assert_eq!(by_hash(&store, 2), None);
    let again = store.add_api_key(key(1)).unwrap_err();
    assert_eq!(again.kind(), StoreErrorKind::Conflict);
    let tenant = TenantId(99);
    let unknown = store.add_api_key(NewApiKey { tenant, ..key(3) });
    assert_eq!(unknown.unwrap_err().kind(), StoreErrorKind::NotFound);
}

#[test]
fn names_and_prefixes_have_their_lengths() {
    let store = store();
    let check = |key: NewApiKey, fits: bool| match store.add_api_key(key) {
        Ok(_) => assert!(fits),
        Err(refused) => {
            assert!(
                !fits && refused.kind() == StoreErrorKind::Conflict,
                "{refused}"
            );
        }
    };
    let named = |number, name: &str| NewApiKey {
        name: name.to_owned(),
        ..key(number)
    };
    let prefixed = |number, prefix: &str| NewApiKey {
        prefix: prefix.to_owned(),
        ..key(number)
    };
    check(named(1, ""), false);
    check(named(1, &"é".repeat(65)), false);
    check(named(1, &"é".repeat(64)), true);
    check(prefixed(2, ""), false);
    check(prefixed(2, &"p".repeat(33)), false);
    check(prefixed(2, &"p".repeat(32)), true);
}

#[test]
fn a_revoked_key_stays_to_be_told_why() {
    let store = store();
    let [one, two] = [1, 2].map(|n| store.add_api_key(key(n)).unwrap().id);
    assert_eq!(store.active_key_count().unwrap(), 2);
    assert!(store.revoke_api_key(TenantId::DEFAULT, one).unwrap());
    assert!(!store.revoke_api_key(TenantId::DEFAULT, one).unwrap());
    assert_eq!(store.active_key_count().unwrap(), 1);
    assert_eq!(by_hash(&store, 1).unwrap().revoked_at, Some(NOW));
    let three = store.add_api_key(key(3)).unwrap().id;
    let listed = store.api_keys(TenantId::DEFAULT).unwrap();
    assert_eq!(ids(&listed), [two, three, one], "revoked ones last");
    let unknown = store.revoke_api_key(TenantId::DEFAULT, ApiKeyId(99));
    assert_eq!(unknown.unwrap_err().kind(), StoreErrorKind::NotFound);
    let rotated = store.rotate_api_key(TenantId::DEFAULT, one, [9; 32], "p", NOW);
    assert!(rotated.unwrap_err().to_string().contains("revoked"));
    assert_eq!(by_hash(&store, 9), None);
}

#[test]
fn a_key_of_a_tenant_switched_off_says_so() {
    let store = store();
    let tenant = store.create_tenant("acme").unwrap().id;
    store.add_api_key(NewApiKey { tenant, ..key(1) }).unwrap();
    store.set_tenant_active(tenant, false).unwrap();
    assert!(!by_hash(&store, 1).unwrap().tenant_active);
    store.set_tenant_active(tenant, true).unwrap();
    assert!(by_hash(&store, 1).unwrap().tenant_active);
}

/// When the old key of a rotation ends.
fn check_rotation(expires_at: Option<i64>, old_valid_until: i64, expected: i64) {
    let store = store();
    let expires_at = expires_at.map(Timestamp);
    let old = store.add_api_key(NewApiKey {
        expires_at,
        ..key(1)
    });
    let old = old.unwrap();
    let until = Timestamp(old_valid_until);
    let new = store
        .rotate_api_key(TenantId::DEFAULT, old.id, [2; 32], "gl_new", until)
        .unwrap();
    assert_eq!((&new.name, new.scopes), (&old.name, old.scopes));
    assert_eq!(new.expires_at, expires_at, "the new one lives as long");
    assert_eq!(new.prefix, "gl_new");
    assert_eq!(by_hash(&store, 2), Some(new));
    let ends = by_hash(&store, 1).unwrap().expires_at;
    assert_eq!(ends, Some(Timestamp(expected)));
    assert_eq!(store.active_key_count().unwrap(), 2);
}

#[test]
fn a_rotated_key_goes_on_for_a_while() {
    check_rotation(None, 2_000_000, 2_000_000);
    check_rotation(Some(3_000_000), 2_000_000, 2_000_000);
    check_rotation(Some(1_500_000), 2_000_000, 1_500_000);
    check_rotation(None, 0, 0);
}

#[test]
fn a_key_that_ended_is_not_rotated_nor_is_half_a_rotation_kept() {
    let store = store();
    let expires_at = Some(NOW);
    let old = store.add_api_key(NewApiKey {
        expires_at,
        ..key(1)
    });
    let old = old.unwrap().id;
    let later = Timestamp(9_000_000);
    let expired = store.rotate_api_key(TenantId::DEFAULT, old, [2; 32], "p", later);
    assert!(expired.unwrap_err().to_string().contains("expired"));
    let valid = store.add_api_key(key(3)).unwrap().id;
    let taken = store.rotate_api_key(TenantId::DEFAULT, valid, [1; 32], "p", later);
    assert_eq!(taken.unwrap_err().kind(), StoreErrorKind::Conflict);
    assert_eq!(by_hash(&store, 3).unwrap().expires_at, None);
    assert_eq!(store.active_key_count().unwrap(), 2, "expired ones count");
}

#[test]
fn the_last_use_never_goes_back() {
    let store = store();
    let [one, two] = [1, 2].map(|n| store.add_api_key(key(n)).unwrap().id);
    let touch = |uses: &[(ApiKeyId, i64)]| {
        let uses = uses.iter().map(|(id, at)| (*id, Timestamp(*at))).collect();
        store.touch_api_keys(uses).unwrap();
    };
    let used = |number| by_hash(&store, number).unwrap().last_used_at;
    assert_eq!(used(1), None);
    touch(&[(one, 20), (two, 5), (one, 10), (ApiKeyId(99), 7)]);
    assert_eq!(
        (used(1), used(2)),
        (Some(Timestamp(20)), Some(Timestamp(5)))
    );
    touch(&[(one, 19), (two, 6)]);
    assert_eq!(
        (used(1), used(2)),
        (Some(Timestamp(20)), Some(Timestamp(6)))
    );
}
