//! Docker in the status.

use serde::Serialize;

use super::{Enforcement, Wires};
use crate::config::plain;
use crate::vpn::{DockerReport, ForwardedReport, NetworkFault, NetworkReport};

/// Maximum number of networks that the text names; the JSON has them all.
const SHOWN: usize = 10;

/// What no rule of iptables can stop, in one line.
const LIMITS: &str = "macvlan, ipvlan, raw packet senders (NET_RAW), containers in this machine's namespaces";

/// The part of [`LIMITS`] that remains if the rules on the wires judge every frame.
const WIRE_LIMITS: &str = "containers in this machine's namespaces that may change its rules (NET_ADMIN)";

/// Docker in the status.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct DockerStatus {
    /// Whether this machine has Docker.
    pub present: bool,
    /// Whether its containers are behind the rules.
    pub protected: bool,
    /// Its version, if it answers.
    pub version: Option<String>,
    /// The firewall in which it writes its rules, if it answers: `iptables`, `nftables` or `unknown`.
    pub backend: Option<String>,
    /// Its networks, if it answers.
    pub networks: Vec<NetworkStatus>,
    /// Names in `docker.networks` that no network has, if it answers.
    pub missing: Vec<String>,
    /// The ports of `docker.forwarded`, if it answers.
    pub forwarded: Vec<ForwardedStatus>,
}

/// A port of `docker.forwarded` in the status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ForwardedStatus {
    /// The port at the tunnel's address.
    pub port: u16,
    /// `udp` or `tcp`.
    pub protocol: String,
    /// The container and its own port.
    pub to: String,
    /// Why it is not forwarded.
    pub fault: Option<String>,
}

impl From<ForwardedReport> for ForwardedStatus {
    fn from(report: ForwardedReport) -> Self {
        Self {
            port: report.port.port.get(),
            protocol: report.port.transport.as_str().to_owned(),
            to: report.port.to(),
            fault: report.fault.map(|fault| fault.to_string()),
        }
    }
}

impl ForwardedStatus {
    fn text(&self) -> String {
        format!("{} {} to {}", plain(&self.protocol), self.port, plain(&self.to))
    }
}

/// One of Docker's networks in the status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NetworkStatus {
    /// Its name in Docker.
    pub name: String,
    /// The name of its driver: `bridge`, `macvlan`.
    pub driver: String,
    /// The interface that is its bridge, if it has one.
    pub bridge: Option<String>,
    /// Whether Docker gives it no route to other networks.
    pub internal: bool,
    /// What its containers may reach: `tunnel`, `lan` or `none`.
    pub access: String,
    /// Whether the rules hold its containers now.
    pub covered: bool,
    /// Why the rules do not hold its containers, or why they differ from the configuration.
    pub fault: Option<String>,
}

impl DockerStatus {
    /// Adds what Docker reports about itself.
    pub(super) fn add_report(&mut self, report: DockerReport, wires: Wires) {
        self.version = Some(report.version);
        self.backend = Some(report.backend.as_str().to_owned());
        let status = |network| NetworkStatus::new(network, self.protected, wires);
        self.networks = report.networks.into_iter().map(status).collect();
        self.missing = report.missing;
        self.forwarded = report.forwarded.into_iter().map(Into::into).collect();
    }

    /// Marks every container as not protected: the rules are not in force.
    pub(super) fn mark_unprotected(&mut self) {
        self.protected = false;
        self.networks.iter_mut().for_each(|network| network.covered = false);
    }

    /// Marks every forwarded port as not forwarded: the rules are not in force.
    pub(super) fn mark_not_forwarded(&mut self) {
        for port in &mut self.forwarded {
            port.fault.get_or_insert_with(|| "the rules are not in force".to_owned());
        }
    }

    /// Everything that differs from the configuration, one per line, safe to print.
    pub fn faults(&self) -> Vec<String> {
        let faults = self.networks.iter().filter_map(|network| {
            let fault = network.fault.as_ref()?;
            Some(format!("{} ({}): {fault}", plain(&network.name), plain(&network.driver)))
        });
        let missing = self.missing.iter();
        let missing = missing.map(|name| format!("{}: Docker has no network of this name", plain(name)));
        let forwarded = self.forwarded.iter();
        let forwarded = forwarded.filter_map(|port| Some((port, port.fault.as_ref()?)));
        let forwarded = forwarded.map(|(port, fault)| format!("{}: {}", port.text(), plain(fault)));
        faults.chain(missing).chain(forwarded).collect()
    }

