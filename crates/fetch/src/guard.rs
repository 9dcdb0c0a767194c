//! Which addresses may be asked.
//!
//! A crawler fetches whatever strangers link to, so without this a page could
//! make it read the cloud's metadata service or the operator's own network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use types::CanonicalUrl;
use url::Host;

/// Public unicast addresses are always permitted, others only when listed here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressGuard {
    /// Private networks that may be asked, on any port.
    pub allow: Vec<IpNet>,
    /// Single permitted pairs of host, spelled as in a URL, and port. Nothing
    /// else on that host becomes reachable by them.
    pub allow_exact: Vec<(String, u16)>,
}

/// Why a URL may not be asked: its host is this address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RefusedAddress(pub(crate) IpAddr);

/// How a permitted URL is to be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// The ordinary way; names are still checked when they are resolved.
    Guarded,
    /// Listed as exactly this host and port.
    Exact,
}

impl AddressGuard {
    /// Whether this address may be connected to.
    #[must_use]
    pub fn verdict(&self, ip: IpAddr) -> bool {
        // A mapped address reaches the IPv4 host, so the IPv4 rules decide.
        let ip = ip.to_canonical();
        is_global_unicast(ip) || self.allow.iter().any(|net| net.contains(&ip))
    }

    /// Whether exactly this pair is listed. `host` is spelled as in a URL.
    #[must_use]
    pub fn permits_exact(&self, host: &str, port: u16) -> bool {
        self.allow_exact
            .iter()
            .any(|(listed, listed_port)| *listed_port == port && same_host(listed, host))
    }

    /// The address that a URL names outright, where it may not be asked. A
    /// host name is judged only when it is resolved.
    #[must_use]
    pub fn refuses(&self, url: &CanonicalUrl) -> Option<IpAddr> {
        self.route(url).err().map(|refused| refused.0)
    }

    /// Checks what the URL alone tells. Names pass: their addresses are
    /// checked when they are known.
    pub(crate) fn route(&self, url: &CanonicalUrl) -> Result<Route, RefusedAddress> {
        let port = url.as_url().port_or_known_default().unwrap_or(0);
        if self.permits_exact(url.host(), port) {
            return Ok(Route::Exact);
        }
        let literal = match url.as_url().host() {
            // The URL parser has already turned decimal, octal, hexadecimal
            // and short spellings of IPv4 into this form.
            Some(Host::Ipv4(ip)) => Some(IpAddr::V4(ip)),
            Some(Host::Ipv6(ip)) => Some(IpAddr::V6(ip)),
            // Whatever the connector would take for a literal is one.
            Some(Host::Domain(name)) => name.parse().ok(),
            None => None,
        };
        match literal {
            Some(ip) if !self.verdict(ip) => Err(RefusedAddress(ip)),
            _ => Ok(Route::Guarded),
        }
    }
}

/// Whether an address is unicast and reachable from anywhere, by the IANA
/// special-purpose registries (RFC 6890). Addresses that embed an IPv4 address
/// which a gateway on the way may unwrap are judged by that one.
#[must_use]
pub fn is_global_unicast(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_global_v4(ip),
        IpAddr::V6(ip) => is_global_v6(ip),
    }
}

fn is_global_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let special = match (a, b, c) {
        // This network, private, loopback, multicast and reserved with broadcast.
        (0 | 10 | 127 | 224..=255, _, _) => true,
        // RFC 6598 carrier-grade NAT.
        (100, 64..=127, _) => true,
        // Link-local, home of cloud metadata services.
        (169, 254, _) => true,
        // RFC 1918.
        (172, 16..=31, _) | (192, 168, _) => true,
        // IETF protocol assignments, RFC 5737 documentation, RFC 7526 6to4 relays.
        (192, 0, 0 | 2) | (192, 88, 99) => true,
        // RFC 2544 benchmarking, RFC 5737 documentation.
        (198, 18..=19, _) | (198, 51, 100) | (203, 0, 113) => true,
        _ => false,
    };
    !special
}

