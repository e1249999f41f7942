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
use crate::status::Status;
use crate::vpn::{Comeback, Event};

/// What an attempt needs of the agent.
pub struct Eyes {
    /// What the agent says is so.
    pub status: watch::Receiver<Status>,
    /// Where it is told what an attempt is about to do.
    pub events: mpsc::Sender<Event>,
    /// How far the attempt may go. Somebody may ask for more while it is under way.
    pub reach: watch::Receiver<Reach>,
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
        Step::Networking => manager.restart_networking().await?,
    }
    manager.restart_vpn(vpn, eyes).await
}
