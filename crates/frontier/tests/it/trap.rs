use frontier::{TrapGuard, TrapLimits, TrapReason};

use crate::url;

fn guard() -> TrapGuard {
    TrapGuard::new(TrapLimits::default())
}

/// Checks all, returns how many were admitted and the first refusal.
fn run(urls: impl IntoIterator<Item = String>) -> (usize, Option<TrapReason>) {
    let mut guard = guard();
    let mut admitted = 0;
    let mut first = None;
    for text in urls {
        match guard.check(&url(&text), 5) {
            None => admitted += 1,
            Some(reason) => first = first.or(Some(reason)),
        }
    }
    (admitted, first)
}

fn check_content(urls: impl IntoIterator<Item = String>) {
    let (_, first) = run(urls);
    assert_eq!(first, None);
}

#[test]
fn a_hundred_thousand_articles_pass() {
    check_content((0..100_000).map(|n| format!("http://a.org/news/{n}.html")));
}

/// A tenth of the default limits on sites of 10,000 pages, for time's sake.
#[test]
fn large_honest_sites_pass() {
    let limits = TrapLimits::default();
    let tenth = TrapLimits {
        variants_per_path_max: limits.variants_per_path_max / 10,
        numeric_variants_max: limits.numeric_variants_max / 10,
        ..limits
    };
    let sites: [fn(usize) -> String; 6] = [
        |n| format!("http://a.org/index.php?id={n}"),
        |n| {
            format!(
                "http://a.org/viewtopic.php?f={}&t={n}&start={}",
                n % 40,
                n % 5 * 20
            )
        },
        |n| format!("http://a.org/w/index.php?title=Page{n}x"),
        |n| {
            let (year, month, day) = (1950 + n % 100, n % 12 + 1, n % 28 + 1);
            format!("http://a.org/{year}/{month:02}/{day:02}/story-{n}")
        },
        |n| format!("http://a.org/doc?id=5f{n:06x}a1b2c3d4e5f60718"),
        |n| format!("http://a.org/list?page={n}"),
    ];
    for site in sites {
        let mut guard = TrapGuard::new(tenth);
        for n in 0..10_000 {
            let text = site(n);
            assert_eq!(guard.check(&url(&text), 5), None, "{text}");
        }
    }
}

#[test]
fn honest_archives_by_date_pass() {
    check_content((1995..=2026).flat_map(|year| {
        (1..=12).map(move |month| format!("http://a.org/archive/{year}/{month:02}"))
    }));
    // The Persian calendar.
    check_content((1380..=1405).flat_map(|year| {
        (1..=12).map(move |month| format!("http://a.org/calendar/{year}/{month}/15"))
    }));
}

fn check_calendar(of: impl Fn(u32, u32) -> String) {
    let month_from_2026 = |n: u32| of(2026 + n / 12, n % 12 + 1);
    let (admitted, first) = run((0..1_500).map(month_from_2026));
    assert_eq!(first, Some(TrapReason::Calendar), "{}", of(2031, 4));
    assert!(admitted >= 24 * 12, "{admitted} months of {}", of(2031, 4));
    assert!(admitted <= 60 * 12, "{admitted} months of {}", of(2031, 4));
}

#[test]
fn endless_calendars_end() {
    check_calendar(|y, m| format!("http://a.org/cal?year={y}&month={m}"));
    check_calendar(|y, m| format!("http://a.org/calendar/{y}/{m:02}"));
    check_calendar(|y, m| format!("http://a.org/calendar/{y}/{m:02}/01?view=day"));
    check_calendar(|y, m| format!("http://a.org/events/month/{y}-{m:02}"));
    check_calendar(|y, m| format!("http://a.org/x?date={y}-{m:02}-09"));
    let mut guard = guard();
    assert_eq!(
        guard.check(&url("http://a.org/cal?year=2090&month=3"), 2),
        Some(TrapReason::Calendar)
    );
    assert_eq!(
        guard.check(&url("http://a.org/part/2090/3"), 2),
        None,
        "no word of dates"
    );
}

#[test]
fn a_calendar_inside_its_years_is_bounded_too() {
    let days = (1900..=2050).flat_map(|y| {
        (1..=12).flat_map(move |m| {
            (1..=28).map(move |d| format!("http://a.org/agenda/{y}/{m:02}/{d:02}"))
        })
    });
    let limits = TrapLimits {
        calendar_variants_max: 500,
        ..TrapLimits::default()
    };
    let mut guard = TrapGuard::new(limits);
    let verdicts: Vec<_> = days
        .take(1_000)
        .map(|day| guard.check(&url(&day), 5))
        .collect();
    assert!(verdicts[..500].iter().all(Option::is_none));
    assert!(
        verdicts[500..]
            .iter()
            .all(|v| *v == Some(TrapReason::Calendar))
    );
}

#[test]
fn facets_explode_only_so_far() {
    let colours = [
        "red", "green", "blue", "black", "white", "pink", "grey", "tan", "teal", "gold",
    ];
    let urls = (0..4_000usize).map(|n| {
        let pick = |place: u32| colours[n / 10usize.pow(place) % 10];
        format!(
            "http://a.org/shop?a={}&b={}&c={}&d={}",
            pick(0),
            pick(1),
            pick(2),
            pick(3)
        )
    });
    assert_eq!(run(urls), (2_000, Some(TrapReason::QueryVariants)));
}

