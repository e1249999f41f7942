//! The status as text: a few lines for people, and one line for the log and for systemd.

use std::num::NonZeroU32;

use super::{
    BootstrapStatus, ConfigurationStatus, Enforcement, LayerStatus, ManagementStatus, PauseStatus, Status,
    Unread, Watch, Wires,
};
use crate::config::Layer;
use crate::firewall::{WIRES_HELD, WIRES_OPEN};
use crate::vpn::{PauseScope, State};

/// Maximum number of VPNs that are listed for people.
const MAX_VPNS: usize = 5;

impl Status {
    /// The whole status in one line, for the log and for systemd.
    pub fn line(&self) -> String {
        let tunnels: Vec<_> =
            self.tunnels.iter().map(|tunnel| format!("{} ({})", tunnel.interface, tunnel.name)).collect();
        let tunnels = if tunnels.is_empty() { "no tunnel".to_owned() } else { tunnels.join(", ") };
        let state = format!("{}, {tunnels}", self.state);
        match self.enforcement {
            Enforcement::Enforced => format!("{state}; outside the tunnel: {}", self.outside(3)),
            Enforcement::Closed => {
                format!("{state}; the rules of another state are in force, {}", self.closed())
            }
            Enforcement::NotEnforced => format!("OPEN, the rules are NOT IN FORCE: {state}"),
            Enforcement::Unknown(_) => format!("unknown, the kernel's rules cannot be read: {state}"),
        }
    }