fn is_global_v6(ip: Ipv6Addr) -> bool {
    let segments = ip.segments();
    if let Some(embedded) = ip.to_ipv4_mapped() {
        return is_global_v4(embedded);
    }
    match segments {
        // RFC 6052 NAT64. Names resolve to these behind DNS64, so they must work.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => is_global_v4(v4_of(high, low)),
        // RFC 3056 6to4.
        [0x2002, high, low, ..] => is_global_v4(v4_of(high, low)),
        // RFC 2928 protocol assignments with Teredo, benchmarking and ORCHID:
        // no web server lives there.
        [0x2001, 0x0000..=0x01ff, ..] => false,
        // RFC 3849 and RFC 9637 documentation.
        [0x2001, 0x0db8, ..] | [0x3fff, 0x0000..=0x0fff, ..] => false,
        // RFC 4291 §2.4: 2000::/3 is all the global unicast there is. Outside
        // are loopback, IPv4-compatible, local NAT64 (64:ff9b:1::/48), ULA,
        // link-local, site-local, multicast and the unassigned rest.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

fn v4_of(high: u16, low: u16) -> Ipv4Addr {
    let [a, b] = high.to_be_bytes();
    let [c, d] = low.to_be_bytes();
    Ipv4Addr::new(a, b, c, d)
}

/// Equal host names; IPv6 with or without brackets.
pub(crate) fn same_host(a: &str, b: &str) -> bool {
    bare_host(a).eq_ignore_ascii_case(bare_host(b))
}

fn bare_host(host: &str) -> &str {
    host.strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    fn check(text: &str, expected: bool) {
        assert_eq!(is_global_unicast(ip(text)), expected, "{text}");
    }

    #[test]
    fn special_ipv4_is_private_up_to_its_edges() {
        for private in [
            "0.0.0.0",
            "0.255.255.255",
            "10.0.0.0",
            "10.255.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.0.0",
            "169.254.169.254",
            "172.16.0.0",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.0",
            "192.168.255.255",
            "198.18.0.0",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.7",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
        ] {
            check(private, false);
        }
        for public in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
        ] {
            check(public, true);
        }
    }

    #[test]
    fn special_ipv6_is_private() {
        for private in [
            "::",
            "::1",
            "::127.0.0.1",
            "::8.8.8.8",
            "::ffff:127.0.0.1",
            "::ffff:10.1.2.3",
            "::ffff:169.254.169.254",
            "64:ff9b::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::8.8.8.8",
            "100::1",
            "2001::1",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:a00:1::1",
            "2002:c0a8:101::1",
            "3fff::1",
            "3fff:fff::1",
            "5f00::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "4000::1",
            "1fff::1",
        ] {
            check(private, false);
        }
        for public in [
            "2606:4700:4700::1111",
            "2a00:1450:4001:81b::200e",
            "2001:200::1",
            "2001:4860::1",
            "2002:808:808::1",
            "64:ff9b::8.8.8.8",
            "::ffff:8.8.8.8",
            "3fff:1000::1",
        ] {
            check(public, true);
        }
    }

    #[test]
    fn allowed_networks_cover_their_mapped_spelling() {
        let guard = AddressGuard {
            allow: vec!["127.0.0.0/8".parse().expect("a network")],
            allow_exact: Vec::new(),
        };
        assert!(guard.verdict(ip("127.0.0.2")));
        assert!(guard.verdict(ip("::ffff:127.0.0.2")));
        assert!(!guard.verdict(ip("::1")));
        assert!(!guard.verdict(ip("10.0.0.1")));
        assert!(!guard.verdict(ip("64:ff9b::127.0.0.1")));
    }

    #[test]
    fn exact_pairs_open_nothing_else() {
        let guard = AddressGuard {
            allow: Vec::new(),
            allow_exact: vec![("127.0.0.1".to_owned(), 8000), ("::1".to_owned(), 80)],
        };
        let check = |url: &str, expected: Option<Route>| {
            let url = CanonicalUrl::parse(url).expect(url);
            assert_eq!(guard.route(&url).ok(), expected, "{url}");
        };
        check("http://127.0.0.1:8000/", Some(Route::Exact));
        check("http://0x7f.1:8000/", Some(Route::Exact));
        check("http://[::1]/", Some(Route::Exact));
        check("http://127.0.0.1:8001/", None);
        check("http://127.0.0.1/", None);
        check("http://[::1]:8000/", None);
        check("http://127.0.0.2:8000/", None);
        check("http://2130706433/", None);
        check("http://0177.0.0.1/", None);
        check("http://127.1/", None);
        check("http://127.0.0.1./", None);
        check("http://[::ffff:7f00:1]/", None);
        check("http://8.8.8.8/", Some(Route::Guarded));
        check("http://localhost:8000/", Some(Route::Guarded));
    }
}
