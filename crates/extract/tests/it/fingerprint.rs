use types::simhash_distance;

use crate::html_page;

fn story(changes: &[(&str, &str)]) -> String {
    let mut text: String = (0..60)
        .map(|n| {
            format!(
                "In year {n} the river rose {} times, and the town moved house {n}. ",
                n * 7 % 13
            )
        })
        .collect();
    for (from, to) in changes {
        text = text.replacen(from, to, 1);
    }
    text
}

#[test]
fn layout_does_not_change_the_hash() {
    let text = story(&[]);
    let one = html_page(&format!("<p>{text}</p>"));
    let other = html_page(&format!(
        "<div class=x>\n\n <p> {} </p></div>",
        text.replace(' ', " \n ")
    ));
    assert_eq!(one.content_hash, other.content_hash);
    let composed = html_page(&format!("<p>caf\u{E9} {text}</p>"));
    let decomposed = html_page(&format!("<p>cafe\u{301} {text}</p>"));
    assert_eq!(composed.content_hash, decomposed.content_hash);
    let changed = html_page(&format!("<p>{}</p>", story(&[("river", "rivers")])));
    assert_ne!(one.content_hash, changed.content_hash);
}

#[test]
fn near_duplicates_are_near() {
    let simhash = |text: String| html_page(&format!("<p>{text}</p>")).simhash;
    let original = simhash(story(&[]));
    let edited = simhash(story(&[
        ("town moved", "village moved"),
        ("year 9", "year nine"),
    ]));
    let other: String = (0..60)
        .map(|n| {
            format!(
                "Chapter {n} tells how to bake bread number {} with rye, salt and patience. ",
                n * 5 % 17
            )
        })
        .collect();
    assert!(simhash_distance(original, edited) <= 8);
    assert!(simhash_distance(original, simhash(other)) >= 16);
    assert_eq!(simhash(String::new()), 0);
}
