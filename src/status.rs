//! What is said of tunwarden: only what was applied, never what was wished.

mod bootstrap;
mod configuration;
mod docker;
mod layers;
mod loss;
mod management;
mod watch;

pub use bootstrap::{BootstrapStatus, EndpointStatus};
pub use configuration::ConfigurationStatus;
pub use docker::{DockerStatus, NetworkStatus};
pub use layers::LayerStatus;
pub use loss::LossStatus;
pub use management::ManagementStatus;
pub use watch::{FightStatus, Watch};

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;
use zbus::OwnedVariant;

use crate::config::Reconnect;
use crate::firewall::LayerReport;
use crate::vpn::{DockerReport, PauseScope, Situation, State, Tunnel};

/// The whole status. Serialized, it is what `status --json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// tunwarden's version.
    pub version: String,
    /// Whether an agent is running.
    pub agent: bool,
    /// The state.
    pub state: State,
    /// Since when, in seconds since the epoch.
    pub since: u64,
    /// Whether the kernel was found to hold the rules.
    pub enforced: bool,
    /// Tunnels that are up and addressed.
    pub tunnels: Vec<TunnelStatus>,
    /// Through what the VPN client may reach its server.
    pub bootstrap: Vec<BootstrapStatus>,
    /// When a pause ends, in seconds since the epoch.
    pub paused_until: Option<u64>,
    /// What a pause opens, while there is one.
    pub pause: Option<PauseStatus>,
    /// How often the rules had to be repaired since the agent was started.
    pub repairs: u32,
    /// How changes that others make are seen; `None` while no agent runs.
    pub watch: Option<Watch>,
    /// Who takes the rules away twenty times a minute or more.
    pub fights: Vec<FightStatus>,
    /// Who brings a lost VPN back (`vpn.reconnect`); `None` while no agent runs.
    pub reconnect: Option<Reconnect>,
    /// The last loss.
    pub loss: Option<LossStatus>,
    /// Where plain OpenVPN clients are heard, or are not.
    pub management: Vec<ManagementStatus>,
    /// In what the rules stand.
    pub layers: Vec<LayerStatus>,
    /// Which configuration is in force; `None` when nobody tells.
    pub configuration: Option<ConfigurationStatus>,
    /// Docker.
    pub docker: DockerStatus,
    /// Processes of VPN clients, whose descendants may report a loss.
    #[serde(skip)]
    pub clients: BTreeSet<u32>,
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
    /// Its interface.
    pub interface: String,
    /// Its server.
    pub endpoint: Option<EndpointStatus>,
    /// Who told of it: `networkmanager`, `openvpn` (a hook) or `management` (OpenVPN's socket).
    pub source: String,
    /// The VPN's name.
    pub name: String,
    /// Since when it stands, in seconds since the epoch.
    pub since: u64,
    /// Whether it carries what it must.
    pub carrying: bool,
}

/// What the kernel was found to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enforcement {
    /// The rules.
    Enforced,
    /// Something else.
    NotEnforced,
}

/// Whether what goes out on a wire is looked at there, whoever sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wires {
    Held,
    Open,
}

impl Status {
    /// The status of a situation.
    pub fn new(situation: &Situation, since: u64, enforcement: Enforcement, docker: bool) -> Self {
        let enforced = enforcement == Enforcement::Enforced;
        let endpoints = situation.bootstrap.endpoints.keys();
        let mut bootstrap: Vec<_> =
            endpoints.map(|endpoint| BootstrapStatus::Endpoint(endpoint.into())).collect();
        bootstrap.extend(situation.bootstrap.kernel.iter().map(BootstrapStatus::from));
        if situation.bootstrap.any {
            bootstrap.push(BootstrapStatus::Any);
        }
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            agent: true,
            state: situation.state,
            since,
            enforced,
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
            configuration: None,
            docker: DockerStatus {
                present: docker,
                protected: docker && enforced && !opens_containers(situation),
                ..DockerStatus::default()
            },
            clients: BTreeSet::new(),
        }
    }

    /// The same with what Docker says of itself.
    pub fn with_docker(mut self, report: Option<DockerReport>) -> Self {
        let wires = self.wires();
        if let Some(report) = report {
            self.docker.tell(report, wires);
        }
        self
    }

    /// The same with what the layers came to. Said before what Docker says, which depends on it.
    pub fn with_layers(mut self, layers: &[LayerReport]) -> Self {
        self.layers = layers.iter().map(LayerStatus::from).collect();
        self
    }

    fn wires(&self) -> Wires {
        match self.layers.iter().any(LayerStatus::holds_wires) {
            true => Wires::Held,
            false => Wires::Open,
        }
    }
}

