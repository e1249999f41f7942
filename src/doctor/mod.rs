//! What is wrong with a machine, and how to mend it. Pure: a [`Snapshot`] in, [`Finding`]s out.
//!
//! Each check is a line of reasoning over facts that were gathered before; none of them looks at
//! anything itself.

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
    /// A word for programs, which does not change.
    pub id: &'static str,
    /// What is wrong, for people.
    pub problem: String,
    /// What to do.
    pub mend: String,
}

/// What was seen of a machine.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// What the running agent says; `None` when none answers.
    pub status: Option<Status>,
    /// VPNs of which something cannot be used.
    pub left_out: Vec<LeftOutStatus>,
    /// The configuration's file, if it is refused.
    pub config: Option<Refused>,
    /// Owners that the configuration names and this system lacks.
    pub missing_owners: Vec<String>,
    /// Server names of the configuration that no address is known for.
    pub unresolved: Vec<String>,
    /// Differences between the kernel and the rules, or why nobody can tell.
    pub rules: Result<Vec<String>, String>,
    /// Whether a second reader of iptables sees the same chains and jumps.
    pub second_reader: SecondReading,
    /// Which worlds of iptables hold rules.
    pub worlds: Worlds,
    /// Other firewalls that are active.
    pub firewalls: Vec<Firewall>,
    /// Units of ours that the next boot does not start; none on a machine without systemd.
    pub disabled_units: Vec<String>,
    /// Files of plain OpenVPN clients that do not call our hooks.
    pub without_hooks: Vec<String>,
    /// What of plain OpenVPN's configurations does not count, and why.
    pub openvpn_left_out: Vec<String>,
    /// What stands between the agent and the screen.
    pub notifications: Vec<Notification>,
    /// Scripts or units of the article that are still there.
    pub article: Vec<String>,
    /// What else changes firewall rules later.
    pub others: Vec<Other>,
    /// Containers of gluetun that use the host's network, by name.
    pub gluetun: Vec<String>,
    /// What this user may not read.
    pub unread: Vec<&'static str>,
}

/// A configuration's file that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Every fault in it, for people.
    pub faults: String,
    /// Which one is in force in its place, as in [`crate::status::ConfigurationStatus::source`].
    pub source: String,
}

impl Refused {
    fn in_force(&self) -> &'static str {
        match self.source.as_str() {
            "strictest" => "the strictest rules are in force: no tunnel, no server and no container passes",
            "unknown" => "the one that was in force last is in force, which only root can read",
            _ => "the one that was in force last is in force",
        }
    }
}

/// Which of the two worlds of iptables hold rules of anybody's.
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
    /// ufw.
    Ufw,
    /// firewalld.
    Firewalld,
    /// nftables.service with a file that flushes everything.
    Nftables,
}

/// Why nobody may see a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notification {
    /// The autostart file of `tunwarden notify` is not there.
    NoAutostart,
    /// No `tunwarden notify` runs in this session.
    NotRunning,
    /// The session has nothing that shows notifications.
    NoDaemon,
}

/// How many of a list a sentence names.
const SHOWN: usize = 3;

/// Everything that is wrong, the worst first.
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
            "close now: sudo tunwarden lock; then see who did it: journalctl -u tunwarden",
        ),
        Err(why) => find(
            "rules-unknown",
            format!("nobody can tell what the kernel holds: {}", plain(why)),
            "run it as root: sudo tunwarden doctor; or install iptables",
        ),
    }
    match &seen.second_reader {
        SecondReading::NotAsked | SecondReading::Agrees => {}
        SecondReading::Disagrees(lines) => find(
            "readers-disagree",
            format!("two readers of iptables see different rules: {}", some(lines)),
            "run it again: sudo tunwarden doctor; if it stays, please report it",
        ),
        SecondReading::Failed(why) => find(
            "second-reader-failed",
            format!("the second reader of iptables gave no answer: {}", plain(why)),
            "end the program that holds the lock of iptables: sudo fuser -v /run/xtables.lock; then run it again",
        ),
    }
    if seen.status.is_none() {
        find(
            "agent-not-running",
            "the agent is not running: nobody follows the VPN, and nobody tells of its loss".to_owned(),
            "start it: sudo systemctl start tunwarden; if it does not stay: journalctl -u tunwarden",
        );
    }
    if let Some(refused) = &seen.config {
        find(
            "config-faults",
            format!("the configuration is refused; {}: {}", refused.in_force(), refused.faults),
            "mend the lines that tunwarden check shows, then: sudo tunwarden reload",
        );
    }
    let refused =
        seen.status.iter().filter_map(|status| status.configuration.as_ref()?.fault.as_ref()).next();
    if let (Some(fault), None) = (refused, &seen.config) {
        find(
            "config-not-read",
            format!("the configuration was mended, and the agent has not read it since: {fault}"),
            "put it in force: sudo tunwarden reload",
        );
    }
    findings.extend(seen.status.iter().flat_map(of_status));
    findings.extend(of_machine(seen));
    if !seen.unread.is_empty() {
        findings.push(Finding {
            id: "not-read",
            problem: format!("this user may not read: {}", seen.unread.join("; ")),
            mend: "run it as root: sudo tunwarden doctor".to_owned(),
        });
    }
    findings
}

