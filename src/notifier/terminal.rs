//! Opens the agent's journal in the user's own terminal.

use std::process::Stdio;

use super::event::Refusal;
use super::keys::Key;
use crate::system::program;

/// The programs that open a terminal, with the arguments before the command. The desktop or the user chooses
/// which terminal that is.
const TERMINALS: [(&str, &[&str]); 2] = [("x-terminal-emulator", &["-e"]), ("xdg-terminal-exec", &[])];

/// Opens the journal, and returns when the terminal is closed.
pub(super) async fn open_journal() -> Result<(), Refusal> {
    let found = TERMINALS.iter().find_map(|(name, before)| Some((program::path(name)?, before)));
    let (terminal, before) = found.ok_or(Refusal::Own(Key::NoTerminal))?;
    #[expect(clippy::disallowed_methods, reason = "the terminal needs the environment of the session")]
    let mut command = tokio::process::Command::new(terminal);
    command.args(*before).args(["tunwarden", "log", "--follow"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // The exit status of the terminal means nothing: the user ends journalctl by a signal.
    command.status().await.map(drop).map_err(|error| Refusal::Failed(error.to_string()))
}
