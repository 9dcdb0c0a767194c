//! A web made from a seed, and the servers that answer for it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use frontier::{Robots, RobotsFetch, RobotsVerdict, UrlKind, robots_from_fetch};
use types::{CanonicalUrl, HostKey, Timestamp};

use crate::url;

pub(crate) const AGENT: &str = "Gleaner";
pub(crate) const ATTEMPTS_MAX: u32 = 3;

/// SplitMix64: small, seeded, the same everywhere.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Behaviour {
    Page(Vec<CanonicalUrl>),
    Redirect(CanonicalUrl),
    NotFound,
    /// Fails this often, then is a page.
    Flaky(u32, Vec<CanonicalUrl>),
    /// Asks for a pause this often, then is a page.
    Throttling(u32, Option<Duration>, Vec<CanonicalUrl>),
    Broken,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Links(Vec<CanonicalUrl>),
    Redirect(CanonicalUrl),
    NotFound,
    ServerError,
    Throttled(Option<Duration>),
}

pub(crate) struct WorldHost {
    pub(crate) robots: RobotsFetch,
    pub(crate) latency_ms: u64,
    /// Never answers anything but robots.txt.
    pub(crate) dead: bool,
}

pub(crate) struct World {
    pub(crate) hosts: BTreeMap<HostKey, WorldHost>,
    pub(crate) urls: BTreeMap<CanonicalUrl, Behaviour>,
    pub(crate) seeds: Vec<(CanonicalUrl, UrlKind)>,
}

impl World {
    pub(crate) fn generate(dice: &mut Dice) -> World {
        let host_count = 2 + dice.below(4);
        let page_count = 10 + dice.below(50);
        let address = |host: u64, page: u64| {
            let path = match page % 7 {
                0 => format!("private/{page}"),
                _ => format!("page/{page}"),
            };
            url(&format!("http://host{host}.test/{path}"))
        };
        let mut world = World {
            hosts: BTreeMap::new(),
            urls: BTreeMap::new(),
            seeds: Vec::new(),
        };
        for host in 0..host_count {
            let robots = match dice.below(10) {
                0 => RobotsFetch::Status(404),
                1 => RobotsFetch::Status(503),
                2 => RobotsFetch::Unreachable,
                3 | 4 => RobotsFetch::Body(b"User-agent: *\nCrawl-delay: 2\nDisallow: /x".to_vec()),
                _ => RobotsFetch::Body(b"User-agent: *\nDisallow: /private/".to_vec()),
            };
            world.hosts.insert(
                address(host, 0).host_key(),
                WorldHost {
                    robots,
                    latency_ms: 1 + dice.below(1500),
                    dead: dice.one_in(12),
                },
            );
            for page in 0..page_count {
                let links: Vec<_> = (0..dice.below(8))
                    .map(|_| {
                        let target = if dice.one_in(4) {
                            dice.below(host_count)
                        } else {
                            host
                        };
                        address(target, dice.below(page_count + 2))
                    })
                    .collect();
                let behaviour = match dice.below(20) {
                    0 => Behaviour::Redirect(address(host, dice.below(page_count))),
                    1 => Behaviour::NotFound,
                    2 => Behaviour::Flaky(1 + dice.below(2) as u32, links),
                    3 => {
                        let after = (!dice.one_in(2)).then(|| Duration::from_secs(dice.below(20)));
                        Behaviour::Throttling(1, after, links)
                    }
                    4 => Behaviour::Broken,
                    _ => Behaviour::Page(links),
                };
                world.urls.insert(address(host, page), behaviour);
            }
            if host == 0 || dice.one_in(3) {
                world.seeds.push((address(host, 1), UrlKind::Page));
            }
            if dice.one_in(2) {
                let sitemap = url(&format!("http://host{host}.test/sitemap.xml"));
                let listed = (0..page_count).filter(|_| dice.one_in(2));
                let listed = listed.map(|page| address(host, page)).collect();
                world.urls.insert(sitemap.clone(), Behaviour::Page(listed));
                world.seeds.push((sitemap, UrlKind::Sitemap));
            }
        }
        world
    }

    pub(crate) fn verdict(&self, host: &HostKey) -> RobotsVerdict {
        robots_from_fetch(&self.hosts[host].robots, AGENT)
    }

    pub(crate) fn crawl_delay(&self, host: &HostKey) -> Option<Duration> {
        match self.verdict(host) {
            RobotsVerdict::Rules(robots) => robots.crawl_delay(),
            RobotsVerdict::Unreachable => None,
        }
    }

    pub(crate) fn allows(&self, url: &CanonicalUrl) -> bool {
        match self.verdict(&url.host_key()) {
            RobotsVerdict::Rules(robots) => Robots::allowed(&robots, url.path_and_query()),
            RobotsVerdict::Unreachable => false,
        }
    }

