//! Answers a command line that is not understood.

use std::ffi::OsString;
use std::process::ExitCode;

use super::{BAD_CONFIG, warn};

/// What the user probably wants with a word that is not a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Intent {
    /// An open firewall.
    Open,
    /// A closed one.
    Close,
}

/// Words for an open firewall. For `unlock`, clap would suggest `lock`.
const OPENING: [&str; 24] = [
    "accept",
    "allow",
    "bypass",
    "clear",
    "deactivate",
    "disable",
    "disarm",
    "disconnect",
    "down",
    "end",
    "exit",
    "flush",
    "off",
    "open",
    "quit",
    "remove",
    "shutdown",
    "stop",
    "unblock",
    "uninstall",
    "unlock",
    "unlocked",
    "unprotect",
    "unset",
];

/// Words for a closed firewall. For `unpause`, clap would suggest `pause`, which opens.
const CLOSING: [&str; 14] = [
    "activate",
    "arm",
    "block",
    "close",
    "continue",
    "enable",
    "locked",
    "on",
    "protect",
    "shut",
    "start",
    "unpause",
    "unrelease",
    "up",
];

impl Intent {
    fn of(word: &str) -> Option<Self> {
        // `un-lock`, `Unlock`, `unlock5m`
        let letters: String = word.to_lowercase().chars().filter(char::is_ascii_alphabetic).collect();
        let begins = |stems: &[&str]| stems.iter().any(|stem| letters.starts_with(stem));
        if OPENING.contains(&letters.as_str()) || begins(&["unlock", "disable"]) || letters.ends_with("off") {
            Some(Self::Open)
        } else if CLOSING.contains(&letters.as_str()) || begins(&["unpause", "enable"]) {
            Some(Self::Close)
        } else {
            None
        }
    }

    const fn commands(self) -> &'static str {
        match self {
            Self::Open => {
                "to open for a limited time:  sudo tunwarden pause 5m\n  \
                 to remove all rules:         sudo tunwarden release"
            }
            Self::Close => {
                "to end a pause:      tunwarden resume\n  \
                 to close it now:     sudo tunwarden lock\n  \
                 to start the agent:  sudo systemctl enable --now tunwarden-lock tunwarden"
            }
        }
    }
}

/// Shows what is wrong with a command line, or the help that was requested.
pub fn refuse(error: &clap::Error, words: impl Iterator<Item = OsString>) -> ExitCode {
    match intent(error) {
        Some((word, intent)) => warn(&format!(
            "error: unrecognized subcommand '{word}'\n\n  {}\n\nFor more information, try '--help'.",
            intent.commands()
        )),
        // It is not an error if the reader of the output has ended.
        None => drop(error.print()),
    }
    // Only `--config PATH` may come before the command.
    let first: Vec<OsString> = words.skip(1).take(3).collect();
    let is_command = |name: &str| first.iter().any(|word| word == name);
    // OpenVPN ends a VPN whose hook fails.
    if is_command("hook") {
        return ExitCode::SUCCESS;
    }
    // Exit code 1 of `pause` means that nothing was opened.
    if is_command("pause") && error.use_stderr() {
        return ExitCode::FAILURE;
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(BAD_CONFIG))
}

/// The word in the place of the command, if it asks to open or to close the firewall.
fn intent(error: &clap::Error) -> Option<(&str, Intent)> {
    if error.kind() != clap::error::ErrorKind::InvalidSubcommand {
        return None;
    }
    match error.get(clap::error::ContextKind::InvalidSubcommand) {
        Some(clap::error::ContextValue::String(word)) => Some((word, Intent::of(word)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::Cli;
    use super::*;

    fn error(word: &str) -> clap::Error {
        Cli::try_parse_from(["tunwarden", word]).unwrap_err()
    }

    #[test]
    fn a_word_for_an_open_firewall_names_no_command_that_closes_and_the_other_way_round() {
        for word in
            OPENING.iter().chain(&["Unlock", "OFF", "un-lock", "unlock5m", "lock-off", "disable-lock"])
        {
            assert_eq!(intent(&error(word)).map(|(_, intent)| intent), Some(Intent::Open), "{word}");
        }
        for word in CLOSING.iter().chain(&["UNPAUSE", "On", "un-pause"]) {
            assert_eq!(intent(&error(word)).map(|(_, intent)| intent), Some(Intent::Close), "{word}");
        }
    }

    #[test]
    fn a_mistyped_command_is_named_as_before() {
        for (word, meant) in [("statsu", "status"), ("lokc", "lock"), ("relaod", "reload")] {
            let error = error(word);
            assert_eq!(intent(&error), None);
            assert!(error.to_string().contains(&format!("'{meant}'")), "{error}");
        }
    }
}
