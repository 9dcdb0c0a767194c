//! Words whose full stop does not end a sentence.

/// What an abbreviation's full stop can mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Abbreviation {
    /// Always followed by what it belongs to: `Dr. Smith`, `e.g. this`.
    Joins,
    /// Joined to a following number only: `Fig. 3`, `No. 5`, `Jan. 2`.
    JoinsNumber,
    /// Ends a sentence when the next word could begin one: `Inc.`, `etc.`.
    MayEnd,
}

/// Looks up the word before a full stop, inner dots included, without the last one.
pub(crate) fn abbreviation(word: &str) -> Option<Abbreviation> {
    if word.len() > 12 || word.is_empty() {
        return None;
    }
    let mut lower = [0u8; 24];
    let mut len = 0;
    for c in word.chars().flat_map(char::to_lowercase) {
        let end = len + c.len_utf8();
        if end > lower.len() {
            return None;
        }
        c.encode_utf8(&mut lower[len..end]);
        len = end;
    }
    let lower = std::str::from_utf8(&lower[..len]).ok()?;
    if JOINS.contains(&lower) {
        Some(Abbreviation::Joins)
    } else if JOINS_NUMBER.contains(&lower) {
        Some(Abbreviation::JoinsNumber)
    } else if MAY_END.contains(&lower) {
        Some(Abbreviation::MayEnd)
    } else {
        None
    }
}

// Lower case. "no", "art" and the months are words too, so they join numbers only.
const JOINS: &[&str] = &[
    "dr", "mr", "mrs", "ms", "mx", "prof", "st", "rev", "hon", "pres", "gov", "sen", "rep", "gen",
    "col", "maj", "capt", "cpt", "lt", "sgt", "cmdr", "adm", "messrs", "mme", "mlle", "fr", "hr",
    "sra", "srta", "dra", "ing", "e.g", "i.e", "eg", "ie", "viz", "cf", "vs", "z.b", "d.h", "u.a",
    "o.ä", "bzw", "ca", "approx", "resp", "al", "incl", "excl", "esp", "p.ex", "mt", "ft", "nr",
    "sog", "vgl", "op.cit", "ر.ک", "نک", "رک",
];
const JOINS_NUMBER: &[&str] = &[
    "fig", "figs", "eq", "eqs", "sec", "sect", "ch", "chap", "no", "nos", "vol", "vols", "pp",
    "pg", "par", "para", "ref", "refs", "tab", "art", "ex", "ed", "eds", "jan", "feb", "mar",
    "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec", "abb", "abs", "bd", "kap",
    "str", "min", "max", "ver", "rel", "app", "núm", "pág",
];
const MAY_END: &[&str] = &[
    "inc", "ltd", "co", "corp", "llc", "bros", "jr", "sr", "etc", "a.m", "p.m", "am", "pm", "b.c",
    "a.d", "b.c.e", "c.e", "ph.d", "m.d", "b.a", "m.a", "b.sc", "m.sc", "usw", "dept", "univ",
    "assn", "ave", "blvd", "rd", "mfg", "est", "ext", "tel", "misc",
];
