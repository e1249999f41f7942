//! What is wrong with a machine, and how to fix it. Pure: a [`Snapshot`] in, [`Finding`]s out.
//!
//! Each check uses facts that were gathered before; no check reads a file or asks a program.

mod gather;
mod names;
mod others;
pub mod redact;
pub mod second_reader;

pub use gather::Files;
pub use others::Other;
pub use second_reader::{OwnVerdict, SecondReading};

use serde::Serialize;

use crate::config::plain;
use crate::status::{BootstrapStatus, LayerStatus, LeftOutStatus, ManagementStatus, Status};

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The identifier for programs. It does not change between versions.
    pub id: &'static str,
    /// What is wrong, for people.
    pub problem: String,
    /// What to do.
    pub mend: String,
}

/// The facts about a machine.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The status of the running agent; `None` if no agent answers.
    pub status: Option<Status>,
    /// Parts of VPNs that cannot be used.
    pub left_out: Vec<LeftOutStatus>,
    /// The configuration file, if it is refused.
    pub config: Option<Refused>,
    /// Users in `bootstrap.owners` that do not exist on this system.
    pub missing_owners: Vec<String>,
    /// Server names of the configuration without a known address.
    pub unresolved: Vec<String>,
    /// Differences between the kernel and the rules, or why they are unknown.
    pub rules: Result<Vec<String>, String>,
    /// Whether a second reader of iptables sees the same chains and jumps.
    pub second_reader: SecondReading,
    /// Which backends of iptables hold rules.
    pub worlds: Worlds,
    /// Other firewalls that are active.
    pub firewalls: Vec<Firewall>,
    /// Units of tunwarden that the next boot does not start; empty on a machine without systemd.
    pub disabled_units: Vec<String>,
    /// Configurations of plain OpenVPN clients that do not call tunwarden's hooks.
    pub without_hooks: Vec<String>,
    /// Parts of plain OpenVPN's configurations that are ignored, and why.
    pub openvpn_left_out: Vec<String>,
    /// Why notifications may not be visible.
    pub notifications: Vec<Notification>,
    /// Scripts or units of the article that still exist.
    pub article: Vec<String>,
    /// Other programs that change firewall rules later.
    pub others: Vec<Other>,
    /// Containers of gluetun that use the host's network, by name.
    pub gluetun: Vec<String>,
    /// What this user may not read.
    pub unread: Vec<&'static str>,
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
pub struct Worlds {
    /// iptables-legacy.
    pub legacy: bool,
    /// iptables-nft.
    pub nft: bool,
}

/// Another firewall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firewall {
    /// `ufw`, switched on.
    Ufw,
    /// `firewalld`, enabled at boot.
    Firewalld,
    /// nftables.service with a file that flushes everything.
    Nftables,
}

/// Why notifications may not be visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notification {
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
    let mut findings = Vec::new();
    let mut find = |id, problem: String, mend: &str| {
        findings.push(Finding { id, problem, mend: mend.to_owned() });
    };
    match &seen.rules {
        Ok(lines) if lines.is_empty() => {}
        Ok(lines) => find(
            "rules-not-in-force",
            format!("the kernel does not hold the rules: {}", some(lines)),
            "close now: sudo tunwarden lock; to see which program changed them: journalctl -u tunwarden",
        ),
        Err(why) => find(
            "rules-unknown",
            format!("it is unknown which rules the kernel holds: {}", plain(why)),
            "run this as root: sudo tunwarden doctor; or install iptables",
        ),
    }
    match &seen.second_reader {
        SecondReading::NotAsked | SecondReading::Agrees => {}
        SecondReading::Disagrees(lines) => find(
            "readers-disagree",
            format!("two readers of iptables see different rules: {}", some(lines)),
            "run this again: sudo tunwarden doctor; if the result is the same, please report it",
        ),
        SecondReading::Failed(why) => find(
            "second-reader-failed",
            format!("the second reader of iptables has failed: {}", plain(why)),
            "end the program that holds the lock of iptables: sudo fuser -v /run/xtables.lock; then run this again",
        ),
    }
    if seen.status.is_none() {
        find(
            "agent-not-running",
            "the agent is not running: it cannot follow the VPN or report its loss".to_owned(),
            "start it: sudo systemctl start tunwarden; if it ends again, see why: journalctl -u tunwarden",
        );
    }
    if let Some(refused) = &seen.config {
        find(
            "config-faults",
            format!("the configuration is refused; {}: {}", refused.in_force(), refused.faults),
            "fix the lines that tunwarden check shows, then: sudo tunwarden reload",
        );
    }
    let refused =
        seen.status.iter().filter_map(|status| status.configuration.as_ref()?.fault.as_ref()).next();
    if let (Some(fault), None) = (refused, &seen.config) {
        find(
            "config-not-read",
            format!("the configuration was fixed, but the agent has not read it again: {fault}"),
            "put it in force: sudo tunwarden reload",
        );
    }
    findings.extend(seen.status.iter().flat_map(of_status));
    findings.extend(of_machine(seen));
    if !seen.unread.is_empty() {
        findings.push(Finding {
            id: "not-read",
            problem: format!("this user may not read: {}", seen.unread.join("; ")),
            mend: "run this as root: sudo tunwarden doctor".to_owned(),
        });
    }
    findings
}

