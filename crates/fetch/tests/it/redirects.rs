//! Redirects, one by one and followed.

use fetch::{FetchConfig, FetchErrorKind, FetchRequest, Followed, Hop, Outcome, Want};
use testkit::{FakeWeb, Reply};

use crate::support::{body_of, config, fetcher, names, page, url, with_lookup};

#[tokio::test]
async fn one_hop_returns_the_target() {
    let web = FakeWeb::start().await;
    let fetcher = fetcher(config());
    let check = async |reply: Reply, expected: Outcome| {
        web.route("/dir/a", reply);
        let fetched = page(&fetcher, &web.url("/dir/a")).await;
        assert_eq!(fetched.outcome, expected);
    };
    let to = |path: &str| Outcome::Redirect {
        to: Ok(url(&web.url(path))),
    };
    for status in [301, 302, 303, 307, 308, 300] {
        check(Reply::redirect("b").with_status(status), to("/dir/b")).await;
    }
    check(Reply::redirect("/c#part"), to("/c")).await;
    check(
        Reply::redirect(""),
        Outcome::Redirect {
            to: Err(String::new()),
        },
    )
    .await;
    check(
        Reply::redirect("ftp://x.org/"),
        Outcome::Redirect {
            to: Err("ftp://x.org/".to_owned()),
        },
    )
    .await;
    check(
        Reply::status(301),
        Outcome::Redirect {
            to: Err(String::new()),
        },
    )
    .await;
    check(Reply::status(300), Outcome::Status).await;
    check(Reply::status(305), Outcome::Status).await;
    // Never followed here, and their small bodies keep the connection.
    assert_eq!(web.hits("/dir/b"), 0);
    assert_eq!(web.connections(), 1);
}

async fn follow(web: &FakeWeb, path: &str, want: Want) -> Result<Followed, String> {
    let fetcher = fetcher(FetchConfig {
        redirects_max: 3,
        ..config()
    });
    let url = url(&web.url(path));
    let followed = fetcher
        .fetch_following(&FetchRequest::new(&url, want))
        .await;
    followed.map_err(|error| {
        assert_eq!(error.kind(), FetchErrorKind::RedirectLoop, "{error:?}");
        error.to_string()
    })
}

/// `/n` redirects to `/n-1`, `/0` is a page.
async fn staircase() -> FakeWeb {
    let web = FakeWeb::start().await;
    web.handler(|request| match request.path[1..].parse::<u32>() {
        Ok(0) => Reply::html("ground"),
        Ok(step) => Reply::redirect(&format!("/{}", step - 1)),
        Err(_) => Reply::status(404),
    });
    web
}

#[tokio::test]
async fn chains_are_followed_up_to_the_limit() {
    let web = staircase().await;
    let followed = follow(&web, "/2", Want::Page).await.unwrap();
    assert_eq!(body_of(&followed.fetched), b"ground");
    assert_eq!(followed.fetched.url.as_str(), web.url("/0"));
    let hops = [2, 1].map(|step| Hop {
        from: url(&web.url(&format!("/{step}"))),
        status: 302,
    });
    assert_eq!(followed.hops, hops);

    assert!(follow(&web, "/3", Want::Page).await.is_ok());
    let error = follow(&web, "/4", Want::Page).await.unwrap_err();
    assert_eq!(
        error,
        format!("fetch {}: more than 3 redirects", web.url("/1"))
    );
    // RFC 9309: five for robots.txt, whatever the setting.
    assert!(follow(&web, "/5", Want::Robots).await.is_ok());
    let error = follow(&web, "/6", Want::Robots).await.unwrap_err();
    assert!(error.ends_with("more than 5 redirects"), "{error}");
    assert!(
        follow(&web, "/up", Want::Page)
            .await
            .unwrap()
            .hops
            .is_empty()
    );
}

#[tokio::test]
async fn circles_and_dead_ends_stop_at_once() {
    let web = FakeWeb::start().await;
    web.route("/self", Reply::redirect("/self"));
    web.route("/a", Reply::redirect("/b"));
    web.route("/b", Reply::redirect("/a#again"));
    web.route("/out", Reply::redirect("mailto:a@b.c"));
    web.route("/nowhere", Reply::status(302));
    let check = async |path: &str, problem: &str| {
        let error = follow(&web, path, Want::Page).await.unwrap_err();
        assert!(error.ends_with(problem), "{error}");
    };
    check("/self", "redirects lead in a circle").await;
    check("/a", "redirects lead in a circle").await;
    check("/out", "redirect leads to no usable URL: \"mailto:a@b.c\"").await;
    check("/nowhere", "redirect leads to no usable URL: \"\"").await;
    assert_eq!(
        (web.hits("/self"), web.hits("/a"), web.hits("/b")),
        (1, 1, 1)
    );
}

#[tokio::test]
async fn validators_stay_with_the_first_host() {
    let web = FakeWeb::start().await;
    let (lookup, _) = names(&["127.0.0.1"]);
    let fetcher = with_lookup(config(), &lookup);
    web.route("/start", Reply::redirect("/same"));
    web.route(
        "/same",
        Reply::redirect(&web.url_at("other.example", "/end")),
    );
    web.route("/end", Reply::text("x").etag("\"v\""));
    let start = url(&web.url("/start"));
    let request = FetchRequest {
        etag: Some("\"v\""),
        ..FetchRequest::new(&start, Want::Robots)
    };
    let followed = fetcher.fetch_following(&request).await.unwrap();
    assert_eq!(body_of(&followed.fetched), b"x");
    let sent: Vec<_> = web
        .log()
        .iter()
        .map(|request| request.header("if-none-match").map(str::to_owned))
        .collect();
    let tag = Some("\"v\"".to_owned());
    assert_eq!(sent, [tag.clone(), tag, None]);
}
