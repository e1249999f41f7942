//! What is known of the VPN, and which state follows from it. Pure: no clock, no file, no await.
//!
//! Sources report what they see as [`Event`]s. [`Machine::step`] takes in one event and returns the
//! [`Action`]s that follow. [`Machine::situation`] is what is true now; `policy` makes the rules from it.

mod action;
mod answers;
mod claim;
mod claims;
mod device;
mod docker;
mod event;
mod facts;
mod in_use;
mod known;
mod lan;
mod learned;
mod learning;
mod link_kind;
mod links;
mod loss;
mod machine;
mod makers;
mod management;
mod names;
mod outcome;
mod overview;
mod pause;
mod peers;
mod pppoe;
mod questions;
mod reason;
mod reconnect;
mod refusal;
mod remembered;
mod reports;
mod resolved;
mod routing;
mod servers;
mod silence;
mod situation;
#[cfg(test)]
mod tests;
mod uplinks;
mod without_effect;

pub use action::{Action, Announcement};
pub use device::{Handshake, Traffic, WireGuardDevice};
pub use docker::{
    DockerBackend, DockerNetwork, DockerReport, DockerView, Forwarded, ForwardedFault, ForwardedReport,
    ForwardedTo, NetworkAccess, NetworkBridge, NetworkFault, NetworkReport, OpenBridge, PublishedPort, Reach,
};
pub use event::{
    ActiveVpn, Event, FileFault, Lineage, NmView, OpenVpnFile, Process, Profile, Report, ReportKind,
    Reporter, Sender, VpnEnd, VpnPhase, WireGuardFile,
};
pub use learned::{Learned, LearnedVpn, LeftOut, Origin};
pub use link_kind::LinkKind;
pub use links::{Link, LinkTable};
pub use loss::LastLoss;
pub use machine::Machine;
pub use makers::ExactTunnel;
pub use management::{ClientState, ManagementMessage, ManagementSocket, SocketState};
pub use names::Names;
pub use overview::KnownVpn;
pub use pause::{Pause, PauseScope};
pub use pppoe::PppoeSession;
pub use reason::Reason;
pub(crate) use reason::as_code;
pub use reconnect::{ClientProgram, LastVpn, ManagedVpn, NoReconnectTarget, ReconnectTarget};
pub use refusal::{FromProgram, Refusal, RefusalFacts, RefusalReason};
pub use remembered::{Change, Remembered};
pub use reports::{DatedReport, ReportLog};
pub use resolved::Resolved;
pub use routing::{ON_LINK, RouteRange, Routing, of_family, public};
pub use silence::{Answered, Detours, Listening, SAMPLES, Sample, Silence, TunnelId, Wait};
pub use situation::{
    Allowance, KernelPacket, QuestionMark, Situation, State, Tunnel, TunnelAddress, TunnelSource, Uplink,
    Wire,
};
