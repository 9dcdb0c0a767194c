//! What a person typed, as clauses. Every input is a query: syntax that does
//! not work out is read as plain words.

use crate::text::{Analyzer, Token};

/// Clauses of one query; a longer one is cut off.
const TERMS_MAX: usize = 64;
const QUERY_BYTES_MAX: usize = 4096;
/// A prefix of one letter would match half of the dictionary.
const PREFIX_CHARS_MIN: usize = 2;

/// Where a word has to occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    Anywhere,
    Title,
    Headings,
    Body,
    Url,
}

/// One scored word: any of its spellings counts as the word.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    /// Stems of the word in the languages of the index, best known first.
    pub spellings: Vec<String>,
    pub prefix: bool,
    pub scope: Scope,
    /// How often the query says it.
    pub count: u32,
    /// The whole of a compound, or a guessed joined spelling: helps a page
    /// that has it, is not missed on one that has the parts.
    pub optional: bool,
    /// Grammar rather than content: scored low beside other words.
    pub stop: bool,
}

/// Words that must follow each other: spelling alternatives at offsets.
#[derive(Clone, Debug, PartialEq)]
pub struct Phrase {
    pub scope: Scope,
    pub words: Vec<(u32, Vec<String>)>,
}

/// What a person typed, understood.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {
    pub terms: Vec<Term>,
    /// Each has to occur in a page.
    pub required: Vec<Phrase>,
    /// None may.
    pub excluded: Vec<Phrase>,
}

/// Parses `input`. `languages` are those of the indexed pages: a word is
/// looked for under its stem in each of them that shares its script.
pub(crate) fn parse(input: &str, languages: &[String], analyzer: &mut Analyzer) -> Query {
    let input = &input[..input.floor_char_boundary(QUERY_BYTES_MAX)];
    let mut query = Query::default();
    for clause in clauses(input) {
        let words = analyze_all(clause.text, languages, analyzer);
        if words.is_empty() {
            continue;
        }
        if clause.excluded {
            query.excluded.push(phrase(clause.scope, &words));
            continue;
        }
        if clause.quoted {
            query.required.push(phrase(clause.scope, &words));
        }
        add_terms(&mut query, &clause, words);
    }
    add_joined_spellings(input, languages, analyzer, &mut query);
    query.terms.truncate(TERMS_MAX);
    query.required.truncate(TERMS_MAX);
    query.excluded.truncate(TERMS_MAX);
    query
}

struct Clause<'a> {
    text: &'a str,
    scope: Scope,
    quoted: bool,
    excluded: bool,
    prefix: bool,
}

/// Splits at blanks and double quotes; a quote that is never closed is a blank.
fn clauses(input: &str) -> Vec<Clause<'_>> {
    let mut clauses = Vec::new();
    let mut rest = input;
    while clauses.len() < TERMS_MAX {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || is_quote(c));
        // A quote may open here, so take back what was trimmed right before.
        let trimmed_to = input.len() - rest.len();
        let opens_quote = input[..trimmed_to]
            .chars()
            .next_back()
            .is_some_and(is_quote);
        if rest.is_empty() {
            break;
        }
        if opens_quote && let Some(end) = rest.find(is_quote) {
            let excluded = starts_exclusion(&input[..trimmed_to]);
            clauses.push(Clause {
                text: &rest[..end],
                scope: scope_before_quote(&input[..trimmed_to]),
                quoted: true,
                excluded,
                prefix: false,
            });
            rest = rest[end..].trim_start_matches(is_quote);
            continue;
        }
        let end = rest
            .find(|c: char| c.is_whitespace() || is_quote(c))
            .unwrap_or(rest.len());
        let (word, tail) = rest.split_at(end);
        rest = tail;
        // `-"…"` and `title:"…"`: the quote's own turn handles them.
        let quote_follows =
            tail.starts_with(is_quote) && tail.trim_start_matches(is_quote).contains(is_quote);
        if quote_follows
            && (word == "-"
                || scope_of(word.trim_start_matches('-')).is_some_and(|(_, w)| w.is_empty()))
        {
            continue;
        }
        clauses.push(word_clause(word));
    }
    clauses
}

fn word_clause(word: &str) -> Clause<'_> {
    let (excluded, text) = match word.strip_prefix('-') {
        Some(text) if text.starts_with(char::is_alphanumeric) => (true, text),
        _ => (false, word),
    };
    let (scope, text) = match scope_of(text) {
        Some((scope, rest)) if !rest.is_empty() => (scope, rest),
        _ => (Scope::Anywhere, text),
    };
    let stem = text.strip_suffix('*');
    let prefix = stem.is_some_and(|stem| {
        stem.chars().filter(|c| c.is_alphanumeric()).count() >= PREFIX_CHARS_MIN
    });
    Clause {
        text: stem.filter(|_| prefix).unwrap_or(text),
        scope,
        quoted: false,
        excluded,
        prefix,
    }
}

