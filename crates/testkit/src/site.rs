//! Sites made from a seed: the same seed gives the same bytes on every machine.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What to generate. Change fields of the default as needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebSpec {
    pub seed: u64,
    /// Pages with content of their own, the start page included; at least one.
    pub pages: usize,
    /// Extra random links per page, beside those that make every page reachable.
    pub links_per_page: usize,
    /// Paragraphs per page.
    pub paragraphs: usize,
    /// Further pages whose body is a byte-for-byte copy of another page's.
    pub duplicates: usize,
    /// Links to pages that do not exist, spread over the site.
    pub broken_links: usize,
    /// Every n-th page is in Persian; 0 for none.
    pub persian_every: usize,
}

impl Default for WebSpec {
    fn default() -> WebSpec {
        WebSpec {
            seed: 1,
            pages: 50,
            links_per_page: 5,
            paragraphs: 6,
            duplicates: 3,
            broken_links: 2,
            persian_every: 5,
        }
    }
}

/// A generated site. Every page can be reached from `/` by links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeneratedSite {
    /// Path to HTML.
    pub pages: BTreeMap<String, String>,
    /// (copy, original) paths.
    pub duplicates: Vec<(String, String)>,
    /// Linked paths that do not exist.
    pub broken: Vec<String>,
    /// (path, phrase) where the phrase stands on that page and its copies only.
    pub phrases: Vec<(String, String)>,
}

/// A site of `pages` pages with the default mix.
#[must_use]
pub fn generated_site(seed: u64, pages: usize) -> GeneratedSite {
    WebSpec {
        seed,
        pages,
        ..WebSpec::default()
    }
    .generate()
}

impl WebSpec {
    #[must_use]
    pub fn generate(&self) -> GeneratedSite {
        let mut random = Random(self.seed);
        let pages = self.pages.max(1);
        let links = self.links(&mut random, pages);
        let mut site = GeneratedSite {
            pages: BTreeMap::new(),
            duplicates: Vec::new(),
            broken: (0..self.broken_links)
                .map(|n| format!("/gone/{n}"))
                .collect(),
            phrases: Vec::new(),
        };
        for (number, targets) in links.iter().enumerate() {
            let phrase = phrase(&mut random, number);
            let html = self.page(&mut random, number, targets, &phrase);
            site.phrases.push((path_of(number), phrase));
            site.pages.insert(path_of(number), html);
        }
        for copy in 0..self.duplicates {
            let original = path_of(random.below(pages));
            let html = site.pages[&original].clone();
            let path = copy_path(copy);
            site.pages.insert(path.clone(), html);
            site.duplicates.push((path, original));
        }
        site
    }

    /// Link targets of each page. A tree makes every page reachable; copies
    /// and broken links hang on pages spread over the site.
    fn links(&self, random: &mut Random, pages: usize) -> Vec<Vec<String>> {
        let mut links = vec![Vec::new(); pages];
        for number in 1..pages {
            links[random.below(number)].push(path_of(number));
        }
        for targets in &mut links {
            for _ in 0..self.links_per_page {
                targets.push(path_of(random.below(pages)));
            }
        }
        for copy in 0..self.duplicates {
            links[random.below(pages)].push(copy_path(copy));
        }
        for broken in 0..self.broken_links {
            links[random.below(pages)].push(format!("/gone/{broken}"));
        }
        links
    }