impl Status {
    /// The whole of it in one line, for the log and for systemd.
    pub fn line(&self) -> String {
        let tunnels: Vec<_> =
            self.tunnels.iter().map(|tunnel| format!("{} ({})", tunnel.interface, tunnel.name)).collect();
        let tunnels = if tunnels.is_empty() { "no tunnel".to_owned() } else { tunnels.join(", ") };
        let allowed: Vec<_> = self.bootstrap.iter().take(3).map(ToString::to_string).collect();
        let more = match self.bootstrap.len().saturating_sub(allowed.len()) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let allowed = if allowed.is_empty() { "nothing".to_owned() } else { allowed.join(", ") };
        let held = if self.enforced { "" } else { "NOT IN FORCE: " };
        format!("{held}{}, {tunnels}; outside the tunnel: {allowed}{more}", self.state)
    }
}

fn opens_containers(situation: &Situation) -> bool {
    match situation.pause_scope {
        PauseScope::Everything => situation.state == State::Paused,
        PauseScope::Portal => false,
    }
}

/// Something on the bus that is no status of ours.
#[derive(Debug, thiserror::Error)]
#[error("the agent on the bus says something that this version does not understand: {0}")]
pub struct StatusError(String);

impl Status {
    /// Reads the properties of the agent on the bus.
    ///
    /// # Errors
    /// A property that is missing or of another type.
    pub fn from_properties(mut all: HashMap<String, OwnedVariant>) -> Result<Self, StatusError> {
        let state: String = take(&mut all, "State")?;
        let state: State = state.parse().map_err(StatusError)?;
        let tunnels: Vec<HashMap<String, OwnedVariant>> = take(&mut all, "Tunnels")?;
        let bootstrap: Vec<HashMap<String, OwnedVariant>> = take(&mut all, "Bootstrap")?;
        let enforced = take(&mut all, "Enforced")?;
        let paused_until: u64 = take(&mut all, "PausedUntil")?;
        let docker = take(&mut all, "Docker")?;
        let scope: String = take(&mut all, "PauseScope")?;
        let scope = Some(scope).filter(|scope| !scope.is_empty());
        let scope = scope.map(|scope| scope.parse().map_err(StatusError)).transpose()?;
        let (watch, fights): (String, Vec<_>) = (take(&mut all, "Watch")?, take(&mut all, "Fights")?);
        let layers: Vec<HashMap<String, OwnedVariant>> = take(&mut all, "Layers")?;
        let reconnect: String = take(&mut all, "ReconnectPolicy")?;
        let management: Vec<HashMap<String, OwnedVariant>> = take(&mut all, "Management")?;
        let configuration = optional(&mut all, "Configuration")?;
        Ok(Self {
            version: take(&mut all, "Version")?,
            agent: true,
            state,
            since: take(&mut all, "Since")?,
            enforced,
            tunnels: tunnels.into_iter().map(TunnelStatus::from_dict).collect::<Result<_, _>>()?,
            bootstrap: bootstrap.into_iter().map(BootstrapStatus::from_dict).collect::<Result<_, _>>()?,
            paused_until: (paused_until != 0).then_some(paused_until),
            pause: scope.map(|scope| PauseStatus { scope }),
            repairs: take(&mut all, "Repairs")?,
            watch: Watch::from_word(&watch)?,
            fights: fights.into_iter().map(FightStatus::from_dict).collect::<Result<_, _>>()?,
            reconnect: Reconnect::from_word(&reconnect),
            loss: LossStatus::from_dict(take(&mut all, "Loss")?)?,
            management: management.into_iter().map(ManagementStatus::from_dict).collect::<Result<_, _>>()?,
            layers: layers.into_iter().map(LayerStatus::from_dict).collect::<Result<_, _>>()?,
            configuration: ConfigurationStatus::from_dict(configuration)?,
            docker: DockerStatus::from_dict(docker)?,
            clients: BTreeSet::new(),
        })
    }

