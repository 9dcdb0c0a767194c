//! The dashboard as a person uses it: clicked through in a real browser.

use serde_json::{Value, json};
use testkit::{FakeWeb, Gate, Reply};

use crate::http::Running;
use crate::support::{gleaner, page, paragraphs};
use crate::webdriver::Browser;

impl Running {
    fn url(&self, route: &str) -> String {
        format!("http://{}/#{route}", self.address)
    }
}

/// The view has come, and all of it: nothing is waited for any more.
const DRAWN: &str = "return find('main h1') && !document.querySelector('.loading, [aria-busy=true]') \
                     && !all('main .problem').length;";

#[track_caller]
fn open(browser: &Browser, server: &Running, route: &str) {
    browser.open(&server.url(route));
    browser.until(route, DRAWN, &[]);
}

#[track_caller]
fn check_console(browser: &Browser) {
    let errors = browser.console_errors();
    assert!(errors.is_empty(), "{errors:#?}");
}

fn harbour(tide: &str) -> Reply {
    let body = format!(
        "{}<p>High tide is at {tide} today.</p>",
        paragraphs("harbours")
    );
    page("The harbour", &body)
}

#[test]
fn a_site_is_added_watched_found_noted_and_compared() {
    let web = FakeWeb::start_blocking();
    let gate = Gate::new();
    let links = "<a href=/harbour>Harbour</a> <a href=/missing>Missing</a> <a href=/late>Late</a>";
    web.route(
        "/",
        page("Coast", &format!("{}{links}", paragraphs("coasts"))),
    );
    web.route("/harbour", harbour("07:15"));
    web.route(
        "/late",
        page("Lighthouse", &paragraphs("lighthouses")).gated(1 << 20, &gate),
    );
    let dir = tempfile::tempdir().expect("temp dir");
    let server = Running::serve(dir.path());
    let browser = Browser::start();

    open(&browser, &server, "/sources");
    browser.click("a", "Add a source");
    browser.write("Start URLs", &web.url("/"));
    browser.write("Name", "Coast guide");
    browser.click("button", "Add the source");

    // Live: one page is held back until the others have been seen here.
    browser.click("td a", "watch live");
    browser.element("h1", "Crawl");
    browser.element(".badge.running", "");
    browser.element(".bar-legend li", "2 added");
    browser.element(".bar-legend li", "1 queued");
    assert_eq!(browser.run("return all('.badge.completed').length", &[]), 0);
    gate.open_all();
    browser.element(".badge.completed", "");
    browser.element(".bar-legend li", "3 added");
    browser.element(".bar-legend li", "0 queued");
    browser.element("tbody tr", "/missing");

    // As one types, without a return.
    browser.click("nav a", "Search");
    browser.write("Search", "lighthouses");
    browser.element(".hit h2", "Lighthouse");
    browser.run(
        "document.querySelector('input[type=search]').select();",
        &[],
    );
    browser.write("Search", "tide");
    browser.element(".hit mark", "tide");
    browser.until("one hit", "return all('.hit').length === 1;", &[]);
    browser.click(".hit h2 a", "The harbour");
    browser.element("article p", "High tide is at 07:15 today.");

    browser.click(".summary-card button", "Summarise");
    browser.element(".summary-card p", "High tide is at 07:15 today.");
    browser.element(".summary-card .badge", "fallback");

    browser.click("[aria-label='Favorite: The harbour']", "");
    browser.write("Status", "to visit");
    browser.write("Tags", "sea, walks");
    browser.click(".check label", "Applied");
    browser.element(".note-state", "Saved.");
    const STARRED: &str = "return find('.star[aria-pressed=true]:not([aria-busy])');";
    browser.until("the star", STARRED, &[]);
    browser.reload();
    browser.until("the star", STARRED, &[]);
    for (label, expected) in [("Status", "to visit"), ("Tags", "sea, walks")] {
        let kept = "return field(arguments[0])?.value === arguments[1];";
        browser.until(label, kept, &[json!(label), json!(expected)]);
    }
    browser.click("nav a", "Pages");
    browser.element(".page-row .marks", "to visit");

    web.route("/harbour", harbour("19:45"));
    browser.click("nav a", "Sources");
    browser.click("td a", "Coast guide");
    browser.click("button", "Crawl now");
    browser.until(
        "a second crawl",
        "return all('tbody tr').filter((row) => row.querySelector('.badge.completed')).length === 2;",
        &[],
    );
    browser.click("nav a", "Search");
    browser.write("Search", "tide");
    browser.element(".snippet", "19:45");
    browser.click(".hit h2 a", "The harbour");
    browser.click("[role=tab]", "Versions (2)");
    browser.element(".line-of.added", "High tide is at 19:45 today.");
    browser.element(".line-of.removed", "High tide is at 07:15 today.");
    check_console(&browser);
    server.stop();
}

