//! Preformatted text and its language.

use html5ever::local_name;

use crate::html::{Dom, NodeIndex, Tag};

/// Language names are short words.
const LANGUAGE_BYTES_MAX: usize = 24;

/// The text below a `<pre>`, untouched but for line ends at its very end.
pub(super) fn preformatted(dom: &Dom, pre: NodeIndex, removed: &[bool]) -> String {
    let mut code = String::new();
    let mut node = pre;
    while node < dom.end(pre) {
        if removed[node] || is_line_number(dom, node) {
            node = dom.end(node);
            continue;
        }
        match dom.tag(node) {
            Tag::Text => code.push_str(dom.text(node)),
            Tag::Br => code.push('\n'),
            _ => {}
        }
        node += 1;
    }
    code.truncate(code.trim_end_matches(['\n', '\r']).len());
    code
}

/// Line numbers put beside code by highlighters.
pub(super) fn is_line_number(dom: &Dom, node: NodeIndex) -> bool {
    dom.tag(node) != Tag::Text
        && dom
            .attribute(node, &local_name!("class"))
            .is_some_and(|class| {
                class.split_ascii_whitespace().any(|word| {
                    matches!(
                        word,
                        "linenos"
                            | "lineno"
                            | "line-number"
                            | "line-numbers-rows"
                            | "linenodiv"
                            | "gutter"
                            | "rouge-gutter"
                            | "blob-num"
                    )
                })
            })
}

/// Language from the usual class names of `<pre>`, its `<code>` or the boxes around it.
pub(super) fn language(dom: &Dom, pre: NodeIndex) -> String {
    let inner = dom.children(pre).find(|child| dom.tag(*child) == Tag::Code);
    let around = std::iter::successors(dom.parent(pre), |node| dom.parent(*node)).take(2);
    for node in inner.into_iter().chain([pre]).chain(around) {
        for name in [
            local_name!("class"),
            html5ever::LocalName::from("data-lang"),
        ] {
            let is_class = name == local_name!("class");
            let Some(value) = dom.attribute(node, &name) else {
                continue;
            };
            for word in value.split_ascii_whitespace() {
                let found = if is_class {
                    language_of_class(word)
                } else {
                    Some(word)
                };
                if let Some(language) = found.filter(|language| is_language(language)) {
                    return language.to_ascii_lowercase();
                }
            }
        }
    }
    String::new()
}

fn language_of_class(word: &str) -> Option<&str> {
    [
        "language-",
        "lang-",
        "highlight-source-",
        "highlight-",
        "brush:",
        "sourceCode-",
    ]
    .iter()
    .find_map(|prefix| word.strip_prefix(prefix))
}

fn is_language(word: &str) -> bool {
    !word.is_empty()
        && word.len() <= LANGUAGE_BYTES_MAX
        && !matches!(
            word,
            "default" | "none" | "text" | "plaintext" | "notranslate" | "source"
        )
        && word
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'#' | b'-' | b'.'))
}
