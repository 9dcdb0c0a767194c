//! P3: no request leaves for a private address unless allow-listed, on any hop.

use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use fetch::{AddressGuard, FetchConfig, FetchErrorKind, FetchRequest, Lookup, Want};
use testkit::{FakeWeb, Reply};

use crate::support::{body_of, check_error, config, fetcher, get, names, page, url, with_lookup};

use FetchErrorKind::{Connect, PrivateAddress};

fn guarded(guard: AddressGuard) -> FetchConfig {
    FetchConfig { guard, ..config() }
}

fn strict() -> FetchConfig {
    guarded(AddressGuard::default())
}

#[tokio::test]
async fn literal_private_addresses_in_every_spelling() {
    let web = FakeWeb::start().await;
    web.handler(|_| Reply::html("secret"));
    let fetcher = fetcher(strict());
    let check = async |host: &str, address: &str| {
        let problem = format!("address {address} is private and not allow-listed");
        let url = web.url_at(host, "/");
        check_error(&fetcher, &url, Want::Page, PrivateAddress, &problem).await;
    };
    check("127.0.0.1", "127.0.0.1").await;
    check("127.1", "127.0.0.1").await;
    check("2130706433", "127.0.0.1").await;
    check("0x7f000001", "127.0.0.1").await;
    check("0x7f.0.0.0x1", "127.0.0.1").await;
    check("0177.0.0.1", "127.0.0.1").await;
    check("017700000001", "127.0.0.1").await;
    check("127.0.0.1.", "127.0.0.1").await;
    check("１２７.0.0.1", "127.0.0.1").await;
    check("127。0。0。1", "127.0.0.1").await;
    check("0", "0.0.0.0").await;
    check("[::1]", "::1").await;
    check("[::]", "::").await;
    check("[::ffff:127.0.0.1]", "::ffff:127.0.0.1").await;
    check("[::ffff:7f00:1]", "::ffff:127.0.0.1").await;
    check("[64:ff9b::7f00:1]", "64:ff9b::7f00:1").await;
    check("169.254.169.254", "169.254.169.254").await;
    check("10.0.0.1", "10.0.0.1").await;
    assert_eq!((web.log().len(), web.connections()), (0, 0));
}

#[tokio::test]
async fn every_dns_answer_is_checked() {
    let web = FakeWeb::start().await;
    web.handler(|request| Reply::html(request.header("host").unwrap_or_default()));
    let check = async |answers: &[&str], refused: Option<&str>| {
        let (lookup, _) = names(answers);
        let strict = with_lookup(strict(), &lookup);
        let target = web.url_at("site.example", "/");
        if let Some(refused) = refused {
            let problem = format!("address {refused} is private and not allow-listed");
            check_error(&strict, &target, Want::Page, PrivateAddress, &problem).await;
        }
        // The same names where loopback is allowed: only its addresses are used.
        let open = with_lookup(config(), &lookup);
        get(&open, &target, Want::Page).await
    };
    let served = check(&["127.0.0.1"], Some("127.0.0.1")).await;
    let host = format!("site.example:{}", web.addr().port());
    assert_eq!(body_of(&served.unwrap()), host.as_bytes());
    let served = check(&["10.0.0.1", "127.0.0.1", "::1"], Some("10.0.0.1")).await;
    assert_eq!(body_of(&served.unwrap()), host.as_bytes());
    let refused = check(&["169.254.169.254", "fd00::1"], Some("169.254.169.254")).await;
    assert_eq!(refused.expect_err("private").kind(), PrivateAddress);
    assert_eq!(web.log().len(), 2);
}

#[tokio::test]
async fn a_connection_uses_the_answer_that_was_checked() {
    let web = FakeWeb::start().await;
    web.handler(|_| Reply::html("x").header("Connection", "close"));
    let rebinding = || {
        let asked = AtomicUsize::new(0);
        Lookup::custom(move |_| {
            let address = match asked.fetch_add(1, Ordering::SeqCst) {
                0 => IpAddr::from([127, 0, 0, 1]),
                _ => IpAddr::from([169, 254, 169, 254]),
            };
            Ok(vec![address])
        })
    };
    let target = web.url_at("rebind.example", "/");

    // One look-up per connection: the second answer is only seen, and refused,
    // by the second connection.
    let uncached = FetchConfig {
        dns_cache_ttl: std::time::Duration::ZERO,
        ..config()
    };
    let fetcher = with_lookup(uncached, &rebinding());
    page(&fetcher, &target).await;
    let problem = "address 169.254.169.254 is private";
    check_error(&fetcher, &target, Want::Page, PrivateAddress, problem).await;

    // Within the cache's time the checked answer stands.
    let fetcher = with_lookup(config(), &rebinding());
    page(&fetcher, &target).await;
    page(&fetcher, &target).await;
    assert_eq!(web.log().len(), 3);
}

#[tokio::test]
async fn answers_are_cached_per_name() {
    let web = FakeWeb::start().await;
    web.handler(|_| Reply::html("x").header("Connection", "close"));
    let (lookup, asked) = names(&["127.0.0.1"]);
    let fetcher = with_lookup(config(), &lookup);
    for _ in 0..3 {
        page(&fetcher, &web.url_at("a.example", "/")).await;
    }
    page(&fetcher, &web.url_at("b.example", "/")).await;
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    assert_eq!(web.connections(), 4);
}