/// What the agent itself says.
fn of_status(status: &Status) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |id, problem: String, mend: &str| {
        findings.push(Finding { id, problem, mend: mend.to_owned() });
    };
    let known = status.bootstrap.iter().any(|part| *part != BootstrapStatus::Any);
    // What is allowed is known only while the rules are in force.
    if status.enforced() && !known && status.tunnels.is_empty() {
        find(
            "no-endpoint-known",
            "no VPN server is known".to_owned(),
            "save a VPN profile in the network menu, or name the server in bootstrap.servers",
        );
    }
    let unread: Vec<String> = status.layers.iter().filter_map(LayerStatus::unread).collect();
    if !unread.is_empty() {
        find(
            "layer-unknown",
            format!("nobody can tell what a layer holds: {}", some(&unread)),
            "mend the tool that is named, then: sudo tunwarden verify",
        );
    }
    let lacks: Vec<String> = status.layers.iter().filter_map(LayerStatus::lack).collect();
    if !lacks.is_empty() {
        find(
            "layer-incomplete",
            format!("a layer does not hold all of the rules: {}", lacks.join("; ")),
            "install or rename what is named; the next change of the rules takes it in",
        );
    }
    let faults = status.docker.faults();
    if !faults.is_empty() {
        find(
            "docker-not-covered",
            format!("Docker networks are not held as they should be: {}", some(&faults)),
            "use bridge networks, or mend docker.networks in the configuration",
        );
    }
    let deaf: Vec<String> = status.management.iter().filter_map(ManagementStatus::line).collect();
    if !deaf.is_empty() {
        find(
            "management-not-heard",
            format!("a loss of these OpenVPN clients is seen later than it could be: {}", some(&deaf)),
            "end the other program; or leave the socket to it for good, with management-client-user and its user \
             in that configuration; what is not believed belongs where root alone can write",
        );
    }
    findings
}

/// What the machine around it shows.
fn of_machine(seen: &Snapshot) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |id, problem: String, mend: &str| {
        findings.push(Finding { id, problem, mend: mend.to_owned() });
    };
    if seen.worlds.legacy && seen.worlds.nft {
        find(
            "legacy-and-nft",
            "iptables-legacy and iptables-nft both hold rules: each tool sees only its own".to_owned(),
            "use one: sudo update-alternatives --config iptables; then restart Docker and tunwarden",
        );
    }
    for firewall in &seen.firewalls {
        let (name, mend) = firewall.mend();
        find("second-firewall", format!("{name} is active too, and flushes rules when it reloads"), mend);
    }
    if !seen.missing_owners.is_empty() {
        find(
            "owner-missing",
            format!("bootstrap.owners names users that this system lacks: {}", some(&seen.missing_owners)),
            "install that VPN client, or take the name out of bootstrap.owners",
        );
    }
    if !seen.unresolved.is_empty() {
        find(
            "name-unresolved",
            format!("no address is known for: {}", some(&seen.unresolved)),
            "write the server's address in bootstrap.servers, or connect once with the network up",
        );
    }
    if !seen.without_hooks.is_empty() {
        find(
            "hooks-missing",
            format!("OpenVPN clients that do not report to tunwarden: {}", some(&seen.without_hooks)),
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
            format!("OpenVPN's configurations do not count as they stand: {}", some(&seen.openvpn_left_out)),
            "mend what is named; the agent reads a changed file again by itself",
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
            format!("older kill switch scripts flush these rules when they run: {}", some(&seen.article)),
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
            Self::Ufw => ("ufw", "sudo ufw disable; what it let in goes into input.allow"),
            Self::Firewalld => {
                ("firewalld", "sudo systemctl disable --now firewalld; what it let in goes into input.allow")
            }
            Self::Nftables => (
                "nftables.service",
                "take `flush ruleset` out of /etc/nftables.conf, or: sudo systemctl disable nftables",
            ),
        }
    }
}

impl Notification {
    fn mend(self) -> (&'static str, &'static str) {
        match self {
            Self::NoAutostart => (
                "notifications are not started with the desktop",
                "install /etc/xdg/autostart/tunwarden-notify.desktop again: sudo apt install --reinstall tunwarden",
            ),
            Self::NotRunning => (
                "nobody in this session shows the agent's notifications",
                "log out and in again, or now: tunwarden notify &",
            ),
            Self::NoDaemon => (
                "this session has nothing that shows notifications",
                "install one, such as: sudo apt install xfce4-notifyd",
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
        [] => "nothing is wrong".to_owned(),
        findings => findings.iter().enumerate().map(line).collect::<Vec<_>>().join("\n"),
    }
}

/// The first of a list, fit to be shown.
fn some(list: &[String]) -> String {
    let shown: Vec<String> = list.iter().take(SHOWN).map(|one| plain(one).to_string()).collect();
    match list.len().saturating_sub(SHOWN) {
        0 => shown.join("; "),
        more => format!("{}; and {more} more", shown.join("; ")),
    }
}

#[cfg(test)]
mod tests;
