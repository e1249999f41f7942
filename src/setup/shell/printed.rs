//! The output of `echo` and `printf`, if all shells print the same.

/// Maximum size of an output, in bytes.
const MAX_TEXT: usize = 64 << 10;

/// The output of `echo`. Only some shells have `-e`, and some replace a backslash even without it.
pub(super) fn echo(arguments: &[String], is_like_bash: bool) -> Option<String> {
    let is_option = |word: &&String| {
        word.strip_prefix('-')
            .is_some_and(|letters| !letters.is_empty() && letters.chars().all(|c| "neE".contains(c)))
    };
    let options: Vec<&String> = arguments.iter().take_while(is_option).collect();
    let has = |letter| options.iter().any(|word| word.contains(letter));
    let text = arguments.get(options.len()..)?.join(" ");
    let text = match (has('e'), has('E')) {
        (false, false) if !text.contains('\\') => text,
        (true, false) if is_like_bash => unescaped(&text)?,
        _ => return None,
    };
    Some(if has('n') { text } else { text + "\n" })
}

/// The output of `printf` with `%s`, `%d` and `%%`. The format is repeated as long as there are arguments.
pub(super) fn printf(arguments: &[String]) -> Option<String> {
    let arguments = match arguments.split_first()? {
        (first, rest) if first == "--" => rest,
        _ => arguments,
    };
    let (format, mut rest) = arguments.split_first()?;
    let format = unescaped(format).filter(|format| !format.starts_with('-'))?;
    let mut text = String::new();
    loop {
        let before = rest.len();
        let mut letters = format.chars();
        while let Some(letter) = letters.next() {
            if letter != '%' {
                text.push(letter);
                continue;
            }
            let value = rest.first().map_or("", String::as_str);
            match letters.next()? {
                '%' => {
                    text.push('%');
                    continue;
                }
                's' => text.push_str(value),
                'd' if !value.starts_with('0') => text.push_str(&value.parse::<u32>().ok()?.to_string()),
                _ => return None,
            }
            rest = rest.get(1..).unwrap_or_default();
        }
        if rest.is_empty() || rest.len() == before {
            return Some(text);
        }
        if text.len() > MAX_TEXT {
            return None;
        }
    }
}

/// A text with `\n`, `\t` and `\\` replaced; `None` if it has another escape.
fn unescaped(text: &str) -> Option<String> {
    let mut letters = text.chars();
    let mut new = String::new();
    while let Some(letter) = letters.next() {
        new.push(match letter {
            '\\' => match letters.next()? {
                'n' => '\n',
                't' => '\t',
                '\\' => '\\',
                _ => return None,
            },
            letter => letter,
        });
    }
    Some(new)
}
