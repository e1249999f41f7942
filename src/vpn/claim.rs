//! A claim: a trusted source says that there is a tunnel, or will be one.
//!
//! A claim protects nobody. It counts only when the kernel's own link table confirms it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::NonZeroU32;

use super::learned::Origin;
use super::reconnect::ClientProgram;
use super::routing::HostRoutes;
use super::{Lineage, Link, LinkTable, Reason, Report, TunnelSource};
use crate::config::Config;
use crate::net::{AddressSet, Endpoint, Family, IfName, Port};

/// How long a client may take to set the routes of another family after its tunnel carries one, in seconds.
const GROWTH_TIMEOUT: u64 = 10;

/// The source of a claim, and how its later messages find the claim again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Claimant {
    /// The active connection of NetworkManager at this object path.
    NetworkManager { path: String, uuid: String },
    /// An OpenVPN hook, as root.
    Hook,
    /// A client itself, on the management socket of this configuration. Its tunnel has these addresses.
    Management { file: String, addresses: BTreeSet<IpAddr> },
    /// The kernel: traffic is routed into a tunnel that nobody reports.
    Kernel,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) claimant: Claimant,
    /// The VPN's name for people.
    pub(super) name: String,
    pub(super) interface: Option<IfName>,
    /// The link's index when it was first seen under that name. A later link can have the same name, but not
    /// the same index.
    pub(super) index: Option<u32>,
    /// The client's process, if a hook or its management socket named it.
    pub(super) pid: Option<u32>,
    /// When that process was started, as [`super::Process::started`].
    pub(super) started: Option<u64>,
    /// The endpoint in use; several when it is unknown which of them is.
    pub(super) endpoints: BTreeSet<Endpoint>,
    /// User ids that the client runs as, besides the configured owners.
    pub(super) users: BTreeSet<u32>,
    /// The mark that its device puts on its packets.
    pub(super) mark: Option<NonZeroU32>,
    /// The systemd unit of the process, if it has one.
    pub(super) unit: Option<String>,
    /// The server that the client reached again after a loss: the one in use since then.
    pub(super) heard: Option<Endpoint>,
    /// Whether its client, which is not root, has reported that it is back.
    pub(super) is_of_client: bool,
    /// Whether the agent ends it in order to start it again.
    pub(super) restarting: bool,
    pub(super) standing: Standing,
    /// The families that it carries, as the kernel confirmed last.
    pub(super) carried: Vec<Family>,
    /// Since when its routes cover a family that the kernel sends elsewhere, in seconds since the epoch.
    growing: Option<u64>,
    /// Whether NetworkManager no longer lists it, and so will not report its end.
    pub(super) is_unlisted: bool,
    /// When `standing` changed last, in seconds since the epoch.
    pub(super) since: u64,
}

/// The state of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// On its way: not reported to be up, or reported and not yet confirmed by the kernel.
    Coming,
    /// Confirmed by the kernel: up, addressed, and carrying what it must.
    Carrying,
    /// Lost: it carried before, or its link went away before it carried.
    Failed(Reason),
}

/// What the kernel shows of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Finding {
    /// It carries what it must: these families.
    Carries(Vec<Family>),
    /// It carries what it carried before, and its routes cover another family, which the kernel sends elsewhere. A
    /// client sets one route after the other.
    Grows,
    /// It does not carry what it must.
    Fails(Reason),
}

/// What the kernel shows, and what it is compared with.
pub(super) struct Evidence<'a> {
    pub(super) links: &'a LinkTable,
    pub(super) config: &'a Config,
    /// Finds the addresses of every VPN server that is known. It is called only where a comparison needs them.
    pub(super) servers: &'a dyn Fn() -> &'a BTreeSet<IpAddr>,
}

/// How the protection of a claim ended.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) name: String,
    pub(super) interface: Option<IfName>,
    /// `None` when the user asked for it.
    pub(super) reason: Option<Reason>,
    /// Whether it protected until now.
    pub(super) protected: bool,
}

impl Claim {
    pub(super) fn new(
        claimant: Claimant,
        name: String,
        interface: Option<IfName>,
        endpoints: BTreeSet<Endpoint>,
        now: u64,
    ) -> Self {
        Self {
            claimant,
            name,
            interface,
            index: None,
            pid: None,
            started: None,
            endpoints,
            users: BTreeSet::new(),
            mark: None,
            unit: None,
            heard: None,
            is_of_client: false,
            restarting: false,
            standing: Standing::Coming,
            carried: Vec::new(),
            growing: None,
            is_unlisted: false,
            since: now,
        }
    }

