//! Suggestions for mistyped words, and text made safe to print.

/// Maximum number of characters of a file's word in a message.
const SHOWN: usize = 60;

/// The known word that is nearest to a mistyped one, if at most a third of its letters differ.
pub(super) fn nearest<'w>(word: &str, words: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    // The known words are short. The time for the distance is quadratic in the length.
    if word.len() > SHOWN {
        return None;
    }
    let word = word.to_lowercase();
    words
        .into_iter()
        .map(|other| (strsim::damerau_levenshtein(&word, other), other))
        .filter(|(distance, other)| *distance <= (other.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, other)| other)
}

/// "a", "a and b", "a, b and c". `last` is the word before the last element.
pub(super) fn listed<T: AsRef<str>>(words: &[T], last: &str) -> String {
    match words {
        [] => String::new(),
        [only] => only.as_ref().to_owned(),
        [most @ .., end] => {
            let most: Vec<&str> = most.iter().map(AsRef::as_ref).collect();
            format!("{} {last} {}", most.join(", "), end.as_ref())
        }
    }
}

/// The text with all control characters and invisible characters escaped.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if is_plain(c) { plain.push(c) } else { plain.extend(c.escape_unicode()) }
    }
    plain
}

/// Whether a character is neither a control character, nor invisible, nor changes the direction of text.
pub(crate) fn is_plain(c: char) -> bool {
    let hidden = matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}');
    !c.is_control() && !hidden
}

/// A word from the file for a message, at most [`SHOWN`] characters of it.
pub(super) fn shown(word: &str) -> String {
    match word.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &word[..end]),
        None => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_like_no_other_gets_no_suggestion() {
        assert_eq!(nearest("colour", ["interfaces", "allow"]), None);
        assert_eq!(nearest(&"x".repeat(100_000), ["allow"]), None);
        assert_eq!(nearest("interface", ["interfaces", "allow"]), Some("interfaces"));
        assert_eq!(nearest("AUTO", ["known", "any", "auto"]), Some("auto"));
    }

    #[test]
    fn a_list_reads_like_a_sentence() {
        assert_eq!(listed(&["a"], "or"), "a");
        assert_eq!(listed(&["a", "b", "c"], "and"), "a, b and c");
    }
}
