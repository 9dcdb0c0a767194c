//! Words of grammar. They stay in the index, for phrases; a query scores them
//! low beside words that say what it is about.

/// Folded as the analyser folds, sorted by language for reading.
const ENGLISH: &[&str] = &[
    "a", "about", "an", "and", "any", "are", "as", "at", "be", "been", "but", "by", "can", "could",
    "did", "do", "does", "for", "from", "had", "has", "have", "how", "i", "if", "in", "into", "is",
    "it", "its", "may", "must", "my", "no", "not", "of", "on", "or", "should", "so", "such",
    "than", "that", "the", "their", "then", "there", "these", "they", "this", "to", "was", "we",
    "were", "what", "when", "where", "which", "who", "whose", "why", "will", "with", "would",
    "you", "your",
];
const PERSIAN: &[&str] = &[
    "و",
    "در",
    "به",
    "از",
    "که",
    "این",
    "را",
    "با",
    "است",
    "برای",
    "ان",
    "یک",
    "خود",
    "تا",
    "کرد",
    "بر",
    "هم",
    "نیز",
    "گفت",
    "می",
    "شود",
    "وی",
    "شد",
    "اما",
    "ما",
    "باید",
    "یا",
    "هر",
    "او",
    "پس",
    "اگر",
    "همه",
    "چه",
    "بین",
    "هیچ",
    "چیست",
    "کدام",
    "های",
    "ها",
    "بود",
    "اند",
    "کند",
    "چگونه",
    "ای",
];

pub(crate) fn is_stop_word(folded: &str) -> bool {
    folded.len() <= 12 && (ENGLISH.contains(&folded) || PERSIAN.contains(&folded))
}