    /// A few lines for people.
    pub fn for_people(&self, now: u64) -> String {
        let headline = match (self.enforced, self.state) {
            (false, _) => "NOT IN FORCE: the kernel does not hold the rules; close with: sudo tunwarden lock",
            (true, State::Protected) => "protected: everything goes through the VPN",
            (true, State::Locked) => "locked: no VPN, nothing leaves in clear",
            (true, State::Connecting) => "connecting: the VPN is on its way, nothing leaves in clear",
            (true, State::Lost) => "LOST: the VPN went away, nothing leaves in clear",
            (true, State::Paused) => match self.pause {
                Some(PauseStatus { scope: PauseScope::Portal }) => {
                    "PAUSED for a portal: DNS and web pages leave in clear; close with: tunwarden resume"
                }
                Some(PauseStatus { scope: PauseScope::Everything }) | None => {
                    "PAUSED: everything leaves in clear; close with: tunwarden resume"
                }
            },
        };
        let mut lines = vec![headline.to_owned()];
        let mut row = |name: &str, text: String| lines.push(format!("  {name:<10} {text}"));
        if self.since > 0 {
            row("since", ago(now.saturating_sub(self.since)));
        }
        for tunnel in &self.tunnels {
            let server =
                tunnel.endpoint.as_ref().map_or_else(String::new, |endpoint| format!(" to {endpoint}"));
            let idle = if tunnel.carrying { "" } else { ", carries no traffic" };
            row("tunnel", format!("{} ({}){server}{idle}", tunnel.interface, tunnel.name));
        }
        let outside: Vec<_> = self.bootstrap.iter().take(5).map(ToString::to_string).collect();
        let more = self.bootstrap.len().saturating_sub(outside.len());
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let outside = if outside.is_empty() { "nothing".to_owned() } else { outside.join(", ") };
        let kernel = self.bootstrap.iter().any(|part| matches!(part, BootstrapStatus::Kernel { .. }));
        let by = if kernel { "" } else { ", by the VPN client only" };
        row("outside", format!("{outside}{more}{by}"));
        if let Some(until) = self.paused_until {
            row("paused", format!("for {} more", length(until.saturating_sub(now))));
        }
        if self.repairs > 0 {
            row("repaired", format!("{} times", self.repairs));
        }
        for fight in &self.fights {
            row("fights", format!("{} takes the rules away, {} times a minute", fight.program, fight.count));
        }
        if self.watch == Some(Watch::Slow) {
            row("watch", "slow: what others change is seen within a minute".to_owned());
        }
        for deaf in self.management.iter().filter_map(ManagementStatus::line) {
            row("!", format!("not heard: {deaf}"));
        }
        if let Some(fault) = self.configuration.as_ref().and_then(ConfigurationStatus::line) {
            row("config", fault);
        }
        for hold in self.layers.iter().filter_map(LayerStatus::hold) {
            row("layer", hold);
        }
        for fault in self.layers.iter().filter_map(LayerStatus::fault) {
            row("!", fault);
        }
        for (title, text) in self.docker.rows(self.wires()) {
            row(title, text);
        }
        if !self.agent {
            row(
                "agent",
                "not running: nobody follows the VPN; start it with: sudo systemctl start tunwarden"
                    .to_owned(),
            );
        }
        lines.join("\n")
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

/// The default where an agent of an older version has no such property.
fn optional<T: TryFrom<OwnedVariant> + Default>(
    all: &mut HashMap<String, OwnedVariant>,
    key: &str,
) -> Result<T, StatusError> {
    if all.contains_key(key) { take(all, key) } else { Ok(T::default()) }
}

fn take<T: TryFrom<OwnedVariant>>(
    dict: &mut HashMap<String, OwnedVariant>,
    key: &str,
) -> Result<T, StatusError> {
    let value = dict.remove(key).ok_or_else(|| StatusError(format!("{key} is missing")))?;
    T::try_from(value).map_err(|_| StatusError(format!("{key} is of another type")))
}

impl TunnelStatus {
    fn from_dict(mut dict: HashMap<String, OwnedVariant>) -> Result<Self, StatusError> {
        let source: String = take(&mut dict, "source")?;
        Ok(Self {
            interface: take(&mut dict, "interface")?,
            source,
            name: take(&mut dict, "name")?,
            since: take(&mut dict, "since")?,
            carrying: take(&mut dict, "carrying")?,
            endpoint: dict.contains_key("address").then(|| EndpointStatus::from_dict(dict)).transpose()?,
        })
    }
}

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
