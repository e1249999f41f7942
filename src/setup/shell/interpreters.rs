//! Scripts for other interpreters than shells of the POSIX family. They are not read, but their lines about a firewall
//! are listed.

use super::shells::is_shell;
use super::{MAX_UNREAD, Reading, Unread};

/// Shells of the POSIX family in addition to those for which [`is_shell`] is true.
const OTHER_SHELLS: [&str; 7] = ["mksh", "lksh", "posh", "yash", "rbash", "ksh93", "busybox"];

/// Programs that change a firewall, as a script of any language names them.
const FIREWALL: [&str; 8] =
    ["iptables", "ip6tables", "iptc", "nft ", "nftables", "ufw ", "firewall-cmd", "firewalld"];

/// The lines about a firewall, if the first line of the script names another interpreter.
pub(super) fn of_another_language(text: &str) -> Option<Reading> {
    let program = interpreter(text)?;
    if is_shell(program) || OTHER_SHELLS.contains(&program) {
        return None;
    }
    let why = format!("it is a script of {program}, which tunwarden does not read");
    let is_about = |(number, line): &(usize, &str)| {
        let is_comment = *number > 0 && line.trim_start().starts_with('#');
        !is_comment && FIREWALL.iter().any(|name| line.contains(name))
    };
    let shown = |line: &str| line.trim().chars().filter(|c| !c.is_control()).take(200).collect();
    let lines = text.lines().enumerate().filter(is_about).take(MAX_UNREAD);
    let unread = lines.map(|(number, line)| Unread { line: number + 1, text: shown(line), why: why.clone() });
    Some(Reading { unread: unread.collect(), ..Reading::default() })
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The name of the program in `#!/usr/bin/env -S NAME` or `#!/usr/bin/NAME`.
fn interpreter(text: &str) -> Option<&str> {
    let mut words = text.lines().next()?.strip_prefix("#!")?.split_whitespace();
    match base(words.next()?) {
        "env" => words.find(|word| !word.starts_with('-') && !word.contains('=')).map(base),
        program => Some(program),
    }
}
