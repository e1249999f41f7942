//! Splits a rule into words. iptables-save puts text with blanks in quotation marks.

/// The words; `None` if a quotation mark has no partner.
pub(super) fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut letters = text.chars();
    let mut word: Option<String> = None;
    while let Some(letter) = letters.next() {
        match letter {
            ' ' => words.extend(word.take()),
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next()? {
                        '"' => break,
                        '\\' => word.push(letters.next()?),
                        other => word.push(other),
                    }
                }
            }
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotations_are_one_word() {
        assert_eq!(
            words(r#"--comment "a \"b\" -j DROP" -j X"#).unwrap(),
            ["--comment", "a \"b\" -j DROP", "-j", "X"]
        );
        assert_eq!(words(r#""""#).unwrap(), [""]);
        assert!(words("\"open").is_none());
    }
}
