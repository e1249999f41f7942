//! What the notifier hears, what it is to do about it, and what it remembers.

use serde::{Deserialize, Serialize};

use crate::status::Status;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The agent's status is this now; `None` while nobody owns the agent's name.
    Agent(Option<Box<Status>>),
    /// The agent's signal `VpnLost`. What was lost is in the status.
    Lost,
    /// The agent's signal `Repaired`, and who made it necessary, if that is known.
    Repaired {
        /// The program, by name.
        by: Option<String>,
    },
    /// The agent's signal `EnforcementFailed`, with its words.
    Failed(String),
    /// The notice that is wanted stands on the screen.
    Shown(Topic),
    /// It went away from the screen.
    Closed(Topic, Closing),
    /// A button of the notice or of the indicator's menu.
    Pressed(Button),
    /// The agent answered what a button asked of it: done, or why not.
    Answered(Button, Result<(), Refusal>),
    /// What hid a notice may be over: a notification daemon came back, `do not disturb` was switched,
    /// the screen was unlocked.
    Occasion,
    /// A moment came that [`super::Notifier::next_moment`] named.
    Clock,
}

/// Why the agent did not do what was asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Not for this person, or not without a password.
    NotAllowed,
    /// Nobody there to ask.
    NotRunning,
    /// Anything else, in the agent's words.
    Failed(String),
}

/// How a notice went away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// Somebody clicked it away.
    Dismissed,
    /// By itself. Nobody need have seen it.
    Faded,
}

/// What can be pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Button {
    /// Bring the VPN up again.
    Reconnect,
    /// Say more.
    Details,
    /// Open everything for five minutes.
    Pause,
    /// Close again.
    Resume,
}

impl Button {
    /// Every button.
    pub const ALL: [Self; 4] = [Self::Reconnect, Self::Details, Self::Pause, Self::Resume];

    /// Its name to the notification daemon.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reconnect => "reconnect",
            Self::Details => "details",
            Self::Pause => "pause",
            Self::Resume => "resume",
        }
    }
}

/// What a notice is about. Two notices about the same are one that changed its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// What the person asked to see.
    Details,
    /// No agent runs.
    Gone,
    /// The rules are not in force.
    NotEnforced,
    /// Everything is open until this moment, in seconds since the epoch.
    Paused(u64),
    /// A VPN comes and goes.
    Flapping,
    /// A VPN was lost.
    Lost,
    /// Something that is of interest for a moment: it is good again, or a button did nothing.
    News,
    /// A VPN was lost and came back while nobody was told.
    Missed,
    /// The rules were repaired.
    Repaired,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Ask the agent.
    Ask(Button),
    /// Keep this for the next session.
    Remember(Memory),
}

/// What this person has been told already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// The moment of the last loss that was told, in seconds since the epoch.
    pub loss: u64,
    /// The agent's count of repairs when they were told.
    pub repairs: u32,
}
