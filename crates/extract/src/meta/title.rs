//! A page's title, without the name of its site where that is certain.

use url::Url;

/// What may hold the title, best source first is decided here.
#[derive(Debug, Default)]
pub(crate) struct TitleSources<'a> {
    pub(crate) open_graph: Option<&'a str>,
    pub(crate) headline: Option<&'a str>,
    pub(crate) title_element: &'a str,
    pub(crate) first_heading: Option<&'a str>,
    pub(crate) site_name: Option<&'a str>,
}

const TITLE_BYTES_MAX: usize = 1_000;
const SEPARATORS: [&str; 10] = [
    " | ",
    " - ",
    " \u{2013} ",
    " \u{2014} ",
    " \u{B7} ",
    " \u{2022} ",
    " \u{BB} ",
    " :: ",
    " \u{AB} ",
    ": ",
];

pub(crate) fn title(sources: &TitleSources<'_>, url: &Url) -> String {
    let heading = sources.first_heading.map(fold).unwrap_or_default();
    let element = fold(sources.title_element);
    let open_graph = sources
        .open_graph
        .map(fold)
        .filter(|title| !title.is_empty());
    // A headline in structured data may belong to a teaser: believe it when
    // the page's own title repeats it.
    let headline = sources
        .headline
        .map(fold)
        .filter(|headline| element.is_empty() || key(&element).contains(&key(headline)));
    let chosen = [
        open_graph.unwrap_or_default(),
        headline.unwrap_or_default(),
        element,
    ]
    .into_iter()
    .find(|title| !title.is_empty());
    let title = match chosen {
        Some(title) => without_site(&title, &heading, sources.site_name, url),
        None => heading,
    };
    let cut = title.floor_char_boundary(TITLE_BYTES_MAX);
    title[..cut].trim().to_owned()
}

/// Cuts the site's name off either end when the rest is the page's heading, or
/// the part is the declared name of the site or its host.
fn without_site(title: &str, heading: &str, site_name: Option<&str>, url: &Url) -> String {
    let heading_key = key(heading);
    let site_key = site_name.map(key).unwrap_or_default();
    let host = url.host_str().unwrap_or_default();
    let host = key(host.strip_prefix("www.").unwrap_or(host));
    let is_site = |part: &str| {
        let part = key(part);
        !part.is_empty()
            && (part == site_key || (part.len() >= 4 && (host == part || host.starts_with(&part))))
    };
    for separator in SEPARATORS {
        for (at, _) in title.match_indices(separator) {
            let (start, end) = (&title[..at], &title[at + separator.len()..]);
            if !heading_key.is_empty() {
                if key(start) == heading_key {
                    return start.trim().to_owned();
                }
                if key(end) == heading_key {
                    return end.trim().to_owned();
                }
            }
        }
        if let Some((start, end)) = title.rsplit_once(separator)
            && is_site(end)
            && !key(start).is_empty()
        {
            return start.trim().to_owned();
        }
        if let Some((start, end)) = title.split_once(separator)
            && is_site(start)
            && !key(end).is_empty()
        {
            return end.trim().to_owned();
        }
    }
    title.to_owned()
}

fn fold(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Letters and digits, lower case: what two spellings of a title share.
fn key(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(element: &str, heading: &str, site: &str, expected: &str) {
        let sources = TitleSources {
            title_element: element,
            first_heading: Some(heading),
            site_name: Some(site),
            ..TitleSources::default()
        };
        let url = Url::parse("https://www.example-times.com/a").expect("valid test URL");
        assert_eq!(title(&sources, &url), expected, "{element}");
    }

    #[test]
    fn site_names_go_only_when_certain() {
        check("Big news | The Site", "Other", "The Site", "Big news");
        check("The Site: Big news", "Big  News", "", "Big news");
        check(
            "json \u{2014} JSON encoder \u{2014} Python docs",
            "json \u{2014} JSON encoder",
            "",
            "json \u{2014} JSON encoder",
        );
        check("Cats - a history", "Something", "", "Cats - a history");
        check("Big news - Example Times", "", "", "Big news");
        check("  SELECT\n ", "", "", "SELECT");
        check("", "Heading only", "", "Heading only");
        check("The Site", "", "The Site", "The Site");
    }
}
