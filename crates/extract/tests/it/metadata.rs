use types::Timestamp;

use crate::page_of;

fn page(head: &str, body: &str) -> types::Page {
    let html =
        format!("<!doctype html><html lang=en><head>{head}</head><body>{body}</body></html>");
    page_of(html.as_bytes(), Some("text/html"))
}

#[test]
fn metas() {
    let page = page(
        "<title>Ignored | Site</title><meta property='og:title' content='Real title'>\
         <meta name=description content=' A  description '><meta name=author content='By Ann Author'>\
         <meta property='article:published_time' content='2024-01-02T03:04:05Z'>\
         <meta property='article:modified_time' content='2024-02-03'>\
         <meta name='twitter:card' content=summary>",
        "<p>Text.</p>",
    );
    assert_eq!(page.title, "Real title");
    assert_eq!(page.description.as_deref(), Some("A description"));
    assert_eq!(page.author.as_deref(), Some("Ann Author"));
    assert_eq!(page.published_at, Some(Timestamp(1_704_164_645_000)));
    assert_eq!(page.modified_at, Some(Timestamp(1_706_918_400_000)));
    assert_eq!(page.language.as_deref(), Some("en"));
    let names: Vec<_> = page
        .open_graph
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "og:title",
            "article:published_time",
            "article:modified_time",
            "twitter:card"
        ]
    );
}

#[test]
fn structured_data() {
    let page = page(
        "<title>Cake</title><script type='application/ld+json'>{\"@type\":\"Article\",\"headline\":\"Cake\",\
         \"author\":{\"name\":\"Bo\"},\"datePublished\":\"2020-05-06\"}</script>\
         <script type='application/ld+json'>{broken</script>",
        "<div itemscope itemtype='https://schema.org/Recipe'><span itemprop=name>Best cake</span>\
         <div itemprop=nutrition itemscope itemtype='https://schema.org/NutritionInformation'>\
         <meta itemprop=calories content='200'></div><i itemprop=step>Mix</i><i itemprop=step>Bake</i></div>",
    );
    assert_eq!(page.author.as_deref(), Some("Bo"));
    assert_eq!(page.published_at, Some(Timestamp(1_588_723_200_000)));
    assert_eq!(
        page.structured.as_deref(),
        Some(
            "[{\"@type\":\"Article\",\"headline\":\"Cake\",\"author\":{\"name\":\"Bo\"},\"datePublished\":\"2020-05-06\"},\
             {\"@type\":\"Recipe\",\"name\":\"Best cake\",\"nutrition\":{\"@type\":\"NutritionInformation\",\"calories\":\"200\"},\
             \"step\":[\"Mix\",\"Bake\"]}]"
        )
    );
}

#[test]
fn time_of_the_only_article() {
    let dated =
        "<article><h1>A</h1><time datetime='2021-03-04'>last week</time><p>Text.</p></article>";
    let expected = Some(Timestamp(1_614_816_000_000));
    assert_eq!(page("", dated).published_at, expected);
    assert_eq!(page("", &dated.repeat(2)).published_at, None);
}

#[test]
fn headers_count_too() {
    let url = crate::url();
    let tags = ["otherbot: noindex".to_owned(), "nofollow".to_owned()];
    let input = extract::ExtractInput {
        bytes: b"<p>x",
        content_type: None,
        url: &url,
        x_robots_tag: &tags,
        link_canonical: Some("/c"),
    };
    let found = extract::extract_links(&input, &extract::ExtractLimits::default());
    assert!(!found.directives.noindex && found.directives.nofollow);
    assert_eq!(found.canonical.as_deref(), Some("https://example.org/c"));
}
