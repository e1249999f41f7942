//! The requests of tunwarden to systemd, and its reports (sd_notify(3)).

use std::path::Path;
use std::time::Duration;

use sd_notify::NotifyState;

use crate::system::program::{ToolError, run, run_within};

/// This folder exists where systemd is the machine's init (sd_booted(3)).
const RUNNING: &str = "/run/systemd/system";

/// The additional start time for which the agent asks in one message.
const START_STEP: Duration = Duration::from_secs(30);

/// Maximum number of messages that ask for time, one every third of [`START_STEP`]: ten minutes in all.
const START_QUESTIONS: u32 = 60;

/// Whether systemd is this machine's init.
pub fn is_running() -> bool {
    Path::new(RUNNING).is_dir()
}

/// How long to wait until systemd has started a unit again. wg-quick looks names up, and its unit has no timeout.
const RESTART_TIMEOUT: Duration = Duration::from_secs(120);

/// How a unit is brought up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BringUp {
    /// Stop the unit first, if a part of it still runs.
    Restart,
    /// Wait for a job that systemd already runs for this unit.
    Start,
}

/// Asks systemd to bring a unit up, and waits until it is up.
///
/// # Errors
/// [`ToolError`]. After a timeout systemd goes on with its work.
pub async fn bring_up(how: BringUp, unit: &str) -> Result<(), ToolError> {
    let verb = match how {
        BringUp::Restart => "restart",
        BringUp::Start => "start",
    };
    run_within(RESTART_TIMEOUT, "systemctl", &[verb, "--", unit], "").await.map(drop)
}

/// Runs `systemctl` with these arguments.
///
/// # Errors
/// [`ToolError`]
pub async fn systemctl(arguments: &[&str]) -> Result<(), ToolError> {
    run("systemctl", arguments, "").await.map(drop)
}

/// The `ActiveState` of a unit, such as `active`, `inactive` or `failed`.
///
/// # Errors
/// [`ToolError`]
pub async fn active_state(unit: &str) -> Result<String, ToolError> {
    let answer = run("systemctl", &["show", "--property=ActiveState", "--value", "--", unit], "").await?;
    Ok(answer.trim().to_owned())
}

/// Runs a command as its own service, which survives the end of the caller's session.
///
/// # Errors
/// [`ToolError`]
pub async fn run_as_service(command: &[&str]) -> Result<(), ToolError> {
    run("systemd-run", &[&["--collect", "--quiet", "--"], command].concat(), "").await.map(drop)
}

/// Reports the agent's state to systemd. Does nothing if systemd did not start the agent.
pub fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("cannot report the state to systemd: {error}");
    }
}

/// Asks systemd repeatedly for more time to start. It never returns: the caller drops it when the agent has started.
/// While a firewall program hangs, the start takes longer than systemd's own timeout. Without these messages systemd
/// would restart the agent each time before it is on the bus. After [`START_QUESTIONS`] messages the timeout applies.
pub async fn ask_for_time() {
    let step = u32::try_from(START_STEP.as_micros()).unwrap_or(u32::MAX);
    let mut pace = tokio::time::interval(START_STEP / 3);
    for _ in 0..START_QUESTIONS {
        pace.tick().await;
        notify(&[NotifyState::ExtendTimeoutUsec(step)]);
    }
    std::future::pending().await
}

/// How often the agent must report to systemd's watchdog: half of its timeout. `None` without a watchdog.
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|timeout| timeout / 2)
}