    /// Ends the claim.
    pub(super) fn end(self, reason: Option<Reason>) -> Ending {
        let protected = self.standing == Standing::Carrying;
        Ending { name: self.name, interface: self.interface, reason, protected }
    }

    /// It is lost, but its source may bring it back.
    pub(super) fn fail(&mut self, reason: Reason, now: u64) -> Option<Ending> {
        let protected = self.standing == Standing::Carrying;
        self.set_standing(Standing::Failed(reason), now);
        let (name, interface) = (self.name.clone(), self.interface.clone());
        protected.then_some(Ending { name, interface, reason: Some(reason), protected })
    }

    /// The one endpoint in use; `None` while it is unknown which it is.
    pub(super) fn endpoint(&self) -> Option<Endpoint> {
        self.endpoints.first().copied().filter(|_| self.endpoints.len() == 1)
    }

    /// The same, or address and port when only the transport is unknown.
    pub(super) fn server(&self) -> (Option<Endpoint>, Option<(IpAddr, Port)>) {
        let servers: BTreeSet<_> = self.endpoints.iter().map(|one| (one.address(), one.port())).collect();
        let either = servers.first().copied().filter(|_| servers.len() == 1 && self.endpoints.len() > 1);
        (self.endpoint(), either)
    }

    pub(super) fn source(&self) -> TunnelSource {
        match self.claimant {
            Claimant::NetworkManager { .. } => TunnelSource::NetworkManager,
            Claimant::Hook => TunnelSource::OpenVpn,
            Claimant::Management { .. } => TunnelSource::Management,
            Claimant::Kernel => TunnelSource::Kernel,
        }
    }

    /// Where it comes from.
    pub(super) fn origin(&self) -> Origin {
        match self.claimant {
            Claimant::NetworkManager { .. } => Origin::NetworkManager,
            Claimant::Hook => Origin::Hook,
            Claimant::Management { .. } => Origin::OpenVpn,
            Claimant::Kernel => Origin::WireGuard,
        }
    }

    /// The program of its tunnel, if NetworkManager did not make it.
    pub(super) fn program(&self) -> ClientProgram {
        match self.claimant {
            Claimant::Hook | Claimant::Management { .. } => ClientProgram::OpenVpn,
            Claimant::NetworkManager { .. } | Claimant::Kernel => ClientProgram::Unknown,
        }
    }

    /// The UUID of its profile.
    pub(super) fn uuid(&self) -> Option<&str> {
        match &self.claimant {
            Claimant::NetworkManager { uuid, .. } => Some(uuid),
            Claimant::Hook | Claimant::Management { .. } | Claimant::Kernel => None,
        }
    }

    /// Whether NetworkManager made the claim.
    pub(super) fn is_managed(&self) -> bool {
        matches!(self.claimant, Claimant::NetworkManager { .. })
    }

    pub(super) fn is_path(&self, wanted: &str) -> bool {
        matches!(&self.claimant, Claimant::NetworkManager { path, .. } if path == wanted)
    }

    /// Whether this claim's own process reports that its lost tunnel is back. It does not matter by what the
    /// tunnel was lost: a report of that process, silence, or the end of its link. The report of the loss may be
    /// missing: only root can store a report in a file while the agent does not answer.
    pub(super) fn is_reported_by(&self, report: &Report) -> bool {
        self.interface.as_ref() == Some(&report.interface)
            && self.pid.is_some()
            && self.pid == report.pid
            && matches!(self.standing, Standing::Failed(_))
    }

    /// Whether the report is known to come from another process than this claim's.
    pub(super) fn is_another_process(&self, report: &Report) -> bool {
        let differ = |(own, other): (u64, u64)| own != other;
        let pids = self.pid.zip(report.pid);
        pids.is_some_and(|(own, other)| own != other || self.started.zip(report.started).is_some_and(differ))
    }

    /// Whether its client is the process that reports, or one of that process's ancestors. NetworkManager
    /// names no process, so no process can report for its claims.
    pub(super) fn is_of(&self, lineage: &Lineage) -> bool {
        self.pid.is_some_and(|pid| lineage.has(pid, self.started))
    }

    /// Whether only its client can bring it back.
    pub(super) fn awaits_its_client(&self) -> bool {
        matches!(
            self.standing,
            Standing::Failed(Reason::ClientRestarts | Reason::ManagementRestarts | Reason::LinkGone)
        )
    }