/// What strangers and other users write is shown as they wrote it.
#[test]
fn stored_markup_is_shown_as_text_and_runs_nowhere() {
    const SCRIPT: &str = "<script>window.ran=1</script>";
    const IMAGE: &str = "<img src=x onerror=window.ran=1>";
    let escaped = |text: &str| text.replace('<', "&lt;").replace('>', "&gt;");
    let dir = tempfile::tempdir().expect("temp dir");
    let web = FakeWeb::start_blocking();
    // As text that an author wrote, as markup, and as links.
    let body = format!(
        "{}<p>Tells of {} and of {}.</p><h2>{}</h2><pre><code>{}</code></pre>{SCRIPT}{IMAGE}\
         <p><a href=\"javascript:window.ran=1\">a trap to click</a> \
         <a href=\"data:text/html,{SCRIPT}\">another trap</a></p>\
         <svg onload=window.ran=1><script>window.ran=1</script></svg>",
        paragraphs("traps"),
        escaped(SCRIPT),
        escaped(IMAGE),
        escaped(IMAGE),
        escaped(SCRIPT),
    );
    web.route("/", page(&format!("Traps {}", escaped(SCRIPT)), &body));
    let server = Running::serve(dir.path());
    // Markdown that no extraction has looked at, and facts.
    let markdown = format!(
        "# Bait {IMAGE}\n\nBait with {SCRIPT} and [a trap to click](javascript:window.ran=1), \
         ![picture](javascript:window.ran=1), <javascript:window.ran=1>.\n\n{IMAGE}\n\n```\n{SCRIPT}\n```\n"
    );
    let line = json!({
        "url": "https://bait.example/", "title": format!("Bait {IMAGE}"), "markdown": markdown,
        "record": {"kind": "job", "name": format!("Baiter {IMAGE}"), "company": SCRIPT,
            "location": IMAGE, "skills": [SCRIPT]},
    });
    import(&server, &[line]);
    let notes = json!({"notes": SCRIPT, "status": IMAGE, "tags": [SCRIPT]});
    server
        .ask("PATCH", "/api/v2/pages/1/notes", &[], Some(&notes))
        .is(200);
    let source =
        json!({"urls": [web.url("/")], "name": format!("Traps {IMAGE}"), "crawl_now": true});
    let added = server.post("/api/v2/sources", &source).is(201).json();
    server.events(&format!("/api/v2/tasks/{}/events", added["task_id"]), None);

    let browser = Browser::start();
    let check = |route: &str, shown: &[&str]| {
        open(&browser, &server, route);
        for text in shown {
            browser.element("main", text);
        }
        let unsafe_ = "return all('main script, main img, main iframe, main svg[onload], \
             a[href^=\"javascript:\" i], a[href^=\"data:\" i]').length;";
        assert_eq!(browser.run(unsafe_, &[]), 0, "{route}");
        let traps = "for (const link of all('main *')) { if (words(link) === 'a trap to click') link.click(); }
             return window.ran ?? null;";
        assert_eq!(browser.run(traps, &[]), Value::Null, "{route}");
        check_console(&browser);
    };
    check("/sources", &[IMAGE]);
    check("/pages", &[SCRIPT, IMAGE]);
    check("/search?q=traps", &[SCRIPT]);
    check("/search?q=bait", &[IMAGE]);
    check("/records", &[SCRIPT, IMAGE]);
    check(
        "/records?company=%3Cimg%20src%3Dx%20onerror%3Dwindow.ran%3D1%3E",
        &["No record fits", IMAGE],
    );
    for id in [1, 2] {
        check(&format!("/pages/{id}"), &[SCRIPT, IMAGE, "a trap to click"]);
        browser.click("button", "Show Markdown");
        check(&format!("/pages/{id}?show=chunks"), &[SCRIPT]);
        check(&format!("/pages/{id}?show=links"), &[]);
    }
    server.stop();
}

