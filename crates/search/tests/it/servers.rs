//! Engines on servers answer as the index files do: the same pages by the same
//! rules, from the same store.

use std::sync::Arc;

use search::engine::{Follower, KeywordEngine, VectorReader};
use search::{Filters, Mode, SearchRequest, Searcher};
use store::Store;
use types::Timestamp;

use crate::support::{TestPage, World, page, paths};

/// An engine, and the index files beside it.
pub(crate) struct Beside {
    pub(crate) world: World,
    pub(crate) engine: Arc<dyn KeywordEngine>,
    /// Those of a searcher.
    pub(crate) vectors: fn(&Store) -> Box<dyn VectorReader>,
    /// By how much of itself a score may differ.
    pub(crate) tolerance: f32,
}

impl Beside {
    pub(crate) fn store(&self) -> &Store {
        &self.world.store
    }

    /// Both the index files and the engine.
    pub(crate) fn sync(&self) {
        self.world.sync();
        let mut follower = Follower::new(self.engine.open_writer().unwrap());
        while follower.sync(self.store(), 1000).unwrap().more {}
        follower.close().unwrap();
    }

    pub(crate) fn searcher(&self) -> Searcher {
        let vectors = (self.vectors)(self.store());
        let keyword = self.engine.open().unwrap();
        Searcher::new(self.store().clone(), keyword, Some(vectors))
    }

    /// Asks both, which have to say the same.
    pub(crate) fn check(&self, request: &SearchRequest, vector: Option<&[f32]>) -> Vec<String> {
        let local = self.world.searcher().search(request, vector).unwrap();
        let server = self.searcher().search(request, vector).unwrap();
        let what = &request.query;
        assert_eq!(paths(&server), paths(&local), "{what}");
        assert_eq!(server.total, local.total, "{what}");
        assert_eq!(server.facets, local.facets, "{what}");
        for (server, local) in server.hits.iter().zip(&local.hits) {
            let [a, b] = [server, local].map(|hit| hit.scores.keyword.unwrap_or(0.0));
            assert!(
                (a - b).abs() < 1e-3 + b * self.tolerance,
                "{what}: {} has {a}, not {b}",
                server.url
            );
            assert_eq!(server.chunk, local.chunk, "{what}: {}", server.url);
            assert_eq!(server.snippet, local.snippet, "{what}: {}", server.url);
        }
        paths(&server)
    }

    pub(crate) fn paths(&self, query: &str) -> Vec<String> {
        self.check(&asked(query), None)
    }

    /// What the engine alone finds.
    pub(crate) fn found(&self, query: &str) -> Vec<String> {
        paths(&self.searcher().search(&asked(query), None).unwrap())
    }
}

pub(crate) fn asked(query: &str) -> SearchRequest {
    SearchRequest {
        query: query.to_owned(),
        limit: 50,
        ..SearchRequest::default()
    }
}

