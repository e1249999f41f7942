//! Writes the man pages and shell completions: `cargo run --example manual`. The commands come from the source of the
//! command line, the configuration's keys from the schema's reference. A test compares the files in `packaging` with
//! these.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use clap::{Command, CommandFactory};
use clap_complete::{Shell, generate};
use tunwarden::config::REFERENCE;

/// Commands that administer the machine: their pages are in section 8. The others are in section 1.
const ADMINISTRATION: [&str; 10] =
    ["init", "agent", "lock", "release", "verify", "prove", "pause", "reload", "set", "hook"];

/// The files that most commands use.
const FILES: &str = "\
.SH FILES
.TP
\\fI/etc/tunwarden/config.toml\\fR
The configuration; see tunwarden.toml(5).
.TP
\\fI/var/lib/tunwarden\\fR
What was learned: VPN servers, their names, and the configuration that was in force last.
.TP
\\fI/run/tunwarden\\fR
What this boot needs: the rules that were applied last, locks, reports of hooks.
";

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
    let mut names = Vec::new();
    page_names(&command, "tunwarden", &mut names);
    pages(&command, "tunwarden", &names, &mut files)?;
    files.insert("packaging/man/tunwarden.toml.5".to_owned(), configuration().into_bytes());
    Ok(files)
}

/// The path of a command's page in the repository: `packaging/man/tunwarden-status.1`.
pub(crate) fn page_path(name: &str) -> String {
    format!("packaging/man/{name}.{}", section(name))
}

fn section(name: &str) -> &'static str {
    let verb = name.split('-').nth(1).unwrap_or_default();
    if ADMINISTRATION.contains(&verb) { "8" } else { "1" }
}

fn page_names(command: &Command, name: &str, names: &mut Vec<String>) {
    names.push(name.to_owned());
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        page_names(verb, &format!("{name}-{}", verb.get_name()), names);
    }
}

fn pages(
    command: &Command,
    name: &str,
    names: &[String],
    files: &mut BTreeMap<String, Vec<u8>>,
) -> Result<()> {
    let mut page = Vec::new();
    // clap needs a name with a static lifetime; there are few names.
    let title: &'static str = String::leak(name.to_owned());
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let titled = command.clone().name(title).display_name(title).after_help("").after_long_help("");
    clap_mangen::Man::new(titled).section(section(name)).date("").render(&mut page)?;
    let mut page = String::from_utf8(page)?;
    for other in names {
        // clap writes this page's own section after the name of every other page.
        let escaped = other.replace('-', "\\-");
        for wrong in ["1", "8"] {
            page = page
                .replace(&format!("\n{escaped}({wrong})\n"), &format!("\n{escaped}({})\n", section(other)));
        }
    }
    let (before, after) = page.split_once(".SH VERSION").context("a page without a version")?;
    let (examples, exit) = match help.split_once("\n\nExit: ") {
        Some((examples, exit)) => (examples, Some(exit.replace('\n', " "))),
        None => (help.as_str(), None),
    };
    let mut page = before.replace(".SH EXTRA\n", "");
    if let Some(examples) = examples.strip_prefix("Examples:\n") {
        page.push_str(&format!(".SH EXAMPLES\n.nf\n{}\n.fi\n", roff(examples)));
    }
    page.push_str(&exit_status(name, exit.as_deref()));
    page.push_str(FILES);
    page.push_str(&see_also(name, names));
    page.push_str(&format!(".SH VERSION{after}"));
    files.insert(page_path(name), page.into_bytes());
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        pages(verb, &format!("{name}-{}", verb.get_name()), names, files)?;
    }
    Ok(())
}

/// The last part of a page: what the command's help says about its exit status, and what all commands have in common.
fn exit_status(name: &str, of_command: Option<&str>) -> String {
    let text = match (name.split('-').nth(1), of_command) {
        (Some("hook"), _) => "Always 0: a hook that fails would end the VPN.".to_owned(),
        (Some("pause"), of_command) => of_command.unwrap_or("0 open; 1 not.").to_owned(),
        (_, of_command) => {
            let own = of_command.unwrap_or("0 if it worked; 1 if it did not.");
            format!("{own}\n.PP\n2 for a command line that is not understood.")
        }
    };
    let reference = "/usr/share/doc/tunwarden/reference.md has a table of all commands.";
    format!(
        ".SH \"EXIT STATUS\"\n{}\n.PP\n{reference}\n",
        text.split("\n.PP\n").map(roff).collect::<Vec<_>>().join("\n.PP\n")
    )
}

fn see_also(name: &str, names: &[String]) -> String {
    let others = names.iter().filter(|other| *other != name && other.matches('-').count() < 2);
    let others = others.map(|other| format!("\\fB{}\\fR({})", roff(other), section(other)));
    let others: Vec<String> = others.chain(["\\fBtunwarden.toml\\fR(5)".to_owned()]).collect();
    format!(".SH \"SEE ALSO\"\n{}\n", others.join(", "))
}

/// `tunwarden.toml(5)`.
fn configuration() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut page = format!(
        ".TH tunwarden.toml 5 \"\" \"tunwarden {version}\"\n.SH NAME\ntunwarden.toml \\- the configuration of \
         tunwarden\n.SH SYNOPSIS\n\\fI/etc/tunwarden/config.toml\\fR\n.SH DESCRIPTION\n\
         The file is TOML. Every key is optional, and an empty file is valid. A file with a fault, such as an unknown \
         key, is refused as a whole, with the line and a hint; the configuration that was in force last stays in \
         force. Without one the strictest rules apply: no tunnel, no server, no LAN and no container passes.\n.PP\n\
         \\fBtunwarden check\\fR explains what a file means. \\fBtunwarden reload\\fR puts it in force.\n"
    );
    for section in REFERENCE {
        page.push_str(&format!(".SH [{}]\n{}\n", section.name, roff(section.about)));
        for key in section.keys {
            page.push_str(&format!(".TP\n\\fB{}\\fR = \\fI{}\\fR\n", roff(key.name), roff(key.default)));
            page.push_str(&key.consequence.iter().map(|text| roff(text)).collect::<Vec<_>>().join("\n.IP\n"));
            page.push_str(&format!("\n.IP\nExample: \\f(CR{} = {}\\fR\n", roff(key.name), roff(key.example)));
        }
    }
    page.push_str(
        ".SH EXAMPLES\n.nf\n[tunnel]\ninterfaces = [\"tun+\", \"wg0\"]\n\n[input]\nallow = [{ protocol = ",
    );
    page.push_str("\"tcp\", ports = [22], from = \"192.168.0.0/16\" }]\n.fi\n");
    page.push_str(".SH FILES\n.TP\n\\fI/etc/tunwarden/config.toml\\fR\nThe file.\n.TP\n");
    page.push_str("\\fI/usr/share/doc/tunwarden/examples/config.toml\\fR\nEvery key with its default.\n");
    page.push_str(
        ".SH \"EXIT STATUS\"\n\\fBtunwarden check\\fR ends with 0, and with 2 if the file has faults.\n",
    );
    page.push_str(".SH \"SEE ALSO\"\n\\fBtunwarden\\fR(1), \\fBtunwarden\\-check\\fR(1), \\fBtunwarden\\-reload\\fR(8)\n");
    page
}

/// Text for a man page, escaped so that roff reads no request or escape in it.
fn roff(text: &str) -> String {
    let escaped = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    let guarded =
        escaped.lines().map(|line| if line.starts_with('.') { format!("\\&{line}") } else { line.into() });
    guarded.collect::<Vec<String>>().join("\n")
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
