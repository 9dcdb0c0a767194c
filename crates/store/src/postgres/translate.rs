//! The few words in which PostgreSQL's SQL differs from the one that the
//! operations are written in.
//!
//! | written | for PostgreSQL |
//! |---|---|
//! | `?1` | `$1` |
//! | `t INDEXED BY i` | `t`: its planner has statistics of its own |
//! | `a CROSS JOIN b ON …` | `a JOIN b ON …`: the same join, without a fixed order |
//! | `+column` | `column`, or `0 +column` of an id: a word to SQLite's planner, a sum to this one's |
//! | `ifnull`, `instr` | `coalesce`, `strpos` |
//! | `min`, `max` of two values | `CASE`: without a value when one is missing |
//! | `iif(c, a, b)` | `CASE WHEN c THEN a ELSE b END` |
//! | `json_each(a)` | `json_array_elements_text(CAST(a AS json))` |
//! | `LIKE` | `ILIKE`: SQLite's takes no notice of case |
//!
//! Texts in quotes stay as they are.

/// `sql` as PostgreSQL reads it.
pub(crate) fn translate(sql: &str) -> String {
    let mut translated = String::with_capacity(sql.len() + 16);
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let taken = match first {
            '\'' => {
                let end = quoted_end(rest);
                translated.push_str(&rest[..end]);
                end
            }
            '?' => {
                translated.push('$');
                1
            }
            '+' if is_hint(&translated, &rest[1..]) => {
                if names_an_id(&rest[1..]) {
                    translated.push_str("0 +");
                }
                1
            }
            c if is_word(c) => word(&mut translated, rest),
            c => {
                translated.push(c);
                c.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    translated
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// A plus that stands before a column with nothing to add it to.
fn is_hint(before: &str, after: &str) -> bool {
    let follows_a_gap = before.ends_with([' ', '(', '\n']);
    follows_a_gap && after.starts_with(|c: char| c.is_ascii_alphabetic())
}

fn names_an_id(sql: &str) -> bool {
    let end = sql.find(|c| !is_word(c) && c != '.').unwrap_or(sql.len());
    sql[..end].ends_with("_id")
}

/// Bytes of the text in quotes that `sql` begins with.
fn quoted_end(sql: &str) -> usize {
    // A doubled quote ends one text and begins the next at once.
    sql[1..].find('\'').map_or(sql.len(), |end| end + 2)
}

/// Translates the word that `sql` begins with, and what belongs to it; the
/// bytes it took.
fn word(translated: &mut String, sql: &str) -> usize {
    let end = sql.find(|c| !is_word(c)).unwrap_or(sql.len());
    let (word, rest) = sql.split_at(end);
    if let Some(arguments) = rest.strip_prefix('(').and_then(arguments) {
        let taken = end + 1 + arguments.iter().map(|a| a.len() + 1).sum::<usize>();
        let done = call(word, &arguments);
        if let Some(done) = done {
            translated.push_str(&done);
            return taken;
        }
    }
    match word {
        "INDEXED" => {
            let Some(index) = rest.strip_prefix(" BY ") else {
                translated.push_str(word);
                return end;
            };
            let index_end = index.find(|c| !is_word(c)).unwrap_or(index.len());
            // The space before it goes, too.
            if translated.ends_with(' ') {
                translated.pop();
            }
            end + " BY ".len() + index_end
        }
        "CROSS" if rest.starts_with(" JOIN") => end + 1,
        "LIKE" => {
            translated.push_str("ILIKE");
            end
        }
        _ => {
            translated.push_str(word);
            end
        }
    }
}

/// The arguments of a call whose opening bracket has been read; `None` when
/// the bracket is never closed.
fn arguments(sql: &str) -> Option<Vec<&str>> {
    let mut found = Vec::new();
    let (mut depth, mut start, mut at) = (0, 0, 0);
    while let Some(c) = sql[at..].chars().next() {
        match c {
            '\'' => {
                at += quoted_end(&sql[at..]);
                continue;
            }
            '(' => depth += 1,
            ')' if depth == 0 => {
                found.push(&sql[start..at]);
                return Some(found);
            }
            ')' => depth -= 1,
            ',' if depth == 0 => {
                found.push(&sql[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        at += c.len_utf8();
    }
    None
}

/// A call that PostgreSQL writes differently.
fn call(function: &str, arguments: &[&str]) -> Option<String> {
    let name = match (function, arguments.len()) {
        ("ifnull", 2) => "coalesce",
        ("instr", 2) => "strpos",
        // Nothing when either is, unlike `least` and `greatest`.
        ("min" | "max", 2) => {
            let [a, b] = [0, 1].map(|at| translate(arguments[at].trim()));
            let (first, second) = if function == "min" {
                ("<=", ">")
            } else {
                (">=", "<")
            };
            return Some(format!(
                "CASE WHEN {a} {first} {b} THEN {a} WHEN {a} {second} {b} THEN {b} END"
            ));
        }
        ("iif", 3) => {
            let [condition, yes, no] = [0, 1, 2].map(|at| translate(arguments[at].trim()));
            return Some(format!("CASE WHEN {condition} THEN {yes} ELSE {no} END"));
        }
        ("json_each", 1) => {
            let array = translate(arguments[0]);
            return Some(format!("json_array_elements_text(CAST({array} AS json))"));
        }
        _ => return None,
    };
    let arguments: Vec<String> = arguments.iter().map(|a| translate(a)).collect();
    Some(format!("{name}({})", arguments.join(",")))
}

#[cfg(test)]
mod tests {
    use super::translate;

    #[test]
    fn what_both_engines_share_stays() {
        for sql in [
            "SELECT max(id), min(x) FROM t WHERE a || 'it''s (?1, LIKE' = b + 1",
            "UPDATE t SET n = n +1 WHERE (a, b) > (x, y)",
        ] {
            assert_eq!(translate(sql), sql);
        }
    }

    #[test]
    fn what_only_sqlite_says_is_rewritten() {
        for (sql, expected) in [
            ("a = ?1 AND b = ?12", "a = $1 AND b = $12"),
            (
                "FROM pages p INDEXED BY pages_x WHERE +p.a = ?1 AND +p.b_id = 2",
                "FROM pages p WHERE p.a = $1 AND 0 +p.b_id = 2",
            ),
            ("a CROSS JOIN b ON c", "a JOIN b ON c"),
            (
                "max(a, ?1), max(c)",
                "CASE WHEN a >= $1 THEN a WHEN a < $1 THEN $1 END, max(c)",
            ),
            (
                "iif(EXISTS (SELECT 1, 2), ifnull(a, 'x,'), iif(?1, b, c))",
                "CASE WHEN EXISTS (SELECT 1, 2) THEN coalesce(a, 'x,') \
                 ELSE CASE WHEN $1 THEN b ELSE c END END",
            ),
            (
                "IN (SELECT value FROM json_each(?1))",
                "IN (SELECT value FROM json_array_elements_text(CAST($1 AS json)))",
            ),
            ("name LIKE ?1 ESCAPE '\\'", "name ILIKE $1 ESCAPE '\\'"),
        ] {
            assert_eq!(translate(sql), expected, "{sql}");
        }
    }
}