    /// What may leave now, in one clause.
    pub(crate) fn leaves(&self) -> &'static str {
        match (self.enforcement, self.state) {
            (Enforcement::Enforced, State::Paused) => "what the pause opens leaves in clear",
            (Enforcement::Enforced, _) | (Enforcement::Closed, _) => self.closed(),
            (Enforcement::NotEnforced, _) if self.only_wires_are_open() => WIRES_OPEN,
            (Enforcement::NotEnforced, _) => "the rules are not in force, packets may leave in clear",
            (Enforcement::Unknown(_), _) => "what leaves is unknown: the kernel's rules cannot be read",
        }
    }

    /// What leaves while rules that close are in force.
    fn closed(&self) -> &'static str {
        match self.wires() {
            Wires::Held => WIRES_HELD,
            Wires::Open => WIRES_OPEN,
        }
    }

    /// Whether iptables holds its rules, so that only the layer for the frames on the wires does not.
    fn only_wires_are_open(&self) -> bool {
        let holds = |layer: &LayerStatus| layer.enforced && layer.name == Layer::Iptables.as_str();
        self.enforcement == Enforcement::NotEnforced && self.layers.iter().any(holds)
    }

    /// The status in a few lines for people.
    pub fn for_people(&self, now: u64) -> String {
        let mut lines = vec![self.headline()];
        let mut row = |name: &str, text: String| lines.push(format!("  {name:<10} {text}"));
        if self.since > 0 {
            row("since", ago(now.saturating_sub(self.since)));
        }
        if let Some(loss) = self.loss.as_ref().filter(|_| self.state == State::Lost) {
            row("because", loss.reason.clone());
        }
        for tunnel in &self.tunnels {
            let server =
                tunnel.endpoint.as_ref().map_or_else(String::new, |endpoint| format!(" to {endpoint}"));
            let idle = if tunnel.carrying { "" } else { ", does not carry all traffic that it must" };
            row("tunnel", format!("{} ({}){server}{idle}", tunnel.interface, tunnel.name));
        }
        if let Some(outside) = self.outside_row() {
            row("outside", outside);
        }
        if let Some(until) = self.paused_until.filter(|_| self.enforced()) {
            row("paused", format!("for {} more", length(until.saturating_sub(now))));
        }
        if self.repairs > 0 {
            row("repaired", format!("{} times", self.repairs));
        }
        for fight in &self.fights {
            row("fights", format!("{} removes the rules {} times a minute", fight.program, fight.count));
        }
        if self.watch == Some(Watch::Slow) {
            row("watch", "slow: changes by other programs are seen within a minute".to_owned());
        }
        if let Some(pending) = &self.pending {
            row("!", pending.clone());
        }
        for unheard in self.management.iter().filter_map(ManagementStatus::line) {
            row("!", format!("not connected: {unheard}"));
        }
        if let Some(fault) = self.configuration.as_ref().and_then(ConfigurationStatus::line) {
            row("config", fault);
        }
        for vpn in self.vpns.iter().take(MAX_VPNS) {
            row("vpn", vpn.line());
        }
        if let Some(more) = self.hidden_vpns() {
            row("vpn", format!("and {more} more; list them with: sudo tunwarden check"));
        }
        for left_out in &self.left_out {
            row("left out", left_out.line());
        }
        for hold in self.layers.iter().filter_map(LayerStatus::hold) {
            row("layer", hold);
        }
        for fault in self.layers.iter().filter_map(LayerStatus::fault) {
            row("!", fault);
        }
        for (title, text) in self.docker.rows(self.enforcement, self.wires()) {
            row(title, text);
        }
        if !self.agent {
            row("agent", self.without_agent().to_owned());
        }
        lines.join("\n")
    }

    /// Number of VPNs that the text does not show; `None` if it shows all.
    fn hidden_vpns(&self) -> Option<NonZeroU32> {
        let hidden = u32::try_from(self.vpns.len().saturating_sub(MAX_VPNS)).unwrap_or(u32::MAX);
        NonZeroU32::new(hidden.saturating_add(self.vpns_left_out))
    }

    fn headline(&self) -> String {
        let closed = self.closed();
        match (self.enforcement, self.state) {
            (Enforcement::NotEnforced, _) if self.only_wires_are_open() => {
                format!("OPEN: {WIRES_OPEN}, because nftables does not hold the rules; see: journalctl -u tunwarden")
            }
            (Enforcement::NotEnforced, _) => {
                "OPEN: the rules are not in force, packets may leave in clear; close with: sudo tunwarden lock".to_owned()
            }
            (Enforcement::Unknown(unread), _) => self.unknown(unread).to_owned(),
            (Enforcement::Closed, _) => format!(
                "locked: the rules of this state could not be put in force; others are in force, {closed}; \
                 see: journalctl -u tunwarden"
            ),
            (Enforcement::Enforced, State::Protected) => match self.wires() {
                Wires::Held => "protected: what leaves goes through the VPN".to_owned(),
                Wires::Open => format!("protected: what leaves goes through the VPN; {closed}"),
            },
            (Enforcement::Enforced, State::Locked) if self.agent => format!("locked: no VPN, {closed}"),
            // Without an agent it is not known whether there is a VPN.
            (Enforcement::Enforced, State::Locked) => format!("locked: {closed}"),
            (Enforcement::Enforced, State::Connecting) => {
                format!("connecting: the VPN is being connected, {closed}")
            }
            (Enforcement::Enforced, State::Lost) => format!("LOST: the VPN connection was lost, {closed}"),
            (Enforcement::Enforced, State::Paused) => self.paused().to_owned(),
        }
    }

    /// The headline of a pause.
    fn paused(&self) -> &'static str {
        match self.pause {
            Some(PauseStatus { scope: PauseScope::Portal }) => {
                "PAUSED for a portal: DNS and web pages leave in clear; close with: tunwarden resume"
            }
            Some(PauseStatus { scope: PauseScope::Everything }) | None => {
                "PAUSED: everything leaves in clear; close with: tunwarden resume"
            }
        }
    }

    /// The headline if the kernel cannot be read.
    fn unknown(&self, unread: Unread) -> &'static str {
        match unread {
            Unread::NotPermitted => {
                "unknown: the kernel's rules cannot be read as this user, and no agent answers; \
                 run: sudo tunwarden status"
            }
            Unread::Failed if self.agent => {
                "unknown: the agent cannot read the kernel's rules; see: journalctl -u tunwarden"
            }
            Unread::Failed => "unknown: the kernel's rules cannot be read, and no agent answers",
        }
    }

    /// What may leave outside the tunnel. If the rules are not in force, it does not follow from the allowance.
    fn outside_row(&self) -> Option<String> {
        match self.enforcement {
            Enforcement::Enforced => {
                let kernel = self.bootstrap.iter().any(|part| matches!(part, BootstrapStatus::Kernel { .. }));
                let by = if kernel || self.bootstrap.is_empty() { "" } else { ", by the VPN client only" };
                Some(format!("{}{by}", self.outside(5)))
            }
            // The headline already says whose packets may leave.
            Enforcement::NotEnforced if self.only_wires_are_open() => None,
            Enforcement::NotEnforced => Some("anything: the rules are not in force".to_owned()),
            Enforcement::Unknown(_) => Some("unknown".to_owned()),
            Enforcement::Closed => None,
        }
    }

    /// The first `most` parts of the allowance, and the number of the others.
    fn outside(&self, most: usize) -> String {
        let allowed: Vec<_> = self.bootstrap.iter().take(most).map(ToString::to_string).collect();
        match self.bootstrap.len().saturating_sub(allowed.len()) {
            0 if allowed.is_empty() => "nothing".to_owned(),
            0 => allowed.join(", "),
            more => format!("{} and {more} more", allowed.join(", ")),
        }
    }

    fn without_agent(&self) -> &'static str {
        match self.enforcement {
            // The headline already says what to do.
            Enforcement::Unknown(Unread::NotPermitted) => "does not answer",
            Enforcement::Enforced
            | Enforcement::Closed
            | Enforcement::NotEnforced
            | Enforcement::Unknown(Unread::Failed) => {
                "not running, so the VPN is not followed; start it with: sudo systemctl start tunwarden"
            }
        }
    }
}

fn ago(seconds: u64) -> String {
    format!("{} ago", length(seconds))
}

fn length(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        86400.. => format!("{} days", seconds / 86400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vpn::Situation;

    fn layer(name: &Layer, enforced: bool) -> LayerStatus {
        LayerStatus {
            name: name.as_str().to_owned(),
            enforced,
            unknown: None,
            lacks: None,
            closed: false,
            owned: true,
        }
    }

    #[test]
    fn only_a_layer_that_judges_the_wires_lets_a_sentence_say_that_nothing_leaves() {
        let all = [Enforcement::Enforced, Enforcement::Closed, Enforcement::NotEnforced];
        for enforcement in all {
            for wires in [true, false] {
                let mut status = Status::new(&Situation::default(), 0, enforcement, false);
                status.layers = vec![layer(&Layer::Iptables, true), layer(&Layer::Nftables, wires)];
                let claims = wires && enforcement != Enforcement::NotEnforced;
                for said in [status.for_people(0), status.leaves().to_owned()] {
                    assert_eq!(said.contains("nothing leaves"), claims, "{said}");
                    assert_eq!(said.contains("raw packet senders"), !claims, "{said}");
                }
                assert_eq!(status.line().contains("nothing leaves"), claims && !status.enforced());
            }
        }
    }
}