    fn page(&self, random: &mut Random, number: usize, targets: &[String], phrase: &str) -> String {
        let persian =
            self.persian_every > 0 && number % self.persian_every == self.persian_every - 1;
        let (language, direction, words) = if persian {
            ("fa", "rtl", PERSIAN)
        } else {
            ("en", "ltr", ENGLISH)
        };
        let title = format!("{} {number}", words[random.below(words.len())]);
        let mut body = format!("<h1>{title}</h1>\n<p>{phrase}.</p>\n");
        for paragraph in 0..self.paragraphs {
            if paragraph % 3 == 1 {
                let _ = writeln!(body, "<h2>{}</h2>", sentence(random, words, 3));
            }
            let _ = writeln!(body, "<p>{}</p>", paragraph_of(random, words));
        }
        if number % 4 == 1 {
            body.push_str(&table(random, words));
        }
        if number % 4 == 2 {
            let lines = random.below(900);
            let _ = writeln!(
                body,
                "<pre><code>fn page_{number}() -&gt; u32 {{\n    {lines}\n}}</code></pre>"
            );
        }
        let mut navigation = String::new();
        for target in targets {
            let _ = writeln!(
                navigation,
                "<li><a href=\"{target}\">page {target}</a></li>"
            );
        }
        format!(
            "<!doctype html>\n<html lang=\"{language}\" dir=\"{direction}\">\n<head><meta charset=\"utf-8\">\
             <title>{title}</title></head>\n<body>\n<nav><ul>\n{navigation}</ul></nav>\n\
             <main><article>\n{body}</article></main>\n</body>\n</html>\n"
        )
    }
}

fn path_of(number: usize) -> String {
    if number == 0 {
        "/".to_owned()
    } else {
        format!("/pages/{number}")
    }
}

fn copy_path(copy: usize) -> String {
    format!("/copies/{copy}")
}

/// A phrase no other page has: two made-up words, the second spelling the page number.
fn phrase(random: &mut Random, number: usize) -> String {
    const SYLLABLES: [&str; 10] = ["ba", "de", "fi", "go", "hu", "ka", "le", "mi", "no", "ru"];
    let pick = |random: &mut Random| SYLLABLES[random.below(SYLLABLES.len())];
    let first: String = (0..3).map(|_| pick(random)).collect();
    let second: String = number
        .to_string()
        .bytes()
        .map(|digit| SYLLABLES[usize::from(digit - b'0')])
        .collect();
    format!("{first} zu{second}")
}

fn sentence(random: &mut Random, words: &[&str], length: usize) -> String {
    let picked: Vec<&str> = (0..length)
        .map(|_| words[random.below(words.len())])
        .collect();
    picked.join(" ")
}

fn paragraph_of(random: &mut Random, words: &[&str]) -> String {
    let mut text = String::new();
    for _ in 0..3 + random.below(4) {
        let length = 6 + random.below(12);
        text.push_str(&sentence(random, words, length));
        text.push_str(". ");
    }
    text.truncate(text.trim_end().len());
    text
}

fn table(random: &mut Random, words: &[&str]) -> String {
    let mut rows = String::new();
    for _ in 0..3 {
        let name = words[random.below(words.len())];
        let value = random.below(1000);
        let _ = writeln!(rows, "<tr><td>{name}</td><td>{value}</td></tr>");
    }
    format!("<table>\n{rows}</table>\n")
}

/// SplitMix64 (Steele, Lea, Flood 2014): tiny, and equal on every platform.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `limit`, which is not zero. The bias of the remainder does not matter here.
    fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).expect("bug: usize wider than 64 bits");
        usize::try_from(self.next() % limit).expect("bug: below a usize")
    }
}

const ENGLISH: &[&str] = &[
    "river", "stone", "harbour", "engine", "garden", "winter", "ledger", "signal", "copper",
    "meadow", "archive", "lantern", "market", "canal", "theory", "orchard", "bridge", "weather",
    "carries", "measures", "follows", "opens", "records", "between", "under", "slowly", "the", "a",
    "of", "and", "with", "after", "quiet", "early", "narrow", "bright", "older", "common",
];

const PERSIAN: &[&str] = &[
    "رودخانه",
    "سنگ",
    "بندر",
    "باغ",
    "زمستان",
    "دفتر",
    "نشانه",
    "بازار",
    "کتاب‌خانه",
    "پل",
    "می‌رود",
    "می‌نویسد",
    "اندازه",
    "آرام",
    "میان",
    "زیر",
    "و",
    "از",
    "با",
    "پس",
    "روشن",
    "کهن",
    "باریک",
    "هوا",
    "نظریه",
    "چراغ",
    "تاریخ",
    "شهر",
    "راه",
    "خانه‌ها",
];
