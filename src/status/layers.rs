//! The layers in the status.

use serde::Serialize;

use crate::config::Layer;
use crate::firewall::{LayerFound, LayerReport};

/// One layer that the configuration names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LayerStatus {
    /// `iptables` or `nftables`.
    pub name: String,
    /// Whether it was found to hold the rules.
    pub enforced: bool,
    /// Why it cannot be read. Then it is not known what it holds.
    pub unknown: Option<String>,
    /// What it cannot do on this system.
    pub lacks: Option<String>,
    /// Whether it does not hold the rules, and what was refused is closed completely.
    pub closed: bool,
    /// Whether the agent owns it or a copy of it, so that no flush takes its rules away.
    pub owned: bool,
}

impl LayerStatus {
    /// Whether it judges every frame that leaves on a wire, from any sender.
    pub(super) fn holds_wires(&self) -> bool {
        self.name == Layer::Nftables.as_str() && (self.enforced || self.closed) && self.lacks.is_none()
    }

    /// A line for people, if the agent owns the layer.
    pub(super) fn hold(&self) -> Option<String> {
        (self.owned && self.enforced)
            .then(|| format!("{}: owned by the agent: no flush can remove it", self.name))
    }

    /// Why it cannot be read, for people.
    pub fn unread(&self) -> Option<String> {
        self.unknown.as_ref().map(|why| format!("{}: {why}", self.name))
    }

    /// What it cannot do on this system although it can be read, for people.
    pub fn limitation(&self) -> Option<String> {
        let lacks = self.lacks.as_ref().filter(|_| self.unknown.is_none())?;
        Some(format!("{}: {lacks}", self.name))
    }

    /// A line for people, if it has a fault.
    pub(super) fn fault(&self) -> Option<String> {
        let name = &self.name;
        match (&self.unknown, &self.lacks, self.enforced) {
            (Some(why), ..) => Some(format!("{name}: unknown: {why}")),
            (None, Some(lacks), _) => Some(format!("{name}: {lacks}")),
            (None, None, false) if self.closed => Some(format!(
                "{name}: does not hold the rules of this state; what was refused is closed completely"
            )),
            (None, None, false) => Some(format!("{name}: does not hold the rules")),
            (None, None, true) => None,
        }
    }

    /// Takes the differences between the kernel and the policy, one per line. Lines about other layers do not
    /// count.
    pub fn compare_with(&mut self, lines: &[String]) {
        let nftables = self.name == Layer::Nftables.as_str();
        self.enforced &= !lines.iter().any(|line| line.starts_with("nft ") == nftables);
    }

    /// Notes that the kernel could not be read.
    pub fn mark_unread(&mut self, why: &str) {
        self.enforced = false;
        self.closed = false;
        self.unknown.get_or_insert_with(|| why.to_owned());
    }
}

impl From<&LayerReport> for LayerStatus {
    fn from(report: &LayerReport) -> Self {
        let (enforced, unknown) = match &report.found {
            LayerFound::Rules => (true, None),
            LayerFound::Other | LayerFound::Closed => (false, None),
            LayerFound::Unread(why) => (false, Some(why.clone())),
        };
        let name = report.layer.as_str().to_owned();
        let closed = report.found == LayerFound::Closed;
        Self { name, enforced, unknown, lacks: report.lacks.clone(), closed, owned: report.owned }
    }
}
