//! The texts of the window of settings: each is used and there, fits its place, and has a key of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use tunwarden::notifier::{LANGUAGES, language_of_locale};

/// Texts with a key (Alt and the letter behind `_`), by the pages on which they are: the tabs are on each.
const TABS: [&str; 3] = ["tab-state", "tab-settings", "tab-blocked"];
const PAGES: [&[&str]; 2] = [
    &[
        "lan",
        "published",
        "reconnect",
        "vpns-all",
        "vpns-chosen",
        "protocol",
        "port",
        "from",
        "add",
        "apply",
        "undo",
    ],
    &["refresh"],
];

/// Texts that are sentences, which wrap.
const SENTENCES: [&str; 6] =
    ["-about", "window-verdict-", "window-wrong-", "window-opens", "window-saved", "window-changed"];

/// Maximum length of a sentence and of another text, in characters. `docs/translating.md` says where they come from.
const WIDEST: (usize, usize) = (160, 64);

type Languages = BTreeMap<String, BTreeMap<String, String>>;

fn languages() -> Result<Languages> {
    Ok(serde_json::from_str(include_str!("../../desktop/settings/texts.json"))?)
}

/// The source of the window.
#[expect(clippy::disallowed_methods, reason = "a test reads what ships")]
fn source() -> Result<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("desktop/settings");
    let mut source = String::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "py") {
            let text = std::fs::read_to_string(&path)?;
            let lines = text.lines().count();
            ensure!(lines <= 400, "{} has {lines} lines", path.display());
            source += &text;
        }
    }
    Ok(source)
}

#[test]
fn the_window_has_every_text_in_every_language_and_no_other() -> Result<()> {
    let (languages, source) = (languages()?, source()?);
    let wanted: BTreeSet<&str> = LANGUAGES.iter().map(|(tag, _)| language_of_locale(tag)).collect();
    ensure!(
        languages.keys().map(String::as_str).collect::<BTreeSet<_>>() == wanted,
        "{:?}",
        languages.keys()
    );
    let english = &languages["en"];
    for (language, texts) in &languages {
        ensure!(texts.keys().eq(english.keys()), "{language} has other texts than English");
    }
    let is_used = |key: &str| {
        let stem = key.rsplit_once('-').map_or("", |(stem, _)| stem);
        [format!("\"{key}\""), format!("\"{stem}-\""), format!("\"{stem}-{{")]
            .iter()
            .any(|text| source.contains(text))
    };
    let unused: Vec<_> = english.keys().filter(|key| key.starts_with("window-") && !is_used(key)).collect();
    ensure!(unused.is_empty(), "the window does not use {unused:?}");
    let literals = source.split('"').filter(|text| text.starts_with("window-") && !text.ends_with('-'));
    let asked: BTreeSet<&str> = literals.filter(|text| !text.contains('{')).collect();
    let missing: Vec<_> = asked.iter().filter(|key| !english.contains_key(**key)).collect();
    ensure!(missing.is_empty() && asked.len() > 30, "no text for {missing:?} of {}", asked.len());
    Ok(())
}

#[test]
fn each_text_of_a_page_has_a_key_of_its_own() -> Result<()> {
    for (language, texts) in languages()? {
        for page in PAGES {
            let mut taken = BTreeMap::new();
            for name in TABS.iter().chain(page) {
                let text = texts.get(&format!("window-{name}")).context(*name)?;
                let (_, rest) =
                    text.split_once('_').with_context(|| format!("{language}: {name} has no key"))?;
                let letter = rest.chars().next().context("_ at the end")?.to_lowercase().to_string();
                let other = taken.insert(letter.clone(), name);
                ensure!(other.is_none(), "{language}: {name} and {other:?} have the key {letter}");
            }
        }
    }
    Ok(())
}

#[test]
fn no_text_of_the_window_is_wider_than_its_place() -> Result<()> {
    for (language, texts) in languages()? {
        for (key, text) in texts.iter().filter(|(key, _)| key.starts_with("window-")) {
            let is_sentence = SENTENCES.iter().any(|part| key.contains(part));
            let widest = if is_sentence { WIDEST.0 } else { WIDEST.1 };
            let width = text.chars().count();
            ensure!(width <= widest, "{language}: {key} has {width} characters, and place for {widest}");
        }
    }
    Ok(())
}
