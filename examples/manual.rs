//! Writes the man pages and shell completions, from the command line's own source:
//! `cargo run --example manual`. What ships is in `packaging`; a test holds it against this.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use clap::{Command, CommandFactory};
use clap_complete::{Shell, generate};

/// Every file, by its path in the repository.
pub(crate) fn files() -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    let mut command = tunwarden::cli::Cli::command();
    for (shell, name) in
        [(Shell::Bash, "tunwarden.bash"), (Shell::Zsh, "_tunwarden"), (Shell::Fish, "tunwarden.fish")]
    {
        let mut text = Vec::new();
        generate(shell, &mut command, "tunwarden", &mut text);
        files.insert(format!("packaging/completions/{name}"), text);
    }
    let mut command = tunwarden::cli::Cli::command().disable_help_subcommand(true);
    command.build();
    pages(&command, "tunwarden", &mut files)?;
    Ok(files)
}

fn pages(command: &Command, name: &str, files: &mut BTreeMap<String, Vec<u8>>) -> Result<()> {
    let mut page = Vec::new();
    // clap wants names that live for ever; these few do.
    let title: &'static str = String::leak(name.to_owned());
    let titled = command.clone().name(title).display_name(title);
    clap_mangen::Man::new(titled).section("1").date("").render(&mut page)?;
    files.insert(format!("packaging/man/{name}.1"), page);
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        pages(verb, &format!("{name}-{}", verb.get_name()), files)?;
    }
    Ok(())
}

#[allow(dead_code, reason = "the test takes the files and writes none")]
#[expect(clippy::disallowed_methods, reason = "this program writes files")]
fn main() -> Result<()> {
    for (path, text) in files()? {
        if let Some(folder) = Path::new(&path).parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&path, text)?;
    }
    Ok(())
}