#[tokio::test]
async fn every_redirect_hop_is_checked() {
    let web = FakeWeb::start().await;
    let port = web.addr().port();
    let public = FakeWeb::start().await;
    let exact = ("127.0.0.1".to_owned(), public.addr().port());
    let fetcher = fetcher(guarded(AddressGuard {
        allow: Vec::new(),
        allow_exact: vec![exact],
    }));
    web.handler(|_| Reply::html("secret"));
    let check = async |location: &str| {
        public.route("/", Reply::redirect(location));
        let url = url(&public.url("/"));
        for want in [Want::Page, Want::Robots] {
            let request = FetchRequest::new(&url, want);
            let error = fetcher.fetch_following(&request).await.expect_err(location);
            assert_eq!(error.kind(), PrivateAddress, "{error:?}");
        }
    };
    check("http://169.254.169.254/latest/meta-data/").await;
    check("http://2852039166/latest/meta-data/").await;
    check(&web.url("/")).await;
    check(&format!("//127.0.0.1:{port}/")).await;
    check(&format!("http://[::ffff:127.0.0.1]:{port}/")).await;
    check(&format!("http://0x7f.1:{port}/")).await;
    check(&format!("http://017700000001:{port}/")).await;
    check(&format!("https://127.0.0.1:{port}/")).await;
    assert_eq!((web.log().len(), web.connections()), (0, 0));
}

#[tokio::test]
async fn an_exact_pair_opens_that_port_only() {
    let web = FakeWeb::start().await;
    let other = FakeWeb::start().await;
    for server in [&web, &other] {
        server.handler(|_| Reply::html("x"));
    }
    let port = web.addr().port();
    let (lookup, _) = names(&["127.0.0.1"]);

    let literal = AddressGuard {
        allow: Vec::new(),
        allow_exact: vec![("127.0.0.1".to_owned(), port)],
    };
    let fetcher = with_lookup(guarded(literal), &lookup);
    page(&fetcher, &web.url("/")).await;
    page(&fetcher, &web.url_at("127.1", "/")).await;
    let refused = |server: &FakeWeb, host: &str| server.url_at(host, "/");
    for url in [
        refused(&other, "127.0.0.1"),
        refused(&web, "127.0.0.2"),
        refused(&web, "localhost"),
        refused(&web, "name.example"),
    ] {
        check_error(
            &fetcher,
            &url,
            Want::Page,
            PrivateAddress,
            "address 127.0.0.",
        )
        .await;
    }

    // A name may be listed as well; a resolver sees no port, the guard does.
    let name = AddressGuard {
        allow: Vec::new(),
        allow_exact: vec![("dev.example".to_owned(), port)],
    };
    let fetcher = with_lookup(guarded(name), &lookup);
    page(&fetcher, &refused(&web, "dev.example")).await;
    for url in [
        refused(&other, "dev.example"),
        refused(&web, "127.0.0.1"),
        refused(&web, "sub.dev.example"),
    ] {
        check_error(
            &fetcher,
            &url,
            Want::Page,
            PrivateAddress,
            "address 127.0.0.1",
        )
        .await;
    }
    assert_eq!((web.log().len(), other.log().len()), (3, 0));
}

#[tokio::test]
async fn a_proxy_is_no_way_around_the_guard() {
    let proxy = FakeWeb::start().await;
    proxy.handler(|request| Reply::html(request.path.clone()));
    let lookup = Lookup::custom(|name| match name {
        "proxy.internal" => Ok(vec![IpAddr::from([127, 0, 0, 1])]),
        _ => Err(io::Error::other("only the proxy is looked up here")),
    });
    let direct = FakeWeb::start().await;
    direct.handler(|_| Reply::html("direct"));
    let guard = AddressGuard {
        allow: Vec::new(),
        allow_exact: vec![("127.0.0.1".to_owned(), direct.addr().port())],
    };
    let fetcher = with_lookup(
        FetchConfig {
            proxy: Some(proxy.url_at("proxy.internal", "/")),
            ..guarded(guard)
        },
        &lookup,
    );
    // The proxy itself is trusted, and asked for names as they are.
    let fetched = page(&fetcher, "http://site.example/x").await;
    assert_eq!(body_of(&fetched), b"http://site.example/x");
    let fetched = page(&fetcher, "http://8.8.8.8/").await;
    assert_eq!(body_of(&fetched), b"http://8.8.8.8/");
    for url in [
        "http://127.0.0.1/",
        "http://0x7f.1/",
        "http://[::1]/",
        "http://169.254.169.254/",
        "http://localhost/",
        "http://LOCALHOST./",
        "http://app.localhost/",
    ] {
        check_error(&fetcher, url, Want::Page, PrivateAddress, "address ").await;
    }
    // An exact pair means this machine, not the proxy's.
    assert_eq!(body_of(&page(&fetcher, &direct.url("/")).await), b"direct");
    assert_eq!(proxy.log().len(), 2);
}

#[tokio::test]
async fn allowed_networks_are_reached_on_any_port() {
    let one = FakeWeb::start().await;
    let two = FakeWeb::start().await;
    for server in [&one, &two] {
        server.handler(|_| Reply::html("x"));
    }
    let fetcher = fetcher(config());
    page(&fetcher, &one.url("/")).await;
    page(&fetcher, &two.url("/")).await;
    page(&fetcher, &one.url_at("[::ffff:127.0.0.1]", "/")).await;
    let url = "http://[::1]:1/";
    check_error(&fetcher, url, Want::Page, PrivateAddress, "address ::1 is").await;
    // Allowed, so it is tried: nothing listens there.
    let url = "http://127.0.0.1:1/";
    check_error(&fetcher, url, Want::Page, Connect, "connection failed").await;
}
