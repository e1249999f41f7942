//! Splits the text of an OpenVPN configuration into options, exactly as OpenVPN's own parser does
//! (`parse_line` and `check_inline_file` of its options.c). Pure. What the options mean is in `client`.
//!
//! No parser of another format is used: the quotes, the backslashes, the blocks and the limits are OpenVPN's
//! own. If the agent read a line differently, it would allow another server than the one that OpenVPN uses.

/// Maximum length of a line in bytes (`OPTION_LINE_SIZE`), and maximum number of words in it (`MAX_PARMS`).
const LONGEST_LINE: usize = 256;
const MAX_WORDS: usize = 16;

/// One option: the words of a line, and the block after it if the line is `<tag>`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// The line's number, from 1.
    pub(super) line: usize,
    /// The name first, without a leading `--`.
    pub(super) words: Vec<String>,
    /// The lines between `<tag>` and `</tag>`. The name is then the tag.
    pub(super) block: Option<&'a str>,
}

/// Why OpenVPN would not accept a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum LineError {
    #[error("it has more than {LONGEST_LINE} bytes")]
    TooLong,
    #[error("a backslash stands before a letter; OpenVPN wants two")]
    Backslash,
    #[error("a quote or a backslash at its end is not followed by anything")]
    Unfinished,
    #[error("its block has no end")]
    Endless,
}

/// The options of a text, in order. A line that OpenVPN would not accept is an error with its number.
pub(super) fn options(text: &str) -> impl Iterator<Item = Result<Line<'_>, (usize, LineError)>> {
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut line = 0;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            line += 1;
            let (own, after) = rest.split_once('\n').unwrap_or((rest, ""));
            rest = after;
            // OpenVPN reads lines as C strings, which end at a NUL.
            let own = own.split('\0').next().unwrap_or_default();
            let mut words = match words(own) {
                Ok(words) if words.is_empty() => continue,
                Ok(words) => words,
                Err(error) => return Some(Err((line, error))),
            };
            if let Some(bare) = words[0].strip_prefix("--").filter(|bare| !bare.is_empty()) {
                words[0] = bare.to_owned();
            }
            // `setenv opt X` stands for the option X. OpenVPN does not refuse it if it does not know X.
            if words.len() > 2 && words[0] == "setenv" && words[1] == "opt" {
                words.drain(..2);
            }
            let tag = words[0].strip_prefix('<').and_then(|tag| tag.strip_suffix('>')).map(ToOwned::to_owned);
            let (Some(tag), 1) = (tag, words.len()) else {
                return Some(Ok(Line { line, words, block: None }));
            };
            let began = line;
            let Some((block, after)) = cut_block(rest, &tag) else {
                // The block has no end, so the rest of the text is in it.
                rest = "";
                return Some(Err((began, LineError::Endless)));
            };
            line += block.matches('\n').count() + 1;
            rest = after;
            return Some(Ok(Line { line: began, words: vec![tag], block: Some(block) }));
        }
        None
    })
}

/// The text before the line that begins with `</tag>`, and the text after that line.
fn cut_block<'a>(text: &'a str, tag: &str) -> Option<(&'a str, &'a str)> {
    let end = format!("</{tag}>");
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let length = rest.find('\n').map_or(rest.len(), |newline| newline + 1);
        if rest.trim_start_matches(is_space).starts_with(&end) {
            return Some((&text[..at], &text[at + length..]));
        }
        at += length;
    }
    None
}

/// The position of the reader in a line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Between,
    Bare,
    Quoted,
    SingleQuoted,
}