#[test]
fn from_outside_one_signs_in_with_a_key_and_out_again() {
    let dir = tempfile::tempdir().expect("temp dir");
    let created = gleaner(
        dir.path(),
        &[
            "key", "create", "--name", "mine", "--scope", "admin", "--json",
        ],
    );
    let key = created.ok().json()["api_key"]
        .as_str()
        .expect("a key")
        .to_owned();
    let mut server = Running::start(dir.path(), &["serve", "--listen", "0.0.0.0:0"], "listening");
    server.address = server.address.replace("0.0.0.0", "127.0.0.1");
    let browser = Browser::start();

    browser.open(&server.url("/sources"));
    browser.element(".problem h2", "An API key is needed");
    browser.write("API key", "glnr_not_a_key");
    browser.click("button", "Use this key");
    browser.element("[role=alert] p", "there is no such API key");
    assert_eq!(browser.run("return all('.empty').length", &[]), 0);

    browser.write("API key", &key);
    browser.click("button", "Use this key");
    browser.element(".empty", "No sources yet");
    browser.reload();
    browser.element(".empty", "No sources yet");

    browser.click("nav a", "Settings");
    browser.click("button", "Forget it");
    browser.element("main", "Key of this tab");
    browser.click("nav a", "Sources");
    browser.element(".problem h2", "An API key is needed");
    server.stop();
}

/// Every route of the dashboard, read from it, each with the first of its kind.
fn routes(server: &Running) -> Vec<String> {
    let app = server.get("/assets/app.js").is(200).body;
    let routes: Vec<String> = app
        .lines()
        .filter_map(|line| {
            let (pattern, _) = line.trim().strip_prefix("[/^")?.split_once("$/")?;
            Some(pattern.replace("\\/", "/").replace("(\\d+)", "1"))
        })
        .collect();
    assert!(routes.len() > 15, "{routes:?}");
    assert!(
        routes.iter().all(|route| !route.contains(['\\', '('])),
        "{routes:?}"
    );
    routes
}

fn import(server: &Running, pages: &[Value]) {
    let lines: String = pages.iter().map(|page| format!("{page}\n")).collect();
    let path = "/api/v2/pages/bulk";
    let stored = server.ask_with("POST", path, &[], "application/x-ndjson", lines.as_bytes());
    assert_eq!(stored.is(200).json()["added"], pages.len());
}

/// Three jobs of two companies, a product and an article.
fn records() -> Vec<Value> {
    let record = |n: usize, name: &str, record: Value| {
        json!({
            "url": format!("https://records.example/{n}"), "title": name,
            "markdown": format!("# {name}\n\nAll about roses, number{n}."), "record": record,
        })
    };
    vec![
        record(
            1,
            "Gardener of roses",
            json!({"kind": "job", "company": "Thorn & Co", "location": "Utrecht, NL", "remote": false,
                "salary_min": 2400, "salary_max": 2800.5, "salary_currency": "EUR",
                "salary_period": "month", "skills": ["pruning", "soil", "patience"],
                "published_at": "2026-01-02T00:00:00Z", "expires_at": "2026-02-01T00:00:00Z"}),
        ),
        record(
            2,
            "باغبان گل سرخ",
            json!({"kind": "job", "company": "Thorn & Co", "remote": true}),
        ),
        record(
            3,
            "Keeper of a greenhouse",
            json!({"kind": "job", "company": "Glasshouse", "employment_type": "part_time"}),
        ),
        record(
            4,
            "Spade",
            json!({"kind": "product", "brand": "Fiskars", "price": 19.99, "currency": "EUR",
                "availability": "in_stock"}),
        ),
        record(
            5,
            "Rose of the year",
            json!({"kind": "news", "author": "Ada Keller", "published_at": "2026-03-01T00:00:00Z"}),
        ),
    ]
}

