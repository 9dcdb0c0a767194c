//! A line diff: `similar` finds the changes, this shows them in context.

use similar::{ChangeTag, TextDiff};

/// One line of a diff: ` ` the same, `-` removed, `+` added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub op: char,
    pub text: String,
}

/// What is shown of a diff: changed lines with their neighbours.
#[derive(Debug, PartialEq, Eq)]
pub enum Shown<'a> {
    Line(&'a Change),
    Gap(usize),
}

pub fn lines(old: &str, new: &str) -> Vec<Change> {
    TextDiff::from_lines(old, new)
        .iter_all_changes()
        .map(|change| Change {
            op: match change.tag() {
                ChangeTag::Equal => ' ',
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
            },
            text: change.value().trim_end_matches('\n').to_owned(),
        })
        .collect()
}

pub fn with_context(changes: &[Change], context: usize) -> Vec<Shown<'_>> {
    let mut keep = vec![false; changes.len()];
    for (at, change) in changes.iter().enumerate() {
        if change.op != ' ' {
            let end = (at + context + 1).min(changes.len());
            keep[at.saturating_sub(context)..end].fill(true);
        }
    }
    let mut shown = Vec::new();
    let mut gap = 0;
    for (change, keep) in changes.iter().zip(keep) {
        if keep {
            if gap > 0 {
                shown.push(Shown::Gap(std::mem::take(&mut gap)));
            }
            shown.push(Shown::Line(change));
        } else {
            gap += 1;
        }
    }
    if gap > 0 {
        shown.push(Shown::Gap(gap));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_keep_their_neighbours() {
        let old = "a\nb\nc\nd\ne\nf\n";
        let new = "a\nb\nc\nX\ne\nf\n";
        let changes = lines(old, new);
        let shown = with_context(&changes, 1);
        let text: Vec<String> = shown
            .iter()
            .map(|shown| match shown {
                Shown::Line(change) => format!("{}{}", change.op, change.text),
                Shown::Gap(lines) => format!("({lines})"),
            })
            .collect();
        assert_eq!(text, ["(2)", " c", "-d", "+X", " e", "(1)"]);
    }

    #[test]
    fn equal_texts_show_one_gap() {
        let changes = lines("a\nb\n", "a\nb\n");
        assert_eq!(with_context(&changes, 3), [Shown::Gap(2)]);
    }
}