/// Findings from the agent's status.
fn of_status(status: &Status) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |id, problem: String, mend: &str| {
        findings.push(Finding { id, problem, mend: mend.to_owned() });
    };
    let known = status.bootstrap.iter().any(|part| *part != BootstrapStatus::Any);
    // The allowance is known only while the rules are in force.
    if status.enforced() && !known && status.tunnels.is_empty() {
        find(
            "no-endpoint-known",
            "no VPN server is known".to_owned(),
            "save a VPN profile in the network menu, or add the server to bootstrap.servers",
        );
    }
    let unread: Vec<String> = status.layers.iter().filter_map(LayerStatus::unread).collect();
    if !unread.is_empty() {
        find(
            "layer-unknown",
            format!("it is unknown which rules a layer holds: {}", some(&unread)),
            "repair the tool named here, then: sudo tunwarden verify",
        );
    }
    let lacks: Vec<String> = status.layers.iter().filter_map(LayerStatus::lack).collect();
    if !lacks.is_empty() {
        find(
            "layer-incomplete",
            format!("a layer does not hold all rules: {}", lacks.join("; ")),
            "install or rename what is named here; the next change of the rules then uses it",
        );
    }
    let faults = status.docker.faults();
    if !faults.is_empty() {
        find(
            "docker-not-covered",
            format!("Docker networks are not covered by the rules as configured: {}", some(&faults)),
            "use bridge networks, or correct docker.networks in the configuration",
        );
    }
    let unheard: Vec<String> = status.management.iter().filter_map(ManagementStatus::line).collect();
    if !unheard.is_empty() {
        find(
            "management-not-heard",
            format!(
                "tunwarden sees the loss of these OpenVPN clients later than possible: {}",
                some(&unheard)
            ),
            "end the other program that uses the management socket; or let only that program use it: add \
             management-client-user and its user to that configuration; move files that are not trusted to a \
             folder where only root can write",
        );
    }
    findings
}

/// Findings from the rest of the machine.
fn of_machine(seen: &Snapshot) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |id, problem: String, mend: &str| {
        findings.push(Finding { id, problem, mend: mend.to_owned() });
    };
    if seen.worlds.legacy && seen.worlds.nft {
        find(
            "legacy-and-nft",
            "iptables-legacy and iptables-nft both hold rules, and each tool sees only its own".to_owned(),
            "use only one: sudo update-alternatives --config iptables; then restart Docker and tunwarden",
        );
    }
    for firewall in &seen.firewalls {
        let (name, mend) = firewall.mend();
        find("second-firewall", format!("{name} is active too, and deletes rules when it reloads"), mend);
    }
    if !seen.missing_owners.is_empty() {
        find(
            "owner-missing",
            format!("bootstrap.owners names users that do not exist: {}", some(&seen.missing_owners)),
            "install that VPN client, or remove the name from bootstrap.owners",
        );
    }
    if !seen.unresolved.is_empty() {
        find(
            "name-unresolved",
            format!("no address is known for: {}", some(&seen.unresolved)),
            "write the server's address into bootstrap.servers, or connect once while the network is up",
        );
    }
    if !seen.without_hooks.is_empty() {
        find(
            "hooks-missing",
            format!("these OpenVPN clients do not report to tunwarden: {}", some(&seen.without_hooks)),
            "add to each: script-security 2, up and down /usr/lib/tunwarden/openvpn-up and -down, up-restart",
        );
    }
    for left_out in &seen.left_out {
        let problem = format!("{}: {}", plain(&left_out.name), plain(&left_out.reason));
        find("profile-left-out", problem, &plain(&left_out.remedy));
    }
    if !seen.openvpn_left_out.is_empty() {
        find(
            "openvpn-left-out",
            format!("parts of OpenVPN's configurations are ignored: {}", some(&seen.openvpn_left_out)),
            "fix what is named here; the agent reads a changed file automatically",
        );
    }
    if !seen.disabled_units.is_empty() {
        find(
            "not-at-boot",
            format!("the next boot does not start: {}", some(&seen.disabled_units)),
            "sudo systemctl enable tunwarden-lock tunwarden",
        );
    }
    if !seen.article.is_empty() {
        find(
            "article-scripts",
            format!(
                "older kill switch scripts delete tunwarden's rules when they run: {}",
                some(&seen.article)
            ),
            "carry their ports over and disable them: sudo tunwarden init",
        );
    }
    for other in &seen.others {
        find("rules-changed-later", plain(&other.problem), &plain(&other.mend));
    }
    for name in &seen.gluetun {
        find(
            "rules-changed-later",
            format!(
                "the container {} is gluetun with the host's network: it puts its own firewall rules in the place of \
                 this machine's when it starts",
                plain(name)
            ),
            "give it a network of its own: take network_mode: host out of its compose file",
        );
    }
    for notification in &seen.notifications {
        let (problem, mend) = notification.mend();
        find("notifications", problem.to_owned(), mend);
    }
    findings
}

impl Firewall {
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

impl Notification {
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
pub fn people(findings: &[Finding]) -> String {
    let line = |(number, finding): (usize, &Finding)| {
        format!("{}. {}\n   {}", number + 1, finding.problem, finding.mend)
    };
    match findings {
        [] => "No problem was found.".to_owned(),
        findings => findings.iter().enumerate().map(line).collect::<Vec<_>>().join("\n"),
    }
}

/// The first [`SHOWN`] entries of a list, safe to print, and the number of the others.
fn some(list: &[String]) -> String {
    let shown: Vec<String> = list.iter().take(SHOWN).map(|one| plain(one).to_string()).collect();
    match list.len().saturating_sub(SHOWN) {
        0 => shown.join("; "),
        more => format!("{}; and {more} more", shown.join("; ")),
    }
}

#[cfg(test)]
mod tests;