/// A server with one of everything.
fn furnished() -> (tempfile::TempDir, FakeWeb, Running) {
    let web = FakeWeb::start_blocking();
    let words = "unbreakable".repeat(30);
    let body = format!(
        "{}<p>{words}</p><a href=/missing>x</a>",
        paragraphs("gardens")
    );
    web.route(
        "/",
        page(
            "A garden with a rather long title that goes on and on",
            &body,
        ),
    );
    let dir = tempfile::tempdir().expect("temp dir");
    let server = Running::serve(dir.path());
    import(&server, &records());
    let rules = json!({"kind": "job", "fields": {"company": "h2.company"}});
    let add = json!({"urls": [web.url("/")], "crawl_now": true, "schedule": {"every_s": 86_400},
        "settings": {"record": rules}});
    let added = server.post("/api/v2/sources", &add).is(201).json();
    server.events(&format!("/api/v2/tasks/{}/events", added["task_id"]), None);
    let hook = json!({"url": web.url("/hook"), "events": ["crawl.finished"]});
    server.post("/api/v2/webhooks", &hook).is(201);
    let notes = json!({"favorite": true, "status": "read", "tags": ["green", "long ".repeat(10)]});
    server
        .ask("PATCH", "/api/v2/pages/1/notes", &[], Some(&notes))
        .is(200);
    (dir, web, server)
}

#[test]
fn every_view_is_sound_on_desks_and_phones_and_its_controls_have_names() {
    let (_dir, _web, server) = furnished();
    let browser = Browser::start();
    let mut routes = routes(&server);
    for more in [
        "/search?q=garden",
        "/records?kind=job&company=Glasshouse",
        "/pages/6",
        "/pages/1?show=chunks",
        "/pages/6?show=links",
        "/pages/1?show=versions",
    ] {
        routes.push(more.to_owned());
    }
    for route in &routes {
        browser.resize(1280, 900);
        open(&browser, &server, route);
        assert_eq!(
            browser.run("return all('h1').length", &[]),
            1,
            "headings of {route}"
        );
        check_console(&browser);
        // Folded parts count as well.
        let controls = browser.elements(
            "for (const part of document.querySelectorAll('details')) part.open = true;
             return all('a, button, input, select, textarea, summary, progress, [role=img], [role=tabpanel], [tabindex=\"0\"]');",
        );
        assert!(controls.len() > 6, "{route}");
        for control in &controls {
            if browser.name_of(control).trim().is_empty() {
                panic!("{route}: no name: {}", browser.html_of(control));
            }
        }
        browser.resize(360, 740);
        // Less than the window where a scrollbar takes room.
        let over = "const { scrollWidth, clientWidth } = document.documentElement; return scrollWidth - clientWidth;";
        assert_eq!(browser.run(over, &[]), 0, "pixels too wide: {route}");
    }
    server.stop();
}

