//! Quoting text of strangers in a prompt.

/// A number that is in none of the texts, to be the end of their quotation: it
/// is made from all of them, so a text that held it would have to hold its own
/// hash.
pub fn mark_for(texts: &[&str]) -> String {
    let mut round = 0u32;
    loop {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&round.to_le_bytes());
        for text in texts {
            let bytes = text.len() as u64;
            hasher.update(&bytes.to_le_bytes()).update(text.as_bytes());
        }
        let mark = hasher.finalize().to_hex()[..12].to_owned();
        if !texts.iter().any(|text| text.contains(&mark)) {
            return mark;
        }
        round += 1;
    }
}

/// The text without characters that readers do not see and models do: control
/// characters, marks of direction, tags of Unicode. Joiners belong to Persian.
pub fn visible(text: &str) -> String {
    let is_hidden = |c: char| {
        let is_kept = matches!(c, '\n' | '\t' | '\u{200c}' | '\u{200d}');
        let is_format = matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fe00}'..='\u{fe0f}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}');
        !is_kept && (c.is_control() || is_format)
    };
    text.chars().filter(|c| !is_hidden(*c)).collect()
}
