//! The notifier's events, actions and memory.

use serde::{Deserialize, Serialize};

use super::keys::Key;
use crate::status::Status;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The agent's new status; `None` while no process owns the agent's bus name.
    Agent(Option<Box<Status>>),
    /// The agent's signal `VpnLost`. The status says which VPN was lost.
    Lost,
    /// The agent's signal `Repaired`.
    Repaired {
        /// The program that had changed the rules, if it is known.
        by: Option<String>,
    },
    /// The agent's signal `EnforcementFailed`, with its message.
    Failed(String),
    /// The wanted notice is on the screen.
    Shown(Topic),
    /// A notice was closed.
    Closed(Topic, Closing),
    /// The user clicked on a notice itself, not on one of its buttons.
    Clicked(Topic),
    /// The user pressed a button of a notice or of the indicator's menu.
    Pressed(Button),
    /// Whether NetworkManager sees a captive portal.
    Portal(Portal),
    /// Number of containers that wait for the VPN.
    Waiting(u32),
    /// The refusals that the user asked for, newest last.
    Blocked(Result<Vec<BlockedLine>, Refusal>),
    /// The check of this machine that the user asked for.
    Checked(Result<Check, Refusal>),
    /// The answer to the request of a button.
    Answered(Button, Result<(), Refusal>),
    /// A hidden notice may be visible again: a notification daemon started, `do not disturb` was switched, or the
    /// screen was unlocked.
    MayBeVisible,
    /// The time of [`super::Notifier::next_moment`] has come.
    Clock,
}

/// What NetworkManager's own check says about the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Portal {
    /// A captive portal answers in the place of the internet.
    Found,
    /// None is known.
    None,
}

/// One line about packets that were refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockedLine {
    /// The program or its unit, if that is known.
    pub who: Option<String>,
    /// Where the packets were sent.
    pub destination: String,
    /// Why they were refused; `None` for a reason that this version does not know.
    pub reason: Option<crate::vpn::Refusal>,
    /// How many packets were refused.
    pub count: u64,
}

/// A check of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What it has shown.
    pub result: Checked,
    /// The file with the report.
    pub report: String,
}

/// What a check has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// No packet leaves in clear.
    Proven,
    /// A packet leaves in clear.
    Open,
    /// Neither could be shown.
    NotShown,
}

/// Why a request was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// This user may not do it, or not without a password.
    NotAllowed,
    /// No agent runs.
    NotRunning,
    /// A reason that the notifier itself found.
    Own(Key),
    /// Any other reason, with the message of another program.
    Failed(String),
}

/// How a notice was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// The user closed it.
    Dismissed,
    /// It timed out. The user may not have seen it.
    TimedOut,
}

/// A button of a notice or of the indicator's menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Button {
    /// Connect the last VPN again.
    Reconnect,
    /// Connect this VPN of NetworkManager's.
    Connect(OfferedVpn),
    /// Show details.
    Details,
    /// Show what was refused.
    Blocked,
    /// Open everything for this many minutes.
    Pause(u64),
    /// Open what signing in at a captive portal needs.
    PausePortal,
    /// End the pause.
    Resume,
    /// Show the agent's journal in a terminal.
    Journal,
    /// Check whether a packet can leave in clear.
    Check,
}

impl Button {
    /// The action key for the notification daemon. The buttons of one notice have different keys.
    pub const fn key(&self) -> &'static str {
        match self {
            Self::Reconnect => "reconnect",
            Self::Connect(_) => "connect",
            Self::Details => "details",
            Self::Blocked => "blocked",
            Self::Pause(_) => "pause",
            Self::PausePortal => "portal",
            Self::Resume => "resume",
            Self::Journal => "journal",
            Self::Check => "check",
        }
    }
}

/// A VPN profile of NetworkManager's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedVpn {
    /// Its name for people. The second profile of one name is `NAME (2)`.
    pub name: String,
    /// Its UUID, by which NetworkManager finds it.
    pub uuid: String,
}

/// What a notice is about. A new notice with the same topic replaces the earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// The details that the user asked for.
    Details,
    /// The refusals that the user asked for.
    Blocked,
    /// The check that the user asked for.
    Checked,
    /// No agent runs.
    Gone,
    /// The rules are not in force.
    NotEnforced,
    /// Everything is open until this moment, in seconds since the epoch.
    Paused(u64),
    /// A VPN is lost again and again.
    Flapping,
    /// A VPN was lost.
    Lost,
    /// News that is shown for a moment: a problem is solved, or a request of a button has failed.
    News,
    /// A VPN was lost and came back without a notice.
    Missed,
    /// A tunnel has all traffic and does not count as a VPN.
    Uncounted,
    /// The rules were repaired.
    Repaired,
    /// The network asks the user to sign in.
    Portal,
    /// The first time that this user sees the computer locked: why, and what to do.
    Welcome,
}

/// What the caller of [`super::Notifier::step`] must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Carry out the request of this button.
    Ask(Button),
    /// Save this for the next session.
    Remember(Memory),
}

/// What this user has already been shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// The time of the last loss that was shown, in seconds since the epoch.
    pub loss: u64,
    /// The agent's number of repairs when they were last shown.
    pub repairs: u32,
    /// Whether the user has seen the notification of the first minute.
    pub welcomed: bool,
}
