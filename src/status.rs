//! The status. It says what was applied, and never what was only wanted.

mod bootstrap;
mod codec;
mod configuration;
mod docker;
mod layers;
mod left_out;
mod management;
mod properties;
mod text;
mod verdict;
mod vpns;
mod watch;

pub use bootstrap::{BootstrapStatus, EndpointStatus};
pub use configuration::ConfigurationStatus;
pub use docker::{DockerStatus, ForwardedStatus, NetworkStatus};
pub use layers::LayerStatus;
pub use left_out::LeftOutStatus;
pub use management::ManagementStatus;
pub use properties::{Changes, PROPERTIES, Property};
pub use verdict::{Enforcement, Unread, Verdict};
pub use vpns::VpnStatus;
pub use watch::{FightStatus, Watch};

use serde::{Serialize, Serializer};

use crate::config::Reconnect;
use crate::firewall::LayerReport;
use crate::vpn::{DockerReport, LastLoss, PauseScope, Situation, State, Tunnel};

/// The whole status. [`Status::json`] is what `status --json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// tunwarden's version.
    pub version: String,
    /// Whether an agent is running.
    pub agent: bool,
    /// The state.
    pub state: State,
    /// The time since which it has this state, in seconds since the epoch.
    pub since: u64,
    /// What the kernel was found to hold. In JSON this becomes `enforced`, which says whether these are the rules of
    /// the state.
    #[serde(rename = "enforced", serialize_with = "as_enforced")]
    pub enforcement: Enforcement,
    /// Why the rules of an earlier state are in force, or why it is unknown which rules are.
    pub pending: Option<String>,
    /// Tunnels that are up and addressed.
    pub tunnels: Vec<TunnelStatus>,
    /// How the VPN client may reach its server outside the tunnel; empty unless the rules are in force.
    pub bootstrap: Vec<BootstrapStatus>,
    /// When a pause ends, in seconds since the epoch.
    pub paused_until: Option<u64>,
    /// What a pause opens; `None` if there is no pause.
    pub pause: Option<PauseStatus>,
    /// How often the rules had to be repaired since the agent was started.
    pub repairs: u32,
    /// How the agent notices changes by other programs; `None` while no agent runs.
    pub watch: Option<Watch>,
    /// Programs that remove the rules twenty times a minute or more.
    pub fights: Vec<FightStatus>,
    /// Who connects a lost VPN again (`vpn.reconnect`); `None` while no agent runs.
    pub reconnect: Option<Reconnect>,
    /// The last loss.
    pub loss: Option<LastLoss>,
    /// The management sockets of plain OpenVPN clients, and whether the agent receives reports there.
    pub management: Vec<ManagementStatus>,
    /// The layers that hold the rules.
    pub layers: Vec<LayerStatus>,
    /// VPNs that can be used only in part, and what to do.
    pub left_out: Vec<LeftOutStatus>,
    /// The VPNs that are known, whether they count or not: those in use come first, then those that count.
    pub vpns: Vec<VpnStatus>,
    /// How many more VPNs are known.
    pub vpns_left_out: u32,
    /// Which configuration is in force; `None` while it is unknown.
    pub configuration: Option<ConfigurationStatus>,
    /// Docker and its networks.
    pub docker: DockerStatus,
}

/// A pause in the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PauseStatus {
    /// What it opens.
    pub scope: PauseScope,
}

/// A tunnel in the status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TunnelStatus {
    /// The name of the network interface: `tun0`.
    pub interface: String,
    /// The server that it is connected to, if that is known.
    pub endpoint: Option<EndpointStatus>,
    /// Who reported it: `networkmanager`, `openvpn` (a hook), `management` (OpenVPN's socket), or only the `kernel`.
    pub source: String,
    /// The VPN's name.
    pub name: String,
    /// The time since which it is up, in seconds since the epoch.
    pub since: u64,
    /// Whether it carries all traffic that it must.
    pub carrying: bool,
}

/// Whether the rules on the wires judge every frame that leaves, of any sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wires {
    Held,
    Open,
}