fn words(line: &str) -> Result<Vec<String>, LineError> {
    let (mut words, mut word) = (Vec::new(), String::new());
    let (mut at, mut escaped) = (At::Between, false);
    // The end of the line ends a word, as a space does.
    for c in line.chars().map(Some).chain([None]) {
        if !escaped && c == Some('\\') && at != At::SingleQuoted {
            escaped = true;
            continue;
        }
        let space = c.is_none_or(is_space);
        let mut out = c;
        match (at, c) {
            (At::Between, _) if space => out = None,
            (At::Between, Some(';' | '#')) => break,
            (At::Between, Some('"')) if !escaped => (at, out) = (At::Quoted, None),
            (At::Between, Some('\'')) if !escaped => (at, out) = (At::SingleQuoted, None),
            (At::Between, _) => at = At::Bare,
            (At::Bare, _) if space && !escaped => {
                words.push(std::mem::take(&mut word));
                (at, out) = (At::Between, None);
            }
            (At::Quoted, Some('"')) if !escaped => {
                words.push(std::mem::take(&mut word));
                (at, out) = (At::Between, None);
            }
            (At::SingleQuoted, Some('\'')) => {
                words.push(std::mem::take(&mut word));
                (at, out) = (At::Between, None);
            }
            (At::Bare | At::Quoted | At::SingleQuoted, _) => {}
        }
        if escaped && out.is_some_and(|c| !(c == '\\' || c == '"' || is_space(c))) {
            return Err(LineError::Backslash);
        }
        escaped = false;
        word.extend(out);
        if words.len() == MAX_WORDS {
            break;
        }
    }
    if at != At::Between {
        return Err(LineError::Unfinished);
    }
    // A comment may be longer: it has no effect here, and OpenVPN refuses the whole file.
    if line.len() > LONGEST_LINE && !words.is_empty() { Err(LineError::TooLong) } else { Ok(words) }
}

/// C's `isspace`.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\u{b}' | '\u{c}' | '\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_openvpn_refuses_is_no_option() {
        for (line, error) in [
            (r"remote vpn\.example.net", LineError::Backslash),
            ("remote \"198.51.100.7", LineError::Unfinished),
            ("remote '198.51.100.7", LineError::Unfinished),
            (r#"remote "198.51.100.7\""#, LineError::Unfinished),
            ("<ca>\nremote 198.51.100.7", LineError::Endless),
            (&format!("remote 198.51.100.7 {}", "1".repeat(300)), LineError::TooLong),
        ] {
            assert_eq!(options(line).collect::<Vec<_>>(), [Err((1, error))], "{line:?}");
        }
    }

    #[test]
    fn words_are_quoted_escaped_and_commented_as_openvpn_does_it() {
        for (line, expected) in [
            ("", &[][..]),
            ("# remote x", &[]),
            ("  ; remote x", &[]),
            ("remote x # y", &["remote", "x"]),
            ("remote x#y;z", &["remote", "x#y;z"]),
            ("\tremote\u{b}x\r", &["remote", "x"]),
            (r#"a "b c" 'd "e\' f"#, &["a", "b c", r#"d "e\"#, "f"]),
            (r#"a "b \"c\" \\" d\ e"#, &["a", r#"b "c" \"#, "d e"]),
            (r#"a"b" c"#, &["a\"b\"", "c"]),
            (r#"a "" ''"#, &["a", "", ""]),
            ("a\0b c", &["a"]),
        ] {
            let line = line.split('\0').next().unwrap();
            assert_eq!(words(line).unwrap(), expected, "{line:?}");
        }
        let long = "# ".to_owned() + &"x".repeat(1000);
        assert_eq!(words(&long).unwrap(), [""; 0]);
    }

    #[test]
    fn blocks_are_one_option_with_their_text_and_lines_keep_their_numbers() {
        let text = "\u{feff}--dev tun\n<ca>\nremote 1.1.1.1\n</ca\n  </ca> more\n<tls-auth> 1\nport 1\n";
        let seen: Vec<_> = options(text).map(Result::unwrap).collect();
        let words: Vec<_> = seen.iter().map(|option| (option.line, option.words.join(" "))).collect();
        let expected = [(1, "dev tun"), (2, "ca"), (6, "<tls-auth> 1"), (7, "port 1")];
        assert_eq!(words, expected.map(|(line, words)| (line, words.to_owned())));
        assert_eq!(seen[1].block, Some("remote 1.1.1.1\n</ca\n"));
    }
}