    /// The rows of the text, each with its title.
    pub(super) fn rows(&self, enforcement: Enforcement, wires: Wires) -> Vec<(&'static str, String)> {
        if !self.present {
            return Vec::new();
        }
        let mut rows = vec![("docker", self.headline(enforcement))];
        for (access, title) in [("lan", "LAN only"), ("none", "cut off")] {
            let of_access = self.networks.iter().filter(|network| network.access == access);
            let names: Vec<String> = of_access.map(|network| plain(&network.name)).collect();
            if !names.is_empty() {
                rows.push((title, shortened(&names).join(", ")));
            }
        }
        let forwarded = self.forwarded.iter().filter(|port| port.fault.is_none());
        let forwarded: Vec<String> = forwarded.map(ForwardedStatus::text).collect();
        if !forwarded.is_empty() {
            rows.push(("forwarded", shortened(&forwarded).join(", ")));
        }
        rows.extend(shortened(&self.faults()).into_iter().map(|fault| ("!", fault)));
        let limits = match wires {
            Wires::Held => WIRE_LIMITS,
            Wires::Open => LIMITS,
        };
        rows.push(("not held", limits.to_owned()));
        rows
    }

    fn headline(&self, enforcement: Enforcement) -> String {
        let held = match (enforcement, self.protected) {
            (Enforcement::Unknown(_), _) => return "unknown: the kernel's rules cannot be read".to_owned(),
            (_, true) => "behind the same rules",
            (_, false) => "NOT protected",
        };
        let Some(version) = &self.version else { return held.to_owned() };
        let backend = match self.backend.as_deref() {
            Some("nftables") => " (nftables: no DOCKER-USER; mangle FORWARD covers it)".to_owned(),
            Some(backend) => format!(" ({})", plain(backend)),
            None => String::new(),
        };
        let covered = self.networks.iter().filter(|network| network.covered).count();
        let count = format!("{covered} of {} networks covered", self.networks.len());
        format!("{held}; {}{backend}, {count}", plain(version))
    }
}

impl NetworkStatus {
    fn new(mut report: NetworkReport, protected: bool, wires: Wires) -> Self {
        if report.fault == Some(NetworkFault::BypassesIptables) && wires == Wires::Held {
            // The rules on the wire judge packets that never pass the tables.
            report.fault = None;
        }
        Self {
            covered: protected && report.is_covered(),
            fault: report.fault.map(|fault| fault.to_string()),
            access: report.access.as_str().to_owned(),
            name: report.network.name,
            driver: report.network.driver,
            bridge: report.network.bridge.map(String::from),
            internal: report.network.internal,
        }
    }
}

/// The first entries, and the number of the others.
fn shortened(lines: &[String]) -> Vec<String> {
    let more = lines.len().saturating_sub(SHOWN);
    let more = (more > 0).then(|| format!("and {more} more; see: tunwarden status --json"));
    lines.iter().take(SHOWN).cloned().chain(more).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::status::Status;
    use crate::vpn::{DockerBackend, Situation, State};

    #[test]
    fn a_port_is_forwarded_only_while_the_rules_are_in_force() {
        let entry = "docker.forwarded = [{ protocol = \"udp\", port = 6000, to = \"bt:51413\" }]";
        let config = Config::parse(entry, "f").unwrap();
        let report = || DockerReport {
            version: "28".to_owned(),
            backend: DockerBackend::Iptables,
            networks: Vec::new(),
            missing: Vec::new(),
            forwarded: vec![ForwardedReport { port: config.docker.forwarded[0].clone(), fault: None }],
        };
        let of = |enforcement| {
            let protected = Situation { state: State::Protected, ..Situation::default() };
            Status::new(&protected, 0, enforcement, true).with_docker(Some(report()))
        };
        for (enforcement, is_forwarded) in
            [(Enforcement::Enforced, true), (Enforcement::Closed, false), (Enforcement::NotEnforced, false)]
        {
            for status in [of(enforcement), of(Enforcement::Enforced).found(enforcement)] {
                assert_eq!(status.docker.faults().is_empty(), is_forwarded, "{enforcement:?}");
                let rows = status.docker.rows(enforcement, Wires::Held);
                assert_eq!(rows.iter().any(|(title, _)| *title == "forwarded"), is_forwarded);
            }
        }
    }
}