#[test]
fn records_are_narrowed_down_and_the_address_keeps_how() {
    let dir = tempfile::tempdir().expect("temp dir");
    let server = Running::serve(dir.path());
    import(&server, &records());
    let browser = Browser::start();
    let shown = |expected: usize| {
        let what = format!("{expected} records");
        let count = "return all('.record').length === arguments[0] && !document.querySelector('[aria-busy=true]');";
        browser.until(&what, count, &[json!(expected)]);
    };
    let address = |expected: &str| {
        browser.until(
            expected,
            "return location.hash === arguments[0];",
            &[json!(expected)],
        );
    };

    open(&browser, &server, "/");
    browser.click("nav a", "Records");
    shown(5);
    browser.element(".record-figure", "€2,400.00 – €2,800.50 a month");
    browser.element(".record-figure", "€19.99");
    browser.element(".record-body[dir=rtl] h2", "باغبان");

    browser.click(".facet", "Thorn & Co");
    shown(2);
    address("#/records?company=Thorn+%26+Co");
    browser.reload();
    shown(2);
    browser.element(".facet[aria-pressed=true]", "Thorn & Co");
    browser.click(".facet", "Yes");
    shown(1);
    browser.click(".chip", "Thorn & Co");
    address("#/records?remote=true");
    shown(1);
    // What only jobs have does not narrow products.
    browser.click(".switch label", "Products");
    address("#/records?kind=product");
    shown(1);
    browser.element(".record h2", "Spade");
    browser.click(".switch label", "All");
    shown(5);

    browser.click("[aria-label='Favorite: Spade']", "");
    browser.until(
        "a star",
        "return find('.star[aria-pressed=true]:not([aria-busy])');",
        &[],
    );
    open(&browser, &server, "/records?favorite=true");
    shown(1);
    browser.element(".chip", "Favorites");

    open(&browser, &server, "/search?q=roses");
    browser.click(".facet", "Job");
    browser.until("three hits", "return all('.hit').length === 3;", &[]);
    address("#/search?q=roses&kind=job");
    check_console(&browser);

    browser.click(".hit h2 a", "Gardener of roses");
    browser.element("[aria-label=Record] dd", "Utrecht, NL");
    browser.click("[role=tab]", "Similar");
    browser.element("[role=tabpanel]", "No vectors yet");
    server.stop();
}

#[test]
fn rules_of_records_are_edited_and_mistakes_in_them_told() {
    let dir = tempfile::tempdir().expect("temp dir");
    let server = Running::serve(dir.path());
    server
        .post("/api/v2/sources", &json!({"urls": ["https://a.example/"]}))
        .is(201);
    let browser = Browser::start();
    open(&browser, &server, "/sources/1");
    browser.click("button", "Edit");
    browser.click("summary", "Record rules");
    let rules = |text: &str| {
        browser.run("field(arguments[0]).value = '';", &[json!(RULES)]);
        browser.write(RULES, text);
        browser.click("button", "Save");
    };
    const RULES: &str = "Where facts stand on its pages";
    rules("{");
    browser.element(".form-problem", "no JSON");
    rules(r#"{"kind": "job", "fields": {"pay": "b"}}"#);
    browser.element(".form-problem", "record rules: fields.pay: is no field");
    rules(r#"{"kind": "job", "fields": {"company": "h2.company"}}"#);
    browser.element(".toast", "Saved.");
    browser.click("summary", "Record rules");
    browser.element("[aria-label='Record rules']", "h2.company");
    let source = server.get("/api/v2/sources/1").is(200).json();
    assert_eq!(source["settings"]["record"]["kind"], "job", "{source}");
    server.stop();
}

#[test]
fn whether_a_source_is_summarised_is_chosen_and_kept() {
    let dir = tempfile::tempdir().expect("temp dir");
    let server = Running::serve(dir.path());
    let add = json!({"urls": ["https://a.example/"]});
    server.post("/api/v2/sources", &add).is(201);
    let browser = Browser::start();
    open(&browser, &server, "/sources/1");
    for choose in ["field('Summarise its pages').value = 'true';", ""] {
        browser.click("button", "Edit");
        browser.run(choose, &[]);
        browser.click("button", "Save");
        browser.element("dd", "After each crawl");
        let source = server.get("/api/v2/sources/1").is(200).json();
        assert_eq!(source["settings"], json!({"summarize": true}));
    }
    server.stop();
}
