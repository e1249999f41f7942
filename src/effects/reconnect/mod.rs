//! Brings a VPN back through NetworkManager. The only place that changes anything in NetworkManager.
//!
//! One attempt is one task beside the agent's loop. It never touches the firewall: that the VPN is
//! back is read from what the agent says it has applied. Nothing is opened for it; a VPN that comes
//! back does so through the allowance that stands.

mod network_manager;
mod objects;
mod plan;

pub use plan::Reach;

use tokio::sync::{mpsc, watch};

use self::network_manager::Manager;
use self::plan::{Failure, Plan, Step};
use crate::describe::describe;
use crate::status::Status;
use crate::store::Store;
use crate::system;
use crate::vpn::{Comeback, Event};

/// What an attempt needs of the agent.
pub struct Eyes {
    /// What the agent says is so.
    pub status: watch::Receiver<Status>,
    /// Where it is told what an attempt is about to do.
    pub events: mpsc::Sender<Event>,
    /// Where it is noted what has to be undone, should the agent end in the middle.
    pub store: Store,
    /// How far the attempt may go. Somebody may ask for more while it is under way.
    pub reach: watch::Receiver<Reach>,
}

/// So long after all networks were switched off, in seconds, they are switched on again by whoever finds that
/// nobody did. Later somebody may have switched them off himself.
const OURS: u64 = 600;

/// Ends what a forerunner has begun: networks that it switched off, and did not live to switch on again. What
/// a user switched off stays off.
pub async fn finish(store: Store) {
    let Some(at) = store.networking_off() else { return };
    if system::now().saturating_sub(at) > OURS {
        tracing::warn!(
            "all networks were switched off to bring the VPN back, long ago; if they still are: nmcli \
             networking on"
        );
        if let Err(error) = store.forget_networking_off() {
            tracing::warn!("{}", describe(&error));
        }
        return;
    }
    let finished = match Manager::meet().await {
        Ok(manager) => manager.finish_networking(&store).await.map_err(|error| error.to_string()),
        Err(error) => Err(error),
    };
    if let Err(error) = finished {
        tracing::warn!("all networks may have been left off; switch them on: nmcli networking on: {error}");
    }
}

/// Brings a VPN back, step by step, until it carries.
///
/// # Errors
/// What was tried and why none of it helped, for people.
pub async fn bring_back(vpn: &Comeback, mut eyes: Eyes) -> Result<(), String> {
    let mut manager = Manager::meet().await?;
    let mut plan = Plan::default();
    let mut step = Step::Vpn;
    loop {
        tracing::info!("bringing the VPN {} back: {step:?}", vpn.name);
        let Err(failure) = take(&mut manager, step, vpn, &mut eyes).await else { return Ok(()) };
        let reach = *eyes.reach.borrow();
        match plan.after(step, failure, reach) {
            Some(next) => step = next,
            None => return Err(format!("the VPN {} did not come back ({plan})", vpn.name)),
        }
    }
}

async fn take(manager: &mut Manager, step: Step, vpn: &Comeback, eyes: &mut Eyes) -> Result<(), Failure> {
    match step {
        Step::Vpn => {}
        Step::Parent => manager.restart_parent().await?,
        Step::Networking => manager.restart_networking(&eyes.store).await?,
    }
    manager.restart_vpn(vpn, eyes).await
}