fn scope_of(word: &str) -> Option<(Scope, &str)> {
    let (name, rest) = word.split_once(':')?;
    let scope = match name {
        "title" => Scope::Title,
        "heading" => Scope::Headings,
        "body" => Scope::Body,
        "url" => Scope::Url,
        _ => return None,
    };
    Some((scope, rest))
}

fn scope_before_quote(before: &str) -> Scope {
    let word = last_word_before_quote(before).trim_start_matches('-');
    match scope_of(word) {
        Some((scope, "")) => scope,
        _ => Scope::Anywhere,
    }
}

fn starts_exclusion(before: &str) -> bool {
    let word = last_word_before_quote(before);
    word == "-" || (word.starts_with('-') && matches!(scope_of(&word[1..]), Some((_, ""))))
}

fn last_word_before_quote(before: &str) -> &str {
    let before = before.trim_end_matches(is_quote);
    before
        .rsplit(char::is_whitespace)
        .next()
        .unwrap_or_default()
}

fn is_quote(c: char) -> bool {
    matches!(c, '"' | '“' | '”' | '„' | '«' | '»')
}

/// An analysed word of a clause.
struct Word {
    token: Token,
    /// Its stems in the languages of the index, the default's first.
    spellings: Vec<String>,
    /// Its letters, unstemmed.
    folded: String,
}

fn analyze_all(text: &str, languages: &[String], analyzer: &mut Analyzer) -> Vec<Word> {
    // ZWNJ reads as a blank in queries, so that both spellings mean the same.
    let text = text.replace(['\u{200c}', '\u{200b}'], " ");
    let mut words: Vec<Word> = Vec::new();
    for token in analyzer.analyze(&text, None) {
        let mut folded = String::new();
        crate::text::fold_word(&text[token.range.clone()], &mut folded);
        let spellings = vec![token.text.clone()];
        words.push(Word {
            token,
            spellings,
            folded,
        });
    }
    for language in languages {
        let other = analyzer.analyze(&text, Some(language));
        // The language changes stems only, never the number of tokens.
        for (word, token) in words.iter_mut().zip(other) {
            if !word.spellings.contains(&token.text) {
                word.spellings.push(token.text);
            }
        }
    }
    words
}

fn phrase(scope: Scope, words: &[Word]) -> Phrase {
    let parts = words.iter().filter(|word| !word.token.whole);
    Phrase {
        scope,
        words: parts
            .map(|word| (word.token.position, word.spellings.clone()))
            .collect(),
    }
}

fn add_terms(query: &mut Query, clause: &Clause<'_>, words: Vec<Word>) {
    let last = words.len() - 1;
    for (n, word) in words.into_iter().enumerate() {
        let mut term = Term {
            spellings: word.spellings,
            prefix: clause.prefix && n == last,
            scope: clause.scope,
            count: 1,
            optional: word.token.whole,
            stop: crate::text::is_stop_word(&word.folded),
        };
        // The typed letters, not their stem: `continuo*` must not ask for `continu*` alone.
        if term.prefix && !word.folded.is_empty() && !term.spellings.contains(&word.folded) {
            term.spellings.push(word.folded);
        }
        push_term(query, term);
    }
}

fn push_term(query: &mut Query, term: Term) {
    let same = |t: &&mut Term| {
        t.spellings == term.spellings && t.scope == term.scope && t.prefix == term.prefix
    };
    if let Some(known) = query.terms.iter_mut().find(same) {
        known.count += term.count;
    } else if query.terms.len() < TERMS_MAX {
        query.terms.push(term);
    }
}

/// Persian writes `می‌رود`, `می رود` and `میرود` for one word. Pages with the
/// first yield all three; for pages with the last, the parts of the query
/// are joined here when one of them is an affix.
fn add_joined_spellings(
    input: &str,
    languages: &[String],
    analyzer: &mut Analyzer,
    query: &mut Query,
) {
    let text = input.replace(['\u{200c}', '\u{200b}', '"', '«', '»'], " ");
    let words: Vec<&str> = text.split_whitespace().collect();
    for pair in words.windows(2) {
        if crate::text::is_persian_affix_pair(pair[0], pair[1]) {
            let joined = format!("{}{}", pair[0], pair[1]);
            for word in analyze_all(&joined, languages, analyzer) {
                if !word.token.whole {
                    push_term(
                        query,
                        Term {
                            spellings: word.spellings,
                            prefix: false,
                            scope: Scope::Anywhere,
                            count: 1,
                            optional: true,
                            stop: false,
                        },
                    );
                }
            }
        }
    }
}
