//! Brings a VPN back through NetworkManager, or through systemd for wg-quick. This is the only part of the agent that
//! changes anything in NetworkManager.
//!
//! One attempt is one task beside the agent's loop. It never touches the firewall. The status that the agent has
//! applied shows whether the VPN is back. Nothing is opened for an attempt: the VPN uses the allowance that is in
//! force.

mod network_manager;
mod objects;
mod plan;
mod wg_quick;

pub use plan::ReconnectScope;

use tokio::sync::{mpsc, watch};

use self::network_manager::Manager;
use self::plan::{Failure, Plan, Step};
use crate::status::Status;
use crate::store::Store;
use crate::system;
use crate::vpn::{Event, ManagedVpn, ReconnectTarget};

/// What an attempt needs from the agent.
pub struct AttemptContext {
    /// The agent's status.
    pub status: watch::Receiver<Status>,
    /// Receives an event when the attempt is going to restart a VPN.
    pub events: mpsc::Sender<Event>,
    /// Saves what must be undone if the agent ends during the attempt.
    pub store: Store,
    /// How far the attempt may go. A user may ask for more while it runs.
    pub scope: watch::Receiver<ReconnectScope>,
}

/// Maximum time after which a new agent switches networks on again that an attempt had switched off, in seconds. After
/// a longer time, a user may have switched them off.
const MAX_AGE: u64 = 600;

/// Completes what an earlier agent began: it switches networks on again that the earlier agent had switched off.
/// Networks that a user has switched off stay off.
pub async fn finish(store: Store) {
    let Some(at) = store.networking_off() else { return };
    if system::now().saturating_sub(at) > MAX_AGE {
        tracing::warn!(
            "all networks were switched off to bring the VPN back, long ago; if they still are: nmcli \
             networking on"
        );
        network_manager::forget(&store).await;
        return;
    }
    let finished = match Manager::connect().await {
        Ok(manager) => manager.finish_networking(&store).await.map_err(|error| error.to_string()),
        Err(error) => Err(error),
    };
    if let Err(error) = finished {
        tracing::warn!("all networks may have been left off; switch them on: nmcli networking on: {error}");
    }
}

/// Brings a VPN back, step by step, until it carries traffic.
///
/// # Errors
/// What was tried, and why no step helped. The text is for people.
pub async fn reconnect(vpn: &ReconnectTarget, mut context: AttemptContext) -> Result<(), String> {
    match vpn {
        ReconnectTarget::Profile(profile) => reconnect_profile(profile, context).await,
        ReconnectTarget::WgQuick(interface) => wg_quick::restart(interface, &mut context).await,
    }
}

async fn reconnect_profile(vpn: &ManagedVpn, mut context: AttemptContext) -> Result<(), String> {
    let mut manager = Manager::connect().await?;
    let mut plan = Plan::default();
    let mut step = Step::Vpn;
    loop {
        tracing::info!("bringing the VPN {} back: {step:?}", vpn.name);
        let Err(failure) = take(&mut manager, step, vpn, &mut context).await else { return Ok(()) };
        let scope = *context.scope.borrow();
        match plan.after(step, failure, scope) {
            Some(next) => step = next,
            None => return Err(format!("the VPN {} did not come back ({plan})", vpn.name)),
        }
    }
}

async fn take(
    manager: &mut Manager,
    step: Step,
    vpn: &ManagedVpn,
    context: &mut AttemptContext,
) -> Result<(), Failure> {
    match step {
        Step::Vpn => {}
        Step::Parent => manager.restart_parent().await?,
        Step::Networking => manager.restart_networking(&context.store).await?,
    }
    manager.restart_vpn(vpn, context).await
}
