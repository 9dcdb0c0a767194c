//! One visitor for each host at a time, and its rest afterwards (P1).

use store::Lease;
use types::Timestamp;

use crate::support::{Site, page_url};

const NOW: i64 = 1_000_000;

struct Host {
    site: Site,
    host: types::HostKey,
}

impl Host {
    fn new() -> Host {
        Host {
            site: Site::new(),
            host: page_url("a").url.host_key(),
        }
    }

    /// Asks for the host at `now` for ten milliseconds.
    fn ask(&self, owner: &str, now: i64) -> Lease {
        self.site.clock.set(Timestamp(NOW + now));
        let until = Timestamp(NOW + now + 10);
        let lease = self.site.store.acquire_host_lease(&self.host, owner, until);
        lease.unwrap()
    }
}

fn busy(until: i64, owner: Option<&str>) -> Lease {
    Lease::Busy {
        until: Timestamp(NOW + until),
        owner: owner.map(str::to_owned),
    }
}

#[test]
fn one_owner_has_a_host_until_its_lease_ends() {
    let host = Host::new();
    let store = &host.site.store;
    assert_eq!(host.ask("x", 0), Lease::Yours);
    assert_eq!(host.ask("x", 5), Lease::Yours);
    assert_eq!(host.ask("y", 5), busy(15, Some("x")));
    let renew = |owner, until| {
        store
            .renew_host_leases(owner, Timestamp(NOW + until))
            .unwrap()
    };
    assert_eq!((renew("x", 30), renew("y", 30)), (1, 0));
    assert_eq!(host.ask("y", 29), busy(30, Some("x")));
    assert_eq!(host.ask("y", 30), Lease::Yours);
    assert_eq!(renew("x", 90), 0, "it is another's by now");
    let row = store.host(&host.host).unwrap().unwrap();
    assert_eq!(row.lease_owner.as_deref(), Some("y"));
    assert_eq!(row.lease_until, Some(Timestamp(NOW + 40)));
}

#[test]
fn p1_a_host_given_back_rests_for_everybody() {
    let host = Host::new();
    let store = &host.site.store;
    let release = |owner, rest| {
        let rest = Timestamp(NOW + rest);
        store.release_host_lease(&host.host, owner, rest).unwrap()
    };
    assert_eq!(host.ask("x", 0), Lease::Yours);
    assert!(!release("y", 0));
    assert!(release("x", 7));
    assert!(!release("x", 0), "given back already");
    for owner in ["x", "y"] {
        assert_eq!(host.ask(owner, 6), busy(7, None));
    }
    assert_eq!(host.ask("y", 7), Lease::Yours);
    let rest = Timestamp(NOW + 20);
    assert_eq!(store.release_host_leases("y", rest).unwrap(), 1);
    assert_eq!(store.release_host_leases("y", rest).unwrap(), 0);
    assert_eq!(host.ask("y", 19), busy(20, None));
    assert_eq!(host.ask("x", 20), Lease::Yours);
}

#[test]
fn leases_of_lost_owners_are_dropped_and_their_hosts_rest() {
    let host = Host::new();
    let store = &host.site.store;
    let other = crate::support::url("https://other.example/").host_key();
    assert_eq!(host.ask("lost", 0), Lease::Yours);
    let until = Timestamp(NOW + 10);
    let lease = store.acquire_host_lease(&other, store.instance(), until);
    assert_eq!(lease.unwrap(), Lease::Yours);
    let owners = store.host_lease_owners().unwrap();
    assert_eq!(owners.len(), 2);
    let lost = store.lost_owners(&owners);
    assert_eq!(lost, ["lost"]);
    let rest = Timestamp(NOW + 3);
    assert_eq!(store.drop_host_leases(&lost, rest).unwrap(), 1);
    assert_eq!(host.ask("x", 2), busy(3, None));
    assert_eq!(host.ask("x", 3), Lease::Yours);
    let kept = store.host(&other).unwrap().unwrap();
    assert_eq!(kept.lease_owner.as_deref(), Some(store.instance()));
}
