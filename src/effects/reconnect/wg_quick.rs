//! Brings a device of wg-quick back: asks systemd to start its unit `wg-quick@NAME` again.
//!
//! The caller passes only the name of one of root's files. wg-quick reads that file again and looks up the names of its
//! servers, which the agent has pinned before.

use super::network_manager::{CARRY_TIMEOUT, carries};
use super::{AttemptContext, ReconnectScope};
use crate::describe::describe;
use crate::effects::systemd::{BringUp, active_state, bring_up};
use crate::net::IfName;
use crate::system::program::ToolError;

/// The states of a unit that was stopped, or that was never started.
const STOPPED: [&str; 2] = ["inactive", "deactivating"];

/// The state of a unit that systemd is starting now.
const STARTING: &str = "activating";

/// Restarts the unit, and waits until the device carries traffic. If no user has asked for the reconnect, a unit that
/// was stopped stays stopped.
///
/// # Errors
/// What was tried, and why it did not help. The text is for people.
pub(super) async fn restart(interface: &IfName, context: &mut AttemptContext) -> Result<(), String> {
    let unit = format!("wg-quick@{interface}.service");
    let failed = |why: &str| format!("the VPN {interface} did not come back: {why}");
    let state = active_state(&unit).await.map_err(|error| failed(&describe(&error)))?;
    if *context.scope.borrow() == ReconnectScope::Vpn && STOPPED.contains(&state.as_str()) {
        let start = format!("{unit} does not run; start it: sudo systemctl start {unit}");
        return Err(failed(&start));
    }
    // A restart would interrupt a slow wg-quick and begin again.
    let how = if state == STARTING { BringUp::Start } else { BringUp::Restart };
    tracing::info!("bringing the VPN {interface} back: {how:?} of {unit}");
    let fault = |error: &ToolError| failed(&format!("{}; see: journalctl -u {unit}", describe(error)));
    match bring_up(how, &unit).await {
        Ok(()) => {}
        Err(error) if error.is_timeout() => return Err(failed(&still_starting(&unit))),
        // wg-quick does not start while the routing rules of an earlier device still exist. It removes them when it
        // fails, so the second start works.
        Err(_) => bring_up(BringUp::Restart, &unit).await.map_err(|error| fault(&error))?,
    }
    match tokio::time::timeout(CARRY_TIMEOUT, carries(&mut context.status, interface.as_str())).await {
        Ok(()) => Ok(()),
        Err(_) => Err(failed("it is up, but nothing is routed into it")),
    }
}

/// The message about a unit that is still starting. The unit has no timeout: if it hangs, each attempt waits for it
/// again, and none restarts it.
fn still_starting(unit: &str) -> String {
    format!(
        "systemd is still starting {unit}; to begin again: sudo systemctl restart {unit}; see: journalctl -u {unit}"
    )
}
