//! Man pages and completions agree with the real command line, and every verb has its own page.

#[path = "../../examples/manual.rs"]
mod generator;

use anyhow::{Context, Result, ensure};
use clap::CommandFactory;
use std::path::Path;

#[test]
#[expect(clippy::disallowed_methods, reason = "a test reads what ships")]
fn man_pages_and_completions_agree_with_the_command_line() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = generator::files()?;
    for (path, text) in &files {
        let shipped = std::fs::read(root.join(path)).with_context(|| path.clone())?;
        ensure!(shipped == *text, "{path} does not match the source; run: cargo run --example manual");
    }
    for folder in ["packaging/man", "packaging/completions"] {
        for entry in std::fs::read_dir(root.join(folder))? {
            let path = format!("{folder}/{}", entry?.file_name().to_string_lossy());
            ensure!(files.contains_key(&path), "{path} belongs to no verb");
        }
    }
    Ok(())
}

#[test]
fn every_verb_has_a_page_an_example_and_a_place_in_each_completion() -> Result<()> {
    let files = generator::files()?;
    let command = tunwarden::cli::Cli::command();
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let name = verb.get_name();
        let page = files.get(&generator::page_path(&format!("tunwarden-{name}"))).context(name.to_owned())?;
        let page = String::from_utf8_lossy(page);
        for title in ["EXIT STATUS", "FILES", "SEE ALSO"] {
            ensure!(
                page.contains(&format!(".SH \"{title}\"")) || page.contains(&format!(".SH {title}")),
                "{name} lacks {title}"
            );
        }
        ensure!(verb.get_about().is_some(), "{name} has no description");
        let example = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
        ensure!(name == "hook" || example.contains("Examples:\n"), "{name} has no example");
        for shell in ["tunwarden.bash", "_tunwarden", "tunwarden.fish"] {
            let text = &files[&format!("packaging/completions/{shell}")];
            ensure!(String::from_utf8_lossy(text).contains(name), "{shell} lacks {name}");
        }
    }
    Ok(())
}

/// The words of a command line, as a shell reads single quotes.
fn words(line: &str) -> Vec<String> {
    let mut is_quoted = false;
    let between_words = |letter: char| {
        is_quoted ^= letter == '\'';
        letter.is_whitespace() && !is_quoted
    };
    line.split(between_words).filter(|word| !word.is_empty()).map(|word| word.replace('\'', "")).collect()
}

#[test]
fn every_example_is_a_valid_command_line() -> Result<()> {
    let command = tunwarden::cli::Cli::command();
    let helps = command.get_subcommands().chain([&command]).filter_map(|verb| verb.get_after_help());
    let mut count = 0;
    for help in helps {
        for line in help.to_string().lines().filter(|line| line.contains("tunwarden ")) {
            // The words up to a character of the shell or to a comment.
            let line = line.split("  ").find(|part| part.contains("tunwarden ")).unwrap_or(line);
            for part in line.split("&&").filter(|part| part.contains("tunwarden ")) {
                let part = part.trim().trim_start_matches("sudo ");
                let end = part.find(['|', '>', '&']).unwrap_or(part.len());
                if !part.starts_with("tunwarden ") {
                    continue;
                }
                let words = words(&part[..end]);
                let parsed = command.clone().try_get_matches_from(&words);
                ensure!(
                    parsed.is_ok(),
                    "{words:?}: {}",
                    parsed.err().map(|e| e.to_string()).unwrap_or_default()
                );
                count += 1;
            }
        }
    }
    ensure!(count >= 20, "only {count} examples were found");
    Ok(())
}
