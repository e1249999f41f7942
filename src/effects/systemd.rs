//! What tunwarden asks of systemd, and what it tells it (sd_notify(3)).

use std::path::Path;
use std::time::Duration;

use sd_notify::NotifyState;

use crate::system::program::{ToolError, run};

/// This folder exists where systemd is the machine's init (sd_booted(3)).
const RUNNING: &str = "/run/systemd/system";

/// Whether systemd is this machine's init.
pub fn is_running() -> bool {
    Path::new(RUNNING).is_dir()
}

/// Runs `systemctl` with these arguments.
///
/// # Errors
/// [`ToolError`]
pub async fn systemctl(arguments: &[&str]) -> Result<(), ToolError> {
    run("systemctl", arguments, "").await.map(drop)
}

/// Runs a command as a service of its own, which outlives the caller's session.
///
/// # Errors
/// [`ToolError`]
pub async fn run_as_service(command: &[&str]) -> Result<(), ToolError> {
    run("systemd-run", &[&["--collect", "--quiet", "--"], command].concat(), "").await.map(drop)
}

/// Tells systemd how the agent is. Does nothing when systemd did not start it.
pub fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("systemd could not be told: {error}");
    }
}

/// How often systemd's watchdog wants to hear from the agent: half of its timeout. `None` without a watchdog.
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|timeout| timeout / 2)
}