pub(crate) fn animals() -> Vec<TestPage> {
    let mut pages = vec![
        page(
            "/cats",
            "Cats at home",
            "A cat sleeps all day.\n\nCats hunt mice by night.",
        ),
        page(
            "/dogs",
            "Dogs",
            "A dog guards the house.\n\nThe dog and the cat are no friends.",
        ),
        page(
            "/mice",
            "Mice",
            "# Of small mice\n\nMice fear the cat, and the cat's shadow.",
        ),
        page(
            "/quote",
            "It's a 'quoted' \\ title",
            "O'Brien\\Smith wrote about pg_stat_activity.",
        ),
        page("/empty", "Nothing", "Lorem ipsum dolor sit amet."),
    ];
    pages[0].language = Some("en");
    pages[2].published_at = Some(Timestamp(1_600_000_000_000));
    pages[1].author = Some("Ada Lovelace");
    pages[1].structured = Some(r#"{"@type":"Article","author":{"name":"Ada"}}"#);
    pages
}

/// One of a few directions, with some noise.
pub(crate) fn vector(topic: usize, seed: usize) -> Vec<f32> {
    const DIMS: usize = 32;
    let noise = |n: usize| (((seed * 7919 + n * 104_729 + 13) % 1000) as f32 / 1000.0 - 0.5) * 0.4;
    let raw: Vec<f32> = (0..DIMS)
        .map(|n| f32::from(u8::from(n % 8 == topic % 8)) + noise(n))
        .collect();
    let length = raw.iter().map(|x| x * x).sum::<f32>().sqrt();
    raw.iter().map(|x| x / length).collect()
}

pub(crate) fn pages_rank_as_in_the_index_files(server: &Beside) {
    server.world.save(&animals());
    server.sync();
    for query in [
        "cat",
        "cats mice",
        "the cat",
        "\"small mice\"",
        "\"cat sleeps\" -dog",
        "-\"cat sleeps\" cat",
        "\"mice fear the cat\"",
        "title:dogs",
        "title:\"at home\" cat",
        "body:dog cat",
        "heading:small",
        "url:mice",
        "url:\"mice\"",
        "mic*",
        "title:do* mice",
        "pg_stat_activity",
        "\"pg_stat_activity\"",
        "stat",
        "o'brien",
        "quoted",
        "-cat dog",
        "zebra",
    ] {
        server.paths(query);
    }
    assert_eq!(server.paths("\"small mice\""), ["/mice"]);
    assert_eq!(server.paths("pg_stat_activity"), ["/quote"]);
    assert!(server.paths("zebra").is_empty());
}

pub(crate) fn filters_and_facets_hold(server: &Beside) {
    server.world.save(&animals());
    server.sync();
    for filter in [
        "host=site.example",
        "host=other.example",
        "path=/ca",
        "lang=en",
        "from=2020",
        "to=2019",
        "author=ada lovelace",
        "type=Article",
        "author.name=Ada",
        "source=1",
        "source=99",
        "price_min=3",
    ] {
        let request = SearchRequest {
            filters: Filters::parse(&[filter]).unwrap(),
            facets: vec!["lang", "author", "host"],
            ..asked("cat dog mice")
        };
        server.check(&request, None);
    }
}

pub(crate) fn persian_is_found_in_either_spelling(server: &Beside) {
    let mut pages = vec![
        page(
            "/fa",
            "کتاب‌های علی",
            "علی به کتابخانه می‌رود.\n\nکتاب‌ها روی میز است.",
        ),
        page("/other", "خانه", "این خانه بزرگ است و كتاب دارد."),
    ];
    for page in &mut pages {
        page.language = Some("fa");
    }
    server.world.save(&pages);
    server.sync();
    for query in ["کتاب", "كتاب", "کتاب ها", "می رود", "ميرود", "خانه‌ی بزرگ"]
    {
        assert!(!server.paths(query).is_empty(), "{query}");
    }
}

pub(crate) fn t1_what_other_tenants_have_shows_in_nothing(server: &Beside) {
    let other = server.store().create_tenant("other").unwrap().id;
    server.world.save(&animals());
    server.sync();
    let ask = |request: &SearchRequest| server.searcher().search(request, None).unwrap();
    let counted = SearchRequest {
        facets: vec!["host", "source"],
        ..asked("cat mice")
    };
    let alone = ask(&counted);
    let theirs: Vec<TestPage> = (0..40)
        .map(|n| {
            page(
                &format!("/t{n}"),
                "Mice",
                &format!("mice mice catalogue {n}"),
            )
        })
        .collect();
    server.world.save_as(other, &theirs);
    server.sync();
    let beside = ask(&counted);
    assert_eq!(alone.hits, beside.hits);
    assert_eq!(alone.facets, beside.facets);
    assert_eq!(alone.total, beside.total);
    // Nor what a prefix stands for.
    assert_eq!(ask(&asked("catalog*")).total, 0);
    let request = SearchRequest {
        tenant: other,
        ..asked("mice")
    };
    assert_eq!(ask(&request).total, 40);
}

pub(crate) fn deleted_and_changed_pages_leave_nothing_behind(server: &Beside) {
    server.world.save(&animals());
    server.sync();
    server.world.delete(&["https://site.example/cats"]);
    let mut changed = page("/dogs", "Wolves", "A wolf howls.");
    changed.language = Some("en");
    server.world.save(&[changed]);
    server.sync();
    // The statistics of the index files still count what is not merged away yet.
    assert_eq!(server.found("wolf"), ["/dogs"]);
    assert_eq!(server.found("cat"), ["/mice"]);
    assert!(server.found("guards").is_empty());
    let urls: Vec<String> = animals().iter().map(|page| page.url.clone()).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    server.world.delete(&urls);
    server.sync();
    assert_eq!(server.engine.open().unwrap().page_count().unwrap(), 0);
}

pub(crate) fn words_and_vectors_are_one_search(server: &Beside) {
    let pages: Vec<TestPage> = (0..120)
        .map(|n| page(&format!("/{n}"), &format!("Page {n}"), &format!("text {n}")))
        .collect();
    server.world.save(&pages);
    server.world.embed(32, |text| {
        let number: usize = text.rsplit(' ').next()?.parse().ok()?;
        Some(vector(number, number))
    });
    server.sync();
    let query = vector(3, 999);
    for mode in [Mode::Vector, Mode::Hybrid] {
        let request = SearchRequest {
            mode,
            limit: 10,
            facets: vec!["host"],
            ..asked("text 11")
        };
        server.check(&request, Some(&query));
        let filtered = SearchRequest {
            filters: Filters::parse(&["path=/1"]).unwrap(),
            ..request
        };
        server.check(&filtered, Some(&query));
    }
}

/// Tests of one engine; `$fresh` is something with a field `beside`.
macro_rules! suite {
    ($fresh:expr) => {
        crate::servers::suite!(
            $fresh,
            pages_rank_as_in_the_index_files,
            filters_and_facets_hold,
            persian_is_found_in_either_spelling,
            t1_what_other_tenants_have_shows_in_nothing,
            deleted_and_changed_pages_leave_nothing_behind,
            words_and_vectors_are_one_search
        );
    };
    ($fresh:expr, $($name:ident),*) => {
        $(
            #[test]
            fn $name() {
                crate::servers::$name(&$fresh.beside);
            }
        )*
    };
}
pub(crate) use suite;