impl Status {
    /// The status of a situation.
    pub fn new(situation: &Situation, since: u64, enforcement: Enforcement, docker: bool) -> Self {
        let endpoints = situation.bootstrap.endpoints.keys();
        let mut bootstrap: Vec<_> =
            endpoints.map(|endpoint| BootstrapStatus::Endpoint(endpoint.into())).collect();
        bootstrap.extend(situation.bootstrap.kernel.iter().map(BootstrapStatus::from));
        if situation.bootstrap.any {
            bootstrap.push(BootstrapStatus::Any);
        }
        let status = Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            agent: true,
            state: situation.state,
            since,
            enforcement: Enforcement::Enforced,
            pending: None,
            tunnels: situation.tunnels.iter().map(TunnelStatus::from).collect(),
            bootstrap,
            paused_until: situation.paused_until.and_then(|until| u64::try_from(until.as_second()).ok()),
            pause: situation.paused_until.map(|_| PauseStatus { scope: situation.pause_scope }),
            repairs: 0,
            watch: None,
            fights: Vec::new(),
            reconnect: None,
            loss: None,
            management: Vec::new(),
            layers: Vec::new(),
            left_out: Vec::new(),
            vpns: Vec::new(),
            vpns_left_out: 0,
            configuration: None,
            docker: DockerStatus {
                present: docker,
                protected: docker && !opens_containers(situation),
                ..DockerStatus::default()
            },
        };
        status.found(enforcement)
    }

    /// The same status, with what the kernel was found to hold. Statements that are not true then are removed.
    #[must_use]
    pub fn found(mut self, enforcement: Enforcement) -> Self {
        self.enforcement = enforcement;
        if enforcement != Enforcement::Enforced {
            self.bootstrap.clear();
            self.docker.mark_not_forwarded();
        }
        match enforcement {
            Enforcement::Enforced => {}
            Enforcement::Closed => self.docker.protected = self.docker.present,
            Enforcement::NotEnforced | Enforcement::Unknown(_) => self.docker.mark_unprotected(),
        }
        self
    }

    /// Whether the kernel was found to hold the rules of the state.
    pub fn enforced(&self) -> bool {
        self.enforcement == Enforcement::Enforced
    }

    /// What may leave this machine now, in one word.
    pub fn verdict(&self) -> Verdict {
        Verdict::of(self.enforcement, self.state)
    }

    /// What `status --json` prints.
    ///
    /// # Errors
    /// None is known, but serde_json's serializer may return one.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        #[derive(Serialize)]
        struct Json<'a> {
            #[serde(flatten)]
            status: &'a Status,
            verdict: Verdict,
        }
        serde_json::to_string(&Json { status: self, verdict: self.verdict() })
    }

    /// The same status, with Docker's own report.
    pub fn with_docker(mut self, report: Option<DockerReport>) -> Self {
        let wires = self.wires();
        if let Some(report) = report {
            self.docker.add_report(report, wires);
        }
        if self.enforcement != Enforcement::Enforced {
            self.docker.mark_not_forwarded();
        }
        self
    }

    /// The same status, with the reports of the layers. Call it before [`Self::with_docker`], which uses these reports.
    pub fn with_layers(mut self, layers: &[LayerReport]) -> Self {
        self.layers = layers.iter().map(LayerStatus::from).collect();
        self
    }

    /// Whether a layer judges every frame that leaves on a wire, of any sender.
    pub(crate) fn holds_wires(&self) -> bool {
        self.layers.iter().any(LayerStatus::holds_wires)
    }

    fn wires(&self) -> Wires {
        match self.holds_wires() {
            true => Wires::Held,
            false => Wires::Open,
        }
    }
}

fn as_enforced<S: Serializer>(enforcement: &Enforcement, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bool(*enforcement == Enforcement::Enforced)
}

fn opens_containers(situation: &Situation) -> bool {
    match situation.pause_scope {
        PauseScope::Everything => situation.state == State::Paused,
        PauseScope::Portal => false,
    }
}

/// The bus has something that is not the status of an agent.
#[derive(Debug, thiserror::Error)]
#[error("this version does not understand the status of the agent on the bus: {0}")]
pub struct StatusError(String);

impl From<&Tunnel> for TunnelStatus {
    fn from(tunnel: &Tunnel) -> Self {
        Self {
            interface: tunnel.interface.to_string(),
            endpoint: tunnel.endpoint.as_ref().map(EndpointStatus::from),
            source: tunnel.source.as_str().to_owned(),
            name: tunnel.name.clone(),
            since: tunnel.since,
            carrying: tunnel.carrying,
        }
    }
}