#[test]
fn another_path_has_its_own_variants() {
    let limits = TrapLimits {
        variants_per_path_max: 2,
        ..TrapLimits::default()
    };
    let mut guard = TrapGuard::new(limits);
    let mut check = |text: &str, expected| {
        assert_eq!(guard.check(&url(text), 1), expected, "{text}");
    };
    check("http://a.org/x?a=p&b=q&c=r", None);
    check("http://a.org/x?a=p&b=q&c=s", None);
    check(
        "http://a.org/x?a=p&b=q&c=t",
        Some(TrapReason::QueryVariants),
    );
    check("http://a.org/x?a=p&b=q&c=s", None);
    check("http://a.org/y?a=p&b=q&c=t", None);
    check("http://b.org/x?a=p&b=q&c=t", None);
    check("http://a.org/x", None);
    check("http://a.org/x?a=t", None);
}

#[test]
fn growing_and_repeating_paths() {
    let mut guard = guard();
    let mut check = |text: &str, expected| {
        assert_eq!(guard.check(&url(text), 1), expected, "{text}");
    };
    check("http://a.org/a/b/a/b/a/b/", None);
    check(
        "http://a.org/a/b/a/b/a/b/a/b/",
        Some(TrapReason::RepeatedSegments),
    );
    let deep = |n: usize| {
        let segments: Vec<String> = (0..n).map(|i| format!("s{i}")).collect();
        format!("http://a.org/{}", segments.join("/"))
    };
    check(&deep(24), None);
    check(&deep(25), Some(TrapReason::PathSegments));
    let params = |n: usize| {
        let params: Vec<String> = (0..n).map(|i| format!("p{i}=1")).collect();
        format!("http://a.org/?{}", params.join("&"))
    };
    check(&params(20), None);
    check(&params(21), Some(TrapReason::QueryParams));
}

fn token(n: u64) -> String {
    // Scattered by the golden ratio; looks like an id.
    let scattered = n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    format!(
        "{scattered:016x}{:016x}",
        scattered.rotate_left(29) ^ 0x5DEE_CE66
    )
}

#[test]
fn unknown_session_parameters_are_found_out() {
    // Every visit of each of 200 pages links to every page with a new token.
    let visits = (0..10_000u64).map(|n| format!("http://a.org/page{}?visit={}", n % 200, token(n)));
    let (admitted, first) = run(visits);
    assert_eq!(first, Some(TrapReason::SessionIds));
    assert!(admitted < 2_000, "{admitted}");
    // One token per page is a version or a content id.
    check_content((0..5_000u64).map(|n| format!("http://a.org/page{n}?visit={}", token(n))));
}

#[test]
fn numeric_variants_and_chains_are_bounded() {
    let limits = TrapLimits {
        numeric_variants_max: 100,
        chain_depth_max: 50,
        ..TrapLimits::default()
    };
    let mut guard = TrapGuard::new(limits);
    for n in 0..100 {
        assert_eq!(guard.check(&url(&format!("http://a.org/p/{n}")), 1), None);
    }
    let beyond = url("http://a.org/p/100");
    assert_eq!(guard.check(&beyond, 1), Some(TrapReason::NumericVariants));
    assert_eq!(
        guard.check(&url("http://a.org/q/1"), 51),
        Some(TrapReason::ChainDepth)
    );
    assert_eq!(guard.check(&url("http://a.org/q/words"), 51), None);
}

#[test]
fn the_admitted_stay_admitted_and_count_once() {
    let limits = TrapLimits {
        numeric_variants_max: 10,
        ..TrapLimits::default()
    };
    let urls: Vec<_> = (0..30)
        .map(|n| url(&format!("http://a.org/p/{n}?x={n}")))
        .collect();
    let mut guard = TrapGuard::new(limits);
    let first: Vec<_> = urls.iter().map(|url| guard.check(url, 3)).collect();
    assert_eq!(first.iter().filter(|verdict| verdict.is_none()).count(), 10);
    for _ in 0..20 {
        let again: Vec<_> = urls.iter().map(|url| guard.check(url, 7)).collect();
        assert_eq!(again, first);
    }
    let mut rebuilt = TrapGuard::new(limits);
    let replayed: Vec<_> = urls.iter().map(|url| rebuilt.check(url, 3)).collect();
    assert_eq!(replayed, first);
}

#[test]
fn small_memory_still_finds_the_trap() {
    let limits = TrapLimits {
        numeric_variants_max: 1_000,
        urls_tracked_max: 2_000,
        shapes_tracked_max: 500,
        ..TrapLimits::default()
    };
    let mut guard = TrapGuard::new(limits);
    let mut refused = 0;
    for n in 0..8_000u32 {
        // A shape of its own each, as slugs with a number have.
        let word: String = (0..8)
            .map(|i| char::from(b'a' + (n >> (2 * i) & 3) as u8))
            .collect();
        guard.check(&url(&format!("http://a.org/blog/{word}-1")), 1);
        refused += usize::from(
            guard
                .check(&url(&format!("http://a.org/p/{n}")), 1)
                .is_some(),
        );
    }
    assert!(refused >= 6_000, "{refused}");
}
