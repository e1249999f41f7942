//! Brings a device of wg-quick's back: systemd starts its unit `wg-quick@NAME` again.
//!
//! Only the name of a file of root's gets here. wg-quick reads that file again and looks its servers' names up,
//! which the agent has pinned by then.

use super::network_manager::{CARRY, carries};
use super::{AttemptContext, Reach};
use crate::describe::describe;
use crate::effects::systemd::{active_state, systemctl};
use crate::net::IfName;

/// The states of a unit that somebody has stopped, or that was never started.
const STOPPED: [&str; 2] = ["inactive", "deactivating"];

/// Restarts the unit, and waits until the device carries traffic. Without a request of a user, a unit that
/// somebody has stopped stays stopped.
///
/// # Errors
/// What was tried, and why it did not help, for people.
pub(super) async fn restart(interface: &IfName, context: &mut AttemptContext) -> Result<(), String> {
    let unit = format!("wg-quick@{interface}.service");
    let failed = |why: &str| format!("the VPN {interface} did not come back: {why}");
    if *context.reach.borrow() == Reach::Vpn {
        let state = active_state(&unit).await.map_err(|error| failed(&describe(&error)))?;
        if STOPPED.contains(&state.as_str()) {
            let start = format!("{unit} does not run; start it: sudo systemctl start {unit}");
            return Err(failed(&start));
        }
    }
    tracing::info!("bringing the VPN {interface} back: systemctl restart {unit}");
    let restart = ["restart", "--", &unit];
    // wg-quick does not start while the routing rules of a device that is gone are there. It removes them when it
    // fails, so it starts the second time.
    if systemctl(&restart).await.is_err() {
        let fault = |error| failed(&format!("{}; see: journalctl -u {unit}", describe(&error)));
        systemctl(&restart).await.map_err(fault)?;
    }
    match tokio::time::timeout(CARRY, carries(&mut context.status, interface.as_str())).await {
        Ok(()) => Ok(()),
        Err(_) => Err(failed("it is up, but nothing is routed into it")),
    }
}
