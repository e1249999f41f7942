//! The package's files have every text in every language. All texts come from the one folder where translators write.

#[path = "../../examples/texts.rs"]
mod generator;

use anyhow::{Context, Result, ensure};
use std::path::Path;

use generator::Texts;
use tunwarden::notifier::{LANGUAGES, language_of_locale};

/// What the lines with texts begin with, in English.
const PLACES: [(&str, &[&str]); 5] = [
    ("dbus/org.tunwarden.agent1.policy", &["<description", "<message"]),
    ("desktop/org.tunwarden.tunwarden.metainfo.xml", &["<summary", "<p"]),
    ("desktop/org.tunwarden.tunwarden.desktop", &["GenericName", "Comment", "Keywords"]),
    ("desktop/tunwarden-notify.desktop", &["Comment"]),
    ("desktop/org.tunwarden.settings.desktop", &["Name", "Comment", "Keywords"]),
];

/// Maximum length of a text, in characters, for each end of its key. `docs/translating.md` says where the numbers come
/// from.
const WIDEST: [(&str, usize); 7] = [
    ("-generic", 40),
    ("-comment", 80),
    ("-summary", 80),
    ("-description", 70),
    ("-message", 120),
    ("-show", 30),
    ("-pause", 30),
];

#[expect(clippy::disallowed_methods, reason = "a test reads what ships")]
fn shipped(path: &str) -> Result<String> {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).with_context(|| path.to_owned())
}

#[test]
fn the_files_have_the_texts_of_every_language() -> Result<()> {
    let mut texts = Texts::read()?;
    for (path, text) in generator::files(&mut texts)? {
        let as_made = shipped(path)? == text;
        ensure!(as_made, "{path} does not match src/notifier/texts; run: cargo run --example texts");
    }
    ensure!(texts.unused().is_empty(), "no file has: {:?}", texts.unused());
    Ok(())
}

/// The same without the generator: counts the lines of the files themselves.
#[test]
fn each_place_of_a_file_is_in_each_language_once() -> Result<()> {
    for (path, places) in PLACES {
        let file = shipped(path)?;
        // The notes of releases are in English only.
        let file = file.split("<releases>").next().unwrap_or_default();
        for place in places {
            let count =
                |start: String| file.lines().filter(|line| line.trim_start().starts_with(&start)).count();
            let (english, xml) = match place.starts_with('<') {
                true => (count(format!("{place}>")), true),
                false => (count(format!("{place}=")), false),
            };
            ensure!(english > 0, "{path} has no {place}");
            for (tag, _) in &LANGUAGES[1..] {
                let language = language_of_locale(tag);
                let translated = match xml {
                    true => count(format!("{place} xml:lang=\"{language}\">")),
                    false => count(format!("{place}[{language}]=")),
                };
                ensure!(translated == english, "{path}: {place} in {language}: {translated} of {english}");
            }
        }
    }
    Ok(())
}

#[test]
fn no_text_of_a_file_is_wider_than_its_place() -> Result<()> {
    let mut count = 0;
    for (tag, texts) in LANGUAGES {
        for (key, text) in texts.lines().filter_map(|line| line.split_once(" = ")) {
            let is_of_file = key.starts_with("file-");
            let Some((_, widest)) = WIDEST.iter().find(|(end, _)| is_of_file && key.ends_with(end)) else {
                continue;
            };
            let width = text.chars().count();
            ensure!(width <= *widest, "{tag}.ftl: {key} has {width} characters, and place for {widest}");
            count += 1;
        }
    }
    ensure!(count >= 12 * LANGUAGES.len(), "only {count} texts were found");
    Ok(())
}
