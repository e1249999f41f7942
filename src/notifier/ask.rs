//! Carries out the requests of buttons. It calls the agent or NetworkManager, or opens a terminal.

use zbus::{Connection, fdo};

use super::event::{BlockedLine, Button, Refusal};
use super::listen::TIMEOUT;
use super::{connect, terminal};
use crate::bus::{Agent1Proxy, BlockedGroup};

/// Maximum number of refusals in the notice.
const SHOWN: usize = 10;
/// How long a pause for a captive portal lasts at most, in seconds.
const PORTAL_PAUSE: u64 = 10 * 60;

/// Carries out the request of a button.
pub(super) async fn ask(button: &Button) -> Result<(), Refusal> {
    match button {
        Button::Connect(vpn) => connect::connect(&vpn.uuid).await,
        Button::Journal => terminal::open_journal().await,
        Button::Reconnect
        | Button::Details
        | Button::Blocked
        | Button::Check
        | Button::Pause(_)
        | Button::PausePortal
        | Button::Resume => ask_agent(button).await,
    }
}

async fn ask_agent(button: &Button) -> Result<(), Refusal> {
    // There is no timeout, because the user may have to type a password first.
    let answer = async {
        let connection = Connection::system().await?;
        let agent = Agent1Proxy::new(&connection).await?;
        match button {
            Button::Reconnect => agent.reconnect().await,
            Button::Pause(minutes) => agent.pause(minutes.saturating_mul(60)).await,
            Button::PausePortal => agent.pause_portal(PORTAL_PAUSE).await.map(drop),
            Button::Resume => agent.resume().await,
            // These buttons ask nothing of the agent.
            Button::Connect(_) | Button::Details | Button::Blocked | Button::Journal | Button::Check => {
                Ok(())
            }
        }
    };
    answer.await.map_err(refusal)
}

/// The last refusals of this user's programs.
pub(super) async fn blocked() -> Result<Vec<BlockedLine>, Refusal> {
    let answer = async {
        let connection = zbus::connection::Builder::system().method_timeout(TIMEOUT).build().await?;
        Agent1Proxy::new(&connection).await?.recently_blocked(0).await
    };
    let groups = answer.await.map_err(refusal)?;
    let newest = groups.len().saturating_sub(SHOWN);
    Ok(groups.into_iter().skip(newest).map(BlockedGroup::from).map(BlockedLine::from).collect())
}

impl From<BlockedGroup> for BlockedLine {
    fn from(group: BlockedGroup) -> Self {
        Self {
            destination: group.destination(),
            reason: group.reason.parse().ok(),
            count: group.count,
            who: group.name.or(group.unit),
        }
    }
}

/// The refusal that corresponds to an error of the bus.
pub(super) fn refusal(error: zbus::Error) -> Refusal {
    use fdo::Error::{AccessDenied, AuthFailed, Failed, NameHasNoOwner, ServiceUnknown};
    let error = fdo::Error::from(error);
    if matches!(error, AccessDenied(_) | AuthFailed(_)) {
        Refusal::NotAllowed
    } else if matches!(error, ServiceUnknown(_) | NameHasNoOwner(_)) {
        Refusal::NotRunning
    } else if let Failed(why) = error {
        Refusal::Failed(why)
    } else {
        Refusal::Failed(error.to_string())
    }
}