    /// How a URL must end if no breaker interferes: `class` and what it leads to.
    fn expected_end(&self, url: &CanonicalUrl) -> (&'static str, Vec<CanonicalUrl>) {
        let host = url.host_key();
        if matches!(self.verdict(&host), RobotsVerdict::Unreachable) {
            return ("robots_unreachable", Vec::new());
        }
        if !self.allows(url) {
            return ("robots", Vec::new());
        }
        if self.hosts[&host].dead {
            return ("server_error", Vec::new());
        }
        match self.urls.get(url) {
            None | Some(Behaviour::NotFound) => ("not_found", Vec::new()),
            Some(Behaviour::Broken) => ("server_error", Vec::new()),
            Some(Behaviour::Redirect(to)) => ("redirect", vec![to.clone()]),
            Some(
                Behaviour::Page(links)
                | Behaviour::Flaky(_, links)
                | Behaviour::Throttling(_, _, links),
            ) => ("stored", links.clone()),
        }
    }

    /// A plain walk: every URL a crawl must find, and how each must end.
    pub(crate) fn walk(&self) -> BTreeMap<CanonicalUrl, &'static str> {
        let mut ends = BTreeMap::new();
        let mut open: Vec<CanonicalUrl> = self.seeds.iter().map(|(url, _)| url.clone()).collect();
        while let Some(url) = open.pop() {
            if let Entry::Vacant(entry) = ends.entry(url) {
                let (end, links) = self.expected_end(entry.key());
                entry.insert(end);
                open.extend(links);
            }
        }
        ends
    }
}

/// What the servers saw. It outlives crashes of the crawler, but pace is judged
/// within one life of it: a new one cannot know of the last one's last request.
pub(crate) struct Servers<'w> {
    pub(crate) world: &'w World,
    asked: HashMap<CanonicalUrl, u32>,
    last_start: HashMap<HostKey, Timestamp>,
    open: HashMap<HostKey, u32>,
    robots_read: BTreeSet<HostKey>,
    pub(crate) requests: u64,
}

impl<'w> Servers<'w> {
    pub(crate) fn new(world: &'w World) -> Servers<'w> {
        Servers {
            world,
            asked: HashMap::new(),
            last_start: HashMap::new(),
            open: HashMap::new(),
            robots_read: BTreeSet::new(),
            requests: 0,
        }
    }

    pub(crate) fn crawler_restarts(&mut self) {
        self.last_start.clear();
        self.open.clear();
        self.robots_read.clear();
    }

    /// P1: not closer than the delay, not more than the concurrency.
    pub(crate) fn connect(&mut self, host: &HostKey, now: Timestamp, delay: Duration, most: u32) {
        self.requests += 1;
        let asked = self.world.crawl_delay(host);
        let delay = match asked.filter(|_| self.robots_read.contains(host)) {
            Some(crawl_delay) => delay.max(crawl_delay),
            None => delay,
        };
        if let Some(last) = self.last_start.insert(host.clone(), now) {
            let gap = now.since(last);
            assert!(
                gap >= delay,
                "P1: {host} asked again after {gap:?}, delay {delay:?}"
            );
        }
        let open = self.open.entry(host.clone()).or_insert(0);
        *open += 1;
        assert!(*open <= most, "P1: {open} requests in flight at {host}");
    }

    pub(crate) fn disconnect(&mut self, host: &HostKey) {
        *self.open.get_mut(host).expect("connected before") -= 1;
    }

    pub(crate) fn robots_read(&mut self, host: &HostKey) {
        self.robots_read.insert(host.clone());
    }

    /// P2: nothing disallowed is asked for.
    pub(crate) fn answer(&mut self, url: &CanonicalUrl) -> Reply {
        assert!(self.world.allows(url), "P2: {url} is disallowed");
        if self.world.hosts[&url.host_key()].dead {
            return Reply::ServerError;
        }
        let times = self.asked.entry(url.clone()).or_insert(0);
        *times += 1;
        match self.world.urls.get(url).unwrap_or(&Behaviour::NotFound) {
            Behaviour::NotFound => Reply::NotFound,
            Behaviour::Broken => Reply::ServerError,
            Behaviour::Redirect(to) => Reply::Redirect(to.clone()),
            Behaviour::Flaky(failures, _) if *times <= *failures => Reply::ServerError,
            Behaviour::Throttling(pauses, after, _) if *times <= *pauses => {
                Reply::Throttled(*after)
            }
            Behaviour::Page(links)
            | Behaviour::Flaky(_, links)
            | Behaviour::Throttling(_, _, links) => Reply::Links(links.clone()),
        }
    }
}