    /// Whether it was reported lost, or is silent: what the kernel shows does not end that.
    pub(super) fn is_doubted(&self) -> bool {
        matches!(
            self.standing,
            Standing::Failed(Reason::ClientRestarts | Reason::ManagementRestarts | Reason::SilentServer)
        )
    }

    /// Whether it is lost, and nobody is left who could report its end.
    pub(super) fn is_abandoned(&self) -> bool {
        let Standing::Failed(reason) = self.standing else { return false };
        let unwatched = match self.claimant {
            Claimant::Hook => self.pid.is_none(),
            Claimant::Kernel => true,
            Claimant::NetworkManager { .. } | Claimant::Management { .. } => false,
        };
        self.is_unlisted || (unwatched && reason == Reason::LinkGone)
    }

    /// The claim's own link, if it is there and is a tunnel.
    pub(super) fn link<'a>(&self, links: &'a LinkTable, config: &Config) -> Option<&'a Link> {
        let link = links.tunnel(self.interface.as_ref()?, config)?;
        // A client brings back its own tunnel, and not a device that NetworkManager has made for a user since then.
        let is_users = self.is_of_client && links.of_connections.contains(&link.index);
        (!is_users && self.index.is_none_or(|index| index == link.index)).then_some(link)
    }

    fn has_lost_its_link(&self) -> bool {
        !self.is_managed() && self.index.is_some()
    }

    /// What the kernel shows of the claim.
    pub(super) fn finding(&self, evidence: &Evidence<'_>) -> Finding {
        let Evidence { links, config, servers } = evidence;
        let Some(link) = self.link(links, config) else { return Finding::Fails(Reason::LinkGone) };
        if !(link.up && link.carrier) {
            return Finding::Fails(Reason::LinkDown);
        }
        if !link.is_addressed() {
            return Finding::Fails(Reason::NoAddress);
        }
        // Routes to a server are the VPN's own.
        let own = if self.endpoints.is_empty() { HostRoutes::All } else { HostRoutes::To(*servers) };
        let against = |required_ranges: &[AddressSet]| links.misrouting(link, required_ranges, config, own);
        let mut required_ranges = links.required_ranges(link, config);
        let Some(reason) = against(&required_ranges) else {
            return Finding::Carries(required_ranges.iter().map(AddressSet::family).collect());
        };
        required_ranges.retain(|set| self.carried.contains(&set.family()));
        let grows = self.standing == Standing::Carrying && against(&required_ranges).is_none();
        if grows { Finding::Grows } else { Finding::Fails(reason) }
    }

    /// Remembers the index of its link, once the link is there.
    pub(super) fn note_link(&mut self, links: &LinkTable, config: &Config) {
        if self.index.is_none() {
            self.index = self.link(links, config).map(|link| link.index);
        }
    }

    /// Compares the claim with what the kernel shows. Returns the protection that this ends.
    pub(super) fn compare(&mut self, finding: Finding, now: u64) -> Option<Ending> {
        // What was reported lost, or is silent, stays lost until a report or a packet ends that.
        if self.is_doubted() {
            return None;
        }
        match (self.standing, finding) {
            (_, Finding::Carries(families)) => {
                self.carried = families;
                self.growing = None;
                self.set_standing(Standing::Carrying, now);
                None
            }
            (Standing::Carrying, Finding::Grows) => {
                let since = self.growing.map_or(now, |since| since.min(now));
                self.growing = Some(since);
                if now - since < GROWTH_TIMEOUT { None } else { self.fail(Reason::RoutedPast, now) }
            }
            (Standing::Carrying, Finding::Fails(reason)) => self.fail(reason, now),
            // A hook reports the link that is there now. The next link of that name is another tunnel.
            (Standing::Coming | Standing::Failed(_), Finding::Fails(Reason::LinkGone))
                if self.has_lost_its_link() =>
            {
                self.fail(Reason::LinkGone, now)
            }
            (Standing::Coming | Standing::Failed(_), Finding::Fails(_) | Finding::Grows) => None,
        }
    }

    /// When its routes have to be set, in seconds since the epoch.
    pub(super) fn growth_ends(&self) -> Option<u64> {
        self.growing.map(|since| since.saturating_add(GROWTH_TIMEOUT))
    }

    pub(super) fn set_standing(&mut self, standing: Standing, now: u64) {
        if self.standing != standing {
            self.standing = standing;
            self.since = now;
            self.growing = None;
        }
    }
}
