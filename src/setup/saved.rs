//! The text that `iptables-save` prints and `iptables-restore` reads. People also write such files by hand.

use super::command::{Action, Command, command};
use super::rule::Target;
use crate::net::Family;
use crate::net::Services;

/// Maximum number of lines that are read.
const MAX_LINES: usize = 20_000;

/// Options whose value is a text, which may look like an option.
const TEXTS: [&str; 3] = ["--comment", "--log-prefix", "--nflog-prefix"];

/// A line of a restore text.
pub(super) struct Line {
    pub(super) number: usize,
    pub(super) text: String,
    pub(super) words: Vec<String>,
    pub(super) command: Result<Command, String>,
}

/// What a line `*TABLE` does to the existing rules of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    /// It flushes them.
    Flushed,
    /// It keeps them, as with `--noflush`. A line `:NAME -` flushes one chain.
    Kept,
    /// Nothing: the text is only read.
    Dumped,
}

/// Whether a text is input for `iptables-restore` and not a script.
pub(super) fn is_saved(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.next().is_some_and(|line| {
        line.strip_prefix('*').is_some_and(|table| table.chars().all(|c| c.is_ascii_alphanumeric()))
    })
}

/// The family of an `iptables-save` text, guessed from its content.
pub(super) fn family(text: &str) -> Family {
    let six = text.contains("ip6tables") || text.contains("icmp6") || text.contains("ipv6-icmp");
    if six { Family::V6 } else { Family::V4 }
}

/// The commands of a restore text.
pub(super) fn lines(family: Family, text: &str, services: &Services, before: Before) -> Vec<Line> {
    let mut table = String::new();
    let mut lines = Vec::new();
    let mut commits = commits(text).into_iter();
    let mut is_committed = true;
    for (number, line) in text.lines().enumerate().take(MAX_LINES) {
        let line = line.trim();
        let command = match line.chars().next() {
            None | Some('#') => continue,
            Some('*') => {
                table = line.get(1..).unwrap_or_default().to_owned();
                is_committed = commits.next().unwrap_or_default();
                if !is_committed {
                    continue;
                }
                if before != Before::Flushed {
                    continue;
                }
                Ok(Command { table: String::new(), action: Action::Flush(None) })
            }
            Some(_) if !is_committed => {
                Err("no COMMIT stands after it, so `iptables-restore` restores nothing of this table"
                    .to_owned())
            }
            Some(_) if is_of_other(family, line) => Err(format!(
                "it is for {} alone, so this call of `iptables-restore` skips it",
                other_name(family)
            )),
            Some(':') => chain(line.get(1..).unwrap_or_default()),
            Some('C') if line == "COMMIT" => continue,
            Some(_) => command(family, &words(line), services),
        };
        // A rule that is not restored refuses nothing.
        let is_restored = is_committed && !is_of_other(family, line);
        let words = if is_restored { words(line) } else { Vec::new() };
        let in_table = |command: Command| Command { table: table.clone(), ..command };
        let text: String = line.chars().filter(|c| !c.is_control()).take(200).collect();
        if before == Before::Kept
            && let Ok(Command { action: Action::NewChain(name), .. }) = &command
        {
            let flush = Command { table: table.clone(), action: Action::Flush(Some(name.clone())) };
            let (text, words) = (text.clone(), Vec::new());
            lines.push(Line { number: number + 1, text, words, command: Ok(flush) });
        }
        lines.push(Line { number: number + 1, text, words, command: command.map(in_table) });
    }
    lines
}

/// Whether a line has the option `-4` or `-6` of the other family. One file may be used for both programs.
fn is_of_other(family: Family, line: &str) -> bool {
    let other = match family {
        Family::V4 => ["-6", "--ipv6"],
        Family::V6 => ["-4", "--ipv4"],
    };
    let words = words(line);
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        if other.contains(&word) {
            return !line.starts_with(':');
        }
        if TEXTS.contains(&word) {
            let _text = words.next();
        }
    }
    false
}

const fn other_name(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv6",
        Family::V6 => "IPv4",
    }
}

/// For each table of the text, whether it has a COMMIT.
fn commits(text: &str) -> Vec<bool> {
    let mut commits = Vec::new();
    for line in text.lines().map(str::trim) {
        match line {
            "COMMIT" => commits.last_mut().into_iter().for_each(|is_committed| *is_committed = true),
            _ if line.starts_with('*') => commits.push(false),
            _ => {}
        }
    }
    commits
}

/// `:NAME POLICY [0:0]`
fn chain(line: &str) -> Result<Command, String> {
    let mut words = line.split_whitespace();
    let (Some(name), Some(policy)) = (words.next(), words.next()) else {
        return Err("it does not name a chain and its policy".to_owned());
    };
    let action = match policy {
        "-" => Action::NewChain(name.to_owned()),
        policy => Action::Policy(name.to_owned(), Target::named(policy)),
    };
    Ok(Command { table: String::new(), action })
}

/// Splits a line at spaces. Text in double quotes is one word.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '\\' if quoted => word.get_or_insert_default().extend(chars.next()),
            c if c.is_whitespace() && !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}
