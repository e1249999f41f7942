//! Finds out what is wrong with a machine, and how to fix it. Pure: a [`Snapshot`] is the input, [`Finding`]s are the
//! output.
//!
//! Each check uses facts that were gathered before. No check reads a file or runs a program.

mod checks;
mod gather;
mod names;
mod others;
pub mod redact;
pub mod second_reader;
mod vpns;

pub use gather::Files;
pub use others::Other;
pub use second_reader::{OwnVerdict, SecondReading};
pub use vpns::FoundVpn;

use serde::Serialize;

use crate::config::plain;
use crate::status::{LeftOutStatus, Status};

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The identifier for programs. It does not change between versions.
    pub id: &'static str,
    /// What is wrong, for people.
    pub problem: String,
    /// What the user can do.
    pub mend: String,
}

impl Finding {
    fn new(id: &'static str, problem: impl ToString, mend: impl ToString) -> Self {
        Self { id, problem: problem.to_string(), mend: mend.to_string() }
    }
}

/// The facts about a machine.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The status of the running agent; `None` if no agent answers.
    pub status: Option<Status>,
    /// Parts of VPNs that cannot be used.
    pub left_out: Vec<LeftOutStatus>,
    /// The faults of the configuration file, if it is refused.
    pub config: Option<Refused>,
    /// Users in `bootstrap.owners` that do not exist on this system.
    pub missing_owners: Vec<String>,
    /// Server names of the configuration without a known address.
    pub unresolved: Vec<String>,
    /// Differences between the kernel and the rules, or the reason why they are not known.
    pub rules: Result<Vec<String>, String>,
    /// Why the agent does not learn which packets are refused.
    pub refusals_fault: Option<String>,
    /// Whether a second reader of iptables sees the same chains and jumps.
    pub second_reader: SecondReading,
    /// Which backends of iptables hold rules.
    pub backends_in_use: BackendsInUse,
    /// Other firewalls that are active.
    pub other_firewalls: Vec<OtherFirewall>,
    /// Units of tunwarden that the next boot does not start; empty on a machine without systemd.
    pub disabled_units: Vec<String>,
    /// Configurations of plain OpenVPN clients that do not call tunwarden's hooks.
    pub without_hooks: Vec<String>,
    /// Parts of plain OpenVPN's configurations that are ignored, and why.
    pub openvpn_left_out: Vec<String>,
    /// The same for wg-quick's configurations.
    pub wireguard_left_out: Vec<String>,
    /// VPNs outside NetworkManager.
    pub vpns: Vec<FoundVpn>,
    /// Why notifications may not be visible.
    pub notifications: Vec<NotificationFault>,
    /// Scripts or units of the article that still exist.
    pub article: Vec<String>,
    /// Other programs that change firewall rules later.
    pub others: Vec<Other>,
    /// Containers of gluetun that use the host's network, by name.
    pub gluetun: Vec<String>,
    /// What `prove` computes; `None` if this user may not read the rules.
    pub proof: Option<Proof>,
    /// What this user may not read.
    pub unread: Vec<&'static str>,
}

/// What was computed over the rules of every program.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Proof {
    /// Packets that leave in clear.
    pub leaks: Vec<Leak>,
    /// Packets that the rules of other programs would let out without tunwarden's rules. This is not a fault.
    pub others: Vec<String>,
    /// Why it could not be shown that no packet leaves.
    pub unknown: Vec<String>,
}

impl Proof {
    /// Nothing was computed, for this reason.
    pub fn unknown(why: String) -> Self {
        Self { unknown: vec![why], ..Self::default() }
    }

    /// The word for it in JSON.
    pub fn as_str(&self) -> &'static str {
        match (self.leaks.is_empty(), self.unknown.is_empty()) {
            (false, _) => "leaves",
            (true, false) => "unknown",
            (true, true) => "proven",
        }
    }

    /// Facts that are worth knowing but are no problem, for people.
    pub fn notes(&self) -> Vec<String> {
        let unknown =
            self.unknown.iter().map(|why| format!("it could not be shown that no packet leaves: {why}"));
        let others =
            self.others.iter().map(|rule| format!("without tunwarden's rules, {rule} would let this out"));
        unknown.chain(others).map(|note| plain(&note)).collect()
    }
}

/// A packet that leaves in clear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leak {
    /// The packet, for people.
    pub packet: String,
    /// What to do.
    pub remedy: String,
}

/// A refused configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Every fault in the file, for people.
    pub faults: String,
    /// Which configuration is in force instead, as in [`crate::status::ConfigurationStatus::source`].
    pub source: String,
}

impl Refused {
    fn in_force(&self) -> &'static str {
        match self.source.as_str() {
            "strictest" => "the strictest rules are in force: no tunnel, no server and no container passes",
            "unknown" => "the last valid configuration is in force, which only root can read",
            _ => "the last valid configuration is in force",
        }
    }
}

/// Which of the two backends of iptables hold rules, by any program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BackendsInUse {
    /// iptables-legacy.
    pub legacy: bool,
    /// iptables-nft.
    pub nft: bool,
}

/// Another firewall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherFirewall {
    /// `ufw`, switched on.
    Ufw,
    /// `firewalld`, enabled at boot.
    Firewalld,
    /// nftables.service with a file that flushes everything.
    Nftables,
}

/// A reason why notifications may not be visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotificationFault {
    /// The autostart file of `tunwarden notify` is missing.
    NoAutostart,
    /// No `tunwarden notify` runs in this session.
    NotRunning,
    /// The session has no notification daemon.
    NoDaemon,
}

/// Maximum number of list entries in a sentence.
const SHOWN: usize = 3;

/// All findings, the most severe first.
pub fn diagnose(seen: &Snapshot) -> Vec<Finding> {
    [
        checks::rules(seen),
        checks::proof(seen),
        checks::agent(seen),
        seen.status.as_ref().map(checks::status).unwrap_or_default(),
        checks::firewalls(seen),
        checks::vpns(seen),
        checks::later(seen),
        checks::refusals_fault(seen),
        checks::session(seen),
    ]
    .concat()
}

impl OtherFirewall {
    fn mend(self) -> (&'static str, &'static str) {
        match self {
            Self::Ufw => ("ufw", "sudo ufw disable; then add the ports that it allowed to input.allow"),
            Self::Firewalld => (
                "firewalld",
                "sudo systemctl disable --now firewalld; then add the ports that it allowed to input.allow",
            ),
            Self::Nftables => (
                "nftables.service",
                "remove `flush ruleset` from /etc/nftables.conf, or: sudo systemctl disable nftables",
            ),
        }
    }
}

impl NotificationFault {
    fn mend(self) -> (&'static str, &'static str) {
        match self {
            Self::NoAutostart => (
                "the desktop does not start tunwarden's notifications",
                "install /etc/xdg/autostart/tunwarden-notify.desktop again: sudo apt install --reinstall tunwarden",
            ),
            Self::NotRunning => (
                "no program in this session shows the agent's notifications",
                "log out and in again, or now: tunwarden notify &",
            ),
            Self::NoDaemon => (
                "this session has no notification daemon",
                "install one, for example: sudo apt install xfce4-notifyd",
            ),
        }
    }
}

/// The findings as text.
pub fn text_of(findings: &[Finding]) -> String {
    let line = |(number, finding): (usize, &Finding)| {
        format!("{}. {}\n   {}", number + 1, finding.problem, finding.mend)
    };
    match findings {
        [] => "No problem was found.".to_owned(),
        findings => findings.iter().enumerate().map(line).collect::<Vec<_>>().join("\n"),
    }
}

#[cfg(test)]
mod tests;
